"""Moments and spans as people and scripts read them. Moments are aware datetimes, spans are seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from paysync_cli.language import _, ngettext


def iso_utc(moment: datetime) -> str:
    """ISO 8601 with offset, in UTC: `2026-01-02T03:04:05+00:00`; what JSON carries."""
    return _aware(moment).astimezone(UTC).isoformat()


def iso_local(moment: datetime, zone: tzinfo | None) -> str:
    """ISO 8601 to the second with the zone's offset; `zone` None is the machine's."""
    return _aware(moment).astimezone(zone).isoformat(timespec="seconds")


def beside_relative(moment: datetime, now: datetime, zone: tzinfo | None) -> str:
    """`2026-01-02 03:04:05 (4 minutes ago)`: what a person at a terminal reads."""
    local = _aware(moment).astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S} ({relative(moment, now)})"


def briefly_beside(moment: datetime, now: datetime, zone: tzinfo | None) -> str:
    """`03:04 (4 min ago)`, of another day `01-02 (3 d ago)`: the same where there is little room."""
    local, today = _aware(moment).astimezone(zone), _aware(now).astimezone(zone).date()
    away_s = (local - now).total_seconds()
    words = brief_span(abs(away_s))
    away = _("in {span}").format(span=words) if away_s > 0 else _("{span} ago").format(span=words)
    return f"{local:%H:%M} ({away})" if local.date() == today else f"{local:%m-%d} ({away})"


def brief_span(seconds: float) -> str:
    """The span in its largest fitting unit, rounded down, as a number and a symbol: `4 min`, `2 d`."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"


def relative(moment: datetime, now: datetime) -> str:
    """`in 5 minutes`, `3 hours ago`, `now`."""
    away_s = (_aware(moment) - _aware(now)).total_seconds()
    if abs(away_s) < 1:
        return _("now")
    words = span(abs(away_s))
    return _("in {span}").format(span=words) if away_s > 0 else _("{span} ago").format(span=words)


def span(seconds: float) -> str:
    """The span in its largest fitting unit, rounded down: `4 minutes`, `2 days`; under a second in milliseconds."""
    if seconds < 1:
        return _("{n} ms").format(n=round(seconds * 1000))
    whole = timedelta(seconds=int(seconds))
    days, hours = whole.days, whole.seconds // 3600
    if days:
        return ngettext("{n} day", "{n} days", days).format(n=days)
    if hours:
        return ngettext("{n} hour", "{n} hours", hours).format(n=hours)
    minutes, rest = divmod(whole.seconds, 60)
    if minutes:
        return ngettext("{n} minute", "{n} minutes", minutes).format(n=minutes)
    return ngettext("{n} second", "{n} seconds", rest).format(n=rest)


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a moment without a zone reached a view")
    return moment
