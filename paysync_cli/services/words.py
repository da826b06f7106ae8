"""Spans of time for log lines: short, English, never more precise than useful."""

from __future__ import annotations

from datetime import timedelta


def span_in_words(span: timedelta) -> str:
    """`2 minutes`, `45 seconds`, `3 hours`, `2 days`: rounded to what a reader needs."""
    seconds = max(0.0, span.total_seconds())
    for unit, size, until in (("second", 1, 90), ("minute", 60, 90 * 60), ("hour", 3600, 48 * 3600)):
        if seconds < until:
            return _count(round(seconds / size), unit)
    return _count(round(seconds / 86400), "day")


def _count(n: int, unit: str) -> str:
    return f"{n} {unit}" if n == 1 else f"{n} {unit}s"
