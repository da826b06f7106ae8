"""The few words of the Redis protocol that are needed here: is it there, and please stop.

A raw socket, because loading a client library costs more than everything else on the way to a running server,
and a client library retries for seconds where an answer is wanted at once.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from enum import Enum

from paysync_cli.queue.embedded.endpoint import Endpoint

_REPLY_LIMIT_BYTES = 4096


class Pulse(Enum):
    """What the server says when asked whether it is there."""

    ALIVE = "alive"
    CANNOT_WRITE = "cannot_write"  # it serves reads and refuses writes: its disk is full or broken
    LOADING = "loading"
    STRANGER = "stranger"  # it does not take our password
    SILENT = "silent"

    @property
    def usable(self) -> bool:
        """True when commands can be sent."""
        return self in (Pulse.ALIVE, Pulse.CANNOT_WRITE)


def pulse(endpoint: Endpoint, timeout_s: float = 1.0) -> Pulse:
    """Ask the server whether it is there."""
    try:
        lines = _converse(endpoint, ("AUTH", endpoint.password), ("PING",), timeout_s=timeout_s)
    except OSError:
        return Pulse.SILENT
    return read_pulse(lines)


def read_pulse(lines: list[bytes]) -> Pulse:
    """The meaning of the replies to AUTH and PING."""
    if lines and lines[0].startswith((b"-WRONGPASS", b"-ERR AUTH", b"-NOAUTH")):
        return Pulse.STRANGER
    if len(lines) < 2 or lines[0] != b"+OK":
        return Pulse.SILENT
    if lines[1].startswith(b"-LOADING"):
        return Pulse.LOADING
    if lines[1].startswith(b"-MISCONF"):
        return Pulse.CANNOT_WRITE
    # -BUSY and its like come from a server that is there: its clients will be told
    return Pulse.ALIVE if lines[1].startswith((b"+PONG", b"-")) else Pulse.SILENT


def ask_to_stop(endpoint: Endpoint, timeout_s: float) -> bool:
    """Send SHUTDOWN. True when the server hung up, which is what it does when it ends; False when it refused."""
    try:
        lines = _converse(endpoint, ("AUTH", endpoint.password), ("SHUTDOWN",), timeout_s=timeout_s)
    except OSError:
        return False
    return len(lines) < 2 and not any(line.startswith(b"-") for line in lines)


def _converse(endpoint: Endpoint, *commands: tuple[str, ...], timeout_s: float) -> list[bytes]:
    """Send the commands together; the first line of each reply, fewer when the server hangs up before."""
    end = time.monotonic() + timeout_s
    with _connected(endpoint, timeout_s) as connection:
        connection.sendall(b"".join(_encoded(command) for command in commands))
        received = b""
        while received.count(b"\r\n") < len(commands) and len(received) < _REPLY_LIMIT_BYTES:
            connection.settimeout(max(end - time.monotonic(), 0.001))
            try:
                piece = connection.recv(_REPLY_LIMIT_BYTES)
            except ConnectionError:
                break  # it hung up with our words unread
            if not piece:
                break
            received += piece
    return received.split(b"\r\n")[:-1]


def _connected(endpoint: Endpoint, timeout_s: float) -> socket.socket:
    if endpoint.socket is None:
        return socket.create_connection((endpoint.host, endpoint.port), timeout_s)
    found = os.lstat(endpoint.socket)
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
        raise ConnectionRefusedError(endpoint.socket)  # a stranger's socket gets no password
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        connection.connect(endpoint.socket)
    except BaseException:
        connection.close()
        raise
    return connection


def _encoded(command: tuple[str, ...]) -> bytes:
    words = [word.encode() for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
