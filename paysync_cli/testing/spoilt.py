"""A good answer with each of its fields in turn taken away or made junk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from paysync_cli.banks.wire import compact_json

# What no field of an answer may become without being noticed: none of these is a status, an amount or an id.
JUNK: tuple[object, ...] = (None, True, [], {}, "", "?!", "12,50", "1e3", "-1", [["x"]], {"x": None})


def spoilt(value: object) -> Iterator[tuple[str, bytes]]:
    """The JSON value with each of its leaves and branches in turn taken away or replaced."""
    for steps in _places(value):
        for junk in JUNK:
            yield f"{steps} = {junk!r}", _dump(_replaced(value, steps, junk))
        if isinstance(steps[-1], str):
            yield f"{steps} is missing", _dump(_replaced(value, steps, ...))


def _places(value: object, steps: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items: Sequence[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for key, inner in items:
        yield (*steps, key)
        yield from _places(inner, (*steps, key))


def _replaced(value: Any, steps: Sequence[str | int], junk: object) -> Any:
    if not steps:
        return junk
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[steps[0]] = _replaced(copy[steps[0]], steps[1:], junk)
    if copy[steps[0]] is ...:
        del copy[steps[0]]
    return copy


def _dump(value: object) -> bytes:
    return compact_json(value, limit=1 << 30).encode()
