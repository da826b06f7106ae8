"""The embedded Redis: one server for all, from the first who comes to the last who goes."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from paysync_cli.errors import RefusedError
from paysync_cli.queue.embedded import EmbeddedRedis
from tests.embedded import Plain, ask, running_servers, set_safely, temporary_home, until, users


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_home() as home:
        yield home / "redis"


def test_starts_serves_and_stops(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    endpoint = redis.attach()
    assert ask(endpoint, "PING") == "PONG"
    redis.leave()
    assert not running_servers(folder)


def test_leaving_twice_and_leaving_without_having_come_is_nothing(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    redis.leave()
    redis.attach()
    redis.leave()
    redis.leave()
    assert redis.status().state == "stopped"


def test_eight_processes_at_once_get_one_server(folder: Path) -> None:
    with users(8, folder) as crowd:
        for _ in range(3):
            for user in crowd:
                user.say("attach")
            endpoints = {user.hear_endpoint() for user in crowd}
            assert len(endpoints) == 1
            assert len(running_servers(folder)) == 1
            for user in crowd:
                user.say("leave")
            assert {user.hear() for user in crowd} == {"left"}
            assert not running_servers(folder), "the last one out stops the server, although all left at once"


def test_only_the_last_one_out_stops_the_server(folder: Path) -> None:
    with users(2, folder) as (first, second):
        endpoint = first.attach()
        assert second.attach() == endpoint
        first.do("leave")
        assert ask(endpoint, "PING") == "PONG"
        second.do("leave")
        assert not running_servers(folder)


def test_two_objects_in_one_process_count_as_two(folder: Path) -> None:
    one, other = EmbeddedRedis(folder), EmbeddedRedis(folder)
    endpoint = one.attach()
    assert other.attach() == endpoint
    one.leave()
    assert ask(endpoint, "PING") == "PONG"
    other.leave()
    assert not running_servers(folder)


def test_attaching_again_finds_the_same_server_and_replaces_a_crashed_one(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    endpoint = redis.attach()
    assert redis.attach() == endpoint
    set_safely(endpoint, "paid", "100.50")
    os.kill(running_servers(folder)[0], signal.SIGKILL)
    until(lambda: not running_servers(folder))
    fresh = redis.attach()
    assert fresh != endpoint
    assert ask(fresh, "GET", "paid") == "100.50"
    redis.leave()


def test_data_is_kept_over_a_restart(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    ask(redis.attach(), "SET", "paid", "100.50")
    redis.leave()
    assert not running_servers(folder)
    assert ask(redis.attach(), "GET", "paid") == "100.50"
    redis.leave()


def test_the_server_keeps_every_write_and_evicts_nothing(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    with Plain(redis.attach()) as client:
        kept = {name: client.call("CONFIG", "GET", name)[1] for name in ("appendonly", "appendfsync", "save")}
        assert kept == {"appendonly": "yes", "appendfsync": "everysec", "save": ""}
        assert client.call("CONFIG", "GET", "maxmemory-policy")[1] == "noeviction"
        assert client.call("CONFIG", "GET", "aof-use-rdb-preamble")[1] == "no"
    redis.leave()


# -- who is counted


def test_a_forked_child_keeps_the_server_when_its_parent_leaves(folder: Path) -> None:
    """Without a lock of its own the child shares the parent's, and the parent takes it along."""
    with users(1, folder) as (parent,):
        for turn in range(10):
            go = folder.parent / f"go{turn}"
            endpoint = parent.attach()
            assert parent.do("fork-and-leave", go) == "left"
            assert ask(endpoint, "PING") == "PONG"
            go.touch()
            until(lambda: not running_servers(folder))


def test_a_forked_child_is_the_last_one_out_when_its_parent_was_killed(folder: Path) -> None:
    """The parent's lock must not live on in the child, beside the child's own."""
    with users(1, folder) as (parent,):
        endpoint = parent.attach()
        go = folder.parent / "go"
        assert parent.do("fork", go) == "forked"
        os.kill(parent.pid, signal.SIGKILL)
        assert ask(endpoint, "PING") == "PONG"
        go.touch()
        until(lambda: not running_servers(folder))


def test_a_killed_user_is_not_counted(folder: Path) -> None:
    with users(2, folder) as (killed, leaver):
        killed.attach()
        leaver.attach()
        killed.kill()
        leaver.do("leave")
        assert not running_servers(folder)


def test_a_server_left_by_a_killed_user_is_found_and_stopped_by_the_next(folder: Path) -> None:
    with users(1, folder) as (killed,):
        endpoint = killed.attach()
        killed.kill()
    redis = EmbeddedRedis(folder)
    assert redis.attach() == endpoint
    redis.leave()
    assert not running_servers(folder)


