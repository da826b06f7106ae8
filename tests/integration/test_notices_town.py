"""Paid -> notice -> check -> booked once: the simulated bank, `paysync serve --notify` and a worker, all real."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import pytest

from paysync_cli.payments.status import PlanState, Status
from tests.served import SECRET, serving
from tests.shop import Shop, shop

USER, PASSWORD = "the-bank", "a-password-of-the-bank"
DIALECTS = ("baneco", "bnb", "sip", "pix")
QUIET, OTHER = "QUIETQRQUIETQRQUIETQRQUIETQR", "OTHERQROTHERQROTHERQROTHERQR"


def asked_once_and_quiet(town: Shop, *ids: str) -> None:
    """QRs that were asked at once, long after their issue, and would not be asked again for a quarter of an hour."""
    with town.runtime() as runtime:
        issued_at = runtime.clock.now() - timedelta(hours=1)
    town.register(*ids, issued_at=issued_at)
    for qr_id in ids:
        town.until(lambda qr_id=qr_id: town.qr(qr_id).plan.checks == 1, pause_s=0.1)
        assert (town.qr(qr_id).status, town.qr(qr_id).plan.state) == (Status.ACTIVE, PlanState.PLANNED)


@contextlib.contextmanager
def told_by(town: Shop, dialect: str, *, copies: int = 1) -> Iterator[None]:
    """The bank gives notice of each payment to a server of ours, as this one proves who it is."""
    env = {"PAYSYNC_BANK_SIM_NOTICE_USERNAME": USER, "PAYSYNC_BANK_SIM_NOTICE_PASSWORD": PASSWORD}
    with serving(town, "--notify", **env) as server:
        with_password = server.url.replace("://", f"://{USER}:{PASSWORD}@") + "/notify/sim"
        url = with_password if dialect == "sip" else f"{server.url}/notify/sim/{SECRET}"
        town.bank.load({"notify": {"url": url, "dialect": dialect, "copies": copies}})
        yield


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_payment_is_booked_because_of_its_notice(dialect: str) -> None:
    with shop({"qr": [{"id": QUIET, "amount": "10.10", "issued": "-1h"}]}, dialect=dialect) as town:
        with told_by(town, dialect, copies=3):
            town.start("worker")
            asked_once_and_quiet(town, QUIET)
            town.bank.pay(QUIET, "10.10", "BRL" if dialect == "pix" else None)
            town.until_final([QUIET])
            town.until(lambda: town.bank.notices()["taken"] == 3)
        qr = town.qr(QUIET)
        assert (qr.status, qr.plan.checks) == (Status.COMPLETED, 1), "the check that the notice asked for is free"
        assert town.books() == town.bank_says() == {"BRL" if dialect == "pix" else "BOB": 1010}
        assert len(town.story(QUIET).movements) == 1
        assert town.json("show", QUIET)["notified_at"] is not None
        assert town.status_calls()[QUIET] == 2, "three copies are one check"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_money_that_comes_after_the_end_is_booked_because_of_its_notice(dialect: str) -> None:
    """Nobody would ask about an expired QR any more, and the lists of two of these banks would not tell."""
    scenario = {"qr": [{"id": QUIET, "amount": "10.10", "issued": "-1h"}]}
    with shop(scenario, dialect=dialect, env={"PAYSYNC_SYNC_INTERVAL": "600"}) as town:
        with told_by(town, dialect):
            town.start("worker")
            with town.runtime() as runtime:
                now = runtime.clock.now()
            town.register(QUIET, issued_at=now - timedelta(hours=1), due_at=now - timedelta(minutes=30))
            town.until(lambda: town.qr(QUIET).status is Status.EXPIRED, pause_s=0.1)
            town.bank.pay(QUIET, "10.10", "BRL" if dialect == "pix" else None)
            town.until(lambda: town.qr(QUIET).status is Status.COMPLETED, pause_s=0.1)
        assert town.qr(QUIET).plan.state is PlanState.DONE
        assert town.books() == town.bank_says() == {"BRL" if dialect == "pix" else "BOB": 1010}
        assert [one["reason"] for one in town.story(QUIET).reviews] == ["late_payment"]
        assert town.status_calls()[QUIET] == 2


def test_a_notice_alone_books_nothing() -> None:
    """Somebody who knows the secret tells of a payment that never was: the bank is asked, and says so."""
    told = {"payment": {"qrId": QUIET, "transactionId": "900001", "amount": 10.10, "currency": "BOB"}}
    with shop() as town, serving(town, "--notify") as server:
        town.start("worker")
        asked_once_and_quiet(town, QUIET, OTHER)
        answers = [server.notice(told) for _ in range(5)]
        assert [(one.status_code, one.json()) for one in answers] == [(200, {"responseCode": 0, "message": ""})] * 5
        town.until(lambda: town.status_calls()[QUIET] == 2)
        town.until(lambda: town.qr(QUIET).plan.state is PlanState.PLANNED, pause_s=0.1)
        assert town.status_calls() == {QUIET: 2, OTHER: 1}
        qr = town.qr(QUIET)
        assert (qr.status, qr.plan.checks, town.books(), town.story(QUIET).movements) == (Status.ACTIVE, 1, {}, [])
