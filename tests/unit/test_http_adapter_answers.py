"""The adapter `http` reads what a described bank answers: exactly, or not at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paysync_cli.banks import elements
from paysync_cli.banks.base import BankError, Refused, Unknown, Unreadable
from paysync_cli.banks.declared import bank as declared_bank
from paysync_cli.payments.qr import Answer, Ask, Payment
from paysync_cli.payments.status import BankStatus
from tests.declared import DAY, QR, TOKEN, Scripted, body, described
from tests.simulated import START

PAID_AT = datetime(2031, 6, 15, 1, 5, 11, tzinfo=UTC)  # 21:05:11 on the 14th in Bolivia


def paid(**changes: object) -> dict[str, object]:
    element: dict[str, object] = {
        "qr": QR, "id": "T-1", "amount": "12.50", "currency": "BOB", "at": "2031-06-14T21:05:11",
        "payer": {"name": "ANA QUISPE"},
    }  # fmt: skip
    return {key: value for key, value in (element | changes).items() if value is not ...}


def status(state: object, payments: object = None, **more: object) -> str:
    return json.dumps({"success": True, "data": {"state": state, "payments": payments} | more})


def outcome(answer: str, tables: dict[str, Any] | None = None, http: int = 200) -> Answer | BankError:
    try:
        return Scripted(body(answer, http), tables).check()
    except BankError as error:
        return error


def the_payment(element: dict[str, object] | str, **payment: object) -> Payment | str:
    """What is read of one element when `[banks.x.payment]` is changed like this; the problem when nothing is."""
    raw = element if isinstance(element, str) else json.dumps(element)
    answer = outcome(
        '{"success": true, "data": {"state": "PAID", "payments": [' + raw + "]}}", described(payment=payment)
    )
    assert isinstance(answer, Answer), answer
    (found,) = (*answer.payments, *answer.unreadable)
    return found if isinstance(found, Payment) else found.problem


def the_amount(text: str, **payment: object) -> Decimal | str:
    """What is read of an amount, as it stands in the JSON."""
    element = json.dumps(paid(amount="@")).replace('"@"', text)
    found = the_payment(element, **payment)
    return found if isinstance(found, str) else found.amount


# -- status


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("OPEN", BankStatus.UNPAID),
        ("BUSY", BankStatus.IN_PROCESS),
        ("PAID", BankStatus.PAID),
        ("VOID", BankStatus.CANCELLED),
        ("OVER", BankStatus.EXPIRED),
        (" OPEN ", BankStatus.UNPAID),
    ],
)
def test_each_word_has_the_meaning_of_the_table(word: str, meant: BankStatus) -> None:
    assert outcome(status(word)) == Answer(meant, word.strip(), START)


@pytest.mark.parametrize(
    ("sent", "key", "meant"),
    [(0, "0", BankStatus.UNPAID), (False, "false", BankStatus.UNPAID), (1, "1", BankStatus.PAID)],
)
def test_numbers_and_booleans_are_words_too(sent: object, key: str, meant: BankStatus) -> None:
    words = {key: meant.value} | ({"x": "paid"} if meant is not BankStatus.PAID else {})
    answer = outcome(status(sent), described(status={"words": words}))
    assert answer == Answer(meant, key, START)


@pytest.mark.parametrize(
    "word", ["open", "NEW", "", " ", None, 7, 1.0, 0.0, True, [], {}, ["OPEN"], {"OPEN": 1}, "OPEN\u0000"]
)
def test_a_word_that_the_table_lacks_is_no_state(word: object) -> None:
    error = outcome(status(word))
    assert isinstance(error, Unreadable)
    assert "banks.andes.status." in error.message


def test_the_missing_word_and_where_to_add_it_are_named() -> None:
    error = outcome(status("REVERSED\u001b[31m"))
    assert isinstance(error, Unreadable)
    assert error.message == 'GET /api/qrs/QR-7: unknown status "REVERSED [31m"; banks.andes.status.words lacks it'


def test_the_answer_may_be_checked_to_be_about_the_qr() -> None:
    tables = described(status={"qr_id": "data.qr"})
    assert isinstance(outcome(status("OPEN", qr=QR), tables), Answer)
    for other in ("QR-8", None, 7, ...):
        more = {} if other is ... else {"qr": other}
        assert isinstance(outcome(status("OPEN", **more), tables), Unreadable)


@pytest.mark.parametrize("http", [200, 404])
def test_an_unknown_qr_is_what_the_expression_says(http: int) -> None:
    tables = described(status={"unknown_qr": "error.code == 'NO_SUCH_QR'"})
    unknown = outcome('{"success": false, "error": {"code": "NO_SUCH_QR"}}', tables, http)
    assert type(unknown) is Unknown
    other = outcome('{"success": false, "error": {"code": "OTHER", "text": "no"}}', tables, http)
    assert type(other) is Unreadable
    assert type(outcome("<html>not found</html>", tables, 404)) is Unreadable, "a gateway on a wrong path says nothing"


def test_without_that_expression_a_404_is_no_state() -> None:
    assert type(outcome('{"success": true, "data": {"state": "OPEN"}}', http=404)) is Unreadable


# -- the ok marker


@pytest.mark.parametrize(
    ("ok_is", "sent", "fine"),
    [
        (None, "true", True), (None, "false", False), (None, "1", False), (None, '"true"', False),
        (None, "null", False),
        (0, "0", True), (0, "false", False), (0, '"0"', False), (0, "0.0", False), (1, "true", False),
        ([0, "0"], '"0"', True), ("0000", '"0000"', True), ("0000", "0", False), ("OK", '"ok"', False),
        ("OK", "[]", False), ("OK", "{}", False),
    ],
)  # fmt: skip
def test_an_answer_that_does_not_say_ok_is_no_state(ok_is: object, sent: str, fine: bool) -> None:
    tables = described(answer={"ok": "code", "ok_is": ... if ok_is is None else ok_is})
    answer = outcome('{"code": ' + sent + ', "data": {"state": "OPEN"}}', tables)
    assert isinstance(answer, Answer if fine else Unreadable)


def test_the_banks_message_is_told_on_one_line_without_our_secret() -> None:
    text = f"saldo\\n insuficiente \\u001b[31m {TOKEN} " + "x" * 500
    error = outcome('{"success": false, "error": {"text": "' + text + '"}}')
    assert isinstance(error, Unreadable)
    assert 'does not say that it is fine ("saldo insuficiente [31m *** xxx' in error.message
    assert len(error.message) < 400
    assert outcome('{"success": false, "error": {"text": 5}}').message.endswith("fine")  # type: ignore[union-attr]


def test_of_two_states_none_is_chosen() -> None:
    assert isinstance(outcome('{"success": true, "data": {"state": "OPEN", "state": "PAID"}}'), Unreadable)


@pytest.mark.parametrize("http", [400, 403, 404, 409, 422])
def test_an_error_status_is_no_state_whatever_the_body_says(http: int) -> None:
    error = outcome(status("PAID", [paid()]), http=http)
    assert isinstance(error, Unreadable)
    assert f"HTTP {http}" in error.message


@pytest.mark.parametrize(
    "answer", ["", "null", "[]", "7", '"PAID"', "{}", "<html></html>", '{"success": true}', "\ufeff"]
)
def test_junk_is_no_state(answer: str) -> None:
    assert isinstance(outcome(answer), Unreadable)


KEYS = st.sampled_from(["success", "data", "state", "payments", "id", "amount", "currency", "qr", "at"])
WORDS = ("OPEN", "BUSY", "PAID", "VOID", "OVER")
SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["PAID", "OPEN", QR])
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=12)


@given(JSON, JSON, JSON)
def test_no_answer_breaks_the_adapter(state: object, payments: object, anything: object) -> None:
    for answer in (status(state, payments), status("PAID", payments), json.dumps(anything)):
        found = outcome(answer)
        assert isinstance(found, Answer | Unreadable)
        if answer == status(state, payments) and not (isinstance(state, str) and state.strip() in WORDS):
            assert isinstance(found, Unreadable)


# -- payments in a status answer


def test_a_payment_is_read_whole() -> None:
    found = the_payment(paid())
    assert isinstance(found, Payment)
    assert (found.qr_id, found.bank_transaction_id, found.amount, found.currency) == (
        QR,
        "T-1",
        Decimal("12.50"),
        "BOB",
    )
    assert (found.paid_at, found.payer) == (PAID_AT, "ANA QUISPE")
    assert json.loads(found.raw)["id"] == "T-1"


@pytest.mark.parametrize("payments", [None, "", [], {}, {"id": None, "amount": None}, {"id": "", "amount": ""}])
@pytest.mark.parametrize("word", ["OPEN", "PAID"])
def test_no_payment_in_its_ways(word: str, payments: object) -> None:
    answer = outcome(status(word, payments))
    assert isinstance(answer, Answer)
    assert (answer.payments, answer.unreadable) == ((), ())


def test_the_qr_itself_may_stand_for_its_payment() -> None:
    """`payments = "data"`: one object that carries the QR's amount all the time, and an id once it was paid."""
    tables = described(status={"payments": "data"})
    unpaid = outcome(status("OPEN", amount="12.50", currency="BOB", qr=QR), tables)
    assert unpaid == Answer(BankStatus.UNPAID, "OPEN", START)
    done = outcome(status("PAID", amount="12.50", currency="BOB", qr=QR, id="T-1"), tables)
    assert isinstance(done, Answer)
    assert [one.amount for one in done.payments] == [Decimal("12.50")]
    without = outcome(status("PAID", amount="12.50", currency="BOB", qr=QR), tables)
    assert isinstance(without, Answer)
    assert [one.problem for one in without.unreadable] == ["no_transaction_id"], "money is never dropped"