def test_a_program_started_by_a_user_does_not_count(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    redis.attach()
    sleeper = os.posix_spawn("/bin/sleep", ["sleep", "600"], {})
    redis.leave()
    os.kill(sleeper, signal.SIGKILL)
    os.waitpid(sleeper, 0)
    assert not running_servers(folder)


def test_ctrl_c_in_the_starters_terminal_leaves_the_server(folder: Path) -> None:
    with users(1, folder) as (starter,):
        endpoint = starter.attach()
        starter.kill(signal.SIGINT, group=True)
        assert ask(endpoint, "PING") == "PONG"
    redis = EmbeddedRedis(folder)
    redis.attach()
    redis.leave()


# -- only if it runs


def test_attach_if_running_starts_nothing_and_creates_nothing(folder: Path) -> None:
    assert EmbeddedRedis(folder).attach_if_running() is None
    assert not folder.exists()
    redis = EmbeddedRedis(folder)
    redis.attach()
    redis.leave()
    assert redis.attach_if_running() is None
    assert not running_servers(folder)


def test_attach_if_running_counts_while_it_runs(folder: Path) -> None:
    with users(1, folder) as (starter,):
        endpoint = starter.attach()
        redis = EmbeddedRedis(folder)
        assert redis.attach_if_running() == endpoint
        starter.do("leave")
        assert ask(endpoint, "PING") == "PONG"
        redis.leave()
        assert not running_servers(folder)


# -- status, start, stop


def test_start_keeps_the_server_on_until_stop(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    started = redis.start()
    assert (started.state, started.keep, started.others_attached) == ("running", True, False)
    with users(1, folder) as (user,):
        user.attach()
        user.do("leave")
    assert running_servers(folder) == [started.pid]
    assert redis.start().pid == started.pid, "already so"
    stopped = redis.stop()
    assert (stopped.state, stopped.keep, stopped.pid, stopped.url) == ("stopped", False, None, None)
    assert not running_servers(folder)
    with users(1, folder) as (user,):
        user.attach()
        user.do("leave")
    assert not running_servers(folder), "the mark is gone"


def test_start_of_an_attached_object_leaves_it_attached(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    redis.attach()
    redis.start()
    with pytest.raises(RefusedError):
        EmbeddedRedis(folder).stop()
    redis.stop()


def test_stop_without_a_server_is_already_so(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    assert redis.stop().state == "stopped"
    assert not folder.exists()
    redis.attach()
    redis.leave()
    assert redis.stop().state == "stopped"


def test_stop_removes_the_mark_of_a_server_that_crashed(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    redis.start()
    os.kill(running_servers(folder)[0], signal.SIGKILL)
    until(lambda: redis.status().state == "stopped")
    assert redis.status().keep
    assert not redis.stop().keep


def test_stop_is_refused_while_others_are_attached_and_changes_nothing(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    redis.start()
    with users(1, folder) as (other,):
        endpoint = other.attach()
        assert redis.status().others_attached
        with pytest.raises(RefusedError) as refused:
            redis.stop()
        assert refused.value.exit_status == 5
        assert redis.status().keep
        assert ask(endpoint, "PING") == "PONG"
        assert redis.stop(force=True).state == "stopped"
        assert not running_servers(folder)
        assert ask(other.attach(), "PING") == "PONG", "the other one comes back"
        other.do("leave")


def test_a_refused_stop_leaves_an_attached_object_counted(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    endpoint = redis.attach()
    with users(1, folder) as (other,):
        other.attach()
        with pytest.raises(RefusedError):
            redis.stop()
        other.do("leave")
        assert ask(endpoint, "PING") == "PONG"
    redis.leave()
    assert not running_servers(folder)


def test_stop_of_an_attached_object_is_not_refused_by_itself(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    redis.attach()
    assert redis.stop().state == "stopped"
    redis.leave()


def test_status_says_what_there_is_and_starts_nothing(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    nothing = redis.status()
    assert (nothing.state, nothing.running, nothing.version, nothing.others_attached) == ("stopped", False, None, False)
    assert not folder.exists()
    with users(1, folder) as (user,):
        endpoint = user.attach()
        seen = redis.status()
        assert (seen.state, seen.running, seen.others_attached) == ("running", True, True)
        assert [seen.pid] == running_servers(folder)
        assert (seen.socket, seen.flavour, seen.version) == (endpoint.socket, endpoint.flavour, endpoint.version)
        assert endpoint.password not in repr(seen)
        user.do("leave")
    assert not running_servers(folder), "looking is not attaching"


# -- secrets


def test_nothing_is_readable_by_others_whatever_the_umask_was(folder: Path) -> None:
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    for name in ("server.conf", "endpoint.json.new", "keep"):
        (folder / name).touch()
        (folder / name).chmod(0o666)
    before = os.umask(0)
    try:
        redis = EmbeddedRedis(folder)
        redis.start()
    finally:
        os.umask(before)
    names = {"users.lock", "start.lock", "server.lock", "endpoint.json", "server.conf", "server.pid", "server.log"}
    names |= {"redis.sock", "keep", "appendonlydir"}
    everything = [folder, *folder.rglob("*")]
    assert names <= {path.name for path in everything}
    open_to_others = [path for path in everything if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    assert not open_to_others
    redis.stop()


def test_the_password_is_in_no_command_line_log_or_repr(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    endpoint = redis.attach()
    (pid,) = running_servers(folder)
    assert len(endpoint.password) >= 32
    assert endpoint.password.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert endpoint.password not in repr(endpoint) + endpoint.url()
    assert endpoint.password not in (folder / "server.log").read_text()
    redis.leave()


def test_every_start_has_a_new_password_and_the_server_asks_for_it(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    first = redis.attach()
    redis.leave()
    second = redis.attach()
    assert first.password != second.password
    forged = json.loads((folder / "endpoint.json").read_text())
    assert forged["password"] == second.password
    with pytest.raises(Exception, match="WRONGPASS"):
        Plain(first)
    redis.leave()


def test_redis_py_connects_with_the_revealed_url(folder: Path) -> None:
    import redis as redis_py

    redis = EmbeddedRedis(folder)
    client = redis_py.Redis.from_url(redis.attach().url(reveal=True))
    assert client.ping()
    client.close()
    redis.leave()
