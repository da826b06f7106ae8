"""Banco Economico (Bolivia), QR Simple: status by QR id and the list of payments of a day.

The bank answers business errors with HTTP 200 and a `responseCode` other than 0; there is no catalogue of codes.
It has no word for *expired* and none for *in process*. Its `transactionId` is the bank's own number of a payment,
never the merchant's: payments are matched by QR id, and that number only tells them apart.
"""

from __future__ import annotations

import base64
import os
import re
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING
from urllib.parse import quote
from zoneinfo import ZoneInfo

from paysync_cli.banks.base import BankProfile, BankTools, Refused, Unknown, Unreadable
from paysync_cli.banks.bearer import BearerCalls, jwt_lifetime_s, login_answer, token_text
from paysync_cli.banks.elements import parted, payment_of
from paysync_cli.banks.http import Reply, exchange
from paysync_cli.banks.notices import (
    NOTICE_KEYS,
    Notice,
    NoticeFate,
    NoticeReply,
    json_reply,
    notice_ids,
    notice_object,
    notice_problems,
)
from paysync_cli.banks.options import address_problems, missing_keys, refuse, unknown_keys
from paysync_cli.banks.session import Token
from paysync_cli.banks.wire import compact_json, decimal_number, identifier, quoted, whole_number
from paysync_cli.language import _
from paysync_cli.payments.qr import Answer, Ask, PaidDay, Payment, UnreadablePayment
from paysync_cli.payments.status import BankStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LOGIN = "/api/authentication/authenticate"
STATUS = "/api/qrsimple/v2/statusQR/"
PAID = "/api/qrsimple/v2/paidQR/"

STATUSES = {0: BankStatus.UNPAID, 1: BankStatus.PAID, 9: BankStatus.CANCELLED}

KEY_LENGTH = 32
DEFAULT_LIFETIME_S = 1800.0
MAX_PAID_BODY = 64 * 1024 * 1024  # about 150,000 payments of one day, which come in one piece

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?(?:\.[0-9]+)?", re.ASCII)