@pytest.mark.parametrize("payments", ["x", 5, True])
def test_payments_of_another_shape_are_no_answer(payments: object) -> None:
    assert isinstance(outcome(status("PAID", payments)), Unreadable)


@pytest.mark.parametrize(
    ("element", "problem"),
    [
        (paid(id=...), "no_transaction_id"), (paid(id=None), "no_transaction_id"), (paid(id=""), "no_transaction_id"),
        (paid(id="a b"), "no_transaction_id"), (paid(id=1.5), "no_transaction_id"),
        (paid(id="x" * 200), "no_transaction_id"),
        (paid(id=[]), "no_transaction_id"), (paid(id=True), "no_transaction_id"),
        (paid(amount=...), "no_amount"), (paid(amount="12,50"), "no_amount"), (paid(amount="Bs 12"), "no_amount"),
        (paid(amount=True), "no_amount"), (paid(amount=[]), "no_amount"), (paid(amount="1e3"), "no_amount"),
        (paid(amount=""), "no_amount"), (paid(amount="12.505"), "too_precise"), (paid(amount="0"), "not_positive"),
        (paid(amount="-5"), "not_positive"), (paid(amount=10**30), "too_large"),
        (paid(currency=...), "no_currency"), (paid(currency=""), "no_currency"), (paid(currency=[]), "no_currency"),
        (paid(currency="Bs"), "unknown_currency"), (paid(qr=...), "no_qr_id"), (paid(qr="QR-8"), "other_qr"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_kept_not_guessed(element: dict[str, object], problem: str) -> None:
    assert the_payment(element) == problem


@pytest.mark.parametrize("element", ["null", "5", '"x"', "[]"])
def test_an_element_that_is_no_object_is_kept(element: str) -> None:
    assert the_payment(element) == "not_an_object"


def test_a_mass_of_junk_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """However the pieces fall in which it is read."""
    monkeypatch.setattr(elements, "MAX_UNREADABLE", 3)
    monkeypatch.setattr(declared_bank, "READ_AT_ONCE", 2)
    few = outcome(status("PAID", [0] * 3))
    assert isinstance(few, Answer)
    assert len(few.unreadable) == 3
    assert type(outcome(status("PAID", [0] * 4))) is Unreadable


@pytest.mark.parametrize("word", ["OPEN", "VOID", "OVER", "BUSY"])
def test_an_answer_with_another_qrs_payment_is_no_state(word: str) -> None:
    assert isinstance(outcome(status(word, [paid(qr="QR-8")])), Unreadable)


def test_a_payment_of_an_unpaid_qr_is_told() -> None:
    answer = outcome(status("OPEN", [paid()]))
    assert isinstance(answer, Answer)
    assert (answer.status, len(answer.payments)) == (BankStatus.UNPAID, 1)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("12.5", "12.5"), ("12.50", "12.50"), ("12", "12"), ('"12.50"', "12.50"), ('" 12.50 "', "12.50"),
        ("0.1", "0.1"),
        ("1.10", "1.10"), ("9007199254740.97", "9007199254740.97"), ("1e2", "1E+2"), ("12.500", "12.500"),
    ],
)  # fmt: skip
def test_amounts_are_the_banks_own_digits(text: str, amount: str) -> None:
    assert str(the_amount(text)) == amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1250", "12.50"), ('"1250"', "12.50"), ("1", "0.01"), ("1250.0", "no_amount"), ("12.50", "no_amount"),
     ('"1250.00"', "no_amount"), ('"x"', "no_amount"), ("true", "no_amount"), ("0", "not_positive")],
)  # fmt: skip
def test_minor_units_are_whole(text: str, amount: str) -> None:
    assert str(the_amount(text, minor_units=True)) == amount


