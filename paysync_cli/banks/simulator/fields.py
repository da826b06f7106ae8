"""Reading a scenario table by table, with the place of every fault in the message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from paysync_cli.errors import UsageError
from paysync_cli.payments.money import CURRENCIES

ZONE = ZoneInfo("America/La_Paz")

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"[+-]?(?:[0-9]{1,9}(?:\.[0-9]{1,6})?(?:ms|s|m|h|d))+", re.ASCII)
_PART = re.compile(r"([0-9.]+)(ms|s|m|h|d)", re.ASCII)


class ScenarioError(UsageError):
    """A scenario that cannot be played; the message names the file and the place in it."""

    code = "scenario"


def span_s(value: object, place: str) -> float:
    """Seconds from a number or text like `+1m30s`. Raises ScenarioError."""
    if isinstance(value, int | Decimal | float) and not isinstance(value, bool):
        return float(value)
    text = value.strip() if isinstance(value, str) else ""
    if not _SPAN.fullmatch(text):
        raise ScenarioError(f"{place}: {value!r} is not a time span: write 500ms, 90s, 5m or 1m30s")
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(text))
    return -seconds if text.startswith("-") else seconds


class Fields:
    """One table with its place; every key is taken once, and `finish` rejects those nobody asked for."""

    def __init__(self, found: object, place: str, start: datetime) -> None:
        if not isinstance(found, Mapping):
            raise ScenarioError(f"{place}: must be a table")
        self.place = place
        self.start = start
        self._rest = dict(found)

    def error(self, problem: str) -> ScenarioError:
        return ScenarioError(f"{self.place}: {problem}")

    def finish(self) -> None:
        if self._rest:
            raise self.error(f"unknown key {min(map(str, self._rest))!r}")

    def take(self, key: str) -> object:
        return self._rest.pop(key, None)

    def text(self, key: str) -> str:
        text = self.text_or(key, "")
        if not text:
            raise self.error(f"{key} is missing")
        return text

    def text_or(self, key: str, default: str) -> str:
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.error(f"{key} must be text")
        return value

    def texts(self, key: str) -> set[str]:
        value = self.take(key) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(f"{key} must be a list of texts")
        return set(value)

    def choice(self, key: str, allowed: tuple[str, ...]) -> str | None:
        value = self.take(key)
        if value is not None and value not in allowed:
            raise self.error(f"{key} must be one of {', '.join(allowed)}")
        return None if value is None else str(value)

    def flag(self, key: str) -> bool:
        value = self.take(key)
        if value is not None and not isinstance(value, bool):
            raise self.error(f"{key} must be true or false")
        return bool(value)

    def whole(self, key: str) -> int | None:
        value = self.take(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.error(f"{key} must be a whole number")
        return value

    def amount(self, key: str) -> Decimal | None:
        value = self.take(key)
        if value is None:
            return None
        try:
            if isinstance(value, str | int | Decimal) and not isinstance(value, bool):
                amount = Decimal(value)
                if amount.is_finite() and amount > 0:
                    return amount
        except InvalidOperation:
            pass
        raise self.error(f'{key} must be an amount above zero, like "100.50"')

    def currency(self, key: str, default: str) -> str:
        value = self.text_or(key, default)
        if value not in CURRENCIES:
            raise self.error(f"{key} {value!r} is not an ISO 4217 code, like BOB")
        return value

    def moment(self, key: str) -> datetime | None:
        value = self.take(key)
        return None if value is None else self._moment(value, key)

    def moment_or_never(self, key: str, default: datetime) -> datetime | None:
        value = self.take(key)
        if value == "never":
            return None
        return default if value is None else self._moment(value, key)

    def _moment(self, value: object, key: str) -> datetime:
        """A moment in UTC: a span from the start, or a date and time, which is Bolivian without a zone."""
        try:
            if isinstance(value, str) and not _SPAN.fullmatch(value.strip()):
                value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise self.error(f"{key} {value!r} is neither a span like +10s nor a date and time") from None
        if isinstance(value, datetime):
            return (value if value.tzinfo is not None else value.replace(tzinfo=ZONE)).astimezone(UTC)
        try:
            return self.start + timedelta(seconds=span_s(value, f"{self.place}: {key}"))
        except OverflowError:
            raise self.error(f"{key} lies too far away") from None

    def table(self, key: str) -> Fields | None:
        value = self.take(key)
        return None if value is None else Fields(value, f"{self.place}: {key}", self.start)

    def tables(self, key: str) -> list[Fields] | None:
        value = self.take(key)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.error(f"{key} must be a list of tables")
        return [Fields(item, f"{self.place}: {key} {n}", self.start) for n, item in enumerate(value, 1)]

    def moments(self, key: str) -> list[Fields]:
        """One moment, or a list of them, each as a table with `at` alone."""
        value = self.take(key)
        listed = value if isinstance(value, list) else [] if value is None else [value]
        return [Fields({"at": item}, f"{self.place}: {key}", self.start) for item in listed]
