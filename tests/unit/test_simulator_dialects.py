"""What a scenario says that the bank answers is what it answers, in whatever dialect."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from paysync_cli.banks.simulator.dialects import DIALECTS
from paysync_cli.banks.simulator.scenario import read_scenario

NOW = datetime(2031, 6, 14, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", ["error_code", "login_refused"])
def test_a_refusal_carries_the_scenarios_words(dialect: str, kind: str) -> None:
    scenario = read_scenario({"fault": [{"kind": kind, "message": "palabras del banco"}]}, NOW)
    assert scenario.faults is not None
    assert b"palabras del banco" in DIALECTS[dialect].refusal(scenario.faults[0]).body