def test_minor_units_follow_the_currency() -> None:
    found = [the_payment(paid(amount=1250, currency=one), minor_units=True) for one in ("CLP", "KWD", "USD")]
    assert [str(one.amount) for one in found if isinstance(one, Payment)] == ["1250", "1.250", "12.50"]


@pytest.mark.parametrize(
    ("text", "amount"),
    [('"12,50"', "12.50"), ('"12"', "12"), ("12.50", "12.50"), ('"12.50"', "no_amount"), ('"1.250,00"', "no_amount")],
)
def test_a_decimal_comma(text: str, amount: str) -> None:
    assert str(the_amount(text, decimal_mark=",")) == amount


def test_the_banks_words_for_currencies() -> None:
    words = {"Bs": "BOB", "68": "BOB"}
    for word in ("Bs", 68, "68", "bob"):
        found = the_payment(paid(currency=word), currencies=words)
        assert isinstance(found, Payment)
        assert found.currency == "BOB"
    assert the_payment(paid(currency="$"), currencies=words) == "unknown_currency"
    fixed = the_payment(paid(currency=...), currency=..., fixed_currency="USD")
    assert isinstance(fixed, Payment)
    assert fixed.currency == "USD"


@pytest.mark.parametrize(
    ("ask", "booked"),
    [
        (Ask(QR, "BOB", amount=Decimal("100.50")), "100.50"),
        (Ask(QR, "USD", amount=Decimal("100.50")), "no_amount"),
        (Ask(QR, "BOB"), "no_amount"),
    ],
)
def test_a_bank_that_never_tells_amounts(ask: Ask, booked: str) -> None:
    fields = {"amount": ..., "books_qr_amount": True}
    bank = Scripted(body(status("PAID", [paid(amount=...)])), described(payment=fields, day_list=...))
    answer = bank.run(lambda one: one.check(ask))
    (found,) = (*answer.payments, *answer.unreadable)
    assert (str(found.amount) if isinstance(found, Payment) else found.problem) == booked


