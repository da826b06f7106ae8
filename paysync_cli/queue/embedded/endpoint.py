"""How to reach the server: what `endpoint.json` says."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from paysync_cli.queue.embedded.folder import write_private

_SCHEMA = 1  # lives in endpoint.json


@dataclass(frozen=True)
class Endpoint:
    """Where the server listens and what it is. The password shows in no repr."""

    socket: str | None  # path of the unix socket; None: TCP on the loopback
    host: str
    port: int
    password: str = field(repr=False)
    flavour: str  # valkey, redis
    version: str
    binary: str

    def url(self, reveal: bool = False) -> str:
        """The URL for redis-py and redis-cli, percent-encoded; the password is `***` unless revealed."""
        from urllib.parse import quote

        password = quote(self.password, safe="") if reveal else "***"
        if self.socket is None:
            return f"redis://:{password}@{self.host}:{self.port}/0"
        return f"unix://:{password}@{quote(self.socket)}?db=0"


def read_endpoint(path: Path) -> Endpoint | None:
    """What the file says; None when it is missing or was damaged."""
    try:
        content = json.loads(path.read_bytes())
        if content.pop("schema") != _SCHEMA:
            return None
        endpoint = Endpoint(**content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return endpoint if _plausible(endpoint) else None


def write_endpoint(path: Path, endpoint: Endpoint) -> None:
    """Replace the file in one step: a reader sees the old one or the new one, never a half."""
    draft = path.with_name(path.name + ".new")
    write_private(draft, json.dumps({"schema": _SCHEMA, **asdict(endpoint)}, indent=1).encode())
    os.replace(draft, path)  # noqa: PTH105


def _plausible(endpoint: Endpoint) -> bool:
    texts = (endpoint.host, endpoint.password, endpoint.flavour, endpoint.version, endpoint.binary)
    return (
        all(isinstance(text, str) for text in texts)
        and isinstance(endpoint.port, int)
        and (endpoint.socket is None or isinstance(endpoint.socket, str))
    )
