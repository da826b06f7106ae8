"""A Redis on a loopback port, and a TCP line to it that can fall silent or hold back what is said."""

from __future__ import annotations

import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import redis

from paysync_cli.queue.embedded.binary import find_server
from tests.embedded import until

Pair = tuple[socket.socket, socket.socket]  # the client's end, the server's end


@contextmanager
def plain_server() -> Iterator[int]:
    """A server that keeps nothing; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    argv = [str(find_server(None).path), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", "/tmp"]
    server = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until(lambda: _answers(port))
        yield port
    finally:
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    with suppress(redis.RedisError), redis.Redis(port=port) as client:
        return bool(client.ping())
    return False


class Line:
    """A TCP line to a local port.

    `fall_silent`: the connections of that moment carry nothing any more and stay open. `hold_reply`: the reply to the
    next request with these words is kept until `let_go`.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._pairs: list[Pair] = []
        self._silent: list[Pair] = []
        self._guard = threading.RLock()
        self._ending, self._end = socket.socketpair()
        self._thread = threading.Thread(target=self._carry, name="line", daemon=True)
        self._words: bytes | None = None
        self._held: Pair | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Line:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._end.close()
        self._thread.join()
        for end in (self._listener, self._ending, *(end for pair in (*self._pairs, *self._silent) for end in pair)):
            end.close()

    def fall_silent(self) -> None:
        with self._guard:
            self._silent += self._pairs
            self._pairs = []

    def hold_reply(self, words: bytes) -> None:
        self._words = words

    @property
    def holds(self) -> bool:
        """Whether the request was seen; its reply lies before us."""
        return self._held is not None

    def let_go(self) -> None:
        self._held = None

    def _carry(self) -> None:
        while True:
            with self._guard:
                open_ends = [
                    end for pair in self._pairs for end in pair if self._held is None or end is not self._held[1]
                ]
            ready, _writable, _broken = select.select([self._listener, self._ending, *open_ends], [], [], 0.02)
            if self._ending in ready:
                return
            for end in ready:
                with self._guard:
                    if end is self._listener:
                        client = self._listener.accept()[0]
                        self._pairs.append((client, socket.create_connection(("127.0.0.1", self._to))))
                    else:
                        self._pass_on(end)

    def _pass_on(self, end: socket.socket) -> None:
        pair = next((pair for pair in self._pairs if end in pair), None)
        if pair is None or (self._held is pair and end is pair[1]):
            return
        other = pair[1] if end is pair[0] else pair[0]
        piece = b""
        with suppress(OSError):
            piece = end.recv(65536)
            if self._words is not None and end is pair[0] and self._words in piece:
                self._words, self._held = None, pair
            other.sendall(piece)
        if not piece:
            self._pairs.remove(pair)
            for one in pair:
                one.close()
