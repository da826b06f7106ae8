"""For commands that change something step by step."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from paysync_cli.cli.session import Session


@contextlib.contextmanager
def counted(
    session: Session, total: int | None, title: str, so_far: Callable[[int], str]
) -> Iterator[Callable[[int], None]]:
    """A progress bar over work in short steps; `so_far` is told when it is cut short, by Ctrl-C as by an error.

    The first INT or TERM waits for the end of the step, so that the count is right; the second does not.
    """
    done = 0

    def step(n: int) -> None:
        nonlocal done
        done += n
        bar.advance(n)
        patience.heed()

    try:
        with _Patience() as patience, session.progress(total, title) as bar:
            yield step
    except BaseException:
        if done:
            session.say(so_far(done))
        raise


class _Patience:
    """Keeps the first INT or TERM until `heed` or the end."""

    def __init__(self) -> None:
        self._before: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._came: int | None = None

    def __enter__(self) -> _Patience:
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if callable(handler):  # else it is ignored or not ours to handle
                self._before[number] = handler
                signal.signal(number, self._keep)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None:
            self.heed()

    def heed(self) -> None:
        """Let the signal that came have its effect: it raises."""
        if self._came is not None:
            number, self._came = self._came, None
            self._before[number](number, None)

    def _keep(self, number: int, frame: FrameType | None) -> None:
        if self._came is not None:
            self._before[number](number, frame)
        self._came = number
