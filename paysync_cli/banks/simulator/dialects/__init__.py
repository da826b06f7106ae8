"""The wire formats that the simulated bank speaks, each on its own paths, about the same QRs and payments."""

from __future__ import annotations

from typing import Protocol

from paysync_cli.banks.simulator.bank import SimPayment, SimulatedBank
from paysync_cli.banks.simulator.dialects.baneco import Baneco
from paysync_cli.banks.simulator.dialects.bnb import Bnb
from paysync_cli.banks.simulator.dialects.pix import Pix
from paysync_cli.banks.simulator.dialects.sip import Sip
from paysync_cli.banks.simulator.scenario import Credential, FaultPlan
from paysync_cli.banks.simulator.talk import Asked, Call, Out


class Dialect(Protocol):
    """One wire format."""

    @property
    def name(self) -> str:
        """As `--dialect` calls it, and the adapter that understands it."""
        ...

    def understand(self, asked: Asked) -> Call | None:
        """What a request wants; None when it is not of this dialect."""
        ...

    def answer(self, bank: SimulatedBank, call: Call, override: FaultPlan | None = None) -> Out:
        """The answer to a call; `override` is a fault that only changes the status of a QR."""
        ...

    def refusal(self, fault: FaultPlan) -> Out:
        """The answer to any call that says, readably, that something is wrong."""
        ...

    def settings(self, url: str, credential: Credential) -> dict[str, str]:
        """The keys of the `[banks.<name>]` block of a bank that is asked in this dialect at `url`."""
        ...

    def number_of(self, payment: SimPayment) -> str:
        """The bank's number of a payment, as it is told in this dialect."""
        ...

    def notice(self, bank: SimulatedBank, payment: SimPayment) -> tuple[str, object]:
        """What the bank appends to the shop's address when it gives notice of a payment, and the JSON that it sends."""
        ...

    def notice_taken(self, status: int, answer: dict[str, object]) -> bool:
        """Whether this answer to a notice is the one that the bank expects."""
        ...


DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (Baneco(), Bnb(), Sip(), Pix())}
