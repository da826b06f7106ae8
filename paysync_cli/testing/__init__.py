"""For the tests of bank adapters: one suite that every adapter passes. Needs pytest:
`pip install 'paysync-cli[testing]'`.

    class TestMyBank(BankContract):
        adapter = MyBank
        ...

`BankContract` says what a class like this must tell. `Wiretap` is the line on which it listens to the adapter.
"""

from __future__ import annotations

from paysync_cli.testing.contract import BankContract, Clock, Desk, PracticeBank
from paysync_cli.testing.wiretap import Request, Wiretap

__all__ = ["BankContract", "Clock", "Desk", "PracticeBank", "Request", "Wiretap"]
