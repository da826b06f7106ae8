"""What people type: accepted and stored unchanged, or one sentence that says how to write it."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paysync_cli.errors import Fault, InputError
from paysync_cli.payments.money import to_text
from paysync_cli.payments.status import Priority
from paysync_cli.services.register import Request, Wish
from paysync_cli.services.requests import BankDefaults, parse_request, parse_requests, parse_wish

LA_PAZ = ZoneInfo("America/La_Paz")  # UTC-4, no summer time
BANK = BankDefaults("sim", "BOB", "main", LA_PAZ)
NOW = datetime(2031, 6, 14, 16, 0, tzinfo=UTC)
ANY_TEXT = st.text(st.characters(), max_size=80)  # surrogates too: undecodable bytes of a command line


def parsed(**fields: str) -> Request:
    return parse_request({"qr_id": "QR1", **fields}, BANK, NOW)


def faults(**fields: str) -> tuple[Fault, ...]:
    with pytest.raises(InputError) as caught:
        parse_request({"qr_id": "QR1", **fields}, BANK, NOW)
    return caught.value.faults


def refusal(**fields: str) -> str:
    (fault,) = faults(**fields)
    return _sentence(fault)


def parsed_or_refused(**fields: str) -> Request | str:
    try:
        return parsed(**fields)
    except InputError as error:
        (fault,) = error.faults
    return _sentence(fault)


def _sentence(fault: Fault) -> str:
    """The fault's message, which must be one printable line of bounded length."""
    assert fault.message.isprintable()
    assert len(fault.message) < 500
    return fault.message


def test_only_the_id_is_needed() -> None:
    assert parsed() == Request("QR1", None, "BOB", "main", None, False, None, frozenset())


def test_everything_said() -> None:
    request = parsed(
        amount="100.50", currency="usd", due="2031-12-31", account=" A 1 ", issued_at="2031-06-14T11:00", multi_use="sí"
    )
    assert request == Request(
        qr_id="QR1",
        amount=10050,
        currency="USD",
        account="A 1",
        due_at=datetime(2032, 1, 1, 3, 59, 59, tzinfo=UTC),
        multi_use=True,
        issued_at=datetime(2031, 6, 14, 15, 0, tzinfo=UTC),
        given=frozenset({"amount", "currency", "due", "account", "issued_at", "multi_use"}),
    )


# -- the id


@pytest.mark.parametrize("qr_id", ["1", "x" * 64, "ñandú-Ω-二维码", "=cmd()", "[red]x[/]", "-5", "é" * 64, "😀"])
def test_visible_ids_stay_as_they_are(qr_id: str) -> None:
    assert parsed(qr_id=qr_id).qr_id == qr_id


