"""The demo's cast: twenty QRs with every fate, what the simulated bank will do to each, and whether the books agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from paysync_cli.language import _
from paysync_cli.payments.money import parse_amount
from paysync_cli.payments.qr import Qr
from paysync_cli.payments.schedule import Rhythm
from paysync_cli.payments.status import Status
from paysync_cli.services.register import Request, enqueue
from paysync_cli.store import ledger, qrs, reviews
from paysync_cli.store.database import Database

BANK = "sim"
ACCOUNT = "shop"
CURRENCY = "BOB"
SPEED = 120.0  # a second of the demo is two minutes
LASTS = timedelta(minutes=40)
BANK_DOWN = ("+600s", "+780s")
LATE_QR = "DEMO-16"


@dataclass(frozen=True)
class Fate:
    """One QR: what it is, what happens to it at the bank (the scenario's words), and how it must end."""

    qr_id: str
    story: str
    amount: str
    ends: Status
    pays: tuple[Mapping[str, Any], ...] = ()
    due_min: float | None = None
    cancelled: str | None = None
    multi_use: bool = False
    faults: tuple[Mapping[str, Any], ...] = field(default=())


def _paid(qr_id: str, amount: str, at: str, story: str) -> Fate:
    return Fate(qr_id, story, amount, Status.COMPLETED, ({"at": at},))


def cast() -> tuple[Fate, ...]:
    """The twenty, in the order of the table."""
    done, open_ = Status.COMPLETED, Status.PROCESSING
    return (
        _paid("DEMO-01", "35.00", "+0s", _("paid at once")),
        _paid("DEMO-02", "120.50", "+60s", _("paid after a minute")),
        _paid("DEMO-03", "18.90", "+150s", _("paid in the third minute")),
        _paid("DEMO-04", "240.00", "+200s", _("paid while expected")),
        _paid("DEMO-05", "9.99", "+310s", _("paid while expected")),
        _paid("DEMO-06", "77.77", "+430s", _("paid while expected")),
        _paid("DEMO-07", "599.80", "+840s", _("paid much later")),
        _paid("DEMO-08", "1250.00", "+1300s", _("found by the day list")),
        _paid("DEMO-09", "64.10", "+660s", _("paid while bank is down")),
        Fate("DEMO-10", _("underpaid: 90 of 100"), "100.00", open_, ({"at": "+100s", "amount": "90.00"},)),
        Fate("DEMO-11", _("paid in two parts"), "100.00", done,
             ({"at": "+90s", "amount": "60.00"}, {"at": "+500s", "amount": "40.00"})),
        Fate("DEMO-12", _("overpaid: 110 for 100"), "100.00", done, ({"at": "+130s", "amount": "110.00"},)),
        Fate("DEMO-13", _("paid in dollars"), "70.00", open_, ({"at": "+170s", "amount": "10.00", "currency": "USD"},)),
        Fate("DEMO-14", _("paid twice"), "45.50", done, ({"at": "+30s"}, {"at": "+700s"})),
        Fate("DEMO-15", _("multi-use, paid 3 times"), "20.00", Status.EXPIRED,
             ({"at": "+70s"}, {"at": "+490s"}, {"at": "+1100s"}), due_min=26, multi_use=True),
        Fate(LATE_QR, _("paid after it expired"), "88.00", done, ({"at": "+1020s"},), due_min=7),
        Fate("DEMO-17", _("never paid"), "150.00", Status.EXPIRED, due_min=17),
        Fate("DEMO-18", _("cancelled at the bank"), "33.00", Status.CANCELLED, cancelled="+220s"),
        Fate("DEMO-19", _("HTML instead of answers"), "52.20", done, ({"at": "+20s"},),
             faults=({"kind": "html", "on": "status", "count": 2},)),
        Fate("DEMO-20", _("too many requests"), "41.00", done, ({"at": "+40s"},),
             faults=({"kind": "throttled", "on": "status", "count": 1, "retry_after": 30},)),
    )  # fmt: skip


def scenario(fates: Sequence[Fate]) -> dict[str, Any]:
    """What the simulated bank is told."""
    started, ended = BANK_DOWN
    faults: list[dict[str, Any]] = [{"kind": "down", "on": "all", "from": started, "until": ended}]
    for fate in fates:
        faults += [{"qr": fate.qr_id, **fault} for fault in fate.faults]
    return {"qr": [_qr(fate) for fate in fates], "fault": faults, "token_lifetime": "30m"}


def _qr(fate: Fate) -> dict[str, Any]:
    told: dict[str, Any] = {"id": fate.qr_id, "amount": fate.amount, "multi_use": fate.multi_use}
    if fate.pays:
        told["payment"] = [dict(payment) for payment in fate.pays]
    if fate.cancelled is not None:
        told["cancelled"] = fate.cancelled
    return told


def register_all(store: Database, fates: Sequence[Fate], *, environment: str, rhythm: Rhythm, now: datetime) -> None:
    """Register the cast, as the shop would."""
    requests = [
        Request(
            qr_id=fate.qr_id,
            amount=parse_amount(fate.amount, CURRENCY),
            currency=CURRENCY,
            account=ACCOUNT,
            due_at=now + timedelta(minutes=fate.due_min) if fate.due_min is not None else None,
            multi_use=fate.multi_use,
            issued_at=now,
        )
        for fate in fates
    ]
    enqueue(store, requests, bank=BANK, environment=environment, rhythm=rhythm, now=now)


@dataclass(frozen=True, slots=True)
class Seen:
    """One of the cast as our books have it now; `paid` is what came per currency, in minor units."""

    fate: Fate
    qr: Qr
    paid: Mapping[str, int]
    reviews: tuple[str, ...]

    @property
    def as_told(self) -> bool:
        return self.qr.status is self.fate.ends


@dataclass(frozen=True, slots=True)
class DemoReport:
    """The cast, what our books say came in, and what the bank says was paid: per currency, in minor units."""

    seen: tuple[Seen, ...]
    books: Mapping[str, int]
    balances: Mapping[str, int]
    bank: Mapping[str, int]

    @property
    def agrees(self) -> bool:
        """Whether every amount adds up, to the cent."""
        return dict(self.books) == dict(self.bank) == dict(self.balances)

    @property
    def complete(self) -> bool:
        """Whether every QR ended as its story tells."""
        return self.agrees and all(one.as_told for one in self.seen)


def observe(store: Database, fates: Sequence[Fate], bank_totals: Mapping[str, str]) -> DemoReport:
    """Read the books. `bank_totals` are the simulator's totals per currency, as text."""
    with store.read() as tx:
        rows = {qr.qr_id: qr for fate in fates for qr in qrs.by_qr_id(tx, fate.qr_id)}
        movements = ledger.of(tx, (qr.id for qr in rows.values()))
        balances = {balance.currency: balance.amount for balance in ledger.balances(tx)}
        reasons: dict[str, list[str]] = defaultdict(list)
        for review in reviews.page(tx, reviews.Wanted(limit=200))[0]:
            reasons[review.qr_id].append(review.reason)
    books: dict[str, int] = defaultdict(int)
    seen = []
    for fate in fates:
        qr, paid = rows[fate.qr_id], defaultdict[str, int](int)
        for movement in movements.get(qr.id, ()):
            paid[movement.currency] += movement.amount
            books[movement.currency] += movement.amount
        seen.append(Seen(fate, qr, paid, tuple(sorted(reasons[fate.qr_id]))))
    bank = {currency: parse_amount(total, currency) for currency, total in bank_totals.items()}
    return DemoReport(tuple(seen), books, balances, bank)
