"""The embedded Redis when things die, vanish, break or fill up."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paysync_cli.errors import RedisUnavailable, RefusedError
from paysync_cli.queue.embedded import EmbeddedRedis
from paysync_cli.queue.embedded.binary import find_server
from paysync_cli.queue.embedded.locks import is_locked
from tests.embedded import (
    ROOT,
    Plain,
    ServerError,
    ask,
    flush,
    private_server,
    running_servers,
    set_safely,
    temporary_home,
    until,
    users,
)

KILL_ROUNDS_S = 8.0


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_home() as home:
        yield home / "redis"


def wrapper(home: Path, before: str, *, version: str = "") -> Path:
    """A server binary that does something first. `$HERE` is the test's folder."""
    real = find_server(None)
    path = home / "some-server"
    line = version or f"{real.flavour.capitalize()} server v={real.version} sha=00000000:0"
    path.write_text(
        f"#!/bin/sh\nHERE='{home}'\n"
        f'if [ "$1" = --version ]; then echo "{line}"; exit 0; fi\n'
        f'{before}\nexec "{real.path}" "$@"\n'
    )
    path.chmod(0o755)
    return path


# It waits as a server that takes long to come up does, and the test decides for how long.
WAIT_FOR_GO = 'echo x >> "$HERE/runs"; touch "$HERE/waiting"; while [ ! -e "$HERE/go" ]; do sleep 0.01; done'


# -- kill -9 and Ctrl-C at bad moments


def test_the_server_killed_between_two_commands(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    redis.start()
    endpoint = redis.attach()
    set_safely(endpoint, "paid", "100.50")
    (pid,) = running_servers(folder)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not running_servers(folder))
    assert (folder / "redis.sock").is_socket(), "left behind by the killed server"
    assert ask(redis.attach(), "GET", "paid") == "100.50"
    redis.stop()


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_the_starter_dies_while_the_server_starts(folder: Path, signal_number: signal.Signals) -> None:
    """Ctrl-C reaches the whole process group of the starter; the server must not be in it."""
    home = folder.parent
    slow = wrapper(home, WAIT_FOR_GO)
    with users(2, folder, server=slow) as (starter, waiter):
        starter.say("attach")
        until((home / "waiting").exists)
        waiter.say("attach")
        starter.kill(signal_number, group=True)
        (home / "go").touch()
        endpoint = waiter.hear_endpoint()
        assert ask(endpoint, "PING") == "PONG"
        assert (home / "runs").read_text().count("x") == 1, "the first one came up; nobody started a second"
        waiter.do("leave")
    assert not running_servers(folder)


def test_the_server_killed_while_it_starts_is_started_again(folder: Path) -> None:
    kill_first = wrapper(folder.parent, 'if [ ! -e "$HERE/once" ]; then touch "$HERE/once"; kill -9 $$; fi')
    redis = EmbeddedRedis(folder, server=str(kill_first))
    assert ask(redis.attach(), "PING") == "PONG"
    redis.leave()


def test_a_server_that_always_dies_is_tried_three_times_and_its_log_is_shown(folder: Path) -> None:
    broken = wrapper(folder.parent, 'echo x >> "$HERE/tries"; echo "the disk is on fire"; exit 1')
    redis = EmbeddedRedis(folder, server=str(broken))
    with pytest.raises(RedisUnavailable, match="the disk is on fire") as died:
        redis.attach()
    assert died.value.exit_status == 69
    assert (folder.parent / "tries").read_text().count("x") == 3
    assert str(folder / "server.log") in str(died.value.hint)
    assert "check-aof" not in str(died.value.hint), "the data is not what is broken"
    assert not is_locked(folder / "users.lock", even_shared=True)
    assert not is_locked(folder / "start.lock", even_shared=True)


def test_a_server_that_dies_without_a_word_is_not_mistaken_for_the_one_in_an_old_pid_file(folder: Path) -> None:
    fill(folder, 1)
    (folder / "server.pid").write_text(str(os.getpid()))
    silent = wrapper(folder.parent, "exit 0")
    with pytest.raises(RedisUnavailable, match="stopped while starting"):
        EmbeddedRedis(folder, server=str(silent)).attach()


