"""The simulated bank as the practice bank of the adapters' contract, in each of its dialects."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from urllib.parse import urlsplit

from paysync_cli.banks.simulator import RunningSimulator
from paysync_cli.testing import Clock


class SimulatedPractice:
    """One simulated bank, asked in one dialect."""

    def __init__(self, sim: RunningSimulator, dialect: str) -> None:
        self.sim = sim
        self.dialect = dialect
        self.url = sim.settings(dialect)["base_url"]

    def issue(self, qr_id: str, amount: str | None, currency: str) -> None:
        qr = {"id": qr_id, "amount": amount, "currency": currency}
        self.sim.load({"qr": [{key: value for key, value in qr.items() if value is not None}]})

    def pay(self, qr_id: str, amount: str, currency: str) -> str:
        return self.sim.number(self.sim.pay(qr_id, amount, currency), self.dialect)

    def cancel(self, qr_id: str) -> None:
        self.sim.cancel(qr_id)

    def expire(self, qr_id: str) -> None:
        self.sim.expire(qr_id)

    def expire_tokens(self) -> None:
        self.sim.expire_tokens()

    def options(self, url: str) -> dict[str, str]:
        """The adapter's own keys, with every address led over `url`."""
        there = urlsplit(url)
        options = self.sim.profile_options(self.dialect)
        return {key: value.replace(self.sim.url, f"http://{there.netloc}") for key, value in options.items()}


@contextlib.contextmanager
def simulated_practice(clock: Clock, dialect: str) -> Iterator[SimulatedPractice]:
    with RunningSimulator({"unknown_qrs": "unknown"}, now=clock) as sim:
        yield SimulatedPractice(sim, dialect)
