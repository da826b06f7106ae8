"""Files of QRs, CSV and JSON lines: each line with its number, or the sentence that says what is wrong with it."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Sequence
from typing import BinaryIO, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paysync_cli.errors import InputError
from paysync_cli.services.request_lines import MAX_LINE_CHARS, Line, Source, read_lines


def lines(content: str | bytes, name: str = "qrs.csv") -> list[Line]:
    raw = content.encode() if isinstance(content, str) else content
    with tempfile.TemporaryFile() as file:
        file.write(raw)
        source = Source(cast("BinaryIO", file), name)
        found = list(read_lines(source))
        assert list(read_lines(source)) == found  # a second pass reads the same
    return found


def fields(content: str | bytes, name: str = "qrs.csv") -> list[dict[str, str]]:
    found = lines(content, name)
    assert [line.fault for line in found] == [None] * len(found)
    return [line.fields for line in found]


def told(content: str | bytes, name: str = "qrs.csv") -> dict[int, str]:
    """The sentences of the bad lines, by number."""
    return {line.number: line.fault.message for line in lines(content, name) if line.fault is not None}


def refusal(content: str | bytes, name: str = "qrs.csv") -> str:
    with pytest.raises(InputError) as caught:
        lines(content, name)
    return "\n".join(fault.message for fault in caught.value.faults)


TWO = [{"qr_id": "A", "amount": "1.50"}, {"qr_id": "B", "amount": "2"}]


@pytest.mark.parametrize(
    "content",
    [
        "qr_id,amount\nA,1.50\nB,2\n",
        "qr_id,amount\r\nA,1.50\r\nB,2\r\n",
        "qr_id,amount\rA,1.50\rB,2\r",
        "\ufeffqr_id;amount\nA;1.50\nB;2",
        "qr_id\tamount\nA\t1.50\nB\t2\n",
        'amount,"qr_id"\n"1.50",A\n2,"B"\n',
        " QR_ID , Amount\nA,1.50\nB,2\n",
        "\n\nqr_id,amount\n\nA,1.50\n\n\nB,2\n\n",
        '{"qr_id": "A", "amount": "1.50"}\n{"qr_id":"B","amount":2}\n',
        '\ufeff{"qr_id": "A", "amount": 1.50}\r\n\r\n{"qr_id":"B","amount":2, "due": null}',
    ],
)
def test_the_same_two_lines(content: str) -> None:
    assert fields(content) == TWO


def test_numbers_are_an_editors() -> None:
    content = '\nqr_id,account\nA,"one\ntwo"\n\nB,x\n'
    assert [line.number for line in lines(content)] == [3, 6]
    assert fields(content)[0]["account"] == "one\ntwo"


def test_empty_cells_are_not_said() -> None:
    assert fields("qr_id,amount,due\nA,, \n") == [{"qr_id": "A"}]


def test_ids_are_never_trimmed() -> None:
    assert fields("qr_id\n A\n") == [{"qr_id": " A"}]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "qrs.csv is empty."),
        ("  \n\n", "qrs.csv is empty."),
        ("amount,due\n1,2\n", "line 1: the column qr_id is missing."),
        ("qr_id,ammount\n", "line 1: 'ammount' is not known; did you mean amount?"),
        ("qr_id,zzz\n", "line 1: 'zzz' is not known; there are: qr_id, amount, currency"),
        ("qr_id,amount,\n", "line 1: a column has no name."),
        ("qr_id,amount,qr_id\n", "line 1: the column qr_id is there 2 times."),
        ("\n\nid;monto\n", "line 3: 'id' is not known; there are: "),
        ("QR1,100\nQR2,200\n", "the first line must name the columns: qr_id,amount,currency"),
        ('qr_id,amount\nA,"1\nB,2\n', "line 2: a quoted cell that begins here is never closed"),
        ("qr_id\n" + "x" * (MAX_LINE_CHARS + 1), f"line 2 is longer than {MAX_LINE_CHARS} characters"),
        ('qr_id\nA\n"' + "x\n" * 100_000, "line 3: a quoted cell that begins here is never closed"),
        (b"PK\x03\x04rest", "qrs.csv is a spreadsheet or an archive"),
        (b"\x1f\x8brest", "qrs.csv is compressed"),
        ("qr_id\nA".encode("utf-16"), "qrs.csv is UTF-16"),
        ("qr_id,cuenta_ñ\n".encode("latin-1"), "line 1: byte 0xF1 at place 14 is not UTF-8"),
    ],
)
def test_files_that_cannot_be_read(content: str | bytes, says: str) -> None:
    assert says in refusal(content)


def test_all_faults_of_a_header_at_once() -> None:
    assert refusal("amount,amount,dew\n").count("\n") == 3


TOO_MANY = ": a cell that contains the separator needs quotes."
CUT_OFF = "it has 1 cell, the header has 2: is the file cut off?"
QUOTES = "its quotes do not match: a quote inside a quoted cell is written twice."
CONVERT = "is not UTF-8; if the file is Latin-1: `iconv -f LATIN1 -t UTF-8 FILE > NEW`."


@pytest.mark.parametrize(
    ("content", "bad"),
    [
        ("qr_id,amount\nA,12,50\nB,1\n", {2: f"it has 3 cells, the header has 2{TOO_MANY}"}),
        ("qr_id,amount\nA\nB,1\nC", {2: CUT_OFF, 4: CUT_OFF}),
        ('qr_id\n"A"B\nC\n', {2: QUOTES}),
        ("qr_id\nA\0\nB\n", {2: "it contains a NUL byte: this is not text."}),
        (
            b"qr_id,account\nA,Pe\xf1a\nB,x\nC,\xe9\n",
            {2: f"byte 0xF1 at place 5 {CONVERT}", 4: f"byte 0xE9 at place 3 {CONVERT}"},
        ),
        (b'qr_id,account\nA,"x\ny\xf1"\nB,x\n', {2: f"byte 0xF1 at place 2 {CONVERT}"}),
        ("qr_id\n" + "," * 50_000 + "\n", {2: f"it has 50001 cells, the header has 1{TOO_MANY}"}),
    ],
)
def test_bad_csv_lines(content: str | bytes, bad: dict[int, str]) -> None:
    assert told(content) == bad


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1]", "it is no JSON object: write one object a line"),
        ('"A"', "it is no JSON object"),
        ('{"qr_id": "A"', "it is not one whole JSON object (Expecting ',' delimiter at place 14)."),
        ('{"qr_id": "A"} {"qr_id": "B"}', "it is not one whole JSON object (Extra data"),
        ("qr_id", "it is not one whole JSON object"),
        ('{"qr_id": "A", "qr_id": "B"}', "the key 'qr_id' is there twice."),
        ('{"qr_id": "A", "due": null, "due": "2031-01-01"}', "the key 'due' is there twice."),
        ('{"qr_id": "A", "monto": 1}', "'monto' is not known"),
        ('{"qr_id": "A", "amonut": 1}', "did you mean amount?"),
        ('{"qr_id": 12345678901234567890}', "qr_id must be text: write it in quotes."),
        ('{"qr_id": "A", "amount": true}', "amount cannot be true or false."),
        ('{"qr_id": "A", "amount": NaN}', "NaN is not JSON."),
        ('{"qr_id": "A", "amount": [1]}', "amount must be one value, not a list or an object."),
        ('{"qr_id": "A", "amount": {"a": 1}}', "amount must be one value, not a list or an object."),
        ("[" * 60_000, "its values are nested too deep."),
    ],
)
def test_bad_json_lines(text: str, says: str) -> None:
    found = told('{"qr_id": "OK"}\n' + text + "\n", "qrs.jsonl")
    assert list(found) == [2]
    assert says in found[2]


@pytest.mark.parametrize("number", ["0.10", "12345678901234.56", "1e3", "-5", "0.1000000000000000055511", "1" * 5000])
def test_json_numbers_are_their_raw_text(number: str) -> None:
    assert fields(f'{{"qr_id": "A", "amount": {number}}}') == [{"qr_id": "A", "amount": number}]


def test_json_flags() -> None:
    assert fields('{"qr_id":"A","multi_use":true}\n{"qr_id":"B","multi_use":false}\n{"qr_id":"C","multi_use":1}') == [
        {"qr_id": "A", "multi_use": "true"},
        {"qr_id": "B", "multi_use": "false"},
        {"qr_id": "C", "multi_use": "1"},
    ]


@given(st.binary(max_size=300), st.sampled_from((b"", b"qr_id,amount\n", b"\xef\xbb\xbfqr_id\r\n", b'{"qr_id":"A"}\n')))
@example(b'"', b"qr_id\n")
@example(b"\xff\xfe", b"")
@example(b"\xef\xbb\xbf", b"")
def test_any_bytes_are_lines_or_a_sentence(content: bytes, head: bytes) -> None:
    try:
        found = lines(head + content)
    except InputError as error:
        sentences = [fault.message for fault in error.faults]
    else:
        sentences = [line.fault.message for line in found if line.fault is not None]
    assert all(sentences)


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1, max_size=20).filter(
    lambda text: not text.isspace()
)


@given(
    st.lists(st.tuples(CELLS, CELLS), max_size=8), st.sampled_from((",", ";", "\t")), st.sampled_from(("\n", "\r\n"))
)
def test_any_cells_come_back_as_they_were_written(rows: Sequence[tuple[str, str]], delimiter: str, end: str) -> None:
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=delimiter, lineterminator=end)
    writer.writerows([("qr_id", "account"), *rows])
    assert fields(written.getvalue()) == [{"qr_id": qr_id, "account": account} for qr_id, account in rows]


@given(
    st.lists(
        st.fixed_dictionaries({"qr_id": CELLS}, optional={"account": CELLS, "amount": CELLS}), min_size=1, max_size=8
    )
)
def test_any_json_text_comes_back_as_it_was_written(rows: list[dict[str, str]]) -> None:
    assert fields("\n".join(map(json.dumps, rows)), "-") == rows
