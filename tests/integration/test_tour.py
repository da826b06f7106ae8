"""The README's tour: separate terminals, one embedded Redis, one SQLite file; and that README names real commands."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from paysync_cli.cli.commands import names
from paysync_cli.queue.embedded import EmbeddedRedis
from tests.process import PAYSYNC, clean_environment, run_paysync

ROOT = Path(__file__).parents[2]

SCENARIO = """
[[qr]]
id = "QR1"
amount = "100.50"
paid = "+0s"

[[qr]]
id = "QR2"
amount = "20.00"
"""
CSV = "qr_id,amount,due\nQR1,100.50,2099-12-31\nQR2,20.00,2099-12-31\n"


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ps", dir="/tmp") as folder:
        yield Path(folder)
        EmbeddedRedis(Path(folder) / "data" / "redis").stop(force=True)


def test_five_commands_in_separate_terminals(home: Path) -> None:
    (home / "scenario.toml").write_text(SCENARIO)
    (home / "qrs.csv").write_text(CSV)
    env = {"PAYSYNC_HOME": str(home / "data")}
    simulate = [*PAYSYNC, "bank", "simulate", "--port", "0", "--scenario", "scenario.toml"]
    with subprocess.Popen(
        simulate,
        cwd=home,
        env=clean_environment(home, env),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as bank:
        try:
            assert bank.stdout is not None
            block = _block(bank)
            (home / "paysync.toml").write_text(block)
            assert tomllib.loads(block)["banks"]["sim"]["adapter"] == "baneco"
            _walk(home, env)
        finally:
            bank.terminate()
            assert bank.wait(30) == 0


def _walk(home: Path, env: dict[str, str]) -> None:
    imported = run_paysync("import", "qrs.csv", "--json", env=env, cwd=home)
    assert json.loads(imported.out)["data"]["created"] == 2, imported
    worked = run_paysync("worker", "--burst", env=env, cwd=home)
    assert worked.status == 0, worked
    stats = json.loads(run_paysync("stats", "--json", env=env, cwd=home).out)
    assert stats["status"] == "ok"
    assert stats["data"]["statuses"]["completed"] == 1
    assert stats["data"]["statuses"]["pending"] == 1
    assert stats["data"]["jobs"] == {"waiting": 0, "active": 0, "completed": 2, "failed": 0, "delayed": 1}
    assert stats["data"]["where"]["settings_files"] == [str(home / "paysync.toml")]
    shown = run_paysync("show", "QR1", env=env, cwd=home)
    assert shown.status == 0, shown
    for word in ("QR1", "completed", "100.50", "BOB"):
        assert word in shown.out


def _block(bank: subprocess.Popen[str]) -> str:
    """The settings that the simulator prints: everything up to the first empty line after the keys."""
    assert bank.stdout is not None
    lines = []
    for line in bank.stdout:
        lines.append(line)
        if line.startswith("aes_key"):
            break
    return "".join(lines)


def test_readme_names_only_commands_that_exist() -> None:
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"(?:`|^ +\S*)paysync ([a-z][a-z-]+)", text, re.MULTILINE))
    assert named - set(names()) == set()


def test_readme_begins_with_the_version_and_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    first, second = re.findall(r"^    (.+)$", text, re.MULTILINE)[:2]
    assert first == "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/paysync demo"
    assert second == ".venv/bin/pytest"
    assert "Python 3.11 or later (`python3 --version`)" in text.split("\n\n")[1]
