"""Every shape of an answer that Baneco is known to send, and junk, which never becomes a state."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paysync_cli.banks import baneco, elements, wire
from paysync_cli.banks.baneco import read_moment, read_payment
from paysync_cli.banks.base import Bank, BankError, ListsPayments, Pings, Unknown, Unreadable
from paysync_cli.payments.qr import Answer, Ask, Payment, UnreadablePayment
from paysync_cli.payments.status import BankStatus
from tests.simulated import (
    LA_PAZ,
    QR,
    START,
    Clock,
    ScriptedBank,
    answer,
    payment,
    raw_answer,
    status_answer,
)

PAID_AT = datetime(2031, 6, 15, 1, 5, 11, tzinfo=UTC)  # 21:05:11 on the 14th in Bolivia


def check(response: httpx.Response, qr_id: str = QR) -> Answer:
    return ScriptedBank(lambda _request: response).run(lambda bank: bank.check(Ask(qr_id)))


def outcome(response: httpx.Response) -> Answer | BankError:
    try:
        return check(response)
    except BankError as error:
        return error


def test_adapter_keeps_the_protocol() -> None:
    async def kinds(bank: object) -> list[bool]:
        return [isinstance(bank, kind) for kind in (Bank, ListsPayments, Pings)]

    assert ScriptedBank(lambda _: answer({})).run(kinds) == [True, True, True]


@pytest.mark.parametrize(("code", "status"), [(0, BankStatus.UNPAID), (1, BankStatus.PAID), (9, BankStatus.CANCELLED)])
@pytest.mark.parametrize("key", ["statusQrCode", "statusQRCode"])
@pytest.mark.parametrize("as_text", [False, True])
def test_documented_codes(key: str, code: int, status: BankStatus, as_text: bool) -> None:
    body = {key: str(code) if as_text else code, "payment": None, "responseCode": 0, "message": ""}
    assert check(answer(body)) == Answer(status, str(code), START)


@pytest.mark.parametrize("code", [2, 7, -1, 10, 99, 10**30, "", "x", "1.0", 1.0, 0.0, True, False, [], {}, "１", None])
def test_any_other_code_is_no_state(code: object) -> None:
    with pytest.raises(Unreadable):
        check(status_answer(code, [payment()]))


def test_absent_status_is_no_state() -> None:
    with pytest.raises(Unreadable):
        check(status_answer(..., [payment()]))


def test_two_spellings_that_disagree_are_no_state() -> None:
    with pytest.raises(Unreadable):
        check(status_answer(0, None, statusQRCode=1))
    assert check(status_answer(1, None, statusQRCode=1)).status is BankStatus.PAID
    assert check(status_answer(1, None, statusQRCode=None)).status is BankStatus.PAID


@pytest.mark.parametrize("code", [0, "0", " 0 "])
def test_response_code_zero_in_its_spellings(code: object) -> None:
    assert check(status_answer(0, None, responseCode=code)).status is BankStatus.UNPAID


@pytest.mark.parametrize("code", [1, "1", 403, -1, None, "", "ok", False, 0.0, {}])
def test_any_other_response_code_is_no_state(code: object) -> None:
    with pytest.raises(Unreadable):
        check(status_answer(1, [payment()], responseCode=code))


def test_absent_response_code_is_no_state() -> None:
    with pytest.raises(Unreadable):
        check(status_answer(1, [payment()], responseCode=...))


def test_error_carries_the_banks_words_folded_and_cut() -> None:
    with pytest.raises(Unreadable) as caught:
        check(answer({"responseCode": 5, "message": "\x1b[31mQR\r\nno\x00 existe " + "x" * 5000}))
    assert "responseCode 5" in caught.value.message
    assert "QR no existe" in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 350


@pytest.mark.parametrize("nothing", [None, [], {}, "", ..., [{}], {"qrId": None, "amount": 0, "senderName": ""}])
@pytest.mark.parametrize("code", [0, 1, 9])
def test_no_payment_in_its_spellings(nothing: object, code: int) -> None:
    found = check(status_answer(code, nothing))
    assert (found.payments, found.unreadable) == ((), ())


@pytest.mark.parametrize("shape", [payment(), [payment()]])
@pytest.mark.parametrize("code", [0, 1, 9])
def test_payment_as_object_and_as_list(shape: object, code: int) -> None:
    found = check(status_answer(code, shape))
    (paid,) = found.payments
    assert paid == Payment(QR, "900001", Decimal("12.5"), "BOB", PAID_AT, "ANA QUISPE", paid.raw)
    assert json.loads(paid.raw)["transactionId"] == "900001"
    assert found.unreadable == ()


@pytest.mark.parametrize("junk", ["x", 1, True, 1.5])
def test_payments_that_are_neither_list_nor_object_are_no_answer(junk: object) -> None:
    with pytest.raises(Unreadable):
        check(status_answer(1, junk))


def test_every_payment_of_the_list_is_told() -> None:
    several = [payment(transactionId=str(n), amount=n) for n in range(1, 6)]
    found = check(status_answer(1, [*several, payment(amount=...), "junk", None]))
    assert [(p.bank_transaction_id, p.amount) for p in found.payments] == [(str(n), Decimal(n)) for n in range(1, 6)]
    assert [p.problem for p in found.unreadable] == ["no_amount", "not_an_object", "not_an_object"]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0.1", "0.1"),
        ("0.10", "0.10"),
        ("100", "100"),
        ("599.80", "599.80"),
        ("1e2", "1E+2"),
        ('"100.50"', "100.50"),
        ('" 7 "', "7"),
        ("9007199254740993.01", None),
        ("9999999999999.99", "9999999999999.99"),
    ],
)
def test_amount_is_the_decimal_of_its_text(text: str, amount: str | None) -> None:
    element = json.dumps(payment(amount="@")).replace('"@"', text)
    body = f'{{"statusQrCode":1,"payment":[{element}],"responseCode":0}}'
    found = check(raw_answer(body.encode()))
    assert [str(p.amount) for p in found.payments] == ([] if amount is None else [amount])
    assert len(found.unreadable) == (amount is None)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"qrId": ...}, "no_qr_id"),
        ({"qrId": ""}, "no_qr_id"),
        ({"qrId": ["x"]}, "no_qr_id"),
        ({"qrId": "31061400000000000002"}, "other_qr"),
        ({"transactionId": ...}, "no_transaction_id"),
        ({"transactionId": None}, "no_transaction_id"),
        ({"transactionId": "  "}, "no_transaction_id"),
        ({"transactionId": "9\x00"}, "no_transaction_id"),
        ({"transactionId": "9 0"}, "no_transaction_id"),
        ({"transactionId": "\ud800"}, "no_transaction_id"),
        ({"transactionId": "9" * 200}, "no_transaction_id"),
        ({"transactionId": 9.5}, "no_transaction_id"),
        ({"transactionId": True}, "no_transaction_id"),
        ({"amount": ...}, "no_amount"),
        ({"amount": None}, "no_amount"),
        ({"amount": "12,50"}, "no_amount"),
        ({"amount": "1e5"}, "no_amount"),
        ({"amount": "x"}, "no_amount"),
        ({"amount": True}, "no_amount"),
        ({"amount": [1]}, "no_amount"),
        ({"amount": 0}, "not_positive"),
        ({"amount": -5}, "not_positive"),
        ({"amount": 0.001}, "too_precise"),
        ({"amount": 1e30}, "too_large"),
        ({"currency": ...}, "no_currency"),
        ({"currency": ""}, "no_currency"),
        ({"currency": 68}, "no_currency"),
        ({"currency": "Bs"}, "unknown_currency"),
    ],
)
def test_payment_without_its_essentials_is_kept_as_unreadable(changes: dict[str, object], problem: str) -> None:
    element = payment(**changes)
    found = check(status_answer(1, [element]))
    assert found.status is BankStatus.PAID
    assert found.payments == ()
    (kept,) = found.unreadable
    assert kept.problem == problem
    assert kept.raw.startswith('{"')
    assert kept.qr_id == (element["qrId"] if problem == "other_qr" else QR)
    kept.raw.encode()  # it can be stored: no lone surrogate
    assert "\x00" not in kept.raw


@pytest.mark.parametrize("code", [0, 9])
def test_unpaid_or_cancelled_is_not_concluded_from_an_answer_about_another_qr(code: int) -> None:
    with pytest.raises(Unreadable):
        check(status_answer(code, [payment(qrId="31061400000000000002")]))


def test_ids_may_come_as_json_integers() -> None:
    found = check(status_answer(1, payment(qrId=int(QR), transactionId=900001)))
    assert [(p.qr_id, p.bank_transaction_id) for p in found.payments] == [(QR, "900001")]


def test_payer_is_folded_to_one_visible_line() -> None:
    found = check(status_answer(1, payment(senderName="ANA\x1b[2J\r\n QUISPE " + "ñ" * 500)))
    payer = found.payments[0].payer
    assert payer is not None
    assert payer.startswith("ANA [2J QUISPE ñ")
    assert payer.isprintable()
    assert len(payer) <= 200


@pytest.mark.parametrize("name", ["", "  ", None, 5, ...])
def test_payer_may_be_missing(name: object) -> None:
    assert check(status_answer(1, payment(senderName=name))).payments[0].payer is None


@pytest.mark.parametrize(
    ("day", "clock", "expected"),
    [
        ("2031-06-14T00:00:00", "21:05:11", PAID_AT),
        ("2031-06-14T00:00:00.0000000", "21:05:11", PAID_AT),
        ("2031-06-14", "21:05:11", PAID_AT),
        ("2031-06-14T04:00:00Z", "21:05:11", PAID_AT),
        ("2031-06-14T04:00:00.000Z", "21:05:11", PAID_AT),
        ("2031-06-14T00:00:00-04:00", "21:05:11", PAID_AT),
        ("2031-06-14T04:00:00+00:00", "21:05:11", PAID_AT),
        (" 2031-06-14 ", " 21:05 ", datetime(2031, 6, 15, 1, 5, tzinfo=UTC)),
        ("2031-06-14", "9:05", datetime(2031, 6, 14, 13, 5, tzinfo=UTC)),
        ("2031-06-14", "21:05:11.123", PAID_AT),
        ("2031-06-14", "", datetime(2031, 6, 14, 4, 0, tzinfo=UTC)),
        ("2031-06-14", None, datetime(2031, 6, 14, 4, 0, tzinfo=UTC)),
        ("2031-06-14", "25:99", datetime(2031, 6, 14, 4, 0, tzinfo=UTC)),
        ("2031-06-14T21:05:11", "", PAID_AT),
        ("2031-06-15T01:05:11Z", "", PAID_AT),
        ("2031-06-14", "23:59:59", datetime(2031, 6, 15, 3, 59, 59, tzinfo=UTC)),
        ("2031-06-14", "00:00:00", datetime(2031, 6, 14, 4, 0, tzinfo=UTC)),
        ("14/06/2031", "21:05:11", None),
        ("2031-13-40", "21:05:11", None),
        ("0001-01-01T00:00:00", "00:00:00", None),
        ("9999-12-31", "23:59:59", None),  # beyond the end of time in UTC
        ("", "21:05:11", None),
        (None, "21:05:11", None),
        (20310614, "21:05:11", None),
    ],
)
def test_moment_of_payment(day: object, clock: object, expected: datetime | None) -> None:
    assert read_moment(day, clock, LA_PAZ) == expected


def test_payment_with_an_unreadable_date_is_still_money() -> None:
    found = check(status_answer(1, payment(paymentDate="??", paymentTime="??")))
    assert [(p.amount, p.paid_at) for p in found.payments] == [(Decimal("12.5"), None)]


@pytest.mark.parametrize("status", [204, 400, 403, 404, 405, 422])
@pytest.mark.parametrize("body", [b"", b"<html></html>", b"null", b"[]", b"{}", b'{"message":"no Route matched"}'])
def test_no_state_from_another_http_status(status: int, body: bytes) -> None:
    with pytest.raises(Unreadable):
        check(raw_answer(body, status))


def test_no_state_from_a_good_body_with_a_bad_status() -> None:
    for status in (400, 403, 404, 418):
        with pytest.raises(Unreadable):
            check(raw_answer(status_answer(1, [payment()]).content, status))


def test_not_found_in_the_banks_own_format_is_unknown() -> None:
    with pytest.raises(Unknown):
        check(answer({"responseCode": 404, "message": "no existe"}, 404))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b'{"statusQrCode":0,"responseCode":0,"message":"\xff"}',
        b'{"statusQrCode":NaN,"responseCode":0}',
        b'{"statusQrCode":1,"responseCode":0,"payment":[{"amount":Infinity}]}',
        b'{"statusQrCode":1,"statusQrCode":0,"responseCode":0}',
        b'{"statusQrCode":0,"responseCode":0}}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"statusQrCode":0,"responseCode":0,"x":' + b"9" * 10_000 + b"}",
        b'{"statusQrCode":0,"responseCode":0,"x":1e99999999999999999999}',
        b'"statusQrCode"',
        b"0",
    ],
)
def test_junk_is_no_state(body: bytes) -> None:
    with pytest.raises(Unreadable):
        check(raw_answer(body))


def test_byte_order_mark_is_tolerated() -> None:
    assert check(raw_answer(b"\xef\xbb\xbf" + status_answer(0).content)).status is BankStatus.UNPAID


def test_messages_hold_nothing_of_the_body() -> None:
    for body, status in ((b"canary-body <html>", 200), (b'{"responseCode":"canary-body"}', 200), (b"canary-body", 418)):
        with pytest.raises(Unreadable) as caught:
            check(raw_answer(body, status, "text/html"))
        assert "canary-body" not in caught.value.message
        assert f"GET /ApiGateway/api/qrsimple/v2/statusQR/{QR}" in caught.value.message
        assert f"HTTP {status}" in caught.value.message
        assert f"{len(body)} bytes" in caught.value.message


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(["0", "1", QR]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["statusQrCode", "statusQRCode", "payment", "responseCode", "message", "x"])
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
PAYMENT_KEYS = st.sampled_from(sorted(payment()))


@UNTIMED
@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_bank_error(body: bytes) -> None:
    with pytest.raises(BankError):
        check(raw_answer(body))


@UNTIMED
@given(st.dictionaries(KEYS, JSON_VALUES, max_size=6))
def test_any_object_ends_in_a_bank_error_or_in_what_it_says(body: dict[str, object]) -> None:
    found = outcome(answer(body))
    if isinstance(found, BankError):
        assert found.message.isprintable()
        return
    said = {str(body[key]).strip() for key in ("statusQrCode", "statusQRCode") if body.get(key) is not None}
    assert str(body["responseCode"]).strip().lstrip("-").strip("0") == ""
    assert {str(int(code)) for code in said} == {found.bank_status}


@UNTIMED
@given(JSON_VALUES | st.dictionaries(PAYMENT_KEYS, JSON_VALUES, max_size=11).map(lambda junk: payment() | junk))
def test_any_element_is_read_or_kept(element: object) -> None:
    read = read_payment(json.loads(json.dumps(element), parse_float=Decimal), LA_PAZ, QR)
    read.raw.encode()
    if isinstance(read, Payment):
        assert read.qr_id == QR
        assert read.amount > 0
        assert read.bank_transaction_id.isprintable()
    else:
        assert isinstance(read, UnreadablePayment)
        assert read.problem


def test_huge_element_is_kept_in_part_with_its_hash() -> None:
    one, other = (read_payment({"note": "x" * 100_000 + end}, LA_PAZ) for end in "ab")
    assert len(one.raw) < 17_000
    assert one.raw != other.raw  # still told apart


def test_day_list_asks_for_the_day_and_reads_every_payment() -> None:
    elements = [payment(), payment(qrId="other", transactionId="900002", currency="usd"), payment(amount=...)]
    scripted = ScriptedBank(lambda _: answer({"paymentList": elements, "responseCode": 0}))
    found = scripted.run(lambda bank: bank.paid_on(date(2031, 6, 4)))
    assert scripted.calls[0].url.path == "/ApiGateway/api/qrsimple/v2/paidQR/20310604"
    assert [(p.qr_id, p.bank_transaction_id, p.currency) for p in found.payments] == [
        (QR, "900001", "BOB"),
        ("other", "900002", "USD"),
    ]
    assert [p.problem for p in found.unreadable] == ["no_amount"]
    assert (found.complete, found.sent_at) == (True, START)


@pytest.mark.parametrize(("listed", "count"), [(None, 0), ([], 0), ({}, 0), (..., 0), (payment(), 1), ([payment()], 1)])
def test_day_list_in_its_shapes(listed: object, count: int) -> None:
    body = {"paymentList": listed, "responseCode": 0, "message": ""}
    response = answer({key: value for key, value in body.items() if value is not ...})
    found = ScriptedBank(lambda _: response).run(lambda bank: bank.paid_on(date(2031, 6, 14)))
    assert len(found.payments) == count


@pytest.mark.parametrize("body", [{"responseCode": 1}, {}, {"paymentList": "x", "responseCode": 0}, []])
def test_unreadable_day_list_is_not_an_empty_one(body: object) -> None:
    with pytest.raises(Unreadable):
        ScriptedBank(lambda _: answer(body)).run(lambda bank: bank.paid_on(date(2031, 6, 14)))


@pytest.mark.parametrize(
    ("utc", "day"),
    [
        (datetime(2031, 6, 15, 0, 30, tzinfo=UTC), "20310614"),  # 20:30 in Bolivia
        (datetime(2031, 6, 15, 3, 59, tzinfo=UTC), "20310614"),
        (datetime(2031, 6, 15, 4, 0, tzinfo=UTC), "20310615"),
    ],
)
def test_today_is_the_banks_day(utc: datetime, day: str) -> None:
    scripted = ScriptedBank(lambda _: answer({"paymentList": None, "responseCode": 0}))
    scripted.run(lambda bank: bank.ping(), Clock(utc))
    assert scripted.calls[0].url.path.endswith(f"/paidQR/{day}")


@pytest.mark.parametrize("qr_id", ["a/b", "a?b", "a#b", "%41", "a%2Fb", "ñ", "a+b", "a;b=c", "á:@&", "..a"])
def test_any_id_stays_one_piece_of_the_path(qr_id: str) -> None:
    scripted = ScriptedBank(lambda _: status_answer(0))
    scripted.run(lambda bank: bank.check(Ask(qr_id)))
    raw = scripted.calls[0].url.raw_path.decode()
    assert raw.count("/") == "/ApiGateway/api/qrsimple/v2/statusQR/x".count("/")
    assert scripted.calls[0].url.path.endswith(f"/statusQR/{qr_id}")


@pytest.mark.parametrize("qr_id", [".", "..", ""])
def test_ids_that_would_change_the_path_are_never_sent(qr_id: str) -> None:
    scripted = ScriptedBank(lambda _: status_answer(0))
    with pytest.raises(Unreadable):
        scripted.run(lambda bank: bank.check(Ask(qr_id)))
    assert scripted.calls == []


def junk(elements: bytes) -> httpx.Response:
    return raw_answer(b'{"statusQrCode": 1, "responseCode": 0, "message": "", "payment": [' + elements + b"]}")


def test_a_mass_of_junk_is_no_answer_and_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Valid JSON of many tiny elements: each would be kept for a review, and one answer would fill memory and books."""
    monkeypatch.setattr(elements, "MAX_UNREADABLE", 3)
    assert len(check(junk(b"0,0,0")).unreadable) == 3
    read: list[int] = []
    monkeypatch.setattr(baneco, "read_payment", lambda *_: read.append(1) or UnreadablePayment("0", "not_an_object"))
    with pytest.raises(Unreadable, match="nothing of the answer is believed"):
        check(junk(b"0," * 50 + b"0"))
    assert len(read) == 4


def test_a_body_of_too_many_values_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"{}," * 10 + b"{}"
    assert check(junk(body)).unreadable == (), "empty objects are this bank's way to say nothing"
    monkeypatch.setattr(wire, "MAX_COMMAS", 12)
    with pytest.raises(Unreadable, match="not JSON"):
        check(junk(body))
