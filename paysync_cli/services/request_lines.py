"""A file of QRs, CSV or JSON lines, as numbered lines of text fields; what cannot be read is said line by line.

A fault of one line (a cell too many, a byte that is no UTF-8) is handed on with the line. A fault that makes the rest
a guess (a wrong header, a quote that is never closed) ends the reading with InputError.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from paysync_cli.errors import Fault, InputError
from paysync_cli.language import _, mark, ngettext
from paysync_cli.services.requests import FIELDS, shown, unknown_field

COLUMNS = (*FIELDS, "bank")  # public
MAX_LINE_CHARS = 65_536
MAX_RECORD_CHARS = 131_072  # one CSV record; quoted cells may go over many lines

_DELIMITERS = (",", ";", "\t")
_FLAGS = ("multi_use", "now")
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
# Files that people hand over by mistake, by their first bytes.
_FOREIGN = (
    (b"PK\x03\x04", mark("is a spreadsheet or an archive: save it as CSV (UTF-8).")),
    (b"\x1f\x8b", mark("is compressed: unpack it, or use `zcat FILE | paysync import -`.")),
    (b"\xff\xfe", mark("is UTF-16: save it as CSV UTF-8, or use `iconv -f UTF-16 -t UTF-8 FILE | paysync import -`.")),
    (b"\xfe\xff", mark("is UTF-16: save it as CSV UTF-8, or use `iconv -f UTF-16 -t UTF-8 FILE | paysync import -`.")),
)


@dataclass(frozen=True)
class Source:
    """An open binary file that can be read twice. `name` is what sentences call it."""

    file: BinaryIO
    name: str

    def stamp(self) -> tuple[int, int]:
        """Size and time of the last change: differs when somebody wrote to the file meanwhile."""
        status = os.fstat(self.file.fileno())
        return status.st_size, status.st_mtime_ns


@dataclass(frozen=True, slots=True)
class Line:
    """One record and the number of its first line; `fault` says why it cannot be read."""

    number: int
    fields: dict[str, str] = field(default_factory=dict)
    fault: Fault | None = None


def read_lines(source: Source) -> Iterator[Line]:
    """Every record of the file, from its beginning. Empty lines are left out.

    JSON lines when the content says so (it begins with a brace) or the name does (.jsonl, .ndjson, .json), else CSV.
    Raises InputError for what makes the whole file unreadable.
    """
    source.file.seek(0)
    head = source.file.read(4096)
    _refuse_foreign(head, source.name)
    source.file.seek(0)
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if not first:
        raise InputError(_("{name} is empty.").format(name=source.name), code="empty_file")
    is_json = first in (b"{", b"[") or source.name.lower().endswith(_JSON_SUFFIXES)
    text = io.TextIOWrapper(source.file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        lines = _PhysicalLines(text, source.name)
        yield from _json_lines(lines) if is_json else _csv_lines(lines)
    finally:
        text.detach()  # else the wrapper would close the file, which is read a second time


class _PhysicalLines:
    """The lines as an editor counts them, of bounded length; notes what no sentence could be made of."""

    def __init__(self, text: io.TextIOWrapper, name: str) -> None:
        self._text = text
        self.name = name
        self.number = 0
        self.ended = False
        self.fault: Fault | None = None
        self._record_start = 1
        self._record_chars = 0

    def __iter__(self) -> _PhysicalLines:
        return self

    def __next__(self) -> str:
        line = self._text.readline(MAX_LINE_CHARS + 1)
        if not line:
            self.ended = True
            raise StopIteration
        self.number += 1
        self._record_chars += len(line)
        if len(line) > MAX_LINE_CHARS:
            raise _whole_file(_("line {n} is longer than {most} characters: this is no list of QRs.").format(
                n=self.number, most=MAX_LINE_CHARS), self, "line_too_long")  # fmt: skip
        if self._record_chars > MAX_RECORD_CHARS:
            raise self.unclosed_quote()
        if not line.isascii() or "\0" in line:
            self._note_strange(line)
        return line

    def begin_record(self) -> int:
        """The number of the line on which the next record begins."""
        self.fault = None
        self._record_start = self.number + 1
        self._record_chars = 0
        return self._record_start

    def unclosed_quote(self) -> InputError:
        sentence = _(
            "line {n}: a quoted cell that begins here is never closed; the file may be cut off, or a quote is missing."
        )
        return _whole_file(sentence.format(n=self._record_start), self, "unclosed_quote")

    def _note_strange(self, line: str) -> None:
        if "\0" in line:
            self.fault = Fault("nul_byte", _("it contains a NUL byte: this is not text."))
            return
        try:
            line.encode()
        except UnicodeEncodeError as error:
            byte = ord(line[error.start]) - 0xDC00
            self.fault = Fault(
                "not_utf8",
                _(
                    "byte 0x{byte:02X} at place {place} is not UTF-8; if the file is Latin-1: "
                    "`iconv -f LATIN1 -t UTF-8 FILE > NEW`."
                ).format(byte=byte, place=error.start + 1),
            )


# -- CSV


def _csv_lines(lines: _PhysicalLines) -> Iterator[Line]:
    header, delimiter = _header(lines)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        start = lines.begin_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            if lines.ended:
                raise lines.unclosed_quote() from None
            fault = Fault("bad_quotes", _("its quotes do not match: a quote inside a quoted cell is written twice."))
            yield Line(start, fault=fault)
            continue
        if cells:
            yield _csv_record(start, cells, header, lines.fault)


def _csv_record(number: int, cells: Sequence[str], header: Sequence[str], fault: Fault | None) -> Line:
    if fault is None and len(cells) != len(header):
        fault = Fault("cell_count", _cell_count(len(cells), len(header)))
    if fault is not None:
        return Line(number, fault=fault)
    # An empty cell is a field that was not said.
    return Line(number, {name: cell for name, cell in zip(header, cells, strict=True) if cell and not cell.isspace()})


def _cell_count(found: int, wanted: int) -> str:
    sentence = ngettext("it has {n} cell, the header has {wanted}", "it has {n} cells, the header has {wanted}", found)
    sentence = sentence.format(n=found, wanted=wanted)
    if found > wanted:
        return _("{sentence}: a cell that contains the separator needs quotes.").format(sentence=sentence)
    return _("{sentence}: is the file cut off?").format(sentence=sentence)


def _header(lines: _PhysicalLines) -> tuple[list[str], str]:
    """The column names and the separator. Raises InputError with everything that is wrong with them."""
    text = next((line for line in lines if line.strip()), "")
    if lines.fault is not None:
        raise _whole_file(_line_sentence(lines.number, lines.fault.message), lines, lines.fault.code)
    choices = [(_names(text, delimiter), delimiter) for delimiter in _DELIMITERS]
    names, delimiter = max(choices, key=lambda choice: (sum(n in COLUMNS for n in choice[0]), len(choice[0])))
    faults = list(_header_faults(names, lines.number))
    if faults:
        faults.append(
            Fault(
                "bad_header",
                _("{name}: the first line must name the columns: {columns}.").format(
                    name=lines.name, columns=",".join(COLUMNS)
                ),
            )
        )
        raise InputError(faults[0].message, code=faults[0].code, faults=faults)
    return names, delimiter


def _names(text: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip().lower() for cell in next(csv.reader([text], delimiter=delimiter, strict=True))]
    except (csv.Error, StopIteration):
        return []


def _header_faults(names: Sequence[str], number: int) -> Iterator[Fault]:
    for name, times in Counter(names).items():
        if name not in COLUMNS:
            sentence = unknown_field(name, COLUMNS) if name else _("a column has no name.")
            yield Fault("unknown_column", _line_sentence(number, sentence))
        elif times > 1:
            sentence = _("the column {name} is there {n} times.").format(name=name, n=times)
            yield Fault("repeated_column", _line_sentence(number, sentence))
    if "qr_id" not in names:
        yield Fault("missing_column", _line_sentence(number, _("the column qr_id is missing.")))


# -- JSON lines


class _Number(str):
    """A JSON number as its raw text: an amount must never pass through a float."""

    __slots__ = ()


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys as they were written, also twice."""


