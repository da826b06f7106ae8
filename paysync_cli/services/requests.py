"""What people type about a QR, made a Request: every fault is one sentence that says how to write it.

One door for `enqueue`, `import` and the Python API. `now` is handed in; nothing is altered silently: an id is stored
as it was typed or refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from difflib import get_close_matches
from functools import lru_cache, partial
from typing import TypeVar

from paysync_cli.errors import Fault, InputError
from paysync_cli.language import _, ngettext
from paysync_cli.payments.money import CURRENCIES, MoneyError, minor_digits, parse_amount
from paysync_cli.payments.status import Priority
from paysync_cli.services.days import FIRST_YEAR, LAST_YEAR
from paysync_cli.services.register import Request, Wish
from paysync_cli.settings.durations import parse_duration

FIELDS = ("qr_id", "amount", "currency", "due", "account", "issued_at", "multi_use")  # public: columns of an import
MAX_ID_CHARS = 64
MAX_ACCOUNT_CHARS = 64
MAX_MORE_CHECKS = 1_000
ISSUED_AHEAD = timedelta(minutes=5)  # clocks of two machines differ
ASK_AHEAD = timedelta(days=366)  # a QR planned later than this is as good as forgotten

_SHOWN_CHARS = 80
_END_OF_DAY = time(23, 59, 59)
_START_OF_DAY = time(0, 0)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_MOMENT = re.compile(
    _DAY.pattern + r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?",
    re.ASCII | re.IGNORECASE,
)
_PLAIN_ID = re.compile(r"[!-~]+", re.ASCII)
_COMMA_DECIMALS = re.compile(r"[0-9]+,[0-9]{1,2}", re.ASCII)
_YES = frozenset(("true", "yes", "1", "sí", "si", "t"))  # t and f are how PostgreSQL writes them
_NO = frozenset(("false", "no", "0", "f"))
_MOST_DIGITS = "CLF"  # judges an amount whose currency is already refused

T = TypeVar("T")
D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class BankDefaults:
    """What a request leaves to its bank: currency and account; `timezone` is where its days end."""

    name: str
    currency: str
    account: str
    timezone: tzinfo


def parse_request(fields: Mapping[str, str], bank: BankDefaults, now: datetime) -> Request:
    """A validated request from text fields named as in FIELDS; a field that is absent takes the bank's default.

    Raises InputError with a Fault for each field that is wrong; codes are `invalid_<field>` and `unknown_field`.
    """
    reading = _Reading(fields)
    qr_id = reading.required("qr_id", read_qr_id)
    currency = reading.optional("currency", read_currency, bank.currency)
    judged_as = _MOST_DIGITS if "currency" in reading.refused else currency
    amount = reading.optional("amount", partial(read_amount, currency=judged_as), None)
    account = reading.optional("account", read_account, bank.account)
    due_at = reading.optional("due", partial(_read_due, zone=bank.timezone), None)
    issued_at = reading.optional("issued_at", partial(_read_issued, zone=bank.timezone, now=now), None)
    multi_use = reading.optional("multi_use", read_flag, False)
    if due_at is not None and issued_at is not None and due_at < issued_at:
        reading.refuse("due", _("due {due} is before issued_at {issued}.").format(
            due=shown(fields["due"]), issued=shown(fields["issued_at"])))  # fmt: skip
    reading.refuse_unknown(FIELDS)
    reading.finish()
    given = frozenset(fields) - {"qr_id"}
    return Request(qr_id, amount, currency, account, due_at, multi_use, issued_at, given)


def parse_requests(
    qr_ids: Sequence[str], shared: Mapping[str, str], bank: BankDefaults, now: datetime
) -> list[Request]:
    """Requests that differ only in their id. Raises InputError with each different fault once."""
    requests: list[Request] = []
    faults: dict[Fault, None] = {}
    for qr_id in qr_ids:
        try:
            requests.append(parse_request({**shared, "qr_id": qr_id}, bank, now))
        except InputError as error:
            faults |= dict.fromkeys(error.faults)
    if faults:
        raise invalid(list(faults))
    return requests


def invalid(faults: Sequence[Fault]) -> InputError:
    """One error that carries all of these faults."""
    return InputError(faults[0].message, code=faults[0].code, faults=faults)


def parse_wish(
    *,
    within: str | None,
    at: str | None,
    now_wanted: bool,
    priority: str | None,
    more_checks: int | None,
    zone: tzinfo,
    now: datetime,
    who: str,
) -> Wish:
    """When and how to ask, from `--in`, `--at`, `--now`, `--priority` and `--more-checks`.

    Raises InputError. A moment already past means at once.
    """
    if sum((within is not None, at is not None, now_wanted)) > 1:
        raise InputError(_("--in, --at and --now exclude each other: say one of them."), code="usage")
    said = {"in": within, "at": at, "priority": priority}
    reading = _Reading({name: text for name, text in said.items() if text is not None})
    asked_at = now if now_wanted else None
    asked_at = reading.optional("in", partial(_read_span, now=now), asked_at)
    asked_at = reading.optional("at", partial(_read_ask_at, zone=zone, now=now), asked_at)
    wanted = reading.optional("priority", _read_priority, None)
    if more_checks is not None and not 1 <= more_checks <= MAX_MORE_CHECKS:
        reading.refuse("more_checks", _("more checks must be a number from 1 to {most}.").format(most=MAX_MORE_CHECKS))
    reading.finish()
    return Wish(at=asked_at, now=now_wanted, priority=wanted, more_checks=more_checks or 0, who=who)


# -- one field each: text in, value out, ValueError with a sentence


def read_qr_id(text: str) -> str:
    """The id as it was typed. Raises ValueError: empty, over 64 characters, or with one nobody can see."""
    if not text:
        raise ValueError(_("the QR id is empty."))
    if len(text) > MAX_ID_CHARS:
        raise ValueError(
            _("QR id {text} has {n} characters; at most {most} are allowed.").format(
                text=shown(text), n=len(text), most=MAX_ID_CHARS
            )
        )
    if not _PLAIN_ID.fullmatch(text):
        _refuse_invisible(text, _("QR id"), categories="CZ")
    return text


def read_currency(text: str) -> str:
    """The ISO 4217 code in capitals. Raises ValueError."""
    wanted = text.strip().upper()
    if not text.isascii() or wanted not in CURRENCIES:
        raise ValueError(
            _("currency {text} is not a currency code (ISO 4217): write BOB, USD, BRL ...").format(text=shown(text))
        )
    return wanted


def read_amount(text: str, currency: str) -> int:
    """Minor units. Raises ValueError that says what is wrong and how to write it."""
    wanted = text.strip()
    digits = minor_digits(currency)
    # `1.000` is a thousand to half of the world and one to the other: more decimals than there are, even zeros, is
    # never guessed at.
    if len(wanted.partition(".")[2]) > digits and wanted.replace(".", "", 1).isdigit():
        raise ValueError(_amount_sentence("too_precise", text, currency))
    try:
        return parse_amount(wanted, currency)
    except MoneyError as error:
        raise ValueError(_amount_sentence(error.problem, text, currency)) from None


def read_account(text: str) -> str:
    """The account's name without outer spaces. Raises ValueError."""
    wanted = text.strip()
    if len(wanted) > MAX_ACCOUNT_CHARS:
        raise ValueError(
            _("account {text} has {n} characters; at most {most} are allowed.").format(
                text=shown(text), n=len(wanted), most=MAX_ACCOUNT_CHARS
            )
        )
    if not (wanted.isascii() and wanted.isprintable()):
        _refuse_invisible(wanted, _("account"), categories="C")
    return wanted


