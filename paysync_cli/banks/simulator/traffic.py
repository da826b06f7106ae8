"""Counting what the simulated bank was asked, so that a test can say "one call per QR" or "at most two logins"."""

from __future__ import annotations

from collections import Counter, deque
from datetime import UTC, datetime

RECENT = 1000  # requests kept one by one
MAX_QRS = 200_000  # distinct QRs counted one by one


class Traffic:
    """Counts of the bank's own calls; the control interface is not counted."""

    def __init__(self) -> None:
        self.total = 0
        self.in_flight = 0
        self.max_in_flight = 0
        self._calls: Counter[str] = Counter()
        self._statuses: dict[str, Counter[str]] = {}
        self._qrs: Counter[str] = Counter()
        self._recent: deque[tuple[datetime, str, str, str]] = deque(maxlen=RECENT)

    def begin(self, call: str, subject: str) -> None:
        """A call arrived."""
        self.total += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        self._calls[call] += 1
        if call == "status" and (subject in self._qrs or len(self._qrs) < MAX_QRS):
            self._qrs[subject] += 1

    def end(self, call: str, subject: str, outcome: str, at: datetime) -> None:
        """It was answered, or not: `outcome` is the HTTP status, or the fault that left it unanswered."""
        self.in_flight -= 1
        self._statuses.setdefault(call, Counter())[outcome] += 1
        self._recent.append((at, call, subject, outcome))

    def report(self) -> dict[str, object]:
        """`{"total", "in_flight", "max_in_flight", "calls": {call: n}, "outcomes": {call: {"200": n}}, "qrs": {id: n},
        "recent": [{"at", "call", "subject", "outcome"}]}`; `at` is when the answer went out."""
        return {
            "total": self.total,
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "calls": dict(self._calls),
            "outcomes": {call: dict(counts) for call, counts in self._statuses.items()},
            "qrs": dict(self._qrs),
            "recent": [
                {"at": at.astimezone(UTC).isoformat(), "call": call, "subject": subject, "outcome": outcome}
                for at, call, subject, outcome in self._recent
            ],
        }
