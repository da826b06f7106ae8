"""Paid -> notice -> check -> booked once: the simulated bank, `paysync serve --notify` and a worker, all real."""

from __future__ import annotations

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


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_payment_is_booked_because_of_its_notice(dialect: str) -> None:
    with shop({"qr": [{"id": QUIET, "amount": "10.10", "issued": "-1h"}]}, dialect=dialect) as town:
        env = {"PAYSYNC_BANK_SIM_NOTICE_USERNAME": USER, "PAYSYNC_BANK_SIM_NOTICE_PASSWORD": PASSWORD}
        with serving(town, "--notify", **env) as server:
            town.start("worker")
            asked_once_and_quiet(town, QUIET)
            with_password = server.url.replace("://", f"://{USER}:{PASSWORD}@") + "/notify/sim"
            url = with_password if dialect == "sip" else f"{server.url}/notify/sim/{SECRET}"
            town.bank.load({"notify": {"url": url, "dialect": dialect, "copies": 3}})
            town.bank.pay(QUIET, "10.10", "BRL" if dialect == "pix" else None)
            town.until_final([QUIET])
            town.until(lambda: town.bank.notices()["taken"] == 3)
        qr = town.qr(QUIET)
        assert (qr.status, qr.plan.checks) == (Status.COMPLETED, 1), "the check that the notice asked for is free"
        assert town.books() == town.bank_says() == {"BRL" if dialect == "pix" else "BOB": 1010}
        assert len(town.story(QUIET).movements) == 1
        assert town.json("show", QUIET)["notified_at"] is not None
        assert town.status_calls()[QUIET] == 2, "three copies are one check"


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