class BanecoBank:
    """One customer's access to Baneco. `profile.options`: `username`, `password`, `aes_key` (32 ASCII characters).

    One object belongs to one event loop; its checks may run in parallel and share one token.
    """

    notice_paths = ("", "/api/qrsimple/notifyPaymentQR")

    def __init__(self, profile: BankProfile, tools: BankTools) -> None:
        validate_options(profile)
        self.profile = profile
        self._tools = tools
        self._base_url = profile.base_url.rstrip("/")
        self._calls = BearerCalls(tools, self._log_in)

    async def check(self, ask: Ask) -> Answer:
        """What the bank says of one QR now.

        Raises Unavailable, Throttled, Refused, Unreadable (also for a status code nobody documented) and Unknown
        (HTTP 404 in the bank's own format).
        """
        if ask.qr_id in ("", ".", ".."):
            raise Unreadable("this QR id cannot be part of an address")
        called = await self._calls.send("GET", self._base_url + STATUS + quote(ask.qr_id, safe=""))
        reply = called.reply
        if _says_not_found(reply):
            raise Unknown(f"{reply.where}: the bank does not know this QR")
        answer = self._answer_of(reply, called.token)
        code = _status_code(answer, reply)
        payments, unreadable = self._payments_of(answer.get("payment"), reply, ask.qr_id)
        status = STATUSES[code]
        if status is not BankStatus.PAID and any(p.problem == "other_qr" for p in unreadable):
            # The answer contradicts itself: it may be another QR's. Unpaid or cancelled is not concluded from it.
            raise Unreadable(f"{reply.describe()}: speaks of another QR")
        return Answer(status, str(code), called.sent_at, payments, unreadable)

    async def paid_on(self, day: date) -> PaidDay:
        """Every payment of that Bolivian day, all QRs of the customer, in one piece. Raises BankError."""
        called = await self._calls.send("GET", f"{self._base_url}{PAID}{day:%Y%m%d}", max_body=MAX_PAID_BODY)
        answer = self._answer_of(called.reply, called.token)
        payments, unreadable = self._payments_of(answer.get("paymentList"), called.reply, None)
        return PaidDay(payments, unreadable, called.sent_at)

    async def ping(self) -> None:
        """Ask for today's list and drop it: changes nothing at the bank. Raises BankError."""
        await self.paid_on(self._tools.now().astimezone(self.profile.timezone).date())

    def noticed(self, notice: Notice) -> Sequence[str]:
        """The QR of the one payment in a `notifyPaymentQR`. Raises Unreadable."""
        payment = notice_object(notice).get("payment")
        return notice_ids(payment.get("qrId") if isinstance(payment, dict) else None)

    def notice_reply(self, fate: NoticeFate) -> NoticeReply:
        """The bank's envelope; it repeats a notice that was not taken, ten times within seconds."""
        code, message = {NoticeFate.TAKEN: (0, ""), NoticeFate.UNREADABLE: (1, "unreadable notice")}.get(
            fate, (99, "try again")
        )
        return json_reply({"responseCode": code, "message": message}, 503 if fate is NoticeFate.TRY_AGAIN else 200)

    async def _log_in(self) -> Token:
        """Ask for a token, once. A readable answer without one is Refused; no readable answer is Unavailable."""
        options = self.profile.options
        sent_at = self._tools.now()
        secret = encrypt(options["password"], options["aes_key"])
        reply, answer = await login_answer(
            exchange(
                self._tools.client,
                "POST",
                self._base_url + LOGIN,
                now=self._tools.now,
                json={"userName": options["username"], "password": secret},
            )
        )
        return self._token_of(answer, reply, sent_at, secret)

    def _token_of(self, answer: Mapping[str, object], reply: Reply, sent_at: datetime, secret: str) -> Token:
        text = token_text(answer.get("token"))
        said_ok = answer.get("responseCode") is None or whole_number(answer.get("responseCode")) == 0
        if reply.status == 200 and said_ok and text is not None:
            return Token(text, jwt_lifetime_s(text, sent_at, DEFAULT_LIFETIME_S))
        raise Refused(f"{reply.describe()}: login refused{self._said(answer, secret)}")

    def _answer_of(self, reply: Reply, token: str) -> dict[str, object]:
        """The bank's envelope of an answer that says it is fine. Raises Unreadable for everything else."""
        if reply.status != 200:
            raise Unreadable(f"{reply.describe()}: not an answer")
        answer = reply.json_object()
        code = whole_number(answer.get("responseCode"))
        if code is None:
            raise Unreadable(f"{reply.describe()}: no readable responseCode")
        if code != 0:
            raise Unreadable(f"{reply.where}: HTTP 200, responseCode {_shown(code)}{self._said(answer, token)}")
        return answer

    def _said(self, answer: Mapping[str, object], secret: str) -> str:
        """The bank's message, ready to append to a sentence: one line, at most 200 characters, no secret in it.

        `secret` is what this call carried: a bank that echoes it must not bring it into our records.
        """
        options = self.profile.options
        return quoted(answer.get("message"), secret, options["password"], options["aes_key"])

    def _payments_of(
        self, value: object, reply: Reply, asked: str | None
    ) -> tuple[tuple[Payment, ...], tuple[UnreadablePayment, ...]]:
        """The payment elements of an answer, readable ones apart. `asked`: the only QR they may belong to."""
        zone = self.profile.timezone
        return parted(read_payment(element, zone, asked) for element in _elements(value, reply))


def validate_options(profile: BankProfile) -> None:
    """Raise SettingsError, with every fault of this adapter's own keys and of the address; never shows a value."""
    refuse(profile, _problems(profile))


def _problems(profile: BankProfile) -> Iterable[str]:
    yield from address_problems(profile.base_url)
    yield from missing_keys(profile, "username", "password")
    yield from unknown_keys(profile, "username", "password", "aes_key", *NOTICE_KEYS)
    yield from notice_problems(profile)
    aes_key = profile.options.get("aes_key", "")
    if not aes_key:
        yield _("aes_key is missing")
    elif len(aes_key) != KEY_LENGTH or not aes_key.isascii():
        yield _(
            "aes_key must be exactly {length} ASCII characters (it has {found}); it is used as text, not as hex"
        ).format(length=KEY_LENGTH, found=len(aes_key))


