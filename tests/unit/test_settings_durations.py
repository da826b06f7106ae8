"""Spans, rates, shares and times of the day from text."""

from __future__ import annotations

import contextlib
from datetime import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paysync_cli.settings.durations import parse_duration, parse_rate, parse_share, parse_time_of_day
from paysync_cli.settings.zones import parse_zone

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("2s", 2),
        ("5m", 300),
        ("1h", 3600),
        ("7d", 604800),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (" 2S ", 2),
        ("90", 90),
        ("0", 0),
        ("-5", -5),
        ("-2m", -120),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "5 m", "5x", "1e3", "inf", "nan", "٥s", "5m!", "--5s", "1h-5m", "0x5", "9" * 13]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time span"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["3651d", "999999999999", "-4000d"])
def test_ten_years_are_the_limit(text: str) -> None:
    with pytest.raises(ValueError, match="longer than ten years"):
        parse_duration(text)


def test_a_plain_number_counts_in_its_settings_unit() -> None:
    assert parse_duration("5", plain_unit="m") == 300
    assert parse_duration("5s", plain_unit="m") == 5


@given(st.integers(0, 3650), st.sampled_from(sorted(UNITS)))
def test_every_number_and_unit(number: int, unit: str) -> None:
    assert parse_duration(f"{number}{unit}") == pytest.approx(number * UNITS[unit])


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for reader in (parse_duration, parse_rate, parse_share, parse_time_of_day):
        with contextlib.suppress(ValueError):
            reader(text)


@pytest.mark.parametrize(("text", "per_s"), [("10/s", 10), ("10", 10), ("600/m", 10), ("36000/h", 10), ("0.5/s", 0.5)])
def test_rates(text: str, per_s: float) -> None:
    assert parse_rate(text) == pytest.approx(per_s)


@pytest.mark.parametrize("text", ["0", "0/s", "-1/s", "10/d", "fast", ""])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("text", "share"), [("10%", 0.1), ("0", 0), ("0%", 0), ("off", 0), ("100 %", 1), ("2.5%", 0.025)]
)
def test_shares(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["10", "0.1", "101%", "-1%", "", "%"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(ValueError, match=r"share|100%"):
        parse_share(text)


@pytest.mark.parametrize(
    ("text", "at"), [("02:00", time(2)), ("2:05", time(2, 5)), ("23:59", time(23, 59)), ("OFF", None)]
)
def test_times_of_day(text: str, at: time | None) -> None:
    assert parse_time_of_day(text) == at


@pytest.mark.parametrize("text", ["24:00", "12:60", "2", "02:00:00", "", "noon"])
def test_what_is_no_time_of_day(text: str) -> None:
    with pytest.raises(ValueError, match="time of day"):
        parse_time_of_day(text)


def test_a_zone_by_its_name_or_the_nearest_one() -> None:
    assert parse_zone("America/La_Paz").key == "America/La_Paz"
    with pytest.raises(ValueError, match="did you mean America/La_Paz"):
        parse_zone("America/LaPaz")


@pytest.mark.parametrize("text", ["", ".", "..", "/etc/passwd", "../x", "America", "a\0b", "x" * 300])
def test_what_is_no_zone(text: str) -> None:
    with pytest.raises(ValueError, match="not a time zone"):
        parse_zone(text)
