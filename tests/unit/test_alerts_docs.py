"""`docs/alerts.md` has a heading for every kind of alert, under the right title, with commands that paysync takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from paysync_cli.services.alert_words import WORDS
from paysync_cli.store.alerts import STATES, AlertKind
from tests.command_lines import fault_of, in_page, in_shell

PAGE = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")


def chapters() -> dict[str, tuple[str, str]]:
    """By kind: the title above it, and what is said of it."""
    found, title, kind = {}, "", ""
    for line in PAGE.splitlines():
        if line.startswith("## "):
            title, kind = line[3:], ""
        elif line.startswith("### "):
            kind = line[4:]
            found[kind] = (title, "")
        elif kind:
            found[kind] = (title, found[kind][1] + line + "\n")
    return found


def test_every_kind_has_its_chapter_and_no_chapter_is_of_nothing() -> None:
    told = {kind: title for kind, (title, _text) in chapters().items()}
    assert told == {kind.value: "States" if kind in STATES else "Events" for kind in AlertKind}


@pytest.mark.parametrize("kind", AlertKind)
def test_a_chapter_says_what_to_run_and_how_it_ends(kind: AlertKind) -> None:
    _title, text = chapters()[kind.value]
    lines = [line for line in in_page(text) if line.whole]
    assert lines, "a command to run first"
    assert [fault_of(line) for line in lines] == [None] * len(lines)
    if kind in STATES:
        assert "It is over w" in " ".join(text.split())


@pytest.mark.parametrize("kind", AlertKind)
def test_the_command_in_the_message_is_one_that_paysync_takes(kind: AlertKind) -> None:
    (line,) = in_shell(WORDS[kind].command.format(bank="sim", detail="2026-11-24"))
    assert fault_of(line) is None