def _json_lines(lines: _PhysicalLines) -> Iterator[Line]:
    while True:
        number = lines.begin_record()
        text = next(lines, None)
        if text is None:
            return
        if text.isspace():
            continue
        if lines.fault is not None:
            yield Line(number, fault=lines.fault)
            continue
        try:
            yield Line(number, _json_fields(text.rstrip("\r\n")))
        except ValueError as problem:
            yield Line(number, fault=Fault("bad_json", str(problem)))


def _json_fields(text: str, also: Sequence[str] = ()) -> dict[str, str]:
    """The fields of one object as text. Raises ValueError with a sentence."""
    pairs = _parsed(text)
    if not isinstance(pairs, _Pairs):
        raise ValueError(_("it is no JSON object: write one object a line (`jq -c '.[]'` makes them of an array)."))
    fields: dict[str, str] = {}
    names: set[str] = set()
    for name, value in pairs:
        if name in names:
            raise ValueError(_("the key {name} is there twice.").format(name=shown(name)))
        names.add(name)
        if name not in COLUMNS and name not in also:
            raise ValueError(unknown_field(name, (*COLUMNS, *also)))
        if value is not None:
            fields[name] = _json_text(name, value)
    return fields


def _parsed(text: str) -> Any:
    try:
        return json.loads(
            text, object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        raise ValueError(
            _("it is not one whole JSON object ({cause} at place {place}).").format(cause=error.msg, place=error.colno)
        ) from None
    except RecursionError:
        raise ValueError(_("its values are nested too deep.")) from None


def _refuse_constant(word: str) -> Any:
    raise ValueError(_("{word} is not JSON.").format(word=word))


def _json_text(name: str, value: Any) -> str:
    match value:
        case _Number():
            if name in ("amount", "multi_use"):
                return str(value)
            raise ValueError(_("{name} must be text: write it in quotes.").format(name=name))
        case str():
            return value
        case bool() if name in _FLAGS:
            return "true" if value else "false"
        case bool():
            raise ValueError(_("{name} cannot be true or false.").format(name=name))
    raise ValueError(_("{name} must be one value, not a list or an object.").format(name=name))


def read_object(body: bytes, *, also: Sequence[str] = ()) -> dict[str, str]:
    """The fields of one JSON object as text, as a line of a file has them; `also` names further ones.

    Raises InputError.
    """
    try:
        text = body.decode("utf-8-sig")
        if text.strip()[:1] != "{":
            raise ValueError(_('it is no JSON object: write {"qr_id": "..."}.'))
        return _json_fields(text, also)
    except UnicodeDecodeError as error:
        raise InputError(
            _("byte 0x{byte:02X} at place {place} is not UTF-8.").format(byte=body[error.start], place=error.start + 1),
            code="not_utf8",
        ) from None
    except ValueError as problem:
        raise InputError(str(problem), code="bad_json") from None


# -- sentences


def _refuse_foreign(head: bytes, name: str) -> None:
    for start, sentence in _FOREIGN:
        if head.startswith(start):
            raise InputError(f"{name} {_(sentence)}", code="foreign_format")


def _line_sentence(number: int, sentence: str) -> str:
    return _("line {n}: {sentence}").format(n=number, sentence=sentence)


def _whole_file(sentence: str, lines: _PhysicalLines, code: str) -> InputError:
    return InputError(f"{lines.name}, {sentence}", code=code)