@pytest.mark.parametrize(
    ("qr_id", "says"),
    [
        ("", "the QR id is empty."),
        ("x" * 65, "has 65 characters; at most 64 are allowed."),
        ("a b", "contains U+0020 SPACE at place 2"),
        ("\x1b[31m", "contains U+001B at place 1"),
        ("a\n", "contains U+000A at place 2"),
        ("a\0", "contains U+0000 at place 2"),
        ("a\u00a0b", "contains U+00A0 NO-BREAK SPACE at place 2"),
        ("a\u202eb", "contains U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("a\u200bb", "contains U+200B ZERO WIDTH SPACE"),
        ("\udcf1", "contains U+DCF1"),
        ("\ufeffQR", "contains U+FEFF ZERO WIDTH NO-BREAK SPACE at place 1"),
    ],
)
def test_other_ids_are_refused(qr_id: str, says: str) -> None:
    assert says in refusal(qr_id=qr_id)


def test_a_missing_id_is_said() -> None:
    with pytest.raises(InputError) as caught:
        parse_request({"amount": "1"}, BANK, NOW)
    assert [fault.message for fault in caught.value.faults] == ["qr_id is missing."]


@given(ANY_TEXT)
@example("a" * 65)
@example("\ud800")
def test_any_text_as_an_id_is_kept_or_refused(text: str) -> None:
    visible = 1 <= len(text) <= 64 and not any(unicodedata.category(char)[0] in "CZ" for char in text)
    if visible:
        assert parsed(qr_id=text).qr_id == text
    else:
        assert refusal(qr_id=text)


# -- the amount


@pytest.mark.parametrize(
    ("amount", "currency", "says"),
    [
        ("12,50", "BOB", "amount '12,50' has a comma: write 12.50, with a point."),
        ("-5", "BOB", "amount '-5' is not above zero."),
        ("0", "BOB", "amount '0' is not above zero."),
        ("0.00", "BOB", "amount '0.00' is not above zero."),
        ("10.005", "BOB", "amount '10.005' has more than the 2 decimals of BOB: write it like 100.50."),
        # A thousand for one reader, one for the next.
        ("1.000", "BOB", "amount '1.000' has more than the 2 decimals of BOB: write it like 100.50."),
        ("1.0000", "KWD", "amount '1.0000' has more than the 3 decimals of KWD: write it like 100.500."),
        ("100.00", "CLP", "amount '100.00' has decimals and CLP has none: write whole units, like 100."),
        ("10000000000001", "BOB", "amount '10000000000001' is too large to be a payment."),
        ("1e3", "BOB", "amount '1e3' is not an amount: write digits and a point, like 100.50."),
        ("NaN", "BOB", "amount 'NaN' is not an amount: write digits and a point, like 100.50."),
        ("Infinity", "BOB", "amount 'Infinity' is not an amount: write digits and a point, like 100.50."),
        ("٣", "BOB", "amount '٣' is not an amount: write digits and a point, like 100.50."),
        ("+5", "BOB", "amount '+5' is not an amount: write digits and a point, like 100.50."),
        ("1,234.50", "BOB", "amount '1,234.50' is not an amount: write digits and a point, like 100.50."),
        ("1_000", "BOB", "amount '1_000' is not an amount: write digits and a point, like 100.50."),
        ("Bs 5", "BOB", "amount 'Bs 5' is not an amount: write digits and a point, like 100.50."),
        ("0x10", "BOB", "amount '0x10' is not an amount: write digits and a point, like 100.50."),
        ("1.", "BOB", "amount '1.' is not an amount: write digits and a point, like 100.50."),
        (".5", "BOB", "amount '.5' is not an amount: write digits and a point, like 100.50."),
        ("", "BOB", "amount is empty: leave it out or give it a value."),
        (" ", "BOB", "amount is empty: leave it out or give it a value."),
    ],
)
def test_amounts_refused(amount: str, currency: str, says: str) -> None:
    assert refusal(amount=amount, currency=currency) == says


@given(
    ANY_TEXT | st.from_regex(r"-?[0-9]{0,17}[.,]?[0-9]{0,4}", fullmatch=True), st.sampled_from(("BOB", "CLP", "KWD"))
)
@example("1" * 5000, "BOB")
@example("9" * 16, "CLP")
def test_any_text_as_an_amount_is_exact_or_refused(text: str, currency: str) -> None:
    request = parsed_or_refused(amount=text, currency=currency)
    if isinstance(request, str):
        return
    amount = request.amount
    assert amount is not None
    assert amount > 0
    whole, _, decimals = to_text(amount, currency).partition(".")
    said_whole, _, said_decimals = text.strip().partition(".")
    assert (said_whole.lstrip("0") or "0", said_decimals.ljust(len(decimals), "0")) == (whole, decimals)


@pytest.mark.parametrize("currency", ["BOBS", "", "bolivianos", "$us", "XXX", "uſd", "B0B"])
def test_currencies_refused(currency: str) -> None:
    (fault,) = faults(currency=currency)
    assert fault.code == "invalid_currency"


# -- moments


@pytest.mark.parametrize(
    ("due", "at"),
    [
        # A day ends with the bank's day: four hours later in UTC.
        ("2031-12-31", datetime(2032, 1, 1, 3, 59, 59, tzinfo=UTC)),
        ("2031-12-31T10:00", datetime(2031, 12, 31, 14, 0, tzinfo=UTC)),
        ("2031-12-31 10:00:30.5", datetime(2031, 12, 31, 14, 0, 30, 500000, tzinfo=UTC)),
        ("2031-12-31T10:00Z", datetime(2031, 12, 31, 10, 0, tzinfo=UTC)),
        ("2031-12-31t10:00z", datetime(2031, 12, 31, 10, 0, tzinfo=UTC)),
        ("2031-12-31T10:00-04:00", datetime(2031, 12, 31, 14, 0, tzinfo=UTC)),
        ("2031-12-31T10:00+0530", datetime(2031, 12, 31, 4, 30, tzinfo=UTC)),
        # Already past is the bank's to decide.
        ("2001-01-01", datetime(2001, 1, 2, 3, 59, 59, tzinfo=UTC)),
        ("2100-12-31", datetime(2101, 1, 1, 3, 59, 59, tzinfo=UTC)),
    ],
)
def test_due_moments(due: str, at: datetime) -> None:
    assert parsed(due=due).due_at == at


@pytest.mark.parametrize(
    ("due", "says"),
    [
        ("31/12/2031", "due '31/12/2031' is not a date: write 2026-12-31, or 2026-12-31T18:30 with the time."),
        ("20311231", "is not a date"),
        ("2031-W01-1", "is not a date"),
        ("2031-12-31x10:00", "is not a date"),
        ("1924992000", "is not a date"),
        ("mañana", "is not a date"),
        ("٢٠٣١-١٢-٣١", "is not a date"),
        ("2031-02-30", "due '2031-02-30' is no day or time that exists."),
        ("2031-12-31T25:00", "is no day or time that exists."),
        ("9999-12-31", "due '9999-12-31' is not between the years 2000 and 2100."),
        ("0001-01-01", "is not between the years"),
        ("", "due is empty"),
    ],
)
def test_due_moments_refused(due: str, says: str) -> None:
    assert says in refusal(due=due)


@given(ANY_TEXT | st.datetimes(timezones=st.none() | st.timezones()).map(datetime.isoformat))
def test_any_text_as_a_moment_is_read_or_refused(text: str) -> None:
    for field in ("due", "issued_at"):
        request = parsed_or_refused(**{field: text})
        if not isinstance(request, str):
            at = request.due_at or request.issued_at
            assert at is not None
            assert at.utcoffset() == timedelta(0)


def test_an_issue_day_begins_with_the_banks_day() -> None:
    assert parsed(issued_at="2031-06-14").issued_at == datetime(2031, 6, 14, 4, 0, tzinfo=UTC)


def test_an_issue_in_the_future_is_refused_beyond_what_clocks_differ() -> None:
    assert parsed(issued_at="2031-06-14T16:05Z").issued_at == NOW + timedelta(minutes=5)
    assert "is in the future (it is 2031-06-14T12:00:00-04:00 now)" in refusal(issued_at="2031-06-14T16:05:01Z")


def test_due_before_issue_is_refused() -> None:
    assert parsed(due="2031-06-14T10:00", issued_at="2031-06-14T10:00").due_at
    assert refusal(due="2031-06-13", issued_at="2031-06-14") == "due '2031-06-13' is before issued_at '2031-06-14'."


# -- the rest


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("true", True),
        ("YES", True),
        ("1", True),
        ("sí", True),
        ("Si", True),
        ("si\u0301", True),
        ("t", True),
        ("f", False),
        ("false", False),
        ("no", False),
        ("0", False),
    ],
)
def test_flags(text: str, flag: bool) -> None:
    assert parsed(multi_use=text).multi_use is flag


