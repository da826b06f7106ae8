"""Amounts: whole minor units, exact, or refused with a word that says why."""

from __future__ import annotations

import decimal
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paysync_cli.payments.money import CURRENCIES, MAX_MINOR, MoneyError, minor_digits, parse_amount, to_minor, to_text

CURRENCY = st.sampled_from(sorted(CURRENCIES))


def refusal(amount: str, currency: str = "BOB") -> str:
    with pytest.raises(MoneyError) as caught:
        to_minor(Decimal(amount), currency)
    return caught.value.problem


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("10.10", "BOB", 1010),
        ("599.80", "BOB", 59980),  # 599.80 * 100 is 59979 in floats
        ("0.01", "BOB", 1),
        ("7", "BOB", 700),
        ("1E+2", "BOB", 10000),
        ("100", "JPY", 100),
        ("100.00", "JPY", 100),
        ("1.234", "KWD", 1234),
        ("0.0001", "CLF", 1),
        ("1.10000000000000000000000000000000000000000", "BOB", 110),
        ("10000000000000", "BOB", MAX_MINOR),
    ],
)
def test_minor_units(amount: str, currency: str, minor: int) -> None:
    assert to_minor(Decimal(amount), currency) == minor


@pytest.mark.parametrize(
    ("amount", "currency", "problem"),
    [
        ("10.101", "BOB", "too_precise"),
        ("100.5", "JPY", "too_precise"),
        ("1.2345", "KWD", "too_precise"),
        ("0.001", "BOB", "too_precise"),
        # The default context keeps 28 digits: this tail must not be rounded away unseen.
        ("1.00000000000000000000000000000000000001", "BOB", "too_precise"),
        ("1E-999999", "BOB", "too_precise"),
        ("1E-999999999999", "BOB", "too_precise"),
        ("0", "BOB", "not_positive"),
        ("-0.01", "BOB", "not_positive"),
        ("0E+999999999999", "BOB", "not_positive"),
        ("NaN", "BOB", "not_finite"),
        ("sNaN", "BOB", "not_finite"),
        ("Infinity", "BOB", "not_finite"),
        ("-Infinity", "BOB", "not_finite"),
        ("10000000000000.01", "BOB", "too_large"),
        ("1E+999999", "BOB", "too_large"),
        ("1E+999999999999", "BOB", "too_large"),
        ("9" * 5000, "BOB", "too_large"),
        ("1", "XXX", "unknown_currency"),
        ("1", "bob", "unknown_currency"),
        ("1", "", "unknown_currency"),
    ],
)
def test_what_is_no_money_says_why(amount: str, currency: str, problem: str) -> None:
    assert refusal(amount, currency) == problem


def test_the_thread_s_decimal_context_does_not_change_money() -> None:
    with decimal.localcontext() as context:
        context.prec = 3
        assert to_minor(Decimal("12345.67"), "BOB") == 1234567
        assert refusal("12345.678") == "too_precise"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not_a_number"),
        ("1,5", "not_a_number"),
        ("1e3", "not_a_number"),
        ("1_000", "not_a_number"),
        ("+5", "not_a_number"),
        (" 5", "not_a_number"),
        ("5.", "not_a_number"),
        (".5", "not_a_number"),
        ("NaN", "not_a_number"),
        ("0x10", "not_a_number"),
        ("٣", "not_a_number"),
        ("--5", "not_a_number"),
        ("-5", "not_positive"),
        ("-0.00", "not_positive"),
        ("0.00", "not_positive"),
        ("1.005", "too_precise"),
        ("9999999999999999", "too_large"),
    ],
)
def test_text_that_is_no_amount_says_why(text: str, problem: str) -> None:
    with pytest.raises(MoneyError) as caught:
        parse_amount(text, "BOB")
    assert caught.value.problem == problem


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (10050, "BOB", "100.50"),
        (5, "BOB", "0.05"),
        (0, "BOB", "0.00"),
        (-5, "BOB", "-0.05"),
        (100, "JPY", "100"),
        (-1, "JPY", "-1"),
        (1234, "KWD", "1.234"),
    ],
)
def test_text_of_minor_units(minor: int, currency: str, text: str) -> None:
    assert to_text(minor, currency) == text


@given(st.integers(1, MAX_MINOR), CURRENCY)
def test_text_and_back_is_the_same_money(minor: int, currency: str) -> None:
    assert parse_amount(to_text(minor, currency), currency) == minor


@given(st.decimals(allow_nan=True, allow_infinity=True), CURRENCY)
def test_any_number_is_exact_money_or_refused(amount: Decimal, currency: str) -> None:
    try:
        minor = to_minor(amount, currency)
    except MoneyError:
        return
    assert 0 < minor <= MAX_MINOR
    assert minor == amount * 10 ** minor_digits(currency)


@given(st.text(), CURRENCY)
def test_any_text_is_money_or_refused(text: str, currency: str) -> None:
    try:
        minor = parse_amount(text, currency)
    except MoneyError:
        return
    assert Decimal(to_text(minor, currency)) == Decimal(text)


def test_three_times_ten_cents_are_thirty_cents() -> None:
    assert to_text(sum(parse_amount("0.10", "BOB") for _n in range(3)), "BOB") == "0.30"


def test_sums_stay_inside_a_bigint() -> None:
    assert MAX_MINOR * 9000 < 2**63
