"""Every command line in README, docs/ and deploy/ is one that paysync takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_lines import Line, fault_of, in_page, in_shell

ROOT = Path(__file__).parents[2]
WRITTEN = ("commands.md",)  # by the command tree itself: usage lines, not calls
PAGES = sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "bench" / "README.md"])
PAGES = [page for page in PAGES if page.name not in WRITTEN]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_line_of_the_page_parses(page: Path) -> None:
    found = list(in_page(page.read_text()))
    faults = {line.text: fault for line in found if (fault := fault_of(line)) is not None}
    assert faults == {}


def test_the_pages_for_operators_hold_lines_to_paste() -> None:
    for name in ("operations.md", "from-bullmq.md", "faq.md", "security.md"):
        assert sum(line.whole for line in in_page((ROOT / "docs" / name).read_text())) >= 3, name


def test_lines_are_found_wherever_they_stand() -> None:
    text = (
        "See `paysync stats --nope` and `paysync`.\n\n    $ X=1 sudo -u paysync /opt/bin/paysync list --due | head -3\n"
    )
    text += (
        "\n```\nfind . && paysync import - \\\n  --bank b < file 2>&1 | tee log # paysync no\n```\npaysync in prose\n"
    )
    assert list(in_page(text)) == [
        Line("paysync stats --nope", ("stats", "--nope"), False),
        Line("paysync", (), False),
        Line("X=1 sudo -u paysync /opt/bin/paysync list --due", ("list", "--due"), True),
        Line("paysync import - --bank b", ("import", "-", "--bank", "b"), True),
    ]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("paysync stats --nope", "There is no option --nope."),
        ("paysync bank shown", "paysync bank has no command 'shown'."),
        ("paysync worker --concurrency many", "--concurrency: 'many' is not a whole number."),
        ("paysync stats extra", "Too many arguments: extra"),
        ("paysync bank show", "NAME is missing."),
    ],
)
def test_a_wrong_line_is_told(line: str, fault: str) -> None:
    (found,) = in_shell(line)
    assert fault in (fault_of(found) or "")


def test_a_sentence_may_leave_out_but_not_invent() -> None:
    def named(line: str) -> str | None:
        (found,) = in_page(f"`{line}`")
        return fault_of(found)

    assert named("paysync bank show") is None
    assert named("paysync serve --port P") is None
    assert named("paysync bank show --nope") is not None
    assert named("paysync serve --port high") is not None
