"""Every help page: usage and examples first, and no word of Python's or of a library's on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from paysync_cli.cli import command as declared
from tests.contract.test_every_document import LEAVES
from tests.forked import run_forked

GROUPS = sorted({name.split()[0] for name in LEAVES if " " in name})
LEAKED = re.compile(r"<[a-z_]+( [a-z]+)?>|list\[|\[\[|\{[A-Z]+\}|<=|Annotated|None|9223372036854775807|\]\.\.\.\]")


@pytest.mark.parametrize("name", ["", *GROUPS, *LEAVES])
def test_a_page_speaks_to_people(tmp_path: Path, name: str) -> None:
    for env in ({}, {"COLUMNS": "40"}, {"PAYSYNC_LANG": "es", "LC_ALL": "es_ES.UTF-8"}):
        ended = run_forked(*name.split(), "--help", env=env, cwd=tmp_path)
        assert (ended.status, ended.err) == (0, "")
        assert not LEAKED.search(ended.out), (LEAKED.search(ended.out), ended.out)
        assert f"paysync {name}".rstrip() in ended.out.splitlines()[0]


@pytest.mark.parametrize("name", LEAVES)
def test_examples_come_first_and_call_the_command(tmp_path: Path, name: str) -> None:
    spec = declared.COMMANDS[name]
    assert spec.examples, name
    lines = [example if isinstance(example, str) else example[0] for example in spec.examples]
    assert any(name in line for line in lines), lines
    page = run_forked(*name.split(), "--help", env={}, cwd=tmp_path).out.splitlines()
    assert page[2] == "Examples:"
    assert page[3].strip().startswith(lines[0])


def test_usage_names_what_is_needed_and_what_is_not(tmp_path: Path) -> None:
    def usage(*words: str) -> str:
        return run_forked(*words, "--help", env={}, cwd=tmp_path).out.splitlines()[0]

    assert usage("enqueue") == "Usage: paysync enqueue [OPTIONS] QR..."
    assert usage("check") == "Usage: paysync check [OPTIONS] [QR]..."
    assert usage("pause") == "Usage: paysync pause [OPTIONS] [BANK]"
    assert usage("bank") == "Usage: paysync bank [OPTIONS] COMMAND ..."
    page = run_forked("list", "--help", env={}, cwd=tmp_path).out
    assert "--status pending|processing|active|completed|cancelled|expired" in page
    assert "[default: 50; 1 to 10000]" in page
