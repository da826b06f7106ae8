"""Time zones by their IANA name."""

from __future__ import annotations

from difflib import get_close_matches
from zoneinfo import ZoneInfo, available_timezones

from paysync_cli.language import _


def parse_zone(text: str) -> ZoneInfo:
    """The zone called `America/La_Paz`, `UTC`. Raises ValueError with the nearest name."""
    name = text.strip()
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        near = get_close_matches(name, sorted(available_timezones()), n=1)
        message = _("{name!r} is not a time zone").format(name=name)
        if near:
            message += _("; did you mean {near}?").format(near=near[0])
        raise ValueError(message) from None
