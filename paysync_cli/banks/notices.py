"""What a bank's notice of a payment needs, whichever bank sends it: who may send it, how it is read and answered.

A notice is a hint to ask, never a payment: the adapter takes the ids of its QRs from it and nothing else.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, runtime_checkable

from paysync_cli.banks.base import BankProfile, Unreadable
from paysync_cli.banks.wire import compact_json, identifier, parse_json
from paysync_cli.language import _

SECRET, USERNAME, PASSWORD = "notice_secret", "notice_username", "notice_password"
NOTICE_KEYS = (SECRET, USERNAME, PASSWORD)
LEAST_SECRET_CHARS = 16
MAX_QRS = 1_000  # of one notice

_PATH_PART = re.compile(r"[A-Za-z0-9._~-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Notice:
    """A request that claims to come from the bank. `path` is what stands behind `/notify/<bank>`, decoded; names of
    `headers` are small letters.
    """

    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NoticeReply:
    """The answer, in the bank's own form."""

    status: int
    body: bytes
    content_type: str = "application/json"


class NoticeFate(Enum):
    """What the answer to a notice must say."""

    TAKEN = "taken"  # also for QRs that are not ours: nobody learns here which are
    UNREADABLE = "unreadable"
    TRY_AGAIN = "try_again"  # it could not be written down


@runtime_checkable
class Notices(Protocol):
    """A bank that sends notices of payments. None of these asks anybody anything.

    Whether the sender may be believed is not the adapter's business: the web server compares the settings
    `notice_secret`, or `notice_username` and `notice_password`, before it calls.
    """

    profile: BankProfile
    notice_paths: Sequence[str]  # what the bank may append to the address it was given; "" for nothing

    def noticed(self, notice: Notice) -> Sequence[str]:
        """The ids of the QRs that the notice is about. Raises Unreadable."""
        ...

    def notice_reply(self, fate: NoticeFate) -> NoticeReply:
        """The answer that the bank expects."""
        ...


def takes_notices(profile: BankProfile) -> bool:
    """Whether somebody set how this bank proves that a notice is its own; without that none is believed."""
    options = profile.options
    return bool(options.get(SECRET) or (options.get(USERNAME) and options.get(PASSWORD)))


def notice_problems(profile: BankProfile) -> Iterator[str]:
    """What is wrong with the settings of the notices."""
    options = profile.options
    secret = options.get(SECRET)
    if secret is not None and not _PATH_PART.fullmatch(secret):
        yield _("{key} is part of an address: write letters, digits and - . _ ~ only").format(key=SECRET)
    elif secret is not None and len(secret) < LEAST_SECRET_CHARS:
        yield _("{key} is shorter than {n} characters: whoever guesses it sends notices").format(
            key=SECRET, n=LEAST_SECRET_CHARS
        )
    if bool(options.get(USERNAME)) != bool(options.get(PASSWORD)):
        yield _("{one} and {other} go together").format(one=USERNAME, other=PASSWORD)
    if ":" in options.get(USERNAME, ""):
        yield _("{key} must hold no colon: basic authentication allows none").format(key=USERNAME)


def authenticated(profile: BankProfile, notice: Notice) -> Notice | None:
    """The notice without the secret in its path, or None when it does not prove to come from the bank.

    The secret may be the first part of the path or a bearer token; user and password come by basic authentication.
    """
    options = profile.options
    first, _slash, rest = notice.path.removeprefix("/").partition("/")
    scheme, _space, shown = notice.headers.get("authorization", "").partition(" ")
    secret = options.get(SECRET, "")
    if secret and _same(first, secret):
        return Notice(f"/{rest}" if rest else "", notice.headers, notice.body)
    if secret and scheme.lower() == "bearer" and _same(shown.strip(), secret):
        return notice
    pair = f"{options.get(USERNAME, '')}:{options.get(PASSWORD, '')}"
    if pair.strip(":") and scheme.lower() == "basic" and _same(_unpacked(shown.strip()), pair):
        return notice
    return None


def belongs(bank: Notices, notice: Notice) -> bool:
    """Whether the path of an authenticated notice is one that this bank uses."""
    return notice.path.rstrip("/") in bank.notice_paths


def notice_object(notice: Notice) -> dict[str, object]:
    """The JSON object of the body. Raises Unreadable."""
    try:
        found = parse_json(notice.body)
    except ValueError as error:
        raise Unreadable(f"a notice of {len(notice.body)} bytes that is no JSON: {type(error).__name__}") from None
    if not isinstance(found, dict):
        raise Unreadable(f"a notice of {len(notice.body)} bytes that is no JSON object")
    return found


def notice_ids(*values: object) -> tuple[str, ...]:
    """These ids, each once. Raises Unreadable when one of them is none, when there is none, or too many."""
    ids = [identifier(value) for value in values]
    found = tuple(dict.fromkeys(one for one in ids if one is not None))
    if not found or None in ids or len(found) > MAX_QRS:
        raise Unreadable("a notice that does not say which QR it is about")
    return found


def json_reply(value: Mapping[str, object], status: int = 200, content_type: str = "application/json") -> NoticeReply:
    """An answer in JSON."""
    return NoticeReply(status, compact_json(value).encode(), content_type)


def _same(shown: str, known: str) -> bool:
    return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), known.encode())


def _unpacked(pair: str) -> str:
    try:
        return base64.b64decode(pair, validate=True).decode()
    except ValueError:
        return ""
