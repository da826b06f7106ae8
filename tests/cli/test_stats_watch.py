"""`paysync stats --watch`: in place on a terminal, a line each time elsewhere; nothing that goes away ends it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.books import add_qr, open_review
from tests.home import Home, new_home
from tests.process import start_paysync
from tests.screen import on_screen


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as home, home.books() as store:
        add_qr(store, "late", status="pending", at=datetime.now(UTC) - timedelta(minutes=50, seconds=30))
        add_qr(store, "out", state="exhausted", at=datetime.now(UTC) + timedelta(hours=1), checks=20)
        open_review(store, add_qr(store, "paid-twice", status="completed"))
        yield home


def watching(home: Home) -> subprocess.Popen[str]:
    return start_paysync("stats", "--watch", "--interval", "500ms", env=home.env, cwd=home.folder)


def read_figures(child: subprocess.Popen[str]) -> dict[str, str]:
    assert child.stdout is not None
    at, *pairs = child.stdout.readline().split()
    assert datetime.fromisoformat(at).utcoffset() == timedelta(0)
    return dict(pair.split("=", 1) for pair in pairs)


def interrupt(child: subprocess.Popen[str]) -> tuple[int, str]:
    child.send_signal(signal.SIGINT)
    _out, err = child.communicate(timeout=60)
    return child.returncode, err


def test_off_a_terminal_each_look_is_a_line_and_ctrl_c_is_quiet(home: Home) -> None:
    child = watching(home)
    first = read_figures(child)
    assert next(iter(first)) == "oldest_due_seconds"
    assert 3030 <= int(first["oldest_due_seconds"]) < 3330
    assert (first["due"], first["exhausted"], first["reviews_open"], first["workers"]) == ("1", "1", "1", "0")
    assert first["warnings"] == "no_worker,reviews_open,plans_exhausted"
    with home.books() as store:
        add_qr(store, "too", at=datetime.now(UTC) - timedelta(minutes=1))
    assert any(read_figures(child)["due"] == "2" for _look in range(10)), "it never looked again"
    assert interrupt(child) == (130, "")


def test_a_database_that_is_away_for_a_while_is_said_and_waited_for(home: Home) -> None:
    child = watching(home)
    read_figures(child)
    file = home.folder / "paysync.db"
    file.rename(home.folder / "elsewhere")
    away = next(look for look in (read_figures(child) for _look in range(10)) if "error" in look)
    assert away["error"] in ("database_unavailable", "no_database")
    assert datetime.fromisoformat(away["seen"]) < datetime.now(UTC)
    (home.folder / "elsewhere").rename(file)
    assert any("due" in read_figures(child) for _look in range(10)), "it never recovered"
    assert interrupt(child)[0] == 130


def test_a_reader_that_leaves_ends_it_quietly(home: Home) -> None:
    child = watching(home)
    read_figures(child)
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    assert child.stderr.read() == ""
    assert child.wait(60) == 0
    child.stderr.close()


def test_on_a_terminal_it_refreshes_in_place(home: Home) -> None:
    with on_screen("stats", "--watch", "--interval", "500ms", env=home.env, cwd=home.folder) as screen:
        seen = screen.until("waits 50 minutes")
        assert b"\x1b[?1049h" in screen.shown
        screen.until("ALARM: 1 QR is due")
        seen = screen.until("Ctrl-C ends", seen - 1000)
        with home.books() as store:
            add_qr(store, "older", at=datetime.now(UTC) - timedelta(hours=30))
        screen.until("waits 1 day", seen)
        screen.type("\x03")
        assert screen.end() == 130
    assert b"\x1b[?1049l" in screen.shown, "the terminal is as it was"
    assert "error" not in screen.text()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--watch", "--json"), "choose one"),
        (("--interval", "5s"), "--interval goes with --watch"),
        (("--watch", "--interval", "1ms"), "at least 0.5 s"),
    ],
)
def test_what_does_not_go_together_is_refused(home: Home, args: tuple[str, ...], words: str) -> None:
    ended = home.run("stats", *args)
    assert ended.status == 2
    assert words in ended.out + ended.err


def test_its_own_timeout_ends_it(home: Home) -> None:
    assert home.run("stats", "--watch", "--timeout", "2s").status == 124


def test_nothing_to_watch_is_an_error_at_once(home: Home) -> None:
    (home.folder / "paysync.db").unlink()
    assert home.run("stats", "--watch").status == 4