def test_the_server_sees_nothing_of_the_callers_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYSYNC_BANK_BANECO_PASSWORD", "hush")
    telling = wrapper(folder.parent, 'env > "$HERE/environment"')
    redis = EmbeddedRedis(folder, server=str(telling))
    redis.attach()
    redis.leave()
    assert "PATH" in (folder.parent / "environment").read_text()
    assert "hush" not in (folder.parent / "environment").read_text()


def test_a_binary_that_never_goes_into_the_background_is_given_up(folder: Path) -> None:
    hanging = wrapper(folder.parent, "exec sleep 600")
    redis = EmbeddedRedis(folder, server=str(hanging), deadline_s=0.3)
    with pytest.raises(RedisUnavailable, match="background"):
        redis.attach()
    assert not is_locked(folder / "server.lock")


def test_a_server_that_does_not_answer_is_reported_with_pid_and_log_and_not_replaced(folder: Path) -> None:
    redis = EmbeddedRedis(folder, deadline_s=0.5)
    redis.start()
    (pid,) = running_servers(folder)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(RedisUnavailable, match=f"pid {pid}") as silent:
            redis.attach()
        assert "server.log" in str(silent.value.hint)
        with pytest.raises(RedisUnavailable, match=f"pid {pid}"):
            redis.attach_if_running()
        assert running_servers(folder) == [pid]
        assert redis.status().state == "not_answering"
    finally:
        os.kill(pid, signal.SIGCONT)
    assert ask(redis.attach(), "PING") == "PONG"
    redis.stop()


