"""One payment element of an answer, read exactly or kept as unreadable; nothing is guessed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from paysync_cli.banks.declared.spec import PaymentFields
from paysync_cli.banks.wire import compact_json, decimal_number, identifier, printable
from paysync_cli.payments.money import MoneyError, minor_digits, to_minor
from paysync_cli.payments.qr import Payment, UnreadablePayment

_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_COMMA = re.compile(r"-?[0-9]{1,18}(,[0-9]{1,18})?", re.ASCII)
FIRST_YEAR = 2000  # what is older is an empty date of the bank's own system


QrMoney = tuple[Decimal | None, str | None]
"""The amount and currency of the QR that was asked about."""


def read_payment(
    element: object,
    fields: PaymentFields,
    zone: ZoneInfo,
    asked: str | None = None,
    qr_money: QrMoney = (None, None),
) -> Payment | UnreadablePayment:
    """`zone`: of a moment without one; `asked`: the QR it must belong to, None for any; `qr_money` is heeded only where
    the bank never tells an amount.

    Unreadable problems: `not_an_object`, `no_qr_id`, `other_qr`, `no_transaction_id`, `no_amount`, `no_currency`, and
    the words of `MoneyError`. A moment that cannot be read makes `paid_at` None, nothing worse.
    """
    raw = compact_json(element)
    if not isinstance(element, dict):
        return UnreadablePayment(raw, "not_an_object", asked)
    qr_id = asked if fields.qr_id is None else identifier(fields.qr_id.of_or_none(element))
    if qr_id is None:
        return UnreadablePayment(raw, "no_qr_id", asked)
    if asked is not None and qr_id != asked:
        return UnreadablePayment(raw, "other_qr", qr_id)
    transaction_id = identifier(fields.transaction_id.of_or_none(element))
    if transaction_id is None:
        return UnreadablePayment(raw, "no_transaction_id", qr_id)
    currency = read_currency(element, fields)
    if currency is None:
        return UnreadablePayment(raw, "no_currency", qr_id)
    if fields.amount is not None:
        amount = read_amount(fields.amount.of_or_none(element), fields, currency)
    else:
        amount = qr_money[0] if currency == qr_money[1] else None
    if amount is None:
        return UnreadablePayment(raw, "no_amount", qr_id)
    try:
        to_minor(amount, currency)
    except MoneyError as error:
        return UnreadablePayment(raw, error.problem, qr_id)
    paid_at = fields.paid_at and read_moment(fields.paid_at.of_or_none(element), fields.paid_at_format, zone)
    return Payment(qr_id, transaction_id, amount, currency, paid_at or None, _payer(element, fields), raw)


def is_blank(element: object, fields: PaymentFields) -> bool:
    """Whether an object that stands for one payment holds none: neither an id nor an amount."""
    places = [fields.transaction_id, *([fields.amount] if fields.amount is not None else [])]
    return all(place.of_or_none(element) in (None, "") for place in places)


def has_no_id(element: object, fields: PaymentFields) -> bool:
    return identifier(fields.transaction_id.of_or_none(element)) is None


def read_amount(value: object, fields: PaymentFields, currency: str) -> Decimal | None:
    """The amount in the currency's major unit. Minor units must be whole: `1250` or "1250", never 1250.0."""
    if fields.minor_units:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str) or not _WHOLE.fullmatch(text.strip()):
            return None
        return Decimal(text.strip()).scaleb(-minor_digits(currency))
    if fields.decimal_mark == "," and isinstance(value, str):
        text = value.strip()
        return Decimal(text.replace(",", ".")) if _COMMA.fullmatch(text) else None
    return decimal_number(value)


def read_currency(element: object, fields: PaymentFields) -> str | None:
    """The currency's code; the bank's own word for it is translated first."""
    if fields.currency is None:
        return fields.fixed_currency
    value = fields.currency.of_or_none(element)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        return None
    return fields.currencies.get(value.strip(), value.strip().upper())


def read_moment(value: object, form: str, zone: ZoneInfo) -> datetime | None:
    """When it was paid, in UTC; a moment without a zone is the bank's. None when it cannot be read."""
    try:
        moment = _moment(value, form)
        if moment is None or moment.year < FIRST_YEAR:
            return None
        local = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
        return local.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _moment(value: object, form: str) -> datetime | None:
    if form in ("epoch_s", "epoch_ms"):
        number = decimal_number(value)
        if number is None:
            return None
        return datetime.fromtimestamp(float(number) / (1000 if form == "epoch_ms" else 1), UTC)
    if not isinstance(value, str):
        return None
    text = value.strip()
    return datetime.fromisoformat(text) if form == "iso" else datetime.strptime(text, form)  # noqa: DTZ007


def _payer(element: object, fields: PaymentFields) -> str | None:
    value = fields.payer.of_or_none(element) if fields.payer is not None else None
    return (printable(value) or None) if isinstance(value, str) else None
