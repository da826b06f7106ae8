"""How an error reads: no sentence twice."""

from __future__ import annotations

from paysync_cli.cli.failure import sentences
from paysync_cli.errors import Fault, PaysyncError


def told(error: PaysyncError) -> list[str]:
    return sentences(error, lambda text: text, colour=False).splitlines()


def test_one_fault_is_its_sentence_and_hint() -> None:
    assert told(PaysyncError("It broke.", hint="Mend it.")) == ["error: It broke.", "  Mend it."]


def test_a_heading_stands_above_its_faults() -> None:
    faults = [Fault("a", "First.", "Do this."), Fault("b", "Second.")]
    assert told(PaysyncError("Two failed.", hint="Look.", faults=faults)) == [
        "error: Two failed.", "  First.", "    Do this.", "  Second.", "  Look.",
    ]  # fmt: skip


def test_where_the_first_fault_is_the_heading_each_stands_by_itself() -> None:
    faults = [Fault("a", "First.", "Do this."), Fault("b", "Second.", "Do that.")]
    assert told(PaysyncError("First.", hint="Do this.", faults=faults)) == [
        "error: First.", "  Do this.", "error: Second.", "  Do that.",
    ]  # fmt: skip


def test_a_later_fault_that_repeats_the_heading_leaves_its_hint() -> None:
    faults = [Fault("a", "line 3: bad."), Fault("all", "1 line is wrong.", "Mend it.")]
    assert told(PaysyncError("1 line is wrong.", faults=faults)) == [
        "error: 1 line is wrong.", "  line 3: bad.", "  Mend it.",
    ]  # fmt: skip