@pytest.mark.parametrize("text", ["maybe", "2", "verdadero", "tru"])
def test_flags_refused(text: str) -> None:
    assert "is neither true nor false" in refusal(multi_use=text)


@pytest.mark.parametrize(
    ("account", "says"),
    [("x" * 65, "has 65 characters; at most 64"), ("a\x1bb", "contains U+001B"), ("a\u2028b", "contains U+2028")],
)
def test_accounts_refused(account: str, says: str) -> None:
    assert says in refusal(account=account)


def test_an_account_may_have_spaces() -> None:
    assert parsed(account="Caja de Ahorro Nº 5").account == "Caja de Ahorro Nº 5"


def test_unknown_fields_are_refused_with_the_nearest() -> None:
    assert refusal(ammount="5") == "'ammount' is not known; did you mean amount?"
    assert "there are: qr_id, amount" in refusal(zzz="5")
    assert "'at' is not known" in refusal(at="2031-06-14")


def test_all_faults_at_once() -> None:
    found = faults(
        qr_id="a b", amount="1e3", currency="XYZ", due="x", account="\x07", issued_at="y", multi_use="z", u=""
    )
    assert [fault.code for fault in found] == [
        "invalid_qr_id",
        "invalid_currency",
        "invalid_amount",
        "invalid_account",
        "invalid_due",
        "invalid_issued_at",
        "invalid_multi_use",
        "unknown_field",
    ]


