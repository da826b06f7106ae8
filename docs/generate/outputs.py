"""Which files are generated, and what belongs into each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from docs.generate import bash, commands, fish, json_page, logs_page, manpages, metrics_page, zsh
from docs.generate.tree import read_tree
from paysync_cli.cli.completion import FILES

ROOT = Path(__file__).parents[2]

# Folders that hold nothing else.
WHOLE = ("completions", "man")


def outputs() -> dict[Path, str]:
    """Every generated file with the text it should have."""
    tree = read_tree()
    scripts = {"bash": bash.script(tree), "zsh": zsh.script(tree), "fish": fish.script(tree)}
    return {
        **{ROOT / "completions" / name: scripts[shell] for shell, name in FILES.items()},
        **{ROOT / "man" / name: text for name, text in manpages.pages(tree).items()},
        ROOT / "docs" / "commands.md": commands.page(tree),
        ROOT / "docs" / "json.md": json_page.page(),
        ROOT / "docs" / "logs.md": logs_page.page(),
        ROOT / "docs" / "metrics.md": metrics_page.page(),
    }


def write(wanted: Mapping[Path, str], changed: Iterable[Path]) -> None:
    """Write what changed, remove what nobody generates any more."""
    for path in changed:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()


def stale(wanted: Mapping[Path, str]) -> list[Path]:
    """The files that are missing, differ, or are left over."""
    there = {path for folder in WHOLE for path in (ROOT / folder).rglob("*") if path.is_file()}
    differing = [path for path, text in wanted.items() if not path.is_file() or path.read_text("utf-8") != text]
    return sorted([*differing, *(there - wanted.keys())])
