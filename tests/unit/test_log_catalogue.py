"""The catalogue of log events and the code say the same."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import paysync_cli
from paysync_cli.cli import log_events

PACKAGE = Path(paysync_cli.__file__).parent
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
SILENT = ("isEnabledFor", "addFilter")


@dataclass(frozen=True)
class Call:
    """A call that logs: which events it can mean, at which level (None: decided as it runs), with which fields."""

    place: str
    events: frozenset[str]
    level: str | None
    fields: frozenset[str]


def log_calls() -> Iterator[Call]:
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if ast.unparse(node.func.value) != "log" or node.func.attr in SILENT:
                continue
            extra = next((one.value for one in node.keywords if one.arg == "extra"), None)
            place = f"{path.relative_to(PACKAGE)}:{node.lineno}"
            told = _dict(extra, tree, node.lineno)
            yield Call(place, _events(told), LEVELS.get(node.func.attr), frozenset(told) - {"event_name"})


def _dict(node: ast.expr | None, tree: ast.Module, line: int) -> Mapping[str, ast.expr]:
    """The literal fields of a dict, also of one that a variable holds."""
    if isinstance(node, ast.Name):
        values = [
            one.value
            for one in ast.walk(tree)
            if isinstance(one, ast.Assign) and one.lineno < line and ast.unparse(one.targets[0]) == node.id
        ]
        node = values[-1] if values else None
    if not isinstance(node, ast.Dict):
        return {}
    return {key.value: value for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant)}  # fmt: skip


def _events(told: Mapping[str, ast.expr]) -> frozenset[str]:
    name = told.get("event_name")
    return frozenset(one.value for one in ast.walk(name) if isinstance(one, ast.Constant)) if name else frozenset()


CALLS = list(log_calls())


@pytest.mark.parametrize("call", CALLS, ids=[call.place for call in CALLS])
def test_a_line_is_an_event_of_the_catalogue(call: Call) -> None:
    assert call.events, f"{call.place} logs without an event_name"
    for name in call.events:
        event = log_events.OF.get(name)
        assert event is not None, f"{call.place}: put {name} into cli/log_events.py"
        if call.level is not None:
            assert call.level in event.levels.split(", "), call.place
        assert call.fields <= set(event.fields) | {"worker"}, call.place


def test_no_event_is_only_in_the_catalogue() -> None:
    logged = {name for call in CALLS for name in call.events}
    assert [event.name for event in log_events.EVENTS if event.name not in logged] == []


def test_every_level_of_the_catalogue_is_logged() -> None:
    for event in log_events.EVENTS:
        levels = {call.level for call in CALLS if event.name in call.events}
        assert None in levels or levels == set(event.levels.split(", ")), event.name


def test_names_are_there_once_and_every_field_is_explained() -> None:
    assert len(log_events.OF) == len(log_events.EVENTS)
    used = {field for event in log_events.EVENTS for field in event.fields}
    assert used == set(log_events.FIELDS)
