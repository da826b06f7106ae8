"""What scripts read: the one JSON document, rows as JSON lines, rows as CSV. Pure text, no terminal involved."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path

from paysync_cli.errors import Fault
from paysync_cli.views.text import plain
from paysync_cli.views.times import iso_utc

SCHEMA = 1  # raised only when a key changes its meaning or goes away

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?", re.ASCII)


def document(command: str, status: str, data: object, errors: Sequence[Fault] = ()) -> str:
    """The envelope `{"schema", "command", "status", "data", "errors"}` with its line end.

    ASCII only: no locale, terminal or bidi character can spoil it. Raises TypeError on a value JSON has no form for.
    """
    envelope = {
        "schema": SCHEMA,
        "command": command,
        "status": status,
        "data": data,
        "errors": [{"code": e.code, "message": e.message, "hint": e.hint} for e in errors],
    }
    return json.dumps(_plain_json(envelope), indent=2, allow_nan=False) + "\n"


def json_lines(rows: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """One row a line, no envelope."""
    for row in rows:
        yield json.dumps(_plain_json(row), allow_nan=False, separators=(",", ":")) + "\n"


def csv_lines(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> Iterator[str]:
    """A header and one line a row (RFC 4180 quoting, `\\n` ends); text a spreadsheet would run is guarded."""
    yield _csv_line(columns)
    for row in rows:
        yield _csv_line([csv_cell(row.get(name)) for name in columns])


def csv_cell(value: object) -> str:
    """The cell's text on one line, control characters visible. A leading `'` guards text that a spreadsheet would
    take for a formula; numbers, also negative ones and amounts as text, stay numbers.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return str(value)
    if isinstance(value, list | tuple | Mapping):
        return json.dumps(_plain_json(value), allow_nan=False)
    text = str(_plain_json(value))
    guard = "'" if text.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(text) else ""
    return f"{guard}{plain(text)}"


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _plain_json(value: object) -> object:
    """Only what JSON knows: moments become ISO 8601 UTC, amounts and paths text, enumerations their value."""
    match value:
        case Enum():
            return _plain_json(value.value)
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return iso_utc(value)
        case date():
            return value.isoformat()
        case Decimal() | Path():
            return str(value)
        case Mapping():
            return {str(_plain_json(key)): _plain_json(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain_json(item) for item in value]
    raise TypeError(f"no JSON form for {type(value).__name__}")
