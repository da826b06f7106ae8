"""Amounts as whole minor units of a currency (ISO 4217); text and Decimal only, never float."""

from __future__ import annotations

import re
from decimal import MAX_PREC, Context, Decimal, InvalidOperation

# Currencies whose minor unit is not two digits (ISO 4217, list one).
_DIGITS = dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0)
_DIGITS |= dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3)
_DIGITS |= dict.fromkeys("CLF UYW".split(), 4)

CURRENCIES = frozenset(
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF"
    " CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD"
    " HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD"
    " MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN"
    " PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD"
    " TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG".split()
)

MAX_MINOR = 10**15  # ten trillion in a two-digit currency: far above any QR, and sums stay inside a BIGINT

_EXACT = Context(prec=MAX_PREC)  # the default context would round a long tail of digits away, unseen

_PLAIN_AMOUNT = re.compile(r"[0-9]{1,16}(\.[0-9]{1,18})?", re.ASCII)


class MoneyError(ValueError):
    """An amount or currency that cannot be money; `problem` is a stable word for the caller's sentence."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def minor_digits(currency: str) -> int:
    """How many digits the currency has behind the point."""
    return _DIGITS.get(currency, 2)


def to_minor(amount: Decimal, currency: str) -> int:
    """The amount in minor units.

    Raises MoneyError: `unknown_currency`, `not_finite`, `not_positive`, `too_precise` (more digits than the currency
    has), `too_large`.
    """
    if currency not in CURRENCIES:
        raise MoneyError("unknown_currency")
    if not amount.is_finite():
        raise MoneyError("not_finite")
    if amount <= 0:
        raise MoneyError("not_positive")
    if amount.adjusted() > 15:
        raise MoneyError("too_large")
    scaled = amount.scaleb(minor_digits(currency), context=_EXACT)
    minor = int(scaled)
    if minor != scaled:
        raise MoneyError("too_precise")
    if minor > MAX_MINOR:
        raise MoneyError("too_large")
    return minor


def parse_amount(text: str, currency: str) -> int:
    """Minor units from text like `100.50`: a dot, no sign, no exponent, no grouping.

    Raises MoneyError: `not_a_number` and everything of `to_minor`.
    """
    if text.startswith("-") and _PLAIN_AMOUNT.fullmatch(text[1:]):
        raise MoneyError("not_positive")
    if not _PLAIN_AMOUNT.fullmatch(text):
        raise MoneyError("not_a_number")
    try:
        return to_minor(Decimal(text), currency)
    except InvalidOperation:
        raise MoneyError("not_a_number") from None


def to_text(minor: int, currency: str) -> str:
    """`10050`, `BOB` -> `100.50`: what people and JSON see."""
    digits = minor_digits(currency)
    sign, whole = ("-" if minor < 0 else ""), abs(minor)
    if digits == 0:
        return f"{sign}{whole}"
    return f"{sign}{whole // 10**digits}.{whole % 10**digits:0{digits}d}"
