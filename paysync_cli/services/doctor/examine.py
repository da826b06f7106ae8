"""All areas side by side, each with its own end: whatever hangs, there is an answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from paysync_cli.errors import PaysyncError
from paysync_cli.language import _
from paysync_cli.services.doctor.finding import Finding, fault

PATIENCE_S = 6.0


@dataclass(frozen=True, slots=True)
class Area:
    """`look` gathers and judges; `what` names for people the thing that may hang, `mend` helps then."""

    name: str
    what: str
    look: Callable[[], Sequence[Finding]]
    mend: str


def examine(areas: Sequence[Area], patience_s: float = PATIENCE_S) -> list[Finding]:
    """What each area finds, in the given order. One that is not done in time is a fault and is left behind."""
    found: list[Sequence[Finding] | None] = [None] * len(areas)

    def look(place: int) -> None:
        found[place] = _look(areas[place])

    threads = [threading.Thread(target=look, args=(n,), name=area.name, daemon=True) for n, area in enumerate(areas)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + patience_s
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return [finding for n, area in enumerate(areas) for finding in found[n] or _silent(area, found[n], patience_s)]


def _look(area: Area) -> Sequence[Finding]:
    try:
        return area.look()
    except PaysyncError as error:
        return [fault(area.name, error.code, error.message, error.hint or area.mend)]
    except Exception as error:  # one area that breaks must not hide the others
        text = _("{what} could not be examined: {error}").format(
            what=area.what, error=f"{type(error).__name__}: {error}"
        )
        return [fault(area.name, "not_examined", text, area.mend)]


def _silent(area: Area, found: Sequence[Finding] | None, patience_s: float) -> Iterator[Finding]:
    if found is None:
        text = _("{what} did not answer within {n:g} s.").format(what=area.what, n=patience_s)
        yield fault(area.name, "no_answer", text, area.mend)
