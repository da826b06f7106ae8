"""The JSON document, rows, pages, times: what every view relies on."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from io import StringIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from paysync_cli.errors import Fault
from paysync_cli.views.document import csv_cell, csv_lines, document, json_lines
from paysync_cli.views.page import Column, PlainPage, Styled, TerminalPage, status_cell
from paysync_cli.views.text import plain
from paysync_cli.views.times import beside_relative, iso_local, iso_utc, relative, span

LA_PAZ = ZoneInfo("America/La_Paz")
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTILE = "[red]x[/red] \x1b[31m\x07\r\n\u202e\u2066\u200b\ud800\x9b"


class Word(Enum):
    PENDING = "pending"


# -- the document


def test_the_envelope() -> None:
    text = document("stats", "partial", {"a": 1}, [Fault("c", "m", "h"), Fault("d", "n")])
    assert text.endswith("}\n")
    assert json.loads(text) == {
        "schema": 1,
        "command": "stats",
        "status": "partial",
        "data": {"a": 1},
        "errors": [{"code": "c", "message": "m", "hint": "h"}, {"code": "d", "message": "n", "hint": None}],
    }


def test_every_kind_of_value_has_its_form() -> None:
    values = {
        "amount": Decimal("100.50"),
        "at": datetime(2026, 1, 1, 23, 0, tzinfo=LA_PAZ),
        "day": date(2026, 1, 2),
        "path": Path("/x"),
        "word": Word.PENDING,
        "many": (1, [None, True, 0.5]),
    }
    assert json.loads(document("x", "ok", values))["data"] == {
        "amount": "100.50",
        "at": "2026-01-02T03:00:00+00:00",
        "day": "2026-01-02",
        "path": "/x",
        "word": "pending",
        "many": [1, [None, True, 0.5]],
    }


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x"])
def test_a_value_without_a_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no JSON form"):
        document("x", "ok", value)


def test_what_json_has_no_number_for_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        document("x", "ok", float("nan"))


def test_a_moment_without_a_zone_never_leaves() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        document("x", "ok", datetime(2026, 1, 1))  # noqa: DTZ001


@given(st.text())
def test_any_text_survives_the_document_as_ascii(text: str) -> None:
    written = document("x", "ok", text)
    assert written.isascii()
    assert json.loads(written)["data"] == text
    [line] = json_lines([{"a": text}])
    assert line.count("\n") == 1
    assert json.loads(line) == {"a": text}


# -- CSV


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd", "'+cmd"),
        ("-x", "'-x"),
        ("@sum", "'@sum"),
        ("\tx", "'\\tx"),
        ("\rx", "'\\rx"),
        ("-100.50", "-100.50"),
        ("+5", "+5"),
        ("-1e5", "'-1e5"),
        ("- 5", "'- 5"),
        (Decimal("-0.00001"), "-0.00001"),
        (-3, "-3"),
        (-2.5e-7, "-2.5e-07"),
        (None, ""),
        (True, "true"),
        (["=a"], '["=a"]'),
        (AT, "2026-01-02T03:04:05+00:00"),
        ("a\x1b[31m\nb", "a\\x1b[31m\\nb"),
        ("QR-1", "QR-1"),
    ],
)
def test_csv_cells(value: object, cell: str) -> None:
    assert csv_cell(value) == cell


@given(st.text())
def test_no_cell_starts_like_a_formula_unless_it_is_a_number(text: str) -> None:
    cell = csv_cell(text)
    if cell.startswith(("=", "+", "-", "@")):
        float(cell)
    assert cell == plain(cell)


def test_csv_is_read_back_with_its_header_also_when_empty() -> None:
    rows = [{"a": 'say "x", y', "b": 1, "more": 2}, {"a": None}]
    assert list(csv.reader(io.StringIO("".join(csv_lines(rows, ("a", "b")))))) == [
        ["a", "b"],
        ['say "x", y', "1"],
        ["", ""],
    ]
    assert list(csv_lines([], ("a", "b"))) == ["a,b\n"]


# -- text from outside


def test_hostile_text_becomes_visible_and_stays_whole() -> None:
    assert plain(HOSTILE) == "[red]x[/red] \\x1b[31m\\x07\\r\\n\\u202e\\u2066\\u200b\\ud800\\x9b"


def test_ordinary_text_is_left_alone() -> None:
    for text in ("QR-1", "José Ñandú", "日本", "👍", ""):
        assert plain(text) == text


@given(st.text())
def test_nothing_a_terminal_obeys_gets_through(text: str) -> None:
    shown = plain(text)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202a\u202e\u2066\u2028" for c in shown)
    shown.encode("utf-8")


# -- pages


def _plain_page(zone: ZoneInfo | None = LA_PAZ) -> tuple[PlainPage, list[str]]:
    written: list[str] = []
    return PlainPage(written.append, now=AT, zone=zone), written


def test_a_plain_page_cuts_nothing_and_draws_nothing() -> None:
    page, written = _plain_page()
    long_id = "QR" + "x" * 300
    page.heading("Title")
    page.fields([("a", HOSTILE), ("longer", None)])
    page.table(["Id", Column("Amount", right=True), "At"], [[long_id, "1.50", AT], ["b", "100.00", None]], empty="none")
    page.heading("Next")
    assert "".join(written).splitlines() == [
        "Title",
        f"a       {plain(HOSTILE)}",
        "longer  -",
        f"{'ID':<302}  AMOUNT  AT",
        f"{long_id}    1.50  2026-01-01T23:04:05-04:00",
        f"{'b':<302}  100.00  -",
        "",
        "Next",
    ]


def test_an_empty_table_is_a_sentence() -> None:
    page, written = _plain_page()
    page.table(["Id"], [], empty="No QRs.")
    assert written == ["No QRs.\n"]


def _terminal_page(width: int = 120) -> tuple[TerminalPage, StringIO]:
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=width, markup=False, emoji=False, highlight=False)
    return TerminalPage(console, now=AT + timedelta(minutes=4), zone=LA_PAZ), out


def test_a_terminal_page_shows_relative_times_and_no_foreign_escape() -> None:
    page, out = _terminal_page()
    page.heading("Title")
    page.fields([("payer :smile:", HOSTILE)])
    page.table(["At", "Status"], [[AT, status_cell("completed")]], empty="none")
    shown = out.getvalue()
    assert "2026-01-01 23:04:05 (4 minutes ago)" in shown
    assert "[red]x[/red]" in shown
    assert ":smile:" in shown
    assert "\x1b[31m" not in shown
    assert "\\x1b[31m" in shown
    assert "\x1b[32mcompleted" in shown


@pytest.mark.parametrize("width", [20, 40, 200])
def test_a_terminal_table_folds_and_cuts_nothing(width: int) -> None:
    page, out = _terminal_page(width)
    long_id = "".join(chr(ord("a") + n % 26) for n in range(60))
    page.table([""], [[long_id]], empty="none")
    page.fields([("", long_id)])
    letters = "".join(c for c in re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()) if c.isalpha())
    assert letters == long_id * 2


NINE = [f"Head{n}" for n in range(9)]


def _bare(out: StringIO) -> list[str]:
    return [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines() if line.strip()]


@pytest.mark.parametrize("width", [20, 40, 70])
def test_columns_that_cannot_stand_side_by_side_become_lines_with_their_heads(width: int) -> None:
    page, out = _terminal_page(width)
    page.table(NINE, [[f"cell-{row}{n}" for n in range(9)] for row in "ab"], empty="none")
    assert _bare(out) == [f"Head{n}  cell-{row}{n}" for row in "ab" for n in range(9)]


def test_columns_that_can_stay_a_table() -> None:
    page, out = _terminal_page(80)
    page.table(NINE, [[f"cell-a{n}" for n in range(9)]], empty="none")
    assert _bare(out)[0].split() == NINE


def test_styled_text_off_a_terminal_is_text() -> None:
    page, written = _plain_page()
    page.line(Styled("hello", "bold red"))
    assert written == ["hello\n"]


# -- times


def test_times_for_scripts_and_people() -> None:
    local = AT.astimezone(LA_PAZ)
    assert iso_utc(local) == "2026-01-02T03:04:05+00:00"
    assert iso_local(AT, LA_PAZ) == "2026-01-01T23:04:05-04:00"
    assert beside_relative(AT, AT - timedelta(hours=3), UTC) == "2026-01-02 03:04:05 (in 3 hours)"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.25, "250 ms"), (1, "1 second"), (59.9, "59 seconds"), (60, "1 minute"), (7200, "2 hours"), (200000, "2 days")],
)
def test_spans(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_relative_moments() -> None:
    assert relative(AT, AT + timedelta(milliseconds=10)) == "now"
    assert relative(AT, AT + timedelta(minutes=1)) == "1 minute ago"
    assert relative(AT + timedelta(days=2), AT) == "in 2 days"
