"""Spans, rates, shares and moments of the day, read from text. Every ValueError is a sentence for the person."""

from __future__ import annotations

import re
from datetime import time

from paysync_cli.language import _

MAX_DURATION_S = 3650 * 86400.0

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?P<sign>-?)(?P<parts>(?:[0-9]{1,12}(?:\.[0-9]{1,9})?(?:ms|s|m|h|d))+)", re.ASCII)
_PART = re.compile(r"([0-9.]+)(ms|s|m|h|d)", re.ASCII)
_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)
_RATE = re.compile(r"(?P<n>[0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(?:/\s*(?P<unit>s|m|h))?", re.ASCII)
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%", re.ASCII)
_TIME_OF_DAY = re.compile(r"([0-9]{1,2}):([0-9]{2})", re.ASCII)


def parse_duration(text: str, *, plain_unit: str = "s") -> float:
    """Seconds from `500ms`, `2s`, `5m`, `1h`, `7d`, `1h30m`; a plain number counts in `plain_unit`.

    Raises ValueError when it cannot be read or exceeds ten years either way; the sign is the caller's business.
    """
    wanted = text.strip().lower()
    if _PLAIN_NUMBER.fullmatch(wanted):
        seconds = float(wanted) * _UNIT_S[plain_unit]
    elif found := _DURATION.fullmatch(wanted):
        seconds = sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(found["parts"]))
        seconds = -seconds if found["sign"] else seconds
    else:
        raise ValueError(_("{text!r} is not a time span: write 500ms, 90s, 5m, 1h or 7d.").format(text=text))
    if abs(seconds) > MAX_DURATION_S:
        raise ValueError(_("{text!r} is longer than ten years.").format(text=text))
    return seconds


def parse_rate(text: str) -> float:
    """Requests per second from `10/s`, `600/m`, `100/h`; a plain number counts per second. Raises ValueError."""
    found = _RATE.fullmatch(text.strip().lower())
    if not found:
        raise ValueError(_("{text!r} is not a rate: write 10/s, 300/m or 100/h.").format(text=text))
    per_s = float(found["n"]) / _UNIT_S[found["unit"] or "s"]
    if per_s <= 0:
        raise ValueError(_("a rate must be above zero; to stop a bank use `paysync pause`."))
    return per_s


def parse_share(text: str) -> float:
    """A share between 0 and 1 from `10%`; `0` and `off` are 0. Raises ValueError."""
    wanted = text.strip().lower()
    if wanted in ("0", "off"):
        return 0.0
    found = _PERCENT.fullmatch(wanted)
    if not found:
        raise ValueError(_("{text!r} is not a share: write 10% (0 switches it off).").format(text=text))
    share = float(found[1]) / 100
    if share > 1:
        raise ValueError(_("{text!r} is more than 100%.").format(text=text))
    return share


def parse_time_of_day(text: str) -> time | None:
    """A local time from `02:00`; None for `off`. Raises ValueError."""
    wanted = text.strip().lower()
    if wanted == "off":
        return None
    found = _TIME_OF_DAY.fullmatch(wanted)
    if not found or int(found[1]) > 23 or int(found[2]) > 59:
        raise ValueError(_("{text!r} is not a time of day: write 02:00 (or off).").format(text=text))
    return time(int(found[1]), int(found[2]))
