"""Reading what banks send: JSON without floats, ids, whole numbers, and text that is safe to show.

Everything here is pure and total: junk ends in ValueError, None or folded text, never in another exception.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from hashlib import sha256

MAX_RAW = 16 * 1024  # characters of one element kept for a review
MAX_DEPTH = 40  # levels of nesting kept in a raw element
MAX_COMMAS = 4_000_000  # of a body: 64 MB of honest payments have half as many, and each may become an object of ours
MAX_ID = 128

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)


def parse_json(body: bytes) -> object:
    """The JSON value of a body; every number with a point or exponent is a Decimal of its very text.

    Raises ValueError for bad UTF-8, anything that is not JSON, NaN and Infinity, a key given twice in one object,
    numbers, nesting or a mass of values beyond what can be read.
    """
    if body.count(b",") > MAX_COMMAS:
        raise ValueError("beyond what can be read")
    try:
        return _JSON.decode(body.removeprefix(BOM_UTF8).decode())
    except (ArithmeticError, RecursionError):
        raise ValueError("beyond what can be read") from None


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _object_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        # Which of two amounts would be the right one? Neither may be chosen for us.
        raise ValueError("a key is given twice")
    return found


# Built once: `json.loads` and `json.dumps` with options make one for each call, which costs as much as their work.
_JSON = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_object_of)
_TEXT = json.JSONEncoder(ensure_ascii=False)


def compact_json(value: object, limit: int = MAX_RAW) -> str:
    """The value as compact JSON with exact numbers, for the record; beyond `limit` it is cut and its hash appended.

    The text can be stored anywhere: no NUL, no lone surrogate.
    """
    text = _dump(value, 0).encode("utf-8", "backslashreplace").decode("utf-8")
    if len(text) <= limit:
        return text
    return f"{text[:limit]}... sha256:{sha256(text.encode()).hexdigest()}"


def _dump(value: object, depth: int) -> str:
    if depth > MAX_DEPTH:
        return '"..."'
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_dump(key, depth)}:{_dump(v, depth + 1)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_dump(item, depth + 1) for item in value) + "]"
    return _TEXT.encode(value)


def printable(text: str, limit: int = 200) -> str:
    """Text from outside as one line of at most `limit` visible characters; controls and escapes become spaces."""
    if len(text) <= limit and text.isprintable() and " " not in text:
        return text
    folded = " ".join("".join(c if c.isprintable() else " " for c in text[: limit * 4]).split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


def quoted(message: object, *secrets: str) -> str:
    """A bank's own message, ready to append to a sentence: one short line; empty when there is none.

    A bank may echo what it was sent: none of `secrets` is in it.
    """
    if not isinstance(message, str):
        return ""
    message = masked(message, *secrets)
    return f' ("{message}")' if message else ""


def masked(text: str, *secrets: str) -> str:
    """Text as one line that is safe to show, with none of `secrets` in it."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return printable(text)


def whole_number(value: object) -> int | None:
    """A JSON integer, or text of digits, as an int; None for everything else (true and 1.0 are not numbers here)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value.strip()):
        return int(value)
    return None


def decimal_number(value: object) -> Decimal | None:
    """A JSON number, or the same as text with a dot, as a Decimal; None for everything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        return Decimal(value)
    if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        return Decimal(value.strip())
    return None


def identifier(value: object) -> str | None:
    """An id as text: 1-128 visible characters; a JSON integer counts as its digits. None for everything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    visible = text.isprintable() and not any(c.isspace() for c in text)
    return text if visible and 0 < len(text) <= MAX_ID else None


def moment(value: object, zone: tzinfo) -> datetime | None:
    """An ISO date and time in UTC; without an offset it is local to `zone`. None for everything else.

    A year before 2000 is the empty date of somebody's system.
    """
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.strip())
        found = (found if found.tzinfo is not None else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if found.year >= 2000 else None
