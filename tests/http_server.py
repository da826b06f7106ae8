"""A small real HTTP server for banks of one test: a function answers every request with a status and JSON."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Incoming:
    """What was asked; `target` is path and query as they came."""

    method: str
    target: str
    headers: Message
    body: bytes


@contextlib.contextmanager
def serving(answer: Callable[[Incoming], tuple[int, object]]) -> Iterator[str]:
    """Serve on a free port as long as this lasts; the address. An answer that is text goes out as it stands."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"] or 0))
            status, told = answer(Incoming(self.command, self.path, self.headers, body))
            text = told if isinstance(told, str) else json.dumps(told)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = _answer  # noqa: N815 - the names are http.server's

        def log_message(self, *_args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
