"""The embedded Redis: URLs, quoting, replies, locks; nothing here starts a server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paysync_cli.queue.embedded import Endpoint
from paysync_cli.queue.embedded.conf import quoted
from paysync_cli.queue.embedded.endpoint import read_endpoint, write_endpoint
from paysync_cli.queue.embedded.locks import Lock, is_locked
from paysync_cli.queue.embedded.wire import Pulse, read_pulse


def endpoint(*, socket: str | None = "/run/redis.sock", password: str = "secret", port: int = 0) -> Endpoint:
    return Endpoint(socket, "127.0.0.1", port, password, "valkey", "9.1.2", "/bin/valkey-server")


# -- URLs


def test_urls_mask_the_password_unless_told_otherwise() -> None:
    assert endpoint().url() == "unix://:***@/run/redis.sock?db=0"
    assert endpoint().url(reveal=True) == "unix://:secret@/run/redis.sock?db=0"
    assert endpoint(socket=None, port=7001).url() == "redis://:***@127.0.0.1:7001/0"
    assert endpoint(socket=None, port=7001).url(reveal=True) == "redis://:secret@127.0.0.1:7001/0"
    assert "secret" not in repr(endpoint())


WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(path=WORDS, password=WORDS)
def test_redis_py_reads_back_what_the_url_says(path: str, password: str) -> None:
    from redis.connection import parse_url

    url = endpoint(socket="/" + path.lstrip("/"), password=password).url(reveal=True)
    read = parse_url(url)  # type: ignore[no-untyped-call]
    assert read["path"] == "/" + path.lstrip("/")
    assert read["password"] == password


# -- endpoint.json


def test_the_endpoint_survives_its_file_whatever_the_path(tmp_path: Path) -> None:
    for socket in ('/tmp/a b/ñ\n"\\.sock', "/tmp/\udcff.sock", None):
        write_endpoint(tmp_path / "endpoint.json", endpoint(socket=socket))
        assert read_endpoint(tmp_path / "endpoint.json") == endpoint(socket=socket)
    assert [path.name for path in tmp_path.iterdir()] == ["endpoint.json"]


@pytest.mark.parametrize("key", ["socket", "host", "port", "password", "flavour", "version", "binary"])
def test_a_value_of_another_kind_is_a_damaged_file(tmp_path: Path, key: str) -> None:
    import json

    write_endpoint(tmp_path / "endpoint.json", endpoint())
    content = json.loads((tmp_path / "endpoint.json").read_text())
    (tmp_path / "endpoint.json").write_text(json.dumps({**content, key: [1]}))
    assert read_endpoint(tmp_path / "endpoint.json") is None


def test_an_endpoint_of_a_later_paysync_is_not_guessed_at(tmp_path: Path) -> None:
    write_endpoint(tmp_path / "endpoint.json", endpoint())
    text = (tmp_path / "endpoint.json").read_text()
    (tmp_path / "endpoint.json").write_text(text.replace('"schema": 1', '"schema": 2'))
    assert read_endpoint(tmp_path / "endpoint.json") is None


# -- the configuration's quoting


def test_what_could_end_a_quoted_word_is_escaped() -> None:
    assert quoted('a"b\\c') == rb'"a\x22b\x5cc"'
    assert quoted("line\nbreak\ttab") == rb'"line\x0abreak\x09tab"'
    assert quoted(Path("/plain path/100%")) == b'"/plain path/100%"'
    assert quoted("ñ") == rb'"\xc3\xb1"'


# -- replies


@pytest.mark.parametrize(
    ("lines", "meaning"),
    [
        ([b"+OK", b"+PONG"], Pulse.ALIVE),
        ([b"+OK", b"-BUSY Redis is busy running a script."], Pulse.ALIVE),
        ([b"+OK", b"-MISCONF Errors writing to the AOF file: No space left on device"], Pulse.CANNOT_WRITE),
        ([b"+OK", b"-LOADING Redis is loading the dataset in memory"], Pulse.LOADING),
        ([b"-WRONGPASS invalid username-password pair or user is disabled.", b"-NOAUTH"], Pulse.STRANGER),
        ([b"-ERR AUTH <password> called without any password configured", b"+PONG"], Pulse.STRANGER),
        ([b"-ERR max number of clients reached"], Pulse.SILENT),
        ([b"HTTP/1.1 400 Bad Request", b"Server: nginx"], Pulse.SILENT),
        ([b"+OK"], Pulse.SILENT),
        ([], Pulse.SILENT),
    ],
)
def test_what_the_replies_to_auth_and_ping_mean(lines: list[bytes], meaning: Pulse) -> None:
    """A server that is merely full or busy is never taken for a stranger, which would be stopped."""
    assert read_pulse(lines) is meaning


# -- locks


def test_two_locks_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    one, other = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert one.take()
    assert not other.take()
    assert not other.take(shared=True)
    one.release()
    assert other.take(shared=True)
    assert one.take(shared=True)
    assert not is_locked(tmp_path / "lock")
    assert is_locked(tmp_path / "lock", even_shared=True)
    assert not one.turn_exclusive()
    assert not one.held
    assert other.turn_exclusive()
    assert is_locked(tmp_path / "lock")
    other.release()
    assert not is_locked(tmp_path / "lock", even_shared=True)


def test_asking_creates_nothing(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "lock")
    assert not (tmp_path / "lock").exists()


FORK_WITH_AN_EXCLUSIVE_LOCK = """
import os, sys
from pathlib import Path
from paysync_cli.queue.embedded.locks import Lock
lock = Lock(Path(sys.argv[1]))
assert lock.take()
if os.fork() == 0:
    print("held" if lock.held else "free", flush=True)
    sys.stdin.read()
    os._exit(0)
os._exit(0)
"""


def test_an_exclusive_lock_stays_with_the_parent_and_dies_with_it(tmp_path: Path) -> None:
    """A start in one thread, a fork in another, then a crash: the child must not hold the start up for ever."""
    child = subprocess.Popen(
        [sys.executable, "-c", FORK_WITH_AN_EXCLUSIVE_LOCK, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "free\n"
    child.wait()
    assert not is_locked(tmp_path / "lock")
    child.communicate()
