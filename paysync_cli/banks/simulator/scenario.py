"""What will happen at the simulated bank: a TOML or JSON file, or the same as a dictionary.

    unknown_qrs = "unpaid"        # ids not listed below: "unpaid" (default), or "unknown" (404 in the bank's format)
    token_lifetime = "30m"
    lock_after = 5                # refused logins until the user is locked

    [credential]                  # default: paysync / simulator / 0123456789abcdef0123456789abcdef
    username = "paysync"

    [notify]                      # give notice of each payment when it happens; default: none
    url = "http://127.0.0.1:9108/notify/sim/SECRET"   # user:password@ for basic authentication
    dialect = "baneco"            # default; bnb, sip, pix
    copies = 1                    # default; more of them are sent at once, as banks do

    [[qr]]
    id = "31061400000000000001"
    amount = "100.50"             # text, so that no digit is lost
    currency = "BOB"              # default
    multi_use = false             # default
    paid = "+10s"                 # one moment or a list of them: paid with the QR's amount and currency
    cancelled = "+20s"
    issued = "-1h"                # default: now; BNB lists by the day of it, PIX counts from it
    expires = "+1h"               # default: never; Baneco has no word for it
    unknown = false               # true: the bank does not know it
    codes = [{ at = "+5s", code = 7 }]   # the status code to answer from then on, whatever happened

    [[qr.payment]]                # payments that need more words; each key but `at` may be left out
    at = "+10s"
    amount = "90.00"              # default: the QR's
    currency = "USD"              # default: the QR's
    id = "900001"                 # the bank's transaction number, default: the next free one
    payer = "ANA QUISPE"
    description = ""
    in_status = "+1m"             # from when the status tells the details, or "never" (paid without details)
    in_list = "+1m"               # from when the list tells it, or "never"
    returned = "10.00"            # of it, went back to the payer; only PIX tells
    without = ["amount"]          # fields left out on the wire
    element = { amount = "x" }    # fields replaced on the wire
    unreadable = false            # true: `without = ["transactionId"]` in short

    [[fault]]
    kind = "throttled"            # see KINDS
    on = "status"                 # login, status, paid, generate, cancel, encrypt, all (default; login_refused: login)
    qr = "31061400000000000001"   # only calls about this QR
    from = "+5s"                  # a window ...
    until = "+15s"
    count = 3                     # ... or a number of calls; both may be given
    every = 2                     # every second matching call
    status = 503                  # HTTP status: server_error (500), body (200)
    retry_after = 5               # throttled: seconds, or text for the header; "date:+5s" sends an HTTP date
    delay_ms = 250                # slow
    code = 99                     # error_code: the bank's code; status_code: the status of the QR, in the bank's words
    message = "..."               # error_code, login_refused
    body = "..."                  # body: what to send
    content_type = "text/html"    # body

    [wire]                        # how Baneco spells; also as `wire = { ... }` in a QR
    payment = "array"             # or "object"
    empty = "array"               # without payment: "array", "null", "object", "missing"
    status_key = "statusQrCode"   # or "statusQRCode"
    date = "midnight"             # 2031-06-14T00:00:00; "bare" 2031-06-14; "zone" 2031-06-14T04:00:00Z
    time = "seconds"              # 21:05:11; "minutes" 21:05; "empty"
    amount = "number"             # or "text"
    response_code = "number"      # or "text"
    bnb_status = "statusId"       # how BNB does; "qrId" in older versions, "qrId-text" with the number as text

A moment is text like `+10s`, `-1h`, `+1m30s` (from the start, or from when the scenario was posted), a date and time
with zone, or one without, which is Bolivian. A number means seconds from the start.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from paysync_cli.banks.simulator import AES_KEY, PASSWORD, USERNAME
from paysync_cli.banks.simulator.fields import Fields, ScenarioError, span_s

SAMPLE = Path(__file__).with_name("sample.toml")

KINDS = {
    "html": "an HTML page with HTTP 200",
    "error_code": "HTTP 200 with a responseCode other than 0",
    "unauthorized": "HTTP 401",
    "forbidden": "HTTP 403",
    "login_refused": "a readable answer without token",
    "throttled": "HTTP 429 with Retry-After",
    "server_error": "HTTP 500 or another status",
    "hang": "never answers",
    "slow": "answers late",
    "truncated": "stops in the middle of the body",
    "down": "closes the connection without a word",
    "not_found": "an HTML page with HTTP 404",
    "redirect": "HTTP 302",
    "bad_utf8": "JSON that is not UTF-8",
    "huge": "a body of 10 MB",
    "gzip_bomb": "a few KB that unpack to 100 MB",
    "status_code": "a status code of the QR nobody documented",
    "no_status": "an answer without status of the QR",
    "body": "any body",
}
DIALECT_NAMES = ("baneco", "bnb", "sip", "pix")
CALLS = ("login", "status", "paid", "generate", "cancel", "encrypt")


@dataclass(frozen=True, slots=True)
class Wire:
    """How the simulated bank spells its answers."""

    payment: str = "array"
    empty: str = "array"
    status_key: str = "statusQrCode"
    date: str = "midnight"
    time: str = "seconds"
    amount: str = "number"
    response_code: str = "number"
    bnb_status: str = "statusId"


_SPELLINGS = {
    "payment": ("array", "object"),
    "empty": ("array", "null", "object", "missing"),
    "status_key": ("statusQrCode", "statusQRCode"),
    "date": ("midnight", "bare", "zone"),
    "time": ("seconds", "minutes", "empty"),
    "amount": ("number", "text"),
    "response_code": ("number", "text"),
    "bnb_status": ("statusId", "qrId", "qrId-text"),
}


@dataclass(frozen=True, slots=True)
class Credential:
    """Who may log in; by default the simulator's own."""

    username: str = USERNAME
    password: str = field(default=PASSWORD, repr=False)
    aes_key: str = field(default=AES_KEY, repr=False)


