"""The same stories at every bank that comes with paysync: real workers, real HTTP, one scenario, four wire formats."""

from __future__ import annotations

from datetime import timedelta

import pytest

from paysync_cli.payments.status import Status
from tests.shop import Shop, shop

DIALECTS = ["baneco", "bnb", "sip", "pix"]
CURRENCY = {"pix": "BRL"}
SPEED = 60

PAID, UNPAID, CANCELLED, TROUBLED = (f"{word:a<30}" for word in ("Paid", "Unpaid", "Cancelled", "Troubled"))
OLD, RETURNED, SHORT, LATER = (f"{word:a<30}" for word in ("Old", "Returned", "Short", "Later"))


def told(dialect: str, *qrs: dict[str, object], **more: object) -> dict[str, object]:
    """A scenario in the currency of this bank."""
    currency = CURRENCY.get(dialect, "BOB")
    return {"qr": [{"amount": "10.10", "currency": currency} | qr for qr in qrs], **more}


def due_in(town: Shop, **span: float) -> dict[str, object]:
    with town.runtime() as runtime:
        return {"due_at": runtime.clock.now() + timedelta(**span)}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_fate_through_every_trouble(dialect: str) -> None:
    """Paid, never paid, cancelled, and paid while the bank is down, slow, throttled, under maintenance or out of its
    mind: what is booked is what was paid, and no trouble becomes a state."""
    unlisted = {} if dialect == "bnb" else {"in_list": "never"}  # so that no sweep ends its troubles early
    scenario = told(
        dialect,
        {"id": PAID, "paid": "+70s"},
        {"id": UNPAID},
        {"id": CANCELLED, "cancelled": "+60s"},
        {"id": TROUBLED, "payment": [{"at": "+5s"} | unlisted]},
        fault=[
            {"kind": kind, "on": "status", "qr": TROUBLED, "count": 1, **more}
            for kind, more in (
                ("html", {}),
                ("error_code", {}),
                ("server_error", {"status": 503}),
                ("throttled", {"retry_after": 2}),
                ("status_code", {}),
                ("no_status", {}),
                ("bad_utf8", {}),
                ("truncated", {}),
                ("redirect", {}),
                ("unauthorized", {}),
            )
        ],
    )
    with shop(scenario, speed=SPEED, dialect=dialect) as town:
        town.register(PAID, TROUBLED)
        town.register(UNPAID, CANCELLED, **due_in(town, minutes=6))
        town.start("worker", "--concurrency", "4")
        town.until_final([PAID, UNPAID, CANCELLED, TROUBLED])
        currency = CURRENCY.get(dialect, "BOB")
        assert town.books() == town.bank_says() == {currency: 2 * 1010}
        # BNB has no word for cancelled: such a QR goes on as not used until its time is over.
        gone = Status.EXPIRED if dialect == "bnb" else Status.CANCELLED
        assert {qr_id: town.qr(qr_id).status for qr_id in (PAID, UNPAID, CANCELLED, TROUBLED)} == {
            PAID: Status.COMPLETED,
            UNPAID: Status.EXPIRED,
            CANCELLED: gone,
            TROUBLED: Status.COMPLETED,
        }
        assert town.bank.requests()["calls"]["login"] == 2, "the first one, and one for the 401"
        assert town.story(PAID).reviews == town.story(TROUBLED).reviews == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_refused_credential_stops_and_nothing_is_lost(dialect: str) -> None:
    scenario = told(dialect, {"id": PAID, "paid": "+0s"}, fault=[{"kind": "login_refused"}])
    with shop(scenario, dialect=dialect) as town:
        town.register(PAID, UNPAID)
        town.start("worker", "--burst").wait(60)
        assert town.bank.requests()["calls"] == {"login": 1}
        town.bank.load({"fault": []})
        town.start("worker", "--burst").wait(60)
        assert town.bank.requests()["calls"] == {"login": 1}, "it stays stopped until a person says so"
        town.json("bank", "unlock", "sim", "--reason", "mended")
        town.start("worker", "--burst").wait(60)
        assert town.qr(PAID).status is Status.COMPLETED


