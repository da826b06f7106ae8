"""What goes in and out of the simulated bank, before anybody knows which bank it plays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from paysync_cli.banks.wire import compact_json, parse_json

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came: `path` is still quoted, header names are small letters."""

    method: str
    path: str
    query: str = ""
    headers: Iterable[tuple[bytes, bytes]] = ()
    body: bytes = b""

    def header(self, name: bytes) -> str:
        """The header, empty when it is not there."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")

    def bearer(self) -> str:
        """The token that came with it, empty when there is none."""
        scheme, _space, token = self.header(b"authorization").partition(" ")
        return token if scheme == "Bearer" else ""

    def object(self) -> dict[str, object]:
        """The JSON object of the body, empty when it is none."""
        return object_in(self.body)


@dataclass(frozen=True, slots=True)
class Call:
    """A request, understood: `name` as in a fault's `on`; `subject` is the QR id, or the day of a list."""

    name: str
    asked: Asked
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Out:
    """An answer on its way out."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


UNAUTHORIZED = Out(401, b"", headers=(("www-authenticate", "Bearer"),))


def object_in(body: bytes) -> dict[str, object]:
    """The JSON object of a body, empty when it is none."""
    try:
        found = parse_json(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def said(value: object, status: int = 200, content_type: str = JSON) -> Out:
    """An answer in JSON, every amount as it stands."""
    return Out(status, compact_json(value, limit=1 << 30).encode(), content_type)