@pytest.mark.parametrize(("books", "expected"), [(True, True), (False, False)])
def test_only_such_a_bank_is_given_the_qrs_amount(books: bool, expected: bool) -> None:
    fields = {"amount": ..., "books_qr_amount": True} if books else {}

    async def look(bank: object) -> bool:
        return bank.books_qr_amount is True  # type: ignore[attr-defined]

    assert Scripted(body("{}"), described(payment=fields, day_list=...)).run(look) is expected


@pytest.mark.parametrize(
    ("at", "form", "moment"),
    [
        ("2031-06-14T21:05:11", None, PAID_AT),
        ("2031-06-14T21:05:11-04:00", None, PAID_AT),
        ("2031-06-15T01:05:11Z", None, PAID_AT),
        ("2031-06-14", None, datetime(2031, 6, 14, 4, tzinfo=UTC)),
        ("14/06/2031 21:05:11", "%d/%m/%Y %H:%M:%S", PAID_AT),
        (1939251911, "epoch_s", PAID_AT),
        ("1939251911", "epoch_s", PAID_AT),
        (1939251911000, "epoch_ms", PAID_AT),
        ("0001-01-01T00:00:00", None, None),
        ("14/06/2031", None, None),
        ("x", "%d/%m/%Y", None),
        (10**17, "epoch_s", None),
        (None, None, None), (5, None, None), ([], None, None), ("", None, None),
    ],
)  # fmt: skip
def test_when_it_was_paid(at: object, form: str | None, moment: datetime | None) -> None:
    found = the_payment(paid(at=at), **({"paid_at_format": form} if form else {}))
    assert isinstance(found, Payment)
    assert found.paid_at == moment


def test_date_and_time_in_two_fields() -> None:
    element = paid(at=..., fecha="2031-06-14", hora="21:05:11")
    found = the_payment(element, paid_at="join('T', [fecha, hora])")
    assert isinstance(found, Payment)
    assert found.paid_at == PAID_AT
    broken = the_payment(paid(at=..., fecha="2031-06-14", hora=None), paid_at="join('T', [fecha, hora])")
    assert isinstance(broken, Payment)
    assert broken.paid_at is None


