"""What the doctor says of alerts: nobody told, cannot be told, not told yet."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from paysync_cli.errors import Fault
from paysync_cli.services.doctor.alerts import PATIENCE, AlertFacts, judge
from tests.core import NOW

LATE = NOW - PATIENCE - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({"addresses": 0}, [("no_address", "ok")]),
        ({}, [("delivered", "ok")]),
        ({"undelivered": 2, "oldest_at": NOW}, [("delivered", "ok")]),  # under way
        ({"undelivered": 2, "oldest_at": LATE}, [("undelivered", "warning")]),
        ({"undelivered": 1, "oldest_at": NOW, "errors": ("no answer within 30 s",)}, [("undelivered", "warning")]),
        ({"errors": ("refused",)}, [("delivered", "ok")]),  # it failed, and nothing waits
        ({"faults": (Fault("apprise_missing", "It is not installed.", None),)}, [("apprise_missing", "fault")]),
    ],
)
def test_findings(facts: dict[str, Any], found: list[tuple[str, str]]) -> None:
    seen = judge(AlertFacts(**{"now": NOW, "addresses": 1} | facts))
    assert [(one.code, one.level.value) for one in seen] == found
    assert all(one.mend is not None for one in seen if one.level.value != "ok")


def test_the_cause_is_in_the_sentence_once() -> None:
    (one,) = judge(AlertFacts(NOW, 2, undelivered=3, oldest_at=LATE, errors=("HTTP 500.",)))
    assert one.text == "3 alerts are not delivered: HTTP 500."
    assert one.mend == "paysync alert test"
