"""The transition table, spelled out."""

from __future__ import annotations

import pytest

from paysync_cli.payments.status import FINAL, Priority, Status, may_move

# From each status (row) to each other one: Y may, . may not. Staying is always allowed.
TABLE = """
              pending processing active completed cancelled expired
pending       Y       Y          Y      Y         Y         Y
processing    .       Y          .      Y         Y         Y
active        .       Y          Y      Y         Y         Y
completed     .       .          .      Y         .         .
cancelled     .       .          .      Y         Y         .
expired       .       .          .      Y         Y         Y
"""


def _cells() -> list[tuple[Status, Status, bool]]:
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    return [
        (Status(row[0]), Status(column), cell == "Y")
        for row in rows
        for column, cell in zip(head, row[1:], strict=True)
    ]


def test_the_table_names_every_pair_of_statuses() -> None:
    pairs = {(old, new) for old, new, _may in _cells()}
    assert pairs == {(old, new) for old in Status for new in Status}


@pytest.mark.parametrize(("old", "new", "may"), _cells())
def test_a_status_moves_only_as_the_table_says(old: Status, new: Status, may: bool) -> None:
    assert may_move(old, new) is may


def test_no_way_leads_round_in_a_circle() -> None:
    """Forward only: whatever is left is never reached again."""
    for start in Status:
        reached = set[Status]()
        waiting = [new for new in Status if new is not start and may_move(start, new)]
        while waiting:
            status = waiting.pop()
            if status not in reached:
                reached.add(status)
                waiting += [new for new in Status if new is not status and may_move(status, new)]
        assert start not in reached


def test_three_statuses_are_final() -> None:
    assert {status for status in Status if status.final} == set(FINAL) == {"completed", "cancelled", "expired"}


def test_the_most_urgent_priority_ranks_first() -> None:
    assert sorted(Priority, key=lambda priority: priority.rank) == ["high", "medium", "low"]


def test_the_words_that_live_in_sql_and_json_are_frozen() -> None:
    assert [status.value for status in Status] == [
        "pending", "processing", "active", "completed", "cancelled", "expired"
    ]  # fmt: skip