@pytest.mark.parametrize("dialect", DIALECTS)
def test_at_the_terminal(dialect: str) -> None:
    """Test, foreground check, sweep and reconcile, where the bank has what they need."""
    lists = dialect in ("baneco", "pix")
    scenario = told(dialect, {"id": PAID, "paid": "+0s"}, {"id": LATER, "paid": "+0s"})
    with shop(scenario, dialect=dialect) as town:
        town.register(PAID, LATER)
        assert town.json("bank", "test", "sim")["outcome"] == "ok"
        town.json("check", PAID)
        assert (town.qr(PAID).status, town.qr(LATER).status) == (Status.COMPLETED, Status.PENDING)
        swept = town.run("sweep", "--json")
        if lists:
            assert swept.status == 0, swept
            assert town.qr(LATER).status is Status.COMPLETED
            assert town.json("reconcile", "--date", "today")["banks"][0]["matched"] == 2
        else:
            assert town.qr(LATER).status is Status.PENDING
        assert town.books() == {CURRENCY.get(dialect, "BOB"): 1010 * (2 if lists else 1)}


def test_bnb_finds_the_payment_of_a_week_old_qr() -> None:
    scenario = told("bnb", {"id": OLD, "issued": "-7d", "payment": [{"at": "+0s", "amount": "9.90"}]})
    with shop(scenario, dialect="bnb") as town:
        with town.runtime() as runtime:
            issued_at = runtime.clock.now() - timedelta(days=7)
        town.register(OLD, issued_at=issued_at)
        town.start("worker", "--burst").wait(60)
        assert town.books() == {"BOB": 990}
        assert town.qr(OLD).status is Status.PROCESSING
        assert [review["reason"] for review in town.story(OLD).reviews] == ["amount_mismatch"]


def test_bnb_waits_for_details_that_come_later() -> None:
    def paid(**more: object) -> dict[str, object]:
        return told("bnb", {"id": LATER, "payment": [{"at": "+0s", "id": "V1", **more}]})

    with shop(paid(in_list="never"), speed=SPEED, dialect="bnb") as town:
        town.register(LATER)
        town.start("worker")
        town.until(lambda: town.qr(LATER).status is Status.PROCESSING)
        assert town.books() == {}
        town.bank.load(paid())
        town.until_final([LATER])
        assert town.books() == town.bank_says() == {"BOB": 1010}


def test_pix_books_what_was_left_of_a_payment() -> None:
    """The official sample: 100.00 asked, 110.00 paid, 10.00 returned."""
    payment = {"at": "+0s", "amount": "110.00", "returned": "10.00"}
    scenario = told("pix", {"id": RETURNED, "amount": "100.00", "payment": [payment]})
    with shop(scenario, dialect="pix") as town:
        town.register(RETURNED, amount=10000)
        town.start("worker", "--burst").wait(60)
        assert town.books() == {"BRL": 10000}
        assert (town.qr(RETURNED).status, town.story(RETURNED).reviews) == (Status.COMPLETED, [])


def test_pix_ends_a_charge_without_a_due_date_by_its_own_expiry() -> None:
    with shop(told("pix", {"id": SHORT, "expires": "+1m"}), speed=SPEED, dialect="pix") as town:
        town.register(SHORT)
        town.start("worker")
        town.until_final([SHORT])
        assert (town.qr(SHORT).status, town.books()) == (Status.EXPIRED, {})


def test_sip_without_an_amount_books_nothing_and_says_so() -> None:
    with shop(told("sip", {"id": PAID, "paid": "+0s"}), dialect="sip") as town:
        town.register(PAID, amount=None)
        town.start("worker", "--burst").wait(60)
        assert (town.qr(PAID).status, town.books()) == (Status.PROCESSING, {})
