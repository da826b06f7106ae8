"""Days of a bank: a word becomes a day of its calendar, a day a span of moments."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from paysync_cli.errors import InputError
from paysync_cli.language import _
from paysync_cli.store.movements import Span

TODAY, YESTERDAY = "today", "yesterday"
FIRST_YEAR, LAST_YEAR = 2000, 2100  # of any day that a person types

_ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def read_day(text: str, zone: tzinfo, now: datetime) -> date:
    """The day of `2026-12-31`, `today` or `yesterday` in the zone. Raises InputError; also for a day not begun."""
    today = now.astimezone(zone).date()
    word = text.strip().lower()
    if word in (TODAY, YESTERDAY):
        return today if word == TODAY else today - timedelta(days=1)
    day = _iso_day(word)
    if day is None:
        raise InputError(
            _("--date {text!r} is not a day: write 2026-12-31, today or yesterday.").format(text=text),
            code="invalid_date",
        )
    if day > today:
        raise InputError(
            _("--date {day} has not begun: it is {today} at the bank.").format(day=day, today=today),
            code="invalid_date",
        )
    return day


def span_of(day: date, zone: tzinfo) -> Span:
    """From midnight to midnight, both in the zone."""
    start = datetime.combine(day, time(), tzinfo=zone)
    end = datetime.combine(day + timedelta(days=1), time(), tzinfo=zone)
    return Span(start.astimezone(UTC), end.astimezone(UTC))


def _iso_day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text) if _ISO_DAY.fullmatch(text) else None
    except ValueError:
        return None
    return day if day is not None and FIRST_YEAR <= day.year <= LAST_YEAR else None
