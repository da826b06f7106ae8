"""What an adapter tells is made fit for the books: whatever cannot be written hides no money."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from paysync_cli.payments.qr import PaidDay, Payment, UnreadablePayment
from paysync_cli.services.storable import storable_answer, storable_day
from tests.core import NOW, garbled, listed, paid, says

BAD = ["NO\ud800BODY", "NO\0BODY"]
LONG = "N" * 129


def fit(*payments: Payment, unreadable: tuple[UnreadablePayment, ...] = ()) -> Any:
    return storable_answer(replace(listed(*payments), unreadable=unreadable))


def test_what_is_fit_stays_as_it_is() -> None:
    answer = replace(says("paid", paid("t1", payer="ñandú 😀"), paid("t 2", payer=None)), unreadable=(garbled(),))
    assert storable_answer(answer) == answer


@pytest.mark.parametrize("payer", BAD)
def test_a_payer_that_no_database_keeps_costs_no_money(payer: str) -> None:
    assert fit(paid("t1", payer=payer)).payments == (paid("t1", payer="NO BODY"),)
    assert fit(paid("t1", payer="\0")).payments == (paid("t1", payer=None),)


def test_a_moment_of_no_zone_costs_no_money() -> None:
    assert fit(paid("t1", paid_at=datetime(2031, 6, 14))).payments == (paid("t1", paid_at=None),)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("place", "bad", "problem", "qr_id"),
    [
        *(("qr_id", bad, "no_qr_id", None) for bad in (*BAD, LONG)),
        *(("bank_transaction_id", bad, "no_transaction_id", "QR1") for bad in (*BAD, LONG)),
        *(("currency", bad, "no_currency", "QR1") for bad in BAD),
    ],
)
def test_a_payment_that_cannot_be_booked_is_kept_whole(place: str, bad: str, problem: str, qr_id: str | None) -> None:
    broken = replace(paid("t9"), **{place: bad})
    answer = fit(paid("t1"), broken, unreadable=(garbled(),))
    assert answer.payments == (paid("t1"),)
    assert answer.unreadable == (garbled(), UnreadablePayment(broken.raw, problem, qr_id))


@pytest.mark.parametrize(
    "made", [lambda raw: fit(paid("t1", raw=raw)).payments, lambda raw: fit(unreadable=(garbled(raw),)).unreadable]
)
def test_an_element_is_kept_with_what_cannot_be_kept_spelled_out(made: Callable[[str], Any]) -> None:
    assert made("a\ud800b\0c")[0].raw == "a\\ud800b\\u0000c"


@pytest.mark.parametrize("bad", [*BAD, LONG])
def test_an_unreadable_element_of_a_qr_that_cannot_be_is_nobody_s(bad: str) -> None:
    assert fit(unreadable=(garbled(qr_id=bad),)).unreadable == (replace(garbled(), qr_id=None),)


def test_the_bank_s_own_word_is_made_fit_too() -> None:
    assert storable_answer(replace(says("paid"), bank_status="P\0A\ud800ID")).bank_status == "P A ID"


def test_a_list_is_made_fit_like_an_answer() -> None:
    day = storable_day(PaidDay((paid("t1", payer="\0Ana"), paid("t\0")), (garbled(),), NOW, complete=False))
    assert (day.payments, len(day.unreadable), day.sent_at, day.complete) == ((paid("t1", payer="Ana"),), 2, NOW, False)
