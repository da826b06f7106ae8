"""URLs and texts without their secrets. Nothing here ever fails: what it cannot read it hides."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import unquote

MASK = "***"

_GUESSABLE = 12  # shorter parts of a path are words such as `ping`

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:)//", re.ASCII)
_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?![^\s:@/]*:?\*\*\*@)[^\s'\"<>]*@")
_HOST_NAME = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+", re.ASCII)
_HOST_AND_PORT = re.compile(r"[A-Za-z0-9._-]*(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]*\](:[0-9]{1,5})?", re.ASCII)
_SHOWN_PARAMETERS = frozenset(
    "application_name channel_binding connect_timeout db host keepalives port protocol schema service_name"
    " socket_connect_timeout socket_timeout ssl_cert_reqs ssl_check_hostname sslmode sslrootcert"
    " target_session_attrs".split()
)


def mask_url(url: str) -> str:
    """The URL with `***` for its password, for query values that may be secret, and for what cannot be told apart.

    Works on broken URLs too: everything before the last `@` counts as credentials, whatever it contains.
    """
    scheme = _SCHEME.match(url)
    prefix, rest = (scheme[0], url[scheme.end() :]) if scheme else ("", url)
    if prefix == "sqlite://":  # a file: no credentials, and people must see which file
        return f"{prefix}{_mask_query(rest)}"
    userinfo, at, place = rest.rpartition("@")
    if at:
        user, colon, _password = userinfo.partition(":")
        shown = f"{user}:{MASK}@" if colon else f"{MASK}@"
        return f"{prefix}{shown}{_mask_query(place)}"
    if not scheme and not re.fullmatch(r"[A-Za-z0-9.-]+:[0-9]{1,5}(/[0-9]*)?|localhost", rest, re.ASCII):
        return MASK
    authority = re.split(r"[/?#]", place, maxsplit=1)[0]
    if not all(_HOST_AND_PORT.fullmatch(part) for part in re.split("[,;]", authority)):
        return f"{prefix}{MASK}"
    if authority.startswith(":"):  # `redis://:secret`, the host forgotten
        return f"{prefix}:{MASK}"
    return f"{prefix}{_mask_query(place)}"


def passwords_in(url: str) -> frozenset[str]:
    """Every secret piece of the URL, as written and decoded, so that it can be kept out of messages."""
    found: set[str] = set()
    userinfo, at, place = url.partition("://")[2].rpartition("@")
    if at:
        found.add(userinfo.partition(":")[2] or userinfo)
    for pair in place.partition("?")[2].split("&"):
        name, _equals, value = pair.partition("=")
        if name not in _SHOWN_PARAMETERS:
            found.add(value)
    return frozenset(found | {unquote(piece) for piece in found}) - {""}


def mask_ping_url(url: str) -> str:
    """The URL with `***` for its path, which is the secret of such services."""
    scheme, _separator, rest = mask_url(url).partition("://")
    return f"{scheme}://{re.split(r'[/?#]', rest, maxsplit=1)[0]}/{MASK}"


def secrets_of_ping_url(url: str) -> frozenset[str]:
    """What is secret of it: all of it, and every part of its path that is long enough to be one."""
    parts = re.split(r"[/?#&=]", url.partition("://")[2].partition("/")[2])
    return passwords_in(url) | {url} | {part for part in parts if len(part) >= _GUESSABLE}


def secrets_of_alert_url(url: str) -> frozenset[str]:
    """What is secret of an Apprise URL: all of it, and every part that may be a token, wherever it stands: some
    services have it in the host's place.
    """
    parts = re.split(r"[/?#&=:@]", url.partition("://")[2])
    tokens = {part for part in parts if len(part) >= _GUESSABLE and not _HOST_NAME.fullmatch(part)}
    return passwords_in(url) | {url} | tokens | {unquote(token) for token in tokens}


def mask_alert_url(url: str) -> str:
    """Which service it is; all the rest may be a token."""
    scheme, separator, _rest = url.partition("://")
    return f"{scheme}://{MASK}" if separator else MASK


def redact(text: str, secrets: Collection[str]) -> str:
    """The text without any of the secrets and without the credentials of any URL in it.

    The last line of defence: messages of other people's libraries repeat what they were given.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _CREDENTIALS.sub(r"\g<scheme>***@", text)


def _mask_query(place: str) -> str:
    place, hash_sign, _fragment = place.partition("#")
    before, mark, query = place.partition("?")
    if hash_sign:
        return f"{before}{hash_sign}{MASK}"
    if not mark:
        return before
    return f"{before}?" + "&".join(map(_mask_pair, query.split("&")))


def _mask_pair(pair: str) -> str:
    name, equals, _value = pair.partition("=")
    if name in _SHOWN_PARAMETERS:
        return pair
    return f"{name}={MASK}" if equals and re.fullmatch("[A-Za-z_]+", name) else MASK
