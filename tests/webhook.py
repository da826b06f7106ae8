"""A real webhook that alerts go to: what it got, and how it answers (`ok`, `broken`, `drip`)."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hook-5up3rs3cr3t"  # a part of its address


class Webhook:
    """`answers` may be changed at any time; `got` are the messages that it took, as Apprise's JSON has them."""

    def __init__(self, answers: str = "ok") -> None:
        self.answers = answers
        self.got: list[dict[str, Any]] = []
        self.asked = 0
        self.port = 0
        self.dripping = threading.Event()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/{TOKEN}"

    def texts(self) -> list[str]:
        return [str(one["message"]) for one in self.got]

    def kinds(self) -> list[str]:
        """What each message is about, from its title."""
        return [str(one["title"]).partition(": ")[2] for one in self.got]


@contextlib.contextmanager
def webhook(answers: str = "ok") -> Iterator[Webhook]:
    """Serve on a free port as long as this lasts."""
    hook, closing = Webhook(answers), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            hook.asked += 1
            if hook.answers == "drip":
                self._drip()
            elif hook.answers == "broken":
                self.send_error(500)
            else:
                hook.got.append(body)
                self.send_response(200)
                self.end_headers()

        def _drip(self) -> None:
            """A byte now and then: no read ever takes long, and the answer never ends."""
            hook.dripping.set()
            with contextlib.suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while not closing.is_set():
                    self.wfile.write(b".")
                    time.sleep(0.2)

        def log_message(self, *_args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        hook.port = server.server_port
        try:
            yield hook
        finally:
            closing.set()
            server.shutdown()
            thread.join()