@pytest.mark.parametrize(
    ("expression", "amount"),
    [
        ("to_number(amount)", "12.50"),
        ("to_number('12.50')", "12.50"),
        ("to_string(amount)", "12.50"),
        ("not_null(missing, amount)", "12.50"),
        ("parts[?kind == 'gross'].value | [0]", "12.30"),
        ("max_by(parts, &value).value", "12.30"),
        ("amount.value", "no_amount"),
    ],
)
def test_functions_keep_amounts_exact(expression: str, amount: str) -> None:
    element = json.dumps(paid(amount="@")).replace('"@"', "12.50")
    parts = '"parts": [{"kind": "fee", "value": 0.20}, {"kind": "gross", "value": 12.30}], '
    found = the_payment(element.replace('{"qr"', "{" + parts + '"qr"'), amount=expression)
    assert (found if isinstance(found, str) else str(found.amount)) == amount


# -- what is asked


def test_requests_are_built_from_the_template() -> None:
    request = {"path": "/status", "json": {"id": "{qr_id}", "n": 5, "deep": [{"c": "{currency}"}], "flag": True}}
    bank = Scripted(body(status("OPEN")), described(status=request, headers={"X-Channel": "paysync"}))
    bank.run(lambda one: one.check(Ask('a"b{c}', "USD")))
    (asked,) = bank.asked
    assert (asked.method, str(asked.url)) == ("POST", "https://bank.test/api/status")
    assert json.loads(asked.content) == {"id": 'a"b{c}', "n": 5, "deep": [{"c": "USD"}], "flag": True}
    assert (asked.headers["x-channel"], asked.headers["content-type"]) == ("paysync", "application/json")


def test_a_form() -> None:
    bank = Scripted(body(status("OPEN")), described(status={"path": "/status", "form": {"id": "{qr_id}", "v": 2}}))
    bank.check("a&b=c")
    assert bank.asked[0].content == b"id=a%26b%3Dc&v=2"
    assert bank.asked[0].headers["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("qr_id", ["a/b", "a%2Fb", "a?b", "a#b", "ñ", "..a", "a b&c=d", "{qr_id}"])
def test_an_id_cannot_leave_its_place_in_the_address(qr_id: str) -> None:
    bank = Scripted(body(status("OPEN")), described(status={"query": {"q": "{qr_id}"}}))
    bank.check(qr_id)
    raw = bank.asked[0].url.raw_path.decode()
    assert raw.startswith("/api/qrs/")
    assert raw.count("/") == 3
    assert bank.asked[0].url.params["q"] == qr_id


@pytest.mark.parametrize("qr_id", ["", ".", ".."])
def test_an_id_that_would_change_the_address_is_not_asked(qr_id: str) -> None:
    bank = Scripted(body(status("OPEN")))
    with pytest.raises(Unreadable):
        bank.check(qr_id)
    assert bank.asked == []


@pytest.mark.parametrize(
    ("template", "sent"),
    [
        ("{day}", "2031-06-14"), ("{day:%Y%m%d}", "20310614"), ("{day:%d/%m/%Y}", "14/06/2031"),
        ("{next_day}", "2031-06-15"), ("{day_start}", "2031-06-14T00:00:00-04:00"),
        ("{day_end}", "2031-06-14T23:59:59-04:00"), ("{next_day_start}", "2031-06-15T00:00:00-04:00"),
        ("{day_start:epoch_s}", "1939176000"), ("{day_start:epoch_ms}", "1939176000000"),
        ("{day_start:%Y-%m-%d %H:%M}", "2031-06-14 00:00"), ("x{{{day}}}", "x{2031-06-14}"),
    ],
)  # fmt: skip
def test_the_day_in_every_form(template: str, sent: str) -> None:
    bank = Scripted(body('{"success": true, "items": []}'), described(day_list={"query": {"d": template}}))
    bank.paid_on(DAY)
    assert bank.asked[0].url.params["d"] == sent


def test_a_credential_that_is_refused_is_not_asked_with_again() -> None:
    bank = Scripted(lambda _request: httpx.Response(401))

    async def twice(one: object) -> list[str]:
        messages = []
        for _ in range(2):
            with pytest.raises(Refused) as caught:
                await one.check(Ask(QR))  # type: ignore[attr-defined]
            messages.append(caught.value.message)
        return messages

    messages = bank.run(twice)
    assert messages[0] == "credential refused: GET /api/qrs/QR-7: HTTP 401"
    assert messages[1].startswith("credential stopped: ")
    assert len(bank.asked) == 1
