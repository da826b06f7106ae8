"""What Redis and database URLs have in common: raw characters in a password, ports, query parameters.

Every ValueError is a sentence for the person and shows no password.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from urllib.parse import quote

from paysync_cli.language import _

_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*", re.ASCII)
_PARAMETER_NAME = re.compile(r"[A-Za-z_]{1,40}", re.ASCII)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%A-Za-z]+\]|[^\s:\[\]]*)(?::(?P<port>[^:]*))?", re.ASCII)


@dataclass(frozen=True)
class Parts:
    """A URL in pieces, nothing decoded. `userinfo` is None without an `@`."""

    scheme: str
    userinfo: str | None
    hosts: tuple[tuple[str, int | None], ...]  # (host, port); the host may be empty
    path: str  # without its leading slash
    parameters: tuple[tuple[str, str], ...]


def split_url(url: str) -> Parts:
    """The pieces of `scheme://[user[:password]@]host[:port][,host[:port]...][/path][?name=value&...]`.

    Raises ValueError for raw `@ # / ?` in the password, a raw `%`, spaces, a bad port.
    """
    scheme, found, rest = url.partition("://")
    if not found or not _SCHEME.fullmatch(scheme):
        raise ValueError(_("it has no scheme such as redis:// or postgresql://."))
    if re.search(r"[\s\x00-\x1f\x7f]", rest):
        raise ValueError(_("it holds a space or a line end: in a password a space is written %20."))
    _refuse_raw_characters(rest)
    place, _mark, query = rest.partition("?")
    authority, _slash, path = place.partition("/")
    userinfo, at, hosts = authority.rpartition("@")
    if _BAD_PERCENT.search(rest):
        raise ValueError(_("a raw % must be written %25."))
    return Parts(
        scheme=scheme.lower(),
        userinfo=userinfo if at else None,
        hosts=tuple(_host_and_port(piece) for piece in hosts.split(",")),
        path=path,
        parameters=tuple(_parameter(pair) for pair in query.split("&")) if query else (),
    )


def encoded(userinfo: str) -> str:
    """The credentials with everything encoded that a stricter reader would stumble over (`[`, `^`, letters like ñ)."""
    return quote(userinfo, safe="%:!$&'()*+,;=~-._")


def refuse_unknown_parameters(parts: Parts, known: Collection[str], explained: dict[str, str]) -> None:
    """Raises ValueError naming the first parameter that is not known: foreign ones are explained, typos guessed."""
    for name, _value in parts.parameters:
        if name in known:
            continue
        if name in explained:
            raise ValueError(explained[name])
        if not _PARAMETER_NAME.fullmatch(name):  # perhaps a piece of a password
            raise ValueError(_("what follows its ? is not name=value."))
        near = get_close_matches(name, sorted(known), n=1)
        message = _("it has an unknown parameter {name!r}").format(name=name)
        raise ValueError(message + (_("; did you mean {near}?").format(near=near[0]) if near else "."))


def _refuse_raw_characters(rest: str) -> None:
    """An `@` behind the first `/ ? #`, or two of them before it, can only be a password that was not encoded."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    behind = rest[len(authority) :]
    stray = authority.count("@") > 1 or "#" in behind or "@" in behind.partition("?")[0]
    for pair in behind.partition("?")[2].split("&"):
        name, equals, value = pair.partition("=")
        stray = stray or "@" in name or ("@" in value and not equals) or ("@" in value and "@" not in authority)
    if stray:
        raise ValueError(
            _("its password holds a raw @ # / or ?: write %40 for @, %23 for #, %2F for /, %3F for ? (and %25 for %).")
        )


def _host_and_port(piece: str) -> tuple[str, int | None]:
    found = _HOST.fullmatch(piece)
    if not found:
        raise ValueError(_("its host cannot be read (an IPv6 address stands in [brackets])."))
    if found["port"] is None:
        return found["host"], None
    # isdecimal alone would take other scripts' digits.
    if not (found["port"].isascii() and found["port"].isdecimal() and 0 < int(found["port"]) < 65536):
        raise ValueError(_("its port is not a number between 1 and 65535."))
    return found["host"], int(found["port"])


def _parameter(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    return (name, value) if equals else ("", pair)
