"""Waiting until a QR is final: a row is read now and then, nobody is asked and nothing is locked."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from paysync_cli.payments.qr import Qr
from paysync_cli.store import qrs
from paysync_cli.store.database import Database

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0


def until_final(store: Database, qr: Qr, sleep: Callable[[float], None]) -> Iterator[Qr]:
    """The QR as it is now, again and again; its final state comes last. The pauses grow to two seconds."""
    pause_s = FIRST_PAUSE_S
    while True:
        with store.read() as tx:
            qr = qrs.load(tx, [qr.id])[qr.id]
        yield qr
        if qr.status.final:
            return
        sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