def encrypt(text: str, aes_key: str) -> str:
    """Baneco's scheme: AES-256-CBC, PKCS7, a random IV in front of the ciphertext, base64. The key is text."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    iv = os.urandom(16)
    padder = PKCS7(128).padder()
    padded = padder.update(text.encode()) + padder.finalize()
    encryptor = Cipher(algorithms.AES(aes_key.encode()), modes.CBC(iv)).encryptor()
    return base64.b64encode(iv + encryptor.update(padded) + encryptor.finalize()).decode()


def _says_not_found(reply: Reply) -> bool:
    """Whether the bank itself, not a gateway on a wrong path, says 404: only its own format carries a responseCode."""
    if reply.status != 404:
        return False
    answer = reply.json()
    return isinstance(answer, dict) and whole_number(answer.get("responseCode")) not in (None, 0)


def _status_code(answer: Mapping[str, object], reply: Reply) -> int:
    """The status of the QR, under either spelling. Raises Unreadable when absent, ambiguous or undocumented."""
    values = [answer[key] for key in ("statusQrCode", "statusQRCode") if answer.get(key) is not None]
    codes = {whole_number(value) for value in values}
    if not codes:
        raise Unreadable(f"{reply.describe()}: no status of the QR")
    code = codes.pop()
    if codes or code is None:
        raise Unreadable(f"{reply.describe()}: no readable status of the QR")
    if code not in STATUSES:
        raise Unreadable(f"{reply.describe()}: unknown status code {_shown(code)}")
    return code


def _shown(code: int) -> str:
    return str(code) if abs(code) < 10**9 else "of many digits"


def _elements(value: object, reply: Reply) -> list[object]:
    """The payment elements, whether the bank sent a list, one object, or nothing in one of its ways."""
    if value is None or value == "":
        return []
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise Unreadable(f"{reply.describe()}: payments are neither a list nor an object")
    # An object with only empty fields is this bank's "no payment" in the object shape; it tells nothing to keep.
    return [element for element in value if not (isinstance(element, dict) and not any(element.values()))]


def read_payment(element: object, zone: ZoneInfo, asked: str | None = None) -> Payment | UnreadablePayment:
    """One PaymentQR object. `zone`: of its date and time; `asked`: the QR it must belong to, None for any.

    Unreadable problems: `not_an_object`, `no_qr_id`, `other_qr`, `no_transaction_id`, `no_amount`, `no_currency`,
    and the words of `MoneyError`. A date that cannot be read makes `paid_at` None, nothing worse.
    """
    raw = compact_json(element)
    if not isinstance(element, dict):
        return UnreadablePayment(raw, "not_an_object", asked)
    qr_id = identifier(element.get("qrId"))
    if qr_id is None:
        return UnreadablePayment(raw, "no_qr_id", asked)
    if asked is not None and qr_id != asked:
        return UnreadablePayment(raw, "other_qr", qr_id)
    return payment_of(
        raw,
        qr_id,
        element.get("transactionId"),
        decimal_number(element.get("amount")),
        element.get("currency"),
        paid_at=read_moment(element.get("paymentDate"), element.get("paymentTime"), zone),
        payer=element.get("senderName"),
    )


def read_moment(day: object, clock: object, zone: ZoneInfo) -> datetime | None:
    """When it was paid, in UTC, from the bank's date and its time of day in `zone`; None when the date is unreadable.

    The date may carry a zone (then Bolivian midnight reads T04:00:00Z). Without a readable time of day the date's
    own time counts, which is midnight where the bank sends none.
    """
    if not isinstance(day, str) or not _DATE.match(day.strip()):
        return None
    try:
        local = datetime.fromisoformat(day.strip())
        local = local.astimezone(zone) if local.tzinfo is not None else local.replace(tzinfo=zone)
        if local.year < 2000:  # an empty date of the bank's own system
            return None
        time_of_day = _time_of_day(clock) or local.timetz().replace(tzinfo=None)
        return datetime.combine(local.date(), time_of_day, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _time_of_day(value: object) -> time | None:
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    try:
        return time(int(match[1]), int(match[2]), int(match[3] or 0))
    except ValueError:
        return None