def test_an_amount_in_a_refused_currency_is_not_told_about_decimals() -> None:
    assert [fault.code for fault in faults(amount="1.234", currency="KDW")] == ["invalid_currency"]


def test_shared_faults_are_told_once() -> None:
    with pytest.raises(InputError) as caught:
        parse_requests(["QR1", "Q 2", "QR3"], {"amount": "0"}, BANK, NOW)
    assert [fault.code for fault in caught.value.faults] == ["invalid_amount", "invalid_qr_id"]


# -- wishes


def wished(**said: object) -> Wish:
    nothing: dict[str, object] = {
        "within": None,
        "at": None,
        "now_wanted": False,
        "priority": None,
        "more_checks": None,
    }
    return parse_wish(**nothing | said, zone=LA_PAZ, now=NOW, who="ana@till")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "wish"),
    [
        ({}, Wish(who="ana@till")),
        ({"now_wanted": True}, Wish(at=NOW, now=True, who="ana@till")),
        ({"within": "10m"}, Wish(at=NOW + timedelta(minutes=10), who="ana@till")),
        ({"at": "2031-06-14T13:00"}, Wish(at=NOW + timedelta(hours=1), who="ana@till")),
        ({"at": "2031-06-14T11:00"}, Wish(at=NOW, who="ana@till")),
        ({"priority": "high"}, Wish(priority=Priority.HIGH, who="ana@till")),
        ({"more_checks": 1000}, Wish(more_checks=1000, who="ana@till")),
    ],
)
def test_wishes(said: dict[str, object], wish: Wish) -> None:
    assert wished(**said) == wish


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"within": "10m", "at": "2031-06-15"}, "--in, --at and --now exclude each other"),
        ({"within": "10m", "now_wanted": True}, "--in, --at and --now exclude each other"),
        ({"within": "soon"}, "--in: 'soon' is not a time span"),
        ({"within": "-5m"}, "is in the past: use --now."),
        ({"within": ""}, "in is empty"),
        ({"within": "367d"}, "more than 366 days ahead"),
        ({"at": "2099-01-01"}, "more than 366 days ahead"),
        ({"at": "noon"}, "--at 'noon' is not a date"),
        ({"priority": "urgent"}, "priority 'urgent' is not one of high, medium, low."),
        ({"more_checks": 0}, "from 1 to 1000"),
        ({"more_checks": 1001}, "from 1 to 1000"),
    ],
)
def test_wishes_refused(said: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        wished(**said)
