"""How much happens in the day of tests/day.py, and how fast it goes by. Loaded by every test run: it needs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Pace:
    """How much happens in how long: QRs, hours of the day, how many times as fast they go by."""

    qrs: int
    hours: float
    speed: float

    @property
    def whole(self) -> bool:
        """A day as long as real ones, with real settings; a shorter one has shorter plans."""
        return self.hours >= 12

    @property
    def real_s(self) -> float:
        return self.hours * 3600 / self.speed

    @property
    def max_checks(self) -> int:
        return 20 if self.whole else 8

    @property
    def outage(self) -> timedelta:
        return timedelta(hours=1) if self.whole else timedelta(hours=self.hours) * 0.28

    @property
    def due_after(self) -> timedelta:
        return timedelta(minutes=60 if self.whole else 30)

    @property
    def cooldown(self) -> timedelta:
        return timedelta(minutes=60 if self.whole else 20)

    def waves(self) -> list[float]:
        """When QRs are registered; the last ones early enough for their payments to come in."""
        n = 24 if self.whole else 4
        return [(0.8 if self.whole else 0.3) * one / n for one in range(n)]