@dataclass(frozen=True, slots=True)
class PaymentPlan:
    """One payment that happens at `at`; `in_status_at` and `in_list_at` are None for never."""

    at: datetime
    amount: Decimal
    currency: str
    id: str | None
    payer: str
    description: str
    in_status_at: datetime | None
    in_list_at: datetime | None
    without: frozenset[str]
    element: Mapping[str, object]
    returned: Decimal | None = None

    @property
    def readable(self) -> bool:
        """Whether the payment can be booked from what is sent about it."""
        return not self.without & _NEEDED and not self.element.keys() & _NEEDED


_NEEDED = frozenset({"qrId", "transactionId", "amount", "currency"})


@dataclass(frozen=True, slots=True)
class QrPlan:
    """The life of one QR."""

    id: str
    amount: Decimal | None
    currency: str
    multi_use: bool
    unknown: bool
    cancelled_at: datetime | None
    codes: tuple[tuple[datetime, object], ...]
    payments: tuple[PaymentPlan, ...]
    wire: Wire | None
    issued_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What goes wrong, where and when."""

    kind: str
    on: str
    qr: str | None
    from_at: datetime | None
    until_at: datetime | None
    count: int | None
    every: int
    status: int | None
    retry_after: str | None
    delay_ms: int
    code: object
    message: str | None
    body: str
    content_type: str


@dataclass(frozen=True, slots=True)
class NotifyPlan:
    """Where notices of payments go, and in which form."""

    url: str = field(repr=False)
    dialect: str = "baneco"
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole scenario with its moments resolved. None means: leave as it is."""

    unknown_qrs: str | None = None
    token_lifetime_s: float | None = None
    lock_after: int | None = None
    credential: Credential | None = None
    wire: Wire | None = None
    notify: NotifyPlan | None = None
    qrs: tuple[QrPlan, ...] = ()
    faults: tuple[FaultPlan, ...] | None = None

    def known_credential(self) -> Credential:
        """Its credential, else the default one."""
        return self.credential or Credential()


def load_scenario(path: Path, start: datetime) -> Scenario:
    """The scenario of a `.json` file, else TOML. Raises ScenarioError naming file and place."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".json":
            found = json.loads(text, parse_float=Decimal)
        else:
            found = tomllib.loads(text, parse_float=Decimal)
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise ScenarioError(f"{path}: {error}") from None
    return read_scenario(found, start, str(path))


def read_scenario(found: object, start: datetime, place: str = "scenario") -> Scenario:
    """The scenario of a parsed document; relative moments count from `start`. Raises ScenarioError."""
    top = Fields(found, place, start)
    lifetime = top.take("token_lifetime")
    scenario = Scenario(
        unknown_qrs=top.choice("unknown_qrs", ("unpaid", "unknown")),
        token_lifetime_s=None if lifetime is None else span_s(lifetime, f"{place}: token_lifetime"),
        lock_after=top.whole("lock_after"),
        credential=_credential(top.table("credential")),
        wire=_wire(top.table("wire")),
        notify=_notify(top.table("notify")),
        qrs=tuple(_qr(table) for table in top.tables("qr") or ()),
        faults=_faults(top.tables("fault")),
    )
    top.finish()
    return scenario


def read_payment(found: object, start: datetime, amount: Decimal | None, currency: str, place: str) -> PaymentPlan:
    """One payment; `amount` and `currency` are its QR's. Raises ScenarioError."""
    return _payment(Fields(found, place, start), amount, currency)