def read_flag(text: str) -> bool:
    """Whether the QR takes several payments. Raises ValueError."""
    wanted = unicodedata.normalize("NFC", text.strip()).lower()
    if wanted in _YES:
        return True
    if wanted in _NO:
        return False
    raise ValueError(_("multi_use {text} is neither true nor false: write true or false.").format(text=shown(text)))


@lru_cache(maxsize=4096)  # the lines of a file mostly share their days
def read_moment(text: str, name: str, zone: tzinfo, time_of_day: time) -> datetime:
    """The UTC moment of an ISO day (at `time_of_day`) or date and time; without an offset both are in `zone`.

    Raises ValueError; `name` is what the sentence calls it.
    """
    wanted = text.strip().upper()
    if not (_DAY.fullmatch(wanted) or _MOMENT.fullmatch(wanted)):
        raise ValueError(
            _("{name} {text} is not a date: write 2026-12-31, or 2026-12-31T18:30 with the time.").format(
                name=name, text=shown(text)
            )
        )
    if not FIRST_YEAR <= int(wanted[:4]) <= LAST_YEAR:
        raise ValueError(
            _("{name} {text} is not between the years {first} and {last}.").format(
                name=name, text=shown(text), first=FIRST_YEAR, last=LAST_YEAR
            )
        )
    try:
        moment = datetime.fromisoformat(wanted)
    except ValueError:
        raise ValueError(
            _("{name} {text} is no day or time that exists.").format(name=name, text=shown(text))
        ) from None
    if len(wanted) == len("2026-12-31"):
        moment = datetime.combine(moment, time_of_day)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def shown(text: str) -> str:
    """Any text in quotes, on one line, of bounded length."""
    return repr(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…")


@lru_cache(maxsize=256)
def unknown_field(name: str, known: tuple[str, ...]) -> str:
    """The sentence about a field or column that does not exist, with the nearest one that does."""
    near = get_close_matches(name.strip().lower(), known, n=1)
    if near:
        return _("{name} is not known; did you mean {near}?").format(name=shown(name), near=near[0])
    return _("{name} is not known; there are: {known}.").format(name=shown(name), known=", ".join(known))


class _Reading:
    """Reads the fields one by one and gathers what is wrong."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields
        self._faults: list[Fault] = []
        self.refused: set[str] = set()

    def required(self, name: str, read: Callable[[str], str]) -> str:
        if name not in self._fields:
            self.refuse(name, _("{name} is missing.").format(name=name))
            return ""
        return self._read(name, read, "")

    def optional(self, name: str, read: Callable[[str], T], default: D) -> T | D:
        text = self._fields.get(name)
        if text is None:
            return default
        # An empty text is most often a variable that was not set: to take it for "no amount" would lose the check.
        if not text or text.isspace():
            self.refuse(name, _("{name} is empty: leave it out or give it a value.").format(name=name))
            return default
        return self._read(name, read, default)

    def refuse(self, name: str, sentence: str) -> None:
        self.refused.add(name)
        self._faults.append(Fault(f"invalid_{name}", sentence))

    def refuse_unknown(self, known: tuple[str, ...]) -> None:
        for name in self._fields:
            if name not in known:
                self._faults.append(Fault("unknown_field", unknown_field(name, known)))

    def finish(self) -> None:
        """Raise InputError when anything was wrong."""
        if self._faults:
            raise invalid(self._faults)

    def _read(self, name: str, read: Callable[[str], T], default: D) -> T | D:
        try:
            return read(self._fields[name])
        except ValueError as problem:
            self.refuse(name, str(problem))
            return default


def _read_due(text: str, zone: tzinfo) -> datetime:
    return read_moment(text, "due", zone, _END_OF_DAY)


def _read_issued(text: str, zone: tzinfo, now: datetime) -> datetime:
    issued_at = read_moment(text, "issued_at", zone, _START_OF_DAY)
    if issued_at > now + ISSUED_AHEAD:
        raise ValueError(
            _("issued_at {text} is in the future (it is {now} now).").format(
                text=shown(text), now=now.astimezone(zone).isoformat(timespec="seconds")
            )
        )
    return issued_at


def _read_span(text: str, now: datetime) -> datetime:
    try:
        seconds = parse_duration(text)
    except ValueError as problem:
        raise ValueError(_("--in: {problem}").format(problem=problem)) from None
    if seconds < 0:
        raise ValueError(_("--in {text} is in the past: use --now.").format(text=shown(text)))
    return _not_too_far(now + timedelta(seconds=seconds), "--in", text, now)


def _read_ask_at(text: str, zone: tzinfo, now: datetime) -> datetime:
    return max(now, _not_too_far(read_moment(text, "--at", zone, _START_OF_DAY), "--at", text, now))


def _not_too_far(at: datetime, option: str, text: str, now: datetime) -> datetime:
    if at > now + ASK_AHEAD:
        raise ValueError(
            _("{option} {text} is more than {days} days ahead.").format(
                option=option, text=shown(text), days=ASK_AHEAD.days
            )
        )
    return at


def _read_priority(text: str) -> Priority:
    try:
        return Priority(text)
    except ValueError:
        choices = ", ".join(Priority)
        raise ValueError(
            _("priority {text} is not one of {choices}.").format(text=shown(text), choices=choices)
        ) from None


def _refuse_invisible(text: str, what: str, categories: str) -> None:
    """Raise ValueError on the first character of these Unicode categories; line and paragraph ends are never fine."""
    for place, char in enumerate(text, start=1):
        category = unicodedata.category(char)
        if category[0] in categories or category in ("Zl", "Zp"):
            name = f"U+{ord(char):04X} {unicodedata.name(char, '')}".rstrip()
            raise ValueError(
                _("{what} {text} contains {name} at place {place}: only visible characters are allowed.").format(
                    what=what, text=shown(text), name=name, place=place
                )
            )


def _amount_sentence(problem: str, text: str, currency: str) -> str:
    amount = shown(text)
    if problem == "not_positive":
        return _("amount {amount} is not above zero.").format(amount=amount)
    if problem == "too_large":
        return _("amount {amount} is too large to be a payment.").format(amount=amount)
    if problem == "too_precise":
        digits = minor_digits(currency)
        if digits == 0:
            return _("amount {amount} has decimals and {currency} has none: write whole units, like 100.").format(
                amount=amount, currency=currency
            )
        return ngettext(
            "amount {amount} has more than the {n} decimal of {currency}: write it like {example}.",
            "amount {amount} has more than the {n} decimals of {currency}: write it like {example}.",
            digits,
        ).format(amount=amount, n=digits, currency=currency, example=f"100.{'50'.ljust(digits, '0')}")
    if _COMMA_DECIMALS.fullmatch(text.strip()):
        return _("amount {amount} has a comma: write {better}, with a point.").format(
            amount=amount, better=text.strip().replace(",", ".")
        )
    return _("amount {amount} is not an amount: write digits and a point, like 100.50.").format(amount=amount)