def test_waiting_for_another_process_that_starts_ends_with_a_sentence(folder: Path) -> None:
    redis = EmbeddedRedis(folder, deadline_s=0.3)
    redis.attach()
    redis.leave()
    with (folder / "start.lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RedisUnavailable):
            redis.attach()
    with (folder / "users.lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RedisUnavailable, match="stopping"):
            redis.attach()


def test_loading_much_data_extends_the_deadline(folder: Path) -> None:
    """The log of writes is long, and the deadline far shorter than reading it."""
    redis = EmbeddedRedis(folder)
    with Plain(redis.attach()) as client:
        client.call("CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
        load = "for i = 1, 200000 do redis.call('RPUSH', KEYS[1] .. i % 100, string.rep('x', 100)) end return 'done'"
        assert client.call("EVAL", load, "1", "list") == "done"
    redis.leave()
    hasty = EmbeddedRedis(folder, deadline_s=0.1)
    endpoint = hasty.attach()
    assert ask(endpoint, "LLEN", "list1") == 2000
    assert seconds_of_loading(folder) > 0.1, "not slow enough to prove anything"
    hasty.deadline_s = 10
    hasty.leave()


def seconds_of_loading(folder: Path) -> float:
    """What the server wrote of its last start."""
    loaded = [line for line in (folder / "server.log").read_text().splitlines() if "DB loaded from" in line]
    return float(loaded[-1].rsplit(":", 1)[1].split()[0])


# -- files that vanish or lie


def test_a_stale_endpoint_is_replaced(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    redis.attach()
    redis.leave()
    stale = (folder / "endpoint.json").read_bytes()
    redis.attach()
    redis.leave()
    (folder / "endpoint.json").write_bytes(stale)
    assert ask(redis.attach(), "PING") == "PONG"
    redis.leave()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"schema": 1}', b'{"schema": 99}', b"\xff\xfe"])
def test_a_damaged_endpoint_of_a_stopped_server_is_replaced_and_the_data_kept(folder: Path, content: bytes) -> None:
    redis = EmbeddedRedis(folder)
    ask(redis.attach(), "SET", "paid", "100.50")
    redis.leave()
    (folder / "endpoint.json").write_bytes(content)
    assert redis.status().state == "stopped"
    assert ask(redis.attach(), "GET", "paid") == "100.50"
    redis.leave()


def lose_socket(folder: Path) -> None:
    (folder / "redis.sock").unlink()


def lose_endpoint(folder: Path) -> None:
    (folder / "endpoint.json").unlink()


def lose_password(folder: Path) -> None:
    content = json.loads((folder / "endpoint.json").read_text())
    (folder / "endpoint.json").write_text(json.dumps({**content, "password": "another"}))


@pytest.mark.parametrize("lose", [lose_socket, lose_endpoint, lose_password])
def test_a_living_server_that_nobody_can_reach_any_more_is_replaced(folder: Path, lose: Callable[[Path], None]) -> None:
    redis = EmbeddedRedis(folder)
    ask(redis.attach(), "SET", "paid", "100.50")
    (lost,) = running_servers(folder)
    lose(folder)
    assert ask(redis.attach(), "GET", "paid") == "100.50"
    assert running_servers(folder) != [lost]
    redis.leave()
    assert not running_servers(folder)


@pytest.mark.parametrize("lose", [lose_socket, lose_endpoint, lose_password])
def test_a_living_server_that_nobody_can_reach_can_be_stopped(folder: Path, lose: Callable[[Path], None]) -> None:
    redis = EmbeddedRedis(folder)
    redis.start()
    lose(folder)
    assert redis.stop().state == "stopped"
    assert not running_servers(folder)


def test_no_signal_for_a_pid_that_is_not_the_server(folder: Path) -> None:
    """Pids are reused: the pid file may name anybody."""
    redis = EmbeddedRedis(folder, deadline_s=1.5)
    redis.attach()
    (pid,) = running_servers(folder)
    bystander = subprocess.Popen(["sleep", "600"])
    pid_file = (folder / "server.pid").read_text()
    (folder / "server.pid").write_text(str(bystander.pid))
    lose_socket(folder)
    with pytest.raises(RedisUnavailable):
        redis.attach()
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    (folder / "server.pid").write_text(pid_file)
    redis.stop(force=True)
    assert pid not in running_servers(folder)


def test_a_server_whose_lock_file_was_deleted_gets_no_second_one_beside_it(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    ask(redis.attach(), "SET", "paid", "100.50")
    (folder / "server.lock").unlink()
    fresh = redis.attach()
    assert len(running_servers(folder)) == 1
    assert ask(fresh, "GET", "paid") == "100.50"
    redis.leave()


def test_a_server_that_drops_the_lock_is_refused(folder: Path) -> None:
    """A wrapper that closes descriptors would let a second server write the same files."""
    closing = wrapper(folder.parent, python_closing_all())
    redis = EmbeddedRedis(folder, server=str(closing))
    with pytest.raises(RedisUnavailable, match="lock"):
        redis.attach()
    until(lambda: not running_servers(folder))


def python_closing_all() -> str:
    """Close every descriptor but the standard ones and become the server."""
    real = find_server(None).path
    return (
        f"exec {sys.executable} -c 'import os, sys; os.closerange(3, 200); "
        f'os.execv("{real}", ["{real}", *sys.argv[1:]])\' "$@"'
    )


def test_a_file_system_whose_locks_do_not_lock_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paysync_cli.queue.embedded.locks.fcntl.flock", lambda *_: None)
    with pytest.raises(RedisUnavailable, match="keeps no locks"):
        EmbeddedRedis(folder).attach()
    assert not running_servers(folder)


# -- damaged data


def fill(folder: Path, keys: int) -> None:
    redis = EmbeddedRedis(folder)
    with Plain(redis.attach()) as client:
        for number in range(keys):
            client.call("SET", f"key{number}", number)
    redis.leave()


def last_aof(folder: Path) -> Path:
    return max((folder / "appendonlydir").glob("*.incr.aof"))


def test_a_record_cut_short_loses_only_itself(folder: Path) -> None:
    fill(folder, 50)
    os.truncate(last_aof(folder), last_aof(folder).stat().st_size - 3)
    redis = EmbeddedRedis(folder)
    assert ask(redis.attach(), "DBSIZE") == 49
    redis.leave()


def test_zeros_at_the_end_are_reported_with_the_command_that_repairs(folder: Path) -> None:
    fill(folder, 500)
    with last_aof(folder).open("ab") as aof:
        aof.write(bytes(4096))
    damaged = last_aof(folder).read_bytes()
    redis = EmbeddedRedis(folder)
    with pytest.raises(RedisUnavailable, match="Bad file format") as broken:
        redis.attach()
    assert last_aof(folder).read_bytes() == damaged, "nothing is deleted or changed on its own"

    command = str(broken.value.hint).split(": ", 1)[1]
    repaired = subprocess.run(["sh", "-c", command], input="y\n", capture_output=True, text=True, check=False)
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert (folder / "before-repair-1" / last_aof(folder).name).read_bytes() == damaged
    assert ask(redis.attach(), "DBSIZE") == 500
    redis.leave()


# -- another server


def test_another_version_gets_a_backup_first_and_sees_the_data(folder: Path) -> None:
    fill(folder, 10)
    for version in ("7.0.15", "7.2.4", "8.0.1"):
        other = wrapper(folder.parent, "", version=f"Redis server v={version} sha=00000000:0 malloc=jemalloc")
        redis = EmbeddedRedis(folder, server=str(other))
        endpoint = redis.attach()
        assert (endpoint.flavour, endpoint.version) == ("redis", version)
        assert ask(endpoint, "DBSIZE") == 10
        redis.leave()
        redis.attach()
        redis.leave()
    backups = sorted(path.name.split("Z-")[1] for path in (folder / "backups").iterdir())
    assert backups == ["redis-7.0.15", "redis-7.2.4"], "two are kept, and the same version makes none"
    assert all(list(copy.glob("*.manifest")) for copy in (folder / "backups").iterdir())


def test_data_of_an_unknown_writer_gets_a_backup(folder: Path) -> None:
    fill(folder, 10)
    lose_endpoint(folder)
    redis = EmbeddedRedis(folder)
    redis.attach()
    redis.leave()
    assert [path.name.split("Z-")[1] for path in (folder / "backups").iterdir()] == ["unknown"]


def test_without_room_for_the_backup_the_other_server_does_not_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder, 10)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copytree", full)
    other = wrapper(folder.parent, "", version="Redis server v=7.0.15 sha=00000000:0")
    with pytest.raises(RedisUnavailable, match="No space left"):
        EmbeddedRedis(folder, server=str(other)).attach()
    assert not running_servers(folder)
    assert EmbeddedRedis(folder).status().flavour == "valkey", "it is still known who wrote the data"


def test_the_log_is_rotated_once_it_is_large(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "server.log").write_bytes(b"x" * 1_000_001)
    redis = EmbeddedRedis(folder)
    redis.attach()
    redis.leave()
    assert (folder / "server.log.1").stat().st_size == 1_000_001
    assert (folder / "server.log").stat().st_size < 100_000


# -- no room


def test_a_full_disk_keeps_reading_and_loses_nothing(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    with small_disk(folder):
        redis = EmbeddedRedis(folder)
        endpoint = redis.attach()
        filler = folder / "filler"
        with Plain(endpoint) as client:
            client.call("SET", "paid", "100.50")
            fill_disk(filler)
            written = write_until_refused(client)
        assert redis.status().state == "cannot_write"
        other = EmbeddedRedis(folder)
        assert ask(other.attach(), "GET", "paid") == "100.50", "attaching and reading work"
        other.leave()

        redis.leave()
        assert running_servers(folder), "it may hold what it could not write: it is not stopped"
        with pytest.raises(RefusedError, match="cannot write"):
            redis.stop()

        filler.unlink()
        until(lambda: redis.status().state == "running")
        redis.attach()
        redis.leave()
        assert not running_servers(folder)
        with Plain(redis.attach()) as client:
            assert client.call("DBSIZE") == written + 1
        redis.leave()


def test_a_disk_full_from_the_start_is_a_sentence(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    with small_disk(folder):
        fill_disk(folder / "filler")
        with pytest.raises(RedisUnavailable):
            EmbeddedRedis(folder).attach()
        assert not running_servers(folder)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield
    finally:
        for pid in running_servers(folder):
            os.kill(pid, signal.SIGKILL)
        until(lambda: subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode == 0)


def write_until_refused(client: Plain) -> int:
    """How many writes the server acknowledged before it saw that its disk is full."""
    for written in itertools.count():
        try:
            client.call("SET", f"key{written}", "x" * 10_000)
        except ServerError:
            break
    return written


def fill_disk(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


# -- everything at once


def test_random_kills_of_clients_and_server_lose_no_acknowledged_write(folder: Path) -> None:
    """Six processes count up, each its own number; clients and server are killed at random.

    What is tested is ours: one server, the same files, nothing replaced. `appendfsync everysec`, which we run with,
    answers before it writes while a slow fsync is under way, and a server killed just then loses those answers.
    So here the server writes before it answers.
    """
    server = wrapper(
        folder.parent, 'cat > "$HERE/conf"; echo "appendfsync no" >> "$HERE/conf"; set -- -; exec < "$HERE/conf"'
    )
    dice = random.Random(20261125)
    counters = [(f"count{number}", folder.parent / f"acknowledged{number}") for number in range(6)]
    acknowledged = dict.fromkeys((key for key, _ in counters), 0)
    end = time.monotonic() + KILL_ROUNDS_S
    rounds = 0
    while time.monotonic() < end:
        rounds += 1
        with users(len(counters), folder, server=server) as crowd:
            for user, (key, notes) in zip(crowd, counters, strict=True):
                user.say("count", key, notes)
            until(lambda: all(notes.exists() and notes.stat().st_size for _, notes in counters))
            for _ in range(3):
                time.sleep(dice.uniform(0, 0.15))
                victims = running_servers(folder)
                assert len(victims) <= 1, "two servers on one folder"
                for pid in victims:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            for user in dice.sample(crowd, 3):
                user.kill()
                time.sleep(dice.uniform(0, 0.05))
        for key, notes in counters:
            lines = notes.read_bytes().splitlines(keepends=True)
            acknowledged[key] = max([acknowledged[key], *(int(line) for line in lines if line.endswith(b"\n"))])
            notes.unlink()
        redis = EmbeddedRedis(folder, server=str(server))
        with Plain(redis.attach()) as client:
            assert client.call("CONFIG", "GET", "appendfsync")[1] == "no"
            kept = {key: int(client.call("GET", key) or 0) for key, _ in counters}
        redis.leave()
        assert not running_servers(folder)
        lost = {key: (acknowledged[key], kept[key]) for key in kept if kept[key] < acknowledged[key]}
        assert not lost, f"acknowledged writes lost in round {rounds}: {lost}"
    assert rounds >= 2


# -- the tests' own server


def test_the_private_server_of_a_killed_test_run_is_stopped() -> None:
    code = (
        "import sys; from tests.embedded import private_server\n"
        "with private_server() as endpoint:\n"
        "    print(endpoint.socket, flush=True); sys.stdin.read()\n"
    )
    run = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    assert run.stdout is not None
    home = Path(run.stdout.readline().decode().strip()).parents[1]
    assert running_servers(home)
    run.kill()
    run.communicate()
    until(lambda: not home.exists())
    assert not running_servers(home)


def test_the_private_server_is_stopped_in_the_end() -> None:
    with private_server() as endpoint:
        assert ask(endpoint, "SET", "key", "value") == "OK"
        flush(endpoint)
        assert ask(endpoint, "DBSIZE") == 0
        assert endpoint.socket is not None
        home = Path(endpoint.socket).parents[1]
    assert not home.exists()
    assert not running_servers(home)
