"""Waiting with an end."""

from __future__ import annotations

import time

_POLL_S = 0.005


class Patience:
    """Time to wait for something: look, `pause()`, look again, until `over`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Start again with the full time: there was progress."""
        self._end = time.monotonic() + self.seconds

    @property
    def over(self) -> bool:
        """True once the time is used up."""
        return time.monotonic() >= self._end

    def pause(self) -> bool:
        """Let a moment pass. False when the time is used up."""
        if self.over:
            return False
        time.sleep(_POLL_S)
        return True