def _credential(table: Fields | None) -> Credential | None:
    if table is None:
        return None
    credential = Credential(
        table.text_or("username", USERNAME), table.text_or("password", PASSWORD), table.text_or("aes_key", AES_KEY)
    )
    if len(credential.aes_key) != 32 or not credential.aes_key.isascii():
        raise table.error("aes_key must be 32 ASCII characters")
    table.finish()
    return credential


def _notify(table: Fields | None) -> NotifyPlan | None:
    if table is None:
        return None
    url, copies = table.text("url"), table.whole("copies")
    if not url.startswith(("http://", "https://")):
        raise table.error("url must be an http or https address")
    plan = NotifyPlan(url, table.choice("dialect", DIALECT_NAMES) or "baneco", 1 if copies is None else copies)
    table.finish()
    return plan


def _wire(table: Fields | None) -> Wire | None:
    if table is None:
        return None
    spelled = {key: table.choice(key, allowed) for key, allowed in _SPELLINGS.items()}
    table.finish()
    return Wire(**{key: value for key, value in spelled.items() if value is not None})


def _qr(table: Fields) -> QrPlan:
    qr_id = table.text("id")
    table.place = f'{table.place} ("{qr_id}")'
    amount, currency = table.amount("amount"), table.currency("currency", "BOB")
    payments = [_payment(t, amount, currency) for t in table.tables("payment") or ()]
    payments += [_payment(t, amount, currency) for t in table.moments("paid")]
    plan = QrPlan(
        id=qr_id,
        amount=amount,
        currency=currency,
        multi_use=table.flag("multi_use"),
        unknown=table.flag("unknown"),
        cancelled_at=table.moment("cancelled"),
        codes=tuple(sorted((_code(t) for t in table.tables("codes") or ()), key=lambda code: code[0])),
        payments=tuple(sorted(payments, key=lambda payment: payment.at)),
        wire=_wire(table.table("wire")),
        issued_at=table.moment("issued") or table.start,
        expires_at=table.moment("expires"),
    )
    table.finish()
    return plan


def _code(table: Fields) -> tuple[datetime, object]:
    code = (table.moment("at") or table.start, table.take("code"))
    table.finish()
    return code


def _payment(table: Fields, amount: Decimal | None, currency: str) -> PaymentPlan:
    at = table.moment("at") or table.start
    own_amount = table.amount("amount") or amount
    if own_amount is None:
        raise table.error('the amount is not known: give one, like amount = "100.50"')
    without = table.texts("without") | ({"transactionId"} if table.flag("unreadable") else set())
    element = table.take("element") or {}
    if not isinstance(element, Mapping):
        raise table.error("element must be a table")
    plan = PaymentPlan(
        at=at,
        amount=own_amount,
        currency=table.currency("currency", currency),
        id=table.text_or("id", "") or None,
        payer=table.text_or("payer", "ANA QUISPE"),
        description=table.text_or("description", ""),
        in_status_at=table.moment_or_never("in_status", at),
        in_list_at=table.moment_or_never("in_list", at),
        without=frozenset(without),
        element=element,
        returned=table.amount("returned"),
    )
    table.finish()
    return plan


def _faults(tables: list[Fields] | None) -> tuple[FaultPlan, ...] | None:
    return None if tables is None else tuple(_fault(table) for table in tables)


def _fault(table: Fields) -> FaultPlan:
    kind = table.choice("kind", tuple(KINDS))
    if kind is None:
        raise table.error(f"kind is missing: one of {', '.join(KINDS)}")
    table.place = f"{table.place} ({kind})"
    every = table.whole("every")
    plan = FaultPlan(
        kind=kind,
        on=table.choice("on", (*CALLS, "all")) or ("login" if kind == "login_refused" else "all"),
        qr=table.text_or("qr", "") or None,
        from_at=table.moment("from"),
        until_at=table.moment("until"),
        count=table.whole("count"),
        every=1 if every is None else every,
        status=table.whole("status"),
        retry_after=_retry_after(table),
        delay_ms=table.whole("delay_ms") or 0,
        code=table.take("code"),
        message=table.text_or("message", "") or None,
        body=table.text_or("body", ""),
        content_type=table.text_or("content_type", "text/html; charset=utf-8"),
    )
    if plan.every < 1 or (plan.status is not None and not 200 <= plan.status <= 599):
        raise table.error("every must be at least 1 and status 200 to 599")
    table.finish()
    return plan


def _retry_after(table: Fields) -> str | None:
    value = table.take("retry_after")
    if value is None or isinstance(value, str | int):
        return None if value is None else str(value)
    raise table.error("retry_after must be seconds or text")
