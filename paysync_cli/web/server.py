"""uvicorn, hardened: bounded connections, heads and waits, stopped by us and not by its own signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 512
MAX_BUSY = 256  # beyond them a request is answered 503 at once
MAX_HEAD_BYTES = 16 * 1024
HEAD_WITHIN_S = 10.0
KEEP_ALIVE_S = 5
STOP_WITHIN_S = 5.0

logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # its own story is not ours, and any stranger could fill it


class Server(uvicorn.Server):
    """An ASGI application on a socket, ended by `stop()`: nothing new is taken, what is being answered is finished."""

    def __init__(self, app: Any, *, grace_s: float) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                limit_concurrency=MAX_BUSY,
                h11_max_incomplete_event_size=MAX_HEAD_BYTES,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, round(grace_s)),
            )
        )
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """To be called in the loop's thread."""
        self._stopping.set()

    async def main_loop(self) -> None:
        await self._stopping.wait()  # uvicorn's own wakes ten times a second

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()  # signals are the caller's business


class _Protocol(H11Protocol):
    """A connection whose next request must have come whole, but for its body, in time: else it is cut."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._wait_for_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._late is not None:
            self._late.cancel()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self._late is not None:
            self._late.cancel()
        self._late = self.loop.call_later(HEAD_WITHIN_S, self._cut_if_none_came)

    def _cut_if_none_came(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol must be named: without it asyncio leaves Nagle's algorithm on, and each answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(MAX_CONNECTIONS)
    except BaseException:
        listener.close()
        raise
    return listener


def address_of(listener: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def in_a_thread(app: Any, listener: socket.socket) -> Iterator[None]:
    """Serve on a thread with its own loop while the block runs: whatever happens there, the block's work goes on."""
    started: Future[tuple[asyncio.AbstractEventLoop, Server]] = Future()
    thread = threading.Thread(target=_run, args=(app, listener, started), name="health", daemon=True)
    thread.start()
    loop, server = started.result()
    try:
        yield
    finally:
        with contextlib.suppress(RuntimeError):  # its loop has ended already
            loop.call_soon_threadsafe(server.stop)
        thread.join(STOP_WITHIN_S)
        listener.close()


def _run(app: Any, listener: socket.socket, started: Future[tuple[asyncio.AbstractEventLoop, Server]]) -> None:
    async def serve() -> None:
        server = Server(app, grace_s=1)
        started.set_result((asyncio.get_running_loop(), server))
        await server.serve(sockets=[listener])

    try:
        asyncio.run(serve())
    except BaseException as error:
        if started.done():
            raise
        started.set_exception(error)  # whoever waits for the start gets it
