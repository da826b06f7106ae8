"""`docs/writing-a-bank.md`: its blocks are the example package, its settings are read, its console is what one sees."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest

import paysync_cli.banks
from paysync_cli.banks import registry
from tests.examplebank import PACKAGE, install
from tests.home import new_home

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-bank.md"
CONTRACT = Path(__file__).parents[1] / "contract" / "test_bank_contract_thirdparty.py"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_every_block_is_of_a_kind_that_is_tried() -> None:
    fences = re.findall(r"^```(.*)$", PAGE.read_text(), re.MULTILINE)
    assert set(fences[::2]) == {"toml", "python", "console"}
    assert (len(blocks("toml")), len(blocks("console"))) == (2, 1)


def test_the_pieces_are_the_whole_file() -> None:
    """Each piece stands at the margin of the page, wherever it stands in the file."""
    pieces = [line.strip() for block in blocks("python")[:-1] for line in block.splitlines()]
    file = [line.strip() for line in (PACKAGE / "paysync_examplebank" / "bank.py").read_text().splitlines()]
    assert [line for line in pieces if line] == [line for line in file if line]
    assert blocks("toml")[0] == (PACKAGE / "pyproject.toml").read_text()


def test_its_test_is_the_one_that_runs() -> None:
    assert CONTRACT.read_text().endswith("\n" + blocks("python")[-1])


def test_every_public_name_is_there_and_told_of() -> None:
    for name in paysync_cli.banks.__all__:
        assert getattr(paysync_cli.banks, name) is not None
        assert f"`{name}`" in (paysync_cli.banks.__doc__ or ""), name
    assert set(paysync_cli.banks.__all__) >= set(re.findall(r"^    (\w+),$", blocks("python")[0], re.MULTILINE))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = paysync_cli.banks.nothing
    assert registry.GROUP in tomllib.loads(blocks("toml")[0])["project"]["entry-points"]


def test_the_settings_and_the_console(tmp_path: Path) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__"))
    install(source, installed)
    env = {"PYTHONPATH": str(installed)}
    with new_home() as home:
        settings = home.folder / "paysync.toml"
        settings.write_text(blocks("toml")[1])
        settings.chmod(0o600)
        ended = home.run("config", "check", **env)
        assert (ended.status, ended.out) == (0, f"read: {settings}\nThe settings are right. Banks: shopbank.\n")
        assert home.run("enqueue", "A", **env).status == 0
        module = installed / "paysync_examplebank" / "bank.py"
        module.write_text(module.read_text().replace("protocol = PROTOCOL", "protocol = 7"))
        command, _line_end, expected = blocks("console")[0].partition("\n")
        ended = home.run(*command.removeprefix("$ paysync ").split(), **env)
        assert (ended.status, ended.err) == (0, "")
        assert [line.split() for line in ended.out.splitlines()] == [line.split() for line in expected.splitlines()]
