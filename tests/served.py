"""A real `paysync serve` process of a shop, and plain HTTP to it."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from tests.shop import Shop

TOKEN = "a-token-for-tests"
SECRET = "a-secret-of-the-bank"
# One client for all, since making one costs more than many requests; it keeps no line open.
HTTP = httpx.Client(timeout=20, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
ENV = {"PAYSYNC_SERVE_TOKEN": TOKEN, "PAYSYNC_BANK_SIM_NOTICE_SECRET": SECRET}


@dataclass
class Served:
    """The address of the server and its process."""

    url: str
    process: subprocess.Popen[bytes]
    log: Any

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def get(self, path: str, **more: Any) -> httpx.Response:
        return HTTP.get(self.url + path, **more)

    def post(self, path: str, body: object = None, *, token: str | None = TOKEN, **more: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return HTTP.post(self.url + path, content=content, headers=headers | more.pop("headers", {}), **more)

    def notice(self, body: object, path: str = f"/notify/sim/{SECRET}") -> httpx.Response:
        return self.post(path, body, token=None)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@contextlib.contextmanager
def serving(town: Shop, *more: str, **env: str) -> Iterator[Served]:
    """`paysync serve` on a free port; ended with its shop, or by `stop`."""
    process = town.start("serve", "--port", "0", *more, env=ENV | env)
    log = town.home / f"worker-{len(town.children) - 1}.log"
    found = town.until(lambda: re.search(r"^Serving at (\S+)$", log.read_text(), re.MULTILINE) or _ended(process, log))
    try:
        yield Served(found[1], process, log)
    finally:
        process.kill()
        process.wait()


def _ended(process: subprocess.Popen[bytes], log: Any) -> None:
    assert process.poll() is None, log.read_text()
