"""The wheel puts manual and completions where `man` and the shells look, and its paysync prints the same scripts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from paysync_cli.cli.completion import FILES
from tests.process import run_paysync

ROOT = Path(__file__).parents[2]
PLACES = {
    "bash": "share/bash-completion/completions/paysync",
    "zsh": "share/zsh/site-functions/_paysync",
    "fish": "share/fish/vendor_completions.d/paysync.fish",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix of an installation without its dependencies; needs no network."""
    built, prefix = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("prefix")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = built.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--ignore-installed",
               "--disable-pip-version-check", "--no-compile", "--prefix", str(prefix), str(wheel)]  # fmt: skip
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    return prefix


def test_the_manual_is_where_man_looks(installed: Path) -> None:
    there = {path.relative_to(installed / "share"): path.read_text() for path in installed.glob("share/man/*/*")}
    assert there == {path.relative_to(ROOT): path.read_text() for path in ROOT.glob("man/*/*")}
    assert {Path("man/man1/paysync.1"), Path("man/man1/paysync-list.1"), Path("man/man5/paysync.toml.5")} <= set(there)


@pytest.mark.parametrize("shell", PLACES)
def test_completions_are_where_the_shell_looks(installed: Path, tmp_path: Path, shell: str) -> None:
    committed = (ROOT / "completions" / FILES[shell]).read_text()
    assert (installed / PLACES[shell]).read_text() == committed
    (packages,) = installed.glob("lib/python*/site-packages")
    assert (packages / "paysync_cli" / "completions" / FILES[shell]).is_file()
    told = run_paysync("completion", shell, cwd=tmp_path, env={"PYTHONPATH": str(packages)})
    assert (told.status, told.out) == (0, committed), told
    where = [sys.executable, "-c", "import paysync_cli; print(paysync_cli.__file__)"]
    found = subprocess.run(
        where, env={"PYTHONPATH": str(packages)}, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith(str(packages))
