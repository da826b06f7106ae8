"""Private embedded servers for tests, and the tools to torment them.

A server for a whole session or worker, in a conftest.py:

    from tests.embedded import private_server

    @pytest.fixture(scope="session")
    def redis_endpoint() -> Iterator[Endpoint]:
        with private_server() as endpoint:
            yield endpoint

    @pytest.fixture
    def redis_url(redis_endpoint: Endpoint) -> str:        # an empty Redis for each test
        flush(redis_endpoint)
        return redis_endpoint.url(reveal=True)
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from paysync_cli.queue.embedded import EmbeddedRedis, Endpoint

ROOT = Path(__file__).parents[1]
T = TypeVar("T")
PATIENCE_S = 60.0  # only ever used up by a test that fails


@contextlib.contextmanager
def private_server() -> Iterator[Endpoint]:
    """A server of one's own in a temporary folder. Stopped at the end, and also when this process is killed."""
    home = Path(tempfile.mkdtemp(prefix="paysync-", dir="/tmp"))
    watchdog = subprocess.Popen(
        [sys.executable, "-c", _WATCHDOG, str(home)], stdin=subprocess.PIPE, start_new_session=True, cwd=ROOT
    )
    redis = EmbeddedRedis(home / "redis")
    try:
        yield redis.attach()
    finally:
        redis.stop(force=True)
        shutil.rmtree(home)
        watchdog.kill()
        watchdog.communicate()


_WATCHDOG = """
import shutil, sys
from pathlib import Path
sys.stdin.read()
from paysync_cli.queue.embedded import EmbeddedRedis
home = Path(sys.argv[1])
EmbeddedRedis(home / "redis").stop(force=True)
shutil.rmtree(home, ignore_errors=True)
"""


def flush(endpoint: Endpoint) -> None:
    """Empty the server."""
    with Plain(endpoint) as redis:
        redis.call("FLUSHALL")


@contextlib.contextmanager
def temporary_home() -> Iterator[Path]:
    """A folder with a short path. At the end no server may be left in it."""
    home = Path(tempfile.mkdtemp(prefix="ps", dir="/tmp"))
    try:
        yield home
        left = running_servers(home)
        assert not left, f"servers left behind: {left}"
    finally:
        for pid in running_servers(home):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(home)


def running_servers(home: Path) -> list[int]:
    """The pids of the servers (not their children for rewriting files) that work anywhere below `home`."""
    found: dict[int, int] = {}  # pid -> parent
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            pid = int(entry.name)
            works_here = (entry / "cwd").readlink().is_relative_to(home)
            if works_here and b"-server" in (entry / "cmdline").read_bytes():
                found[pid] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    return [pid for pid, parent in found.items() if parent not in found]


def until(look: Callable[[], T]) -> T:
    """Look again and again until there is something true to see."""
    end = time.monotonic() + PATIENCE_S
    while not (seen := look()):
        assert time.monotonic() < end, f"never came true: {look}"
        time.sleep(0.005)
    return seen


class ServerError(Exception):
    """An error reply."""


class Plain:
    """A client without any cleverness: one connection, no retry."""

    def __init__(self, endpoint: Endpoint) -> None:
        if endpoint.socket is None:
            self._socket = socket.create_connection((endpoint.host, endpoint.port), PATIENCE_S)
        else:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(PATIENCE_S)
            try:
                self._socket.connect(endpoint.socket)
            except BaseException:
                self._socket.close()
                raise
        self._file = self._socket.makefile("rb")
        try:
            self.call("AUTH", endpoint.password)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def call(self, *words: str | bytes | int) -> Any:
        encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self._socket.sendall(
            b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
        )
        return self._reply()

    def _reply(self) -> Any:
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server hung up")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise ServerError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self._reply() for _ in range(int(rest))]
        return rest.decode()


def ask(endpoint: Endpoint, *words: str | bytes | int) -> Any:
    """One command on a connection of its own."""
    with Plain(endpoint) as redis:
        return redis.call(*words)


def set_safely(endpoint: Endpoint, key: str, value: str) -> None:
    """Set, and wait until it is on the disk: a server killed during a slow fsync forgets what it just answered."""
    with Plain(endpoint) as redis:
        redis.call("SET", key, value)
        assert redis.call("WAITAOF", 1, 0, 0)[0] == 1


class User:
    """Another paysync process, told line by line what to do (`tests/embedded_user.py`)."""

    def __init__(self, folder: Path, *, server: Path | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.embedded_user", str(folder), str(server or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        self.pid = self._process.pid
        assert self.hear() == "ready"

    def say(self, *words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def do(self, *words: object) -> str:
        self.say(*words)
        return self.hear()

    def attach(self) -> Endpoint:
        self.say("attach")
        return self.hear_endpoint()

    def hear_endpoint(self) -> Endpoint:
        heard = self.hear()
        assert heard.startswith("{"), heard
        return Endpoint(**json.loads(heard))

    def kill(self, signal_number: int = signal.SIGKILL, *, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.pid, signal_number)
        self._process.communicate()

    def end(self) -> None:
        """End without leaving: what a crash does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def users(count: int, folder: Path, *, server: Path | None = None) -> Iterator[list[User]]:
    """Several processes, gone at the end."""
    made: list[User] = []
    try:
        made += [User(folder, server=server) for _ in range(count)]
        yield made
    finally:
        for user in made:
            user.end()
