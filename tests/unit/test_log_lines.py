"""What a log line looks like and where it goes: JSON and text, without secrets and escapes, to a file that may move."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from paysync_cli.cli import log_lines, logs
from tests.embedded import until

SECRET = 'pa"ss\\wörd'
HOSTILE = "\x1b[31mAna\u202e\x9b1m\nlevel=error\x7f"

Start = Callable[..., Path]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Logging as a command starts it, into a file; as it was before at the end."""
    root, hup = logging.getLogger(), signal.getsignal(signal.SIGHUP)
    handlers, level = list(root.handlers), root.level
    monkeypatch.setattr(logs, "_context", {})
    for name in ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, getattr(logging, name))

    def begin(log_format: str = "json", log_level: str = "info", **more: Any) -> Path:
        path = tmp_path / "paysync.log"
        told = {"log_format": log_format, "log_level": log_level, "secret_texts": frozenset({SECRET})}
        logs.start_logging(SimpleNamespace(log_file=path, **told, **more), colour=False)  # type: ignore[arg-type]
        return path

    yield begin
    root.handlers[:], root.level = handlers, level
    signal.signal(signal.SIGHUP, hup)


def lines(path: Path) -> list[dict[str, Any]]:
    logging.getLogger().handlers[0].flush()
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def test_a_json_line_has_the_event_and_its_fields(start: Start) -> None:
    path = start()
    logs.log_with(worker="host-1-ab")
    moment = datetime(2031, 6, 14, 16, 0, tzinfo=UTC)
    before = datetime.now(UTC)
    logging.getLogger("paysync.checks").info(
        "%s: next", "QR1", extra={"event_name": "check_next", "qr_id": "QR1", "seq": 3, "next_check_at": moment}
    )
    (line,) = lines(path)
    assert before <= datetime.fromisoformat(line.pop("time")) <= datetime.now(UTC)
    assert line == {
        "level": "info", "event": "check_next", "message": "QR1: next", "worker": "host-1-ab", "qr_id": "QR1",
        "seq": 3, "next_check_at": "2031-06-14T16:00:00+00:00",
    }  # fmt: skip


def test_another_librarys_line_is_told_apart(start: Start) -> None:
    path = start()
    logging.getLogger("aiohttp.client").warning("odd")
    logging.getLogger("httpx").info("GET /token?key=x")
    (line,) = lines(path)
    assert (line["event"], line["logger"], line["level"]) == ("log", "aiohttp.client", "warning")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_text_from_outside_cannot_steer_a_terminal(start: Start, log_format: str) -> None:
    path = start(log_format)
    log = logging.getLogger("paysync.checks")
    try:
        raise ValueError(HOSTILE)
    except ValueError as error:
        log.error("%s: odd", HOSTILE, exc_info=error, extra={"event_name": "job_error", "job_id": HOSTILE})
    logging.getLogger().handlers[0].flush()
    text = path.read_bytes().decode("utf-8")
    assert [char for char in text if not (char.isprintable() or char == "\n")] == []
    if log_format == "json":
        assert text.count("\n") == 1
        assert lines(path)[0]["job_id"] == HOSTILE, "a program reads what it was"
    else:
        assert not any(line.startswith("level=error") for line in text.splitlines())


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_secret_is_logged(start: Start, log_format: str) -> None:
    path = start(log_format)
    log = logging.getLogger("paysync.banks")
    log.error("refused: %s at https://ana:%s@bank.example/x", SECRET, "other", extra={"stack": [SECRET], "seq": 1})
    try:
        raise ValueError(SECRET)
    except ValueError:
        log.exception("bug")
    logging.getLogger().handlers[0].flush()
    text = path.read_text()
    for form in (SECRET, json.dumps(SECRET)[1:-1], "other", "ss\\\\w"):
        assert form not in text, form
    assert text.count("***") >= (4 if log_format == "json" else 3)


def test_colour_only_where_it_is_wanted() -> None:
    fields = {"time": "2031-06-14T16:00:00.000001Z", "level": "warning", "message": "QR1: odd"}
    assert logs._text_line(False)(fields) == "2031-06-14 16:00:00Z warning QR1: odd"
    assert logs._text_line(True)(fields) == "2031-06-14 16:00:00Z \x1b[33mwarning QR1: odd\x1b[0m"


def test_lines_are_gathered_and_leave_with_a_warning_or_soon(start: Start) -> None:
    path = start()
    log = logging.getLogger("paysync.checks")
    log.info("one")
    log.info("two")
    assert path.read_text() == ""
    until(lambda: path.read_text().count("\n") == 2)
    log.info("three")
    log.warning("four")
    assert path.read_text().count("\n") == 4


def test_a_file_that_was_moved_away_is_opened_anew(start: Start) -> None:
    path = start()
    log = logging.getLogger("paysync.checks")
    log.warning("one")
    path.rename(path.with_suffix(".1"))
    log.warning("two")
    assert [line["message"] for line in lines(path)] == ["two"]


def test_hup_opens_it_without_a_line_to_write(start: Start) -> None:
    path = start()
    path.rename(path.with_suffix(".1"))
    os.kill(os.getpid(), signal.SIGHUP)
    until(path.exists)


def test_where_no_file_can_be_made_the_old_one_goes_on(start: Start) -> None:
    path = start()
    folder = path.parent
    moved = folder.with_name("moved")
    folder.rename(moved)
    try:
        logging.getLogger("paysync.checks").warning("one")
        assert "one" in (moved / path.name).read_text()
    finally:
        moved.rename(folder)


def test_a_target_that_fails_loses_lines_and_nothing_else() -> None:
    class Full:
        def write(self, lines: list[bytes]) -> None:
            raise OSError(28, "No space left on device")

        def look(self) -> None:
            """Nothing."""

    handler = log_lines.Lines(Full(), at_once=True)
    handler.handle(logging.makeLogRecord({"msg": "one", "levelno": logging.ERROR}))


def test_lines_of_several_processes_share_a_pipe_unbroken() -> None:
    """Each write is whole lines and no more than a pipe takes in one go, but for a line that is longer by itself."""
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # which keeps writes apart
    with reader, writer:
        lines = [f"{n} {'x' * 150}\n".encode() for n in range(80)] + [b"y" * 5000 + b"\n", b"z\n"]
        log_lines.Stream(writer.fileno()).write(lines)
        reader.setblocking(False)
        chunks = []
        with contextlib.suppress(BlockingIOError):
            while True:
                chunks.append(reader.recv(1 << 20))
    assert b"".join(chunks) == b"".join(lines)
    assert all(chunk.endswith(b"\n") for chunk in chunks)
    assert [len(chunk) for chunk in chunks if len(chunk) > log_lines.WHOLE_BYTES] == [5001]
    assert len(chunks) < 10, "and not each line by itself"
