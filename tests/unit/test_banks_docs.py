"""The blocks in docs/banks.md are good configurations, and every adapter that comes with paysync has one."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from paysync_cli.banks import registry
from paysync_cli.runtime.banks import adapter_faults
from paysync_cli.settings import load_settings

TEXT = (Path(__file__).parents[2] / "docs" / "banks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```toml\n(\[banks\.(\w+)\]\n.*?)```", TEXT, re.DOTALL)


def test_every_adapter_with_code_has_a_block() -> None:
    ours = {point.name for point in entry_points(group=registry.GROUP) if point.value.startswith("paysync_cli.")}
    assert {name for _block, name in BLOCKS} == ours - {"http"}


@pytest.mark.parametrize(("block", "name"), BLOCKS, ids=[name for _block, name in BLOCKS])
def test_a_block_is_a_good_configuration(tmp_path: Path, block: str, name: str) -> None:
    (tmp_path / "paysync.toml").write_text(block, encoding="utf-8")
    settings = load_settings(environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert [warning.code for warning in settings.warnings if warning.code != "readable_secrets"] == []
    faults = adapter_faults(settings.banks.values())[name]
    assert [fault.message for fault in faults if "cannot be read" not in fault.message] == []
