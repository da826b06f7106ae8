"""What is generated and committed: fresh, complete, and read by those it is made for."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.generate import manpages
from docs.generate.enumerations import ENUMERATIONS
from docs.generate.exits import EXITS, OWN_EXITS
from docs.generate.json_keys import DOCUMENTS, keys
from docs.generate.json_page import misfits
from docs.generate.outputs import ROOT
from docs.generate.tree import BANKS, QRS, Command, read_tree
from paysync_cli.errors import PaysyncError
from paysync_cli.settings import load_settings
from paysync_cli.settings.keys import BANK_KEYS, KEYS
from paysync_cli.settings.sources import Folders
from tests.process import TIMEOUT_S, clean_environment

TREE = read_tree()
LEAVES = [one for one in TREE.walk() if not one.members]
PAGES = sorted((ROOT / "man").rglob("*.[15]"))


def test_everything_is_fresh_whoever_generates_it(tmp_path: Path) -> None:
    env = {"PAYSYNC_LANG": "es", "COLUMNS": "40", "TZ": "Asia/Tokyo", "PAYSYNC_CONCURRENCY": "9"}
    done = subprocess.run(
        [sys.executable, "-m", "docs.generate", "--check"], cwd=ROOT, env=clean_environment(tmp_path, env),
        capture_output=True, text=True, encoding="utf-8", timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    old = ", ".join(done.stdout.split())
    assert (done.returncode, old, done.stderr) == (0, "", ""), f"run `python -m docs.generate`: it writes {old}"


# -- the manual


def subclasses(of: type[PaysyncError]) -> set[type[PaysyncError]]:
    return {of, *(deeper for one in of.__subclasses__() for deeper in subclasses(one))}


def test_every_exit_status_is_explained() -> None:
    assert {one.exit_status for one in subclasses(PaysyncError)} <= set(EXITS)
    assert set(OWN_EXITS) <= {one.name for one in LEAVES}
    assert {status for own in OWN_EXITS.values() for status in own} <= set(EXITS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_every_part(page: Path) -> None:
    text = page.read_text()
    parts = ["NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "FILES", "ENVIRONMENT", "SEE ALSO"]
    parts += ["SETTINGS", "BANKS"] if page.suffix == ".5" else ["OPTIONS", "EXIT STATUS"]
    assert {f".SH {part}" for part in parts} <= set(text.splitlines())


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
def test_pages_are_read_at_80_columns_without_a_warning() -> None:
    for page in PAGES:
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=80n", str(page)],
            capture_output=True, text=True, encoding="utf-8", check=True,
        )  # fmt: skip
        assert done.stderr == "", page.name
        assert done.stdout.count("\n") > 20, page.name
        assert [line for line in done.stdout.splitlines() if len(line) > 80] == [], page.name


def words_of(page: str) -> str:
    """A page's text as it is read, except for what makes it bold or breaks a line."""
    text = (ROOT / "man" / page).read_text()
    for spelled, read in {"\\-": "-", "\\(aq": "'", "\\(dq": '"', "\\(ga": "`", "\\e": "\\"}.items():
        text = text.replace(spelled, read)
    return re.sub(r" \\\n +", " ", text)


def test_the_pages_name_every_option_and_setting() -> None:
    root = words_of("man1/paysync.1")
    for command in TREE.members:
        page = words_of(f"man1/paysync-{command.name}.1")
        for one in command.walk():
            for option in one.options:
                assert f"\n.B {', '.join(option.flags)}" in (root if option.everywhere else page), (one.name, option)
                assert all(name in (root if option.everywhere else page) for name in option.variables)
            for line, _remark in one.examples:
                assert f"\n{line}\n" in page
    settings = words_of("man5/paysync.toml.5")
    for key in (*KEYS, *BANK_KEYS):
        assert f"\n.B {key.name}\n" in settings
        assert not key.default or f"Default: {key.default}." in settings
        assert all(name in settings and name in root for name in key.variables)


def test_the_example_of_the_settings_is_right(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("12345678901234567890123456789012")
    text = manpages.SAMPLE.replace("/etc/paysync/baneco.password", str(tmp_path / "secret"))
    (tmp_path / "paysync.toml").write_text(text.replace("/etc/paysync/baneco.aes", str(tmp_path / "secret")))
    settings = load_settings(environ={}, cwd=tmp_path, folders=Folders(tmp_path, tmp_path, None))
    assert settings.concurrency == 20
    assert settings.banks["baneco"].environment == "certification"
    assert "password" in manpages.SAMPLE


# -- what completes


def test_banks_and_qrs_are_asked_for_wherever_one_is_named() -> None:
    def named(command: Command) -> list[tuple[str, str | None]]:
        options = [(option.long, option.asks) for option in command.options]
        return options + [(argument.metavar, argument.asks) for argument in command.arguments]

    found = {(command.name, name): asks for command in LEAVES for name, asks in named(command)}
    assert {asks for (_command, name), asks in found.items() if name in ("--bank", "BANK")} == {BANKS}
    assert {asks for (_command, name), asks in found.items() if name in ("--qr", "QR")} == {QRS}
    assert found["bank show", "NAME"] == BANKS
    assert found["worker-stop", "NAME"] is None


# -- JSON


def test_every_command_has_its_document() -> None:
    assert {one.name for one in LEAVES} | {""} == set(DOCUMENTS), "docs/generate/json_keys.py says what `data` holds"


def test_every_key_holds_something_that_is_known() -> None:
    kinds = {"text", "whole", "number", "bool", "time", "day", "amount", "object", "amounts", *ENUMERATIONS}
    for command in DOCUMENTS:
        rows = keys(command)
        assert {holds.removesuffix("?") for _path, holds, _about in rows} <= kinds, command
        assert len({path for path, _holds, _about in rows}) == len(rows), command


def test_every_key_that_a_view_writes_is_listed() -> None:
    """Also those that no test's document happens to have."""
    listed = {part for command in DOCUMENTS for path, _holds, _about in keys(command) for part in path.split(".")}
    listed = {part.removesuffix("[]") for part in listed}
    for file in sorted((ROOT / "paysync_cli" / "views").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and (node.name in ("data", "rows") or node.name.endswith("fields")):
                written = {
                    key.value
                    for one in ast.walk(node)
                    if isinstance(one, ast.Dict)
                    for key in one.keys
                    if isinstance(key, ast.Constant)
                }
                unlisted = written - listed
                assert not unlisted, f"{file.name}, {node.name}: docs/generate/json_keys.py does not list {unlisted}"


def test_what_is_not_as_the_page_says_is_found() -> None:
    good = {"moved": 1, "next_at": "2026-11-25T13:00:00+00:00"}
    assert misfits("dispatch", good) == []
    assert misfits("dispatch", {**good, "next_at": None}) == []
    for bad in ({"more": 1}, {"moved": None}, {"moved": True}, {"next_at": "2026-11-25"}):
        assert len(misfits("dispatch", {**good, **bad})) == 1, bad
    assert misfits("pause", {"paused": ["a", 1]}) == ["paused[] is 1, not text"]
    assert misfits("explain", {"status": "lost"}) == ["status is 'lost', not status"]
