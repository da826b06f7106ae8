"""What an answer means: every sentence of the rules about money and statuses."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paysync_cli.payments.decision import Decision, decide, fingerprint
from paysync_cli.payments.qr import Answer, Movement, Payment, Qr
from paysync_cli.payments.status import BankStatus, ReviewReason, Status, may_move
from tests.core import NOW, RHYTHM, garbled, judge, listed, make_qr, moved, paid, reasons, says

DAY = timedelta(days=1)
DUE = NOW - timedelta(days=2)
DUE_QUERY = DUE + RHYTHM.due_margin
JUST_BEFORE = DUE_QUERY - timedelta(microseconds=1)
ISSUED = NOW - timedelta(days=3)


def due_qr(status: str = "active", **fields: object) -> Qr:
    """A QR whose due moment is past."""
    return make_qr(status, due_at=DUE, issued_at=ISSUED, **fields)  # type: ignore[arg-type]


def detail(decision: Decision, reason: str) -> dict[str, str]:
    (found,) = (review.detail for review in decision.reviews if review.reason == reason)
    return found


def news(decision: Decision) -> list[tuple[str, str]]:
    return [(review.reason.value, review.news) for review in decision.reviews]


# -- unpaid


def test_unpaid_and_just_issued_is_pending() -> None:
    assert judge(make_qr("pending", issued_at=NOW), says("unpaid")) == Decision(Status.PENDING)


def test_unpaid_and_older_than_the_window_is_active() -> None:
    assert judge(make_qr("pending"), says("unpaid")) == Decision(Status.ACTIVE)


def test_active_never_becomes_pending_again() -> None:
    assert judge(make_qr("active", issued_at=NOW), says("unpaid")).status is Status.ACTIVE


def test_in_process_is_processing_and_stays_so() -> None:
    assert judge(make_qr("pending"), says("in_process")) == Decision(Status.PROCESSING)
    assert judge(make_qr("processing"), says("unpaid")) == Decision(Status.PROCESSING)


# -- paid


def test_the_exact_amount_completes_and_is_booked() -> None:
    payment = paid("t1", "100.00", payer="Ana")
    decision = judge(make_qr(), says("paid", payment))
    assert decision == Decision(Status.COMPLETED, (Movement("t1", 10000, "BOB", NOW, "Ana"),))


def test_what_was_paid_is_booked_not_the_qr_s_amount() -> None:
    assert [one.amount for one in judge(make_qr(), says("paid", paid("t1", "110.00"))).book] == [11000]


def test_underpaid_is_processing_and_a_review() -> None:
    decision = judge(make_qr(), says("paid", paid("t1", "0.01")))
    assert (decision.status, len(decision.book)) == (Status.PROCESSING, 1)
    assert news(decision) == [("amount_mismatch", "t1")]
    assert detail(decision, "amount_mismatch") == {"paid": "0.01", "expected": "100.00", "expected_currency": "BOB"}


def test_overpaid_is_completed_and_a_review() -> None:
    decision = judge(make_qr(), says("paid", paid("t1", "100.01")))
    assert decision.status is Status.COMPLETED
    assert detail(decision, "overpaid") == {
        "transaction": "t1", "amount": "100.01", "currency": "BOB", "expected": "100.00", "expected_currency": "BOB",
    }  # fmt: skip


def test_another_currency_is_processing_and_a_review_and_never_counts() -> None:
    decision = judge(make_qr(), says("paid", paid("t1", "100.00", "USD")))
    assert (decision.status, news(decision)) == (Status.PROCESSING, [("currency_mismatch", "t1")])
    assert decision.book == (Movement("t1", 10000, "USD", NOW, None),)


def test_part_payments_complete_when_their_sum_reaches_the_amount() -> None:
    first, second, third = (paid(f"t{n}", amount) for n, amount in enumerate(("60.00", "30.00", "10.00")))
    assert judge(make_qr("processing"), says("paid", first, second), first).status is Status.PROCESSING
    decision = judge(make_qr("processing"), says("paid", third), first, second)
    assert decision == Decision(Status.COMPLETED, (moved(third),))


def test_decisions_look_at_all_movements_never_at_the_answer_s_list_alone() -> None:
    """The answer tells only of the second half."""
    decision = judge(make_qr("processing"), says("paid", paid("t2", "50.00")), paid("t1", "50.00"))
    assert decision.status is Status.COMPLETED


def test_each_part_payment_is_news_and_the_same_one_is_not() -> None:
    first, second = paid("t1", "30.00"), paid("t2", "30.00")
    assert news(judge(make_qr(), says("paid", first))) == [("amount_mismatch", "t1")]
    decision = judge(make_qr("processing"), says("paid", first, second), first)
    assert news(decision) == [("amount_mismatch", "t2")]
    assert detail(decision, "amount_mismatch")["paid"] == "60.00"
    assert news(judge(make_qr("processing"), says("paid", first, second), first, second)) == []


def test_a_second_payment_of_a_single_use_qr_is_booked_and_a_review() -> None:
    first, second = paid("t1"), paid("t2", "7.00")
    decision = judge(make_qr("completed"), listed(first, second), first)
    assert (decision.status, decision.book) == (Status.COMPLETED, (moved(second),))
    assert news(decision) == [("double_payment", "t2")]


def test_the_payment_that_came_last_is_the_double_one_whatever_the_order_of_arrival() -> None:
    early, late = paid("t9", paid_at=NOW - DAY), paid("t1", paid_at=NOW)
    assert news(judge(make_qr("completed"), listed(early), late)) == [("double_payment", "t1")]
    assert news(judge(make_qr("completed"), listed(late), early)) == [("double_payment", "t1")]


def test_the_payment_that_crosses_the_amount_is_the_overpaid_one() -> None:
    decision = judge(make_qr("processing"), says("paid", paid("t2", "60.00")), paid("t1", "60.00"))
    assert (decision.status, news(decision)) == (Status.COMPLETED, [("overpaid", "t2")])


def test_without_an_amount_the_first_payment_completes_without_a_mismatch() -> None:
    decision = judge(make_qr(amount=None), says("paid", paid("t1", "3.00", "USD")))
    assert (decision.status, decision.reviews) == (Status.COMPLETED, ())


def test_without_an_amount_a_second_payment_is_a_double_one() -> None:
    decision = judge(make_qr("completed", amount=None), listed(paid("t2")), paid("t1"))
    assert news(decision) == [("double_payment", "t2")]


def test_a_payment_told_twice_is_booked_once() -> None:
    payment = paid("t1")
    assert judge(make_qr(), says("paid", payment, payment)).book == (moved(payment),)
    assert judge(make_qr("completed"), says("paid", payment), payment).book == ()


def test_several_payments_in_one_answer_are_all_booked() -> None:
    three = [paid(f"t{n}", "20.00") for n in range(3)]
    assert judge(make_qr(), says("paid", *three)).book == tuple(moved(one) for one in three)


def test_payments_are_booked_whatever_the_bank_calls_the_qr() -> None:
    for status in BankStatus:
        assert len(judge(make_qr(), says(status, paid("t1", "3.00"))).book) == 1


# -- multi-use


def test_multi_use_books_each_payment_and_stays_open_without_a_review() -> None:
    first, second = paid("t1", "5.00"), paid("t2", "500.00", "USD")
    decision = judge(make_qr(multi_use=True), says("paid", first, second), first)
    assert decision == Decision(Status.ACTIVE, (moved(second),))


def test_multi_use_that_was_paid_and_not_told_is_processing() -> None:
    assert judge(make_qr(multi_use=True), says("paid")).status is Status.PROCESSING


@pytest.mark.parametrize("status", ["paid", "unpaid", "expired"])
def test_multi_use_expires_at_the_due_query_after_everything_listed_is_booked(status: str) -> None:
    payment = paid("t1", "5.00")
    decision = judge(due_qr(multi_use=True), says(status, payment))
    assert decision == Decision(Status.EXPIRED, (moved(payment),))


def test_multi_use_expires_at_the_due_query_also_when_the_bank_keeps_the_details_to_itself() -> None:
    """Else a bank that never lists payments in its answer would be asked about it for ever."""
    assert judge(due_qr(multi_use=True), says("paid"), paid("t1")) == Decision(Status.EXPIRED)
    decision = judge(due_qr(multi_use=True), says("paid"))
    assert (decision.status, news(decision)) == (Status.EXPIRED, [("unreadable_payment", "")])


def test_multi_use_in_process_at_the_due_query_stays_open() -> None:
    assert judge(due_qr(multi_use=True), says("in_process")).status is Status.PROCESSING


def test_multi_use_with_money_that_cannot_be_read_is_processing() -> None:
    decision = judge(make_qr(multi_use=True), listed(paid("t1"), unreadable=[garbled()]))
    assert (decision.status, len(decision.book)) == (Status.PROCESSING, 1)


# -- the end


def test_unpaid_to_the_due_query_is_expired() -> None:
    assert judge(due_qr(), says("unpaid", sent_at=DUE_QUERY)) == Decision(Status.EXPIRED)


@pytest.mark.parametrize("status", ["unpaid", "expired"])
def test_no_query_sent_before_due_and_margin_expires_whatever_the_bank_says(status: str) -> None:
    decision = judge(due_qr(), says(status, sent_at=JUST_BEFORE))
    assert decision == Decision(Status.ACTIVE)


def test_when_the_answer_is_written_does_not_matter() -> None:
    before, after = due_qr(), says("unpaid", sent_at=JUST_BEFORE)
    assert judge(before, after, now=NOW + 30 * DAY).status is Status.ACTIVE


def test_the_bank_s_word_expired_counts_at_the_due_query() -> None:
    assert judge(due_qr(), says("expired", sent_at=DUE_QUERY)).status is Status.EXPIRED


def test_without_a_due_date_only_the_bank_s_word_expires() -> None:
    assert judge(make_qr(), says("unpaid", sent_at=NOW + 400 * DAY)).status is Status.ACTIVE
    assert judge(make_qr(), says("expired")).status is Status.EXPIRED


@pytest.mark.parametrize("status", list(BankStatus))
@pytest.mark.parametrize("multi_use", [False, True])
def test_the_list_never_ends_a_qr_as_expired(status: BankStatus, multi_use: bool) -> None:
    for qr in (due_qr(multi_use=multi_use), make_qr(multi_use=multi_use)):
        answer = replace(listed(paid("t1", "1.00")), status=status)
        assert judge(qr, answer).status is not Status.EXPIRED


def test_in_process_at_the_due_query_stays_open() -> None:
    assert judge(due_qr(), says("in_process")).status is Status.PROCESSING


def test_paid_without_details_at_the_due_query_stays_open() -> None:
    assert judge(due_qr(), says("paid")).status is Status.PROCESSING


def test_money_that_completes_beats_the_due_query() -> None:
    assert judge(due_qr(), says("unpaid", paid("t1"))).status is Status.COMPLETED
    assert judge(due_qr("processing"), says("unpaid"), paid("t1")).status is Status.COMPLETED


def test_cancelled_is_cancelled() -> None:
    for status in ("pending", "active", "processing", "expired"):
        assert judge(make_qr(status), says("cancelled")).status is Status.CANCELLED


def test_cancelled_and_fully_paid_is_completed() -> None:
    assert judge(make_qr(), says("cancelled", paid("t1"))).status is Status.COMPLETED


@pytest.mark.parametrize("word", ["cancelled", "unpaid"])
def test_a_partly_paid_qr_that_ends_takes_that_status_with_a_review(word: str) -> None:
    decision = judge(due_qr("processing"), says(word), paid("t1", "40.00"))
    status = Status.CANCELLED if word == "cancelled" else Status.EXPIRED
    assert (decision.status, news(decision)) == (status, [("status_conflict", status)])
    assert detail(decision, "status_conflict") == {
        "bank_says": word, "status": status, "paid": "40.00", "expected": "100.00", "expected_currency": "BOB",
    }  # fmt: skip


def test_an_ending_multi_use_qr_with_money_is_nothing_strange() -> None:
    assert judge(make_qr(multi_use=True), says("cancelled"), paid("t1")) == Decision(Status.CANCELLED)


# -- late money


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_late_money_that_reaches_the_amount_completes_with_a_review(status: str) -> None:
    payment = paid("t1")
    decision = judge(make_qr(status), listed(payment))
    assert (decision.status, decision.book) == (Status.COMPLETED, (moved(payment),))
    assert news(decision) == [("late_payment", "t1")]


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_late_money_that_does_not_reach_the_amount_is_booked_and_the_status_stays(status: str) -> None:
    decision = judge(make_qr(status), listed(paid("t1", "40.00")))
    assert (decision.status, len(decision.book)) == (status, 1)
    assert news(decision) == [("late_payment", "t1")]


def test_late_money_adds_to_what_came_in_time() -> None:
    decision = judge(make_qr("expired"), listed(paid("t2", "60.00")), paid("t1", "40.00"))
    assert decision.status is Status.COMPLETED


def test_late_money_of_a_multi_use_qr_is_booked_and_the_status_stays() -> None:
    decision = judge(make_qr("expired", multi_use=True), listed(paid("t1")))
    assert (decision.status, news(decision)) == (Status.EXPIRED, [("late_payment", "t1")])


def test_completed_never_changes() -> None:
    for word in BankStatus:
        assert judge(due_qr("completed"), says(word), paid("t1")).status is Status.COMPLETED


def test_booked_money_never_goes_back_to_active() -> None:
    assert judge(make_qr("processing"), says("unpaid"), paid("t1", "1.00")).status is Status.PROCESSING
    assert judge(make_qr("active"), says("unpaid"), paid("t1", "1.00")).status is Status.PROCESSING


# -- conflicts


def test_the_same_transaction_with_another_amount_is_not_booked_again_and_a_review() -> None:
    decision = judge(make_qr("completed"), says("paid", paid("t1", "70.00")), paid("t1"))
    assert (decision.book, news(decision)) == ((), [("transaction_conflict", "t1")])
    assert detail(decision, "transaction_conflict") == {
        "transaction": "t1", "amount": "70.00", "currency": "BOB", "booked": "100.00",
    }  # fmt: skip


def test_the_same_transaction_in_another_currency_is_a_conflict() -> None:
    decision = judge(make_qr("completed"), says("paid", paid("t1", "100.00", "USD")), paid("t1"))
    assert (decision.book, news(decision)) == ((), [("transaction_conflict", "t1")])


def test_the_same_money_written_otherwise_is_no_conflict() -> None:
    assert judge(make_qr("completed"), says("paid", paid("t1", "100")), paid("t1", "100.00")).reviews == ()


def test_one_answer_that_contradicts_itself_is_a_conflict() -> None:
    decision = judge(make_qr(), says("paid", paid("t1", "100.00"), paid("t1", "90.00")))
    assert (len(decision.book), news(decision)) == (1, [("transaction_conflict", "t1")])


def test_the_same_transaction_under_another_qr_is_booked_and_a_review() -> None:
    decision = judge(make_qr(), says("paid", paid("t1")), seen_elsewhere=frozenset({"t1"}))
    assert (decision.status, len(decision.book)) == (Status.COMPLETED, 1)
    assert news(decision) == [("transaction_conflict", "t1")]


def test_a_transaction_that_was_booked_here_too_is_no_news() -> None:
    payment = paid("t1")
    assert judge(make_qr("completed"), says("paid", payment), payment, seen_elsewhere=frozenset({"t1"})).reviews == ()


# -- what cannot be read


def test_paid_without_details_is_processing_and_books_nothing() -> None:
    assert judge(make_qr(), says("paid")) == Decision(Status.PROCESSING, details_missing_since=NOW)


def test_details_missing_for_a_day_are_a_review() -> None:
    qr = make_qr("processing", details_missing_since=NOW - DAY)
    assert news(judge(qr, says("paid"))) == [("unreadable_payment", "")]
    assert news(judge(qr, says("unpaid"))) == [("unreadable_payment", "")]
    fresh = replace(qr, details_missing_since=NOW - DAY + timedelta(microseconds=1))
    decision = judge(fresh, says("paid"))
    assert (decision.reviews, decision.details_missing_since) == ((), fresh.details_missing_since)


def test_details_that_come_end_the_wait() -> None:
    qr = make_qr("processing", details_missing_since=NOW - DAY)
    for answer in (listed(paid("t1")), says("paid", paid("t1"))):
        decision = judge(qr, answer)
        assert (decision.status, decision.reviews) == (Status.COMPLETED, ())
        assert decision.details_missing_since is None


def test_an_unreadable_element_beside_booked_money_is_not_forgotten() -> None:
    """A bank without a day list would never show it again once the QR is final."""
    answer = says("paid", paid("t1", "60.00"), unreadable=(garbled(),))
    first = judge(make_qr(), answer)
    assert (first.status, first.details_missing_since) == (Status.PROCESSING, NOW)
    assert reasons(first) == ["amount_mismatch"]
    qr = make_qr("processing", details_missing_since=NOW)
    later = judge(qr, answer, paid("t1", "60.00"), now=NOW + DAY)
    assert news(later) == [("unreadable_payment", fingerprint(garbled().raw))]
    multi_use = make_qr(multi_use=True, details_missing_since=NOW)
    assert reasons(judge(multi_use, answer, paid("t1", "60.00"), now=NOW + DAY)) == ["unreadable_payment"]


def test_an_element_that_became_readable_is_forgotten() -> None:
    qr = make_qr("processing", details_missing_since=NOW - DAY)
    decision = judge(qr, says("paid", paid("t1", "60.00")), paid("t1", "60.00"))
    assert (decision.reviews, decision.details_missing_since) == ((), None)


def test_one_day_s_list_says_nothing_of_an_element_that_the_answer_garbles() -> None:
    qr = make_qr("active", multi_use=True, details_missing_since=NOW - DAY)
    decision = judge(qr, listed(paid("t1", "60.00")))
    assert (decision.reviews, decision.details_missing_since) == ((), NOW - DAY)


def test_an_unreadable_element_of_the_list_is_shown_at_once() -> None:
    for qr in (make_qr(), make_qr("completed"), make_qr(multi_use=True)):
        decision = judge(qr, listed(unreadable=[garbled()]))
        assert news(decision) == [("unreadable_payment", fingerprint(garbled().raw))]
        assert detail(decision, "unreadable_payment") == {"problem": "no_amount", "element": garbled().raw}


def test_an_unreadable_element_is_shown_when_the_qr_ends() -> None:
    decision = judge(make_qr(), says("paid", paid("t1"), unreadable=(garbled(),)))
    assert (decision.status, reasons(decision)) == (Status.COMPLETED, ["unreadable_payment"])


@pytest.mark.parametrize("word", ["cancelled", "unpaid"])
def test_money_that_was_seen_and_never_told_is_shown_when_the_qr_ends(word: str) -> None:
    decision = judge(due_qr("processing", details_missing_since=NOW), says(word))
    assert decision.status.final
    assert news(decision) == [("unreadable_payment", "")]
    assert decision.details_missing_since is None


def test_paid_without_details_said_of_a_qr_that_ended_is_shown() -> None:
    decision = judge(due_qr("expired"), says("paid"))
    assert (decision.status, news(decision)) == (Status.EXPIRED, [("unreadable_payment", "")])


def test_two_unreadable_elements_are_two_reviews() -> None:
    decision = judge(make_qr(), listed(unreadable=[garbled("{}"), garbled("[]")]))
    assert len(set(news(decision))) == 2


@pytest.mark.parametrize(
    ("amount", "problem"),
    [("1.005", "too_precise"), ("0", "not_positive"), ("NaN", "not_finite"), ("1E+30", "too_large")],
)
def test_an_amount_that_is_no_money_is_not_booked_and_a_review(amount: str, problem: str) -> None:
    payment = replace(paid("t1"), amount=Decimal(amount))
    decision = judge(make_qr(), says("paid", payment))
    assert (decision.status, decision.book, news(decision)) == (Status.PROCESSING, (), [("unreadable_payment", "t1")])
    assert detail(decision, "unreadable_payment") == {"problem": problem, "element": payment.raw}


def test_no_id_is_ever_made_up_and_two_payments_without_one_are_not_the_same() -> None:
    nameless = [paid("", "1.00"), paid(" ", "2.00")]
    decision = judge(make_qr(), says("paid", *nameless))
    assert decision.book == ()
    assert news(decision) == [("unreadable_payment", fingerprint(one.raw)) for one in nameless]


# -- every order of the same news ends alike

AMOUNTS = st.sampled_from(["10.00", "50.00", "100.00", "0.01", "250.00"])
CURRENCIES = st.sampled_from(["BOB", "BOB", "BOB", "USD"])
MOMENTS = st.sampled_from([NOW - timedelta(hours=hours) for hours in range(3)]) | st.none()
PAYMENTS = st.lists(st.tuples(AMOUNTS, CURRENCIES, MOMENTS), max_size=4).map(
    lambda drawn: [paid(f"t{n}", amount, money, paid_at=at) for n, (amount, money, at) in enumerate(drawn)]
)
SENT = st.sampled_from([JUST_BEFORE, DUE_QUERY, NOW])
WORDS = st.lists(st.tuples(st.sampled_from(list(BankStatus)), SENT, st.booleans()), max_size=4)
QRS = st.builds(
    make_qr,
    st.sampled_from(["pending", "active"]),
    amount=st.sampled_from([None, 10000]),
    multi_use=st.booleans(),
    due_at=st.sampled_from([None, DUE]),
    issued_at=st.sampled_from([ISSUED, NOW]),
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Qr, list[Answer], list[Answer]]:
    """A QR, and the same news twice: in two orders, the payments (and what is garbled) told in two groupings, some
    of them repeatedly."""
    payments, words, odd = draw(PAYMENTS), draw(WORDS), draw(st.booleans())
    luck = draw(st.randoms(use_true_random=False))
    return draw(QRS), _told(payments, words, odd, luck), _told(payments, words, odd, luck)


def _told(
    payments: Sequence[Payment], words: Iterable[tuple[BankStatus, datetime, bool]], odd: bool, luck: random.Random
) -> list[Answer]:
    answers = [Answer(word, word, sent_at, (), (garbled(),) * twisted) for word, sent_at, twisted in words]
    told = [_told_somehow(group, luck) for group in _groups(payments, luck)]
    if odd and told and luck.random() < 0.5:
        told[0] = replace(told[0], unreadable=(garbled(),))
    elif odd:
        told.append(listed(unreadable=[garbled()]))
    answers += told
    if payments and luck.random() < 0.5:
        answers.append(listed(luck.choice(payments)))
    luck.shuffle(answers)
    return answers


def _told_somehow(group: list[Payment], luck: random.Random) -> Answer:
    """By the list, or by the answer to a query that may not end the QR."""
    luck.shuffle(group)
    return listed(*group) if luck.random() < 0.5 else says("paid", *group, sent_at=JUST_BEFORE)


def _groups(payments: Sequence[Payment], luck: random.Random) -> list[list[Payment]]:
    """The payments dealt to a random number of answers."""
    groups: dict[int, list[Payment]] = {}
    for payment in payments:
        groups.setdefault(luck.randrange(len(payments)), []).append(payment)
    return list(groups.values())


def lived(qr: Qr, answers: Iterable[Answer]) -> tuple[Qr, list[Movement]]:
    """The QR after these answers; on the way no rule about money and status may break."""
    movements: list[Movement] = []
    for answer in answers:
        decision = decide(qr, movements, answer, now=NOW, rhythm=RHYTHM)
        assert may_move(qr.status, decision.status)
        assert not (qr.status is Status.COMPLETED and decision.status is not Status.COMPLETED)
        if decision.status is Status.EXPIRED and qr.status is not Status.EXPIRED:
            assert not answer.from_list
            assert qr.due_at is None or answer.sent_at >= DUE_QUERY
        movements += decision.book
        told = {payment.bank_transaction_id for payment in answer.payments}
        assert told <= {movement.bank_transaction_id for movement in movements}
        qr = replace(qr, status=decision.status, details_missing_since=decision.details_missing_since)
    names = [movement.bank_transaction_id for movement in movements]
    assert len(names) == len(set(names))
    return qr, movements


@given(histories())
def test_every_order_and_grouping_of_the_same_news_ends_alike(history: tuple[Qr, list[Answer], list[Answer]]) -> None:
    qr, one, other = history
    first, second = lived(qr, one), lived(qr, other)
    assert first[0].status is second[0].status
    assert {moved.bank_transaction_id: moved for moved in first[1]} == {
        moved.bank_transaction_id: moved for moved in second[1]
    }


@given(histories())
def test_money_is_never_lost_and_decides_at_the_end(history: tuple[Qr, list[Answer], list[Answer]]) -> None:
    qr, answers, _other = history
    ended, movements = lived(qr, answers)
    told = {payment.bank_transaction_id for answer in answers for payment in answer.payments}
    assert {movement.bank_transaction_id for movement in movements} == told
    own = sum(movement.amount for movement in movements if movement.currency == "BOB")
    enough = bool(movements) if qr.amount is None else own >= qr.amount
    assert (ended.status is Status.COMPLETED) == (not qr.multi_use and enough)
    if movements and not qr.multi_use:
        assert ended.status not in (Status.PENDING, Status.ACTIVE)


@given(histories())
def test_the_same_news_again_changes_nothing(history: tuple[Qr, list[Answer], list[Answer]]) -> None:
    qr, answers, _other = history
    ended, movements = lived(qr, answers)
    for answer in answers:
        again = decide(ended, movements, answer, now=NOW, rhythm=RHYTHM)
        assert (again.status, again.book) == (ended.status, ())


@given(histories())
def test_every_wrong_sum_has_its_review(history: tuple[Qr, list[Answer], list[Answer]]) -> None:
    qr, answers, _other = history
    if qr.multi_use or qr.amount is None:
        return
    movements: list[Movement] = []
    seen: set[ReviewReason] = set()
    for answer in answers:
        decision = decide(qr, movements, answer, now=NOW, rhythm=RHYTHM)
        seen |= {review.reason for review in decision.reviews}
        movements += decision.book
        qr = replace(qr, status=decision.status, details_missing_since=decision.details_missing_since)
    own = sum(movement.amount for movement in movements if movement.currency == "BOB")
    if own > (qr.amount or 0):
        assert seen & {ReviewReason.OVERPAID, ReviewReason.DOUBLE_PAYMENT}
    if any(movement.currency != "BOB" for movement in movements):
        assert ReviewReason.CURRENCY_MISMATCH in seen
    if movements and qr.status in (Status.EXPIRED, Status.CANCELLED):
        assert seen & {ReviewReason.LATE_PAYMENT, ReviewReason.STATUS_CONFLICT}
    if movements and qr.status is Status.PROCESSING:
        assert seen & {ReviewReason.AMOUNT_MISMATCH, ReviewReason.CURRENCY_MISMATCH}
