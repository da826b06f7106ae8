"""`paysync top` as a process: on a real terminal from the first key to the last, and where it refuses to start."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.books import add_qr
from tests.home import Home, new_home, one_document
from tests.process import run_on_terminal, run_paysync
from tests.screen import Screen, on_screen


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as home, home.books() as store:
        add_qr(store, "late", status="pending", at=datetime.now(UTC) - timedelta(minutes=50, seconds=30))
        yield home


def assert_given_back(screen: Screen) -> None:
    """The terminal is as it was: the other screen left, the cursor shown, the mouse not caught."""
    for mode, on, off in (("1049", "h", "l"), ("25", "l", "h"), ("1000", "h", "l")):
        assert screen.shown.rindex(f"\x1b[?{mode}{off}".encode()) > screen.shown.rindex(f"\x1b[?{mode}{on}".encode())


def test_from_the_first_key_to_the_last_on_a_real_terminal(home: Home) -> None:
    with on_screen("top", "--interval", "500ms", env=home.env, cwd=home.folder) as screen:
        seen = screen.until("The oldest due check waits 50 minutes.")
        screen.until("ALARM: 1 QR is due")
        screen.type("5")
        seen = screen.until("OVERDUE", seen)
        screen.resize(140, 40)
        screen.until("OVERDUE", seen)
        seen = len(screen.shown)
        screen.type("\r")
        screen.until("QR late of sim is pending", seen)
        with home.books() as store:
            add_qr(store, "older", at=datetime.now(UTC) - timedelta(hours=30))
        screen.until("1 day", seen)
        screen.type("q")
        assert screen.end() == 0
        assert_given_back(screen)


@pytest.mark.parametrize(("keys", "number", "status"), [("\x03", 0, 0), ("/\x03", 0, 0), ("", signal.SIGTERM, 143)])
def test_however_it_ends_the_terminal_is_given_back(home: Home, keys: str, number: int, status: int) -> None:
    with on_screen("top", env=home.env, cwd=home.folder) as screen:
        screen.until("The oldest due check waits 50 minutes.")
        if keys:
            screen.type(keys)
        else:
            screen.child.send_signal(number)
        assert screen.end() == status
        assert_given_back(screen)


def test_its_own_timeout_ends_it(home: Home) -> None:
    with on_screen("top", "--timeout", "3s", env=home.env, cwd=home.folder) as screen:
        screen.until("The oldest due check")
        assert screen.end() == 124
        assert_given_back(screen)


def test_words_say_it_without_colour(home: Home) -> None:
    with on_screen("top", env=home.env | {"NO_COLOR": "1"}, cwd=home.folder) as screen:
        screen.until("ALARM: 1 QR is due")
        screen.type("q")
        assert screen.end() == 0


def test_scripts_are_sent_elsewhere(home: Home) -> None:
    ended = home.run("top")
    assert ended.status == 2
    assert "is for people at a terminal" in ended.err
    assert "paysync stats --json" in ended.err
    found = home.json("top", status=2)
    assert (found["status"], found["errors"][0]["code"]) == ("error", "usage")
    one_document(home.on_terminal("top", "--json").out)


def test_nothing_to_watch_is_an_error_before_the_screen_is_taken(tmp_path: Path) -> None:
    ended = run_on_terminal("top", env={"PAYSYNC_HOME": str(tmp_path)}, cwd=tmp_path)
    assert ended.status == 4
    assert "no paysync database at" in ended.out
    assert "\x1b[?1049h" not in ended.out


def test_without_textual_one_sentence_says_how_to_get_it(home: Home) -> None:
    ended = run_on_terminal("top", env=home.env, cwd=home.folder, program=[sys.executable, "-c", _WITHOUT_TEXTUAL])
    assert ended.status == 2
    assert ended.out.count("\n") == 1
    assert "run: pip install 'paysync-cli[top]'" in ended.out


_WITHOUT_TEXTUAL = """
import sys

sys.modules["textual"] = None  # what `import` and `find_spec` take for a module that is not there
from paysync_cli.cli.main import run
run()
"""


def test_no_other_command_loads_textual(home: Home) -> None:
    for args in (("--help",), ("stats",), ("top", "--help")):
        program = [sys.executable, "-X", "importtime", "-m", "paysync_cli"]
        ended = run_paysync(*args, env=home.env, cwd=home.folder, program=program)
        assert ended.status == 0
        assert "paysync_cli.cli.main" in ended.err
        assert "textual" not in ended.err, args
