"""Example bank: JSON over HTTP, every request signed with HMAC-SHA256, amounts in cents."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from urllib.parse import quote

from paysync_cli.banks import (
    PROTOCOL,
    Answer,
    Ask,
    BankProfile,
    BankStatus,
    BankTools,
    Fault,
    FixedCredential,
    MoneyError,
    Notice,
    NoticeFate,
    NoticeReply,
    PaidDay,
    Payment,
    Reply,
    SettingsError,
    Unknown,
    Unreadable,
    UnreadablePayment,
    compact_json,
    exchange,
    identifier,
    json_reply,
    notice_ids,
    notice_object,
    to_minor,
    whole_number,
)

STATES = {"open": BankStatus.UNPAID, "paid": BankStatus.PAID, "void": BankStatus.CANCELLED}


class ExampleBank:
    """One customer's access. `profile.options`: `key_id` and `secret`."""

    protocol = PROTOCOL
    notice_paths = ("/paid",)

    def __init__(self, profile: BankProfile, tools: BankTools) -> None:
        self.profile = profile
        self._tools = tools
        self._credential = FixedCredential(tools.now, tools.vault)
        faults = [
            Fault("invalid_setting", f"banks.{profile.name}.{key}: is missing.")
            for key in ("key_id", "secret")
            if not profile.options.get(key)
        ]
        if faults:
            raise SettingsError(f"bank {profile.name}: the credential is not whole", faults=faults)

    async def check(self, ask: Ask) -> Answer:
        """What the bank says of one QR now."""
        if ask.qr_id in ("", ".", ".."):
            raise Unreadable("this QR id cannot be part of an address")
        reply, sent_at = await self._get(f"/charges/{quote(ask.qr_id, safe='')}")
        if reply.status == 404 and self._object(reply).get("error") == "no_such_charge":
            raise Unknown(f"{reply.where}: the bank does not know this QR")
        charge = self._answer(reply)
        state = charge.get("state")
        if charge.get("id") != ask.qr_id or not isinstance(state, str) or state not in STATES:
            raise Unreadable(f"{reply.describe()}: another QR, or no state that we know")
        payments, unreadable = self._payments(charge, reply, asked=ask.qr_id)
        return Answer(STATES[state], state, sent_at, payments, unreadable)

    async def paid_on(self, day: date) -> PaidDay:
        """Everything that was paid on that day in the bank's zone."""
        reply, sent_at = await self._get(f"/payments?day={day:%Y-%m-%d}")
        payments, unreadable = self._payments(self._answer(reply), reply)
        return PaidDay(payments, unreadable, sent_at)

    async def ping(self) -> None:
        """Today's list, dropped."""
        await self.paid_on(self._tools.now().astimezone(self.profile.timezone).date())

    def noticed(self, notice: Notice) -> Sequence[str]:
        """The charge that was paid."""
        return notice_ids(notice_object(notice).get("charge"))

    def notice_reply(self, fate: NoticeFate) -> NoticeReply:
        """Anything but 200 makes the bank send the notice again."""
        return json_reply({"result": fate.value}, 503 if fate is NoticeFate.TRY_AGAIN else 200)

    async def _get(self, path: str) -> tuple[Reply, datetime]:
        """The reply, and when it was asked for."""
        await self._credential.heed_stop()
        sent_at = self._tools.now()
        stamp = str(int(sent_at.timestamp()))
        secret = self.profile.options["secret"].encode()
        signature = hmac.new(secret, f"GET\n{path}\n{stamp}".encode(), hashlib.sha256).hexdigest()
        reply = await exchange(
            self._tools.client,
            "GET",
            self.profile.base_url.rstrip("/") + path,
            now=self._tools.now,
            headers={"x-key": self.profile.options["key_id"], "x-time": stamp, "x-signature": signature},
        )
        if reply.status == 401:
            raise await self._credential.refused(f"{reply.describe()}: the signature is not accepted")
        return reply, sent_at

    def _answer(self, reply: Reply) -> dict[str, object]:
        if reply.status != 200:
            raise Unreadable(f"{reply.describe()}: not an answer")
        return self._object(reply)

    @staticmethod
    def _object(reply: Reply) -> dict[str, object]:
        answer = reply.json()
        if not isinstance(answer, dict):
            raise Unreadable(f"{reply.describe()}: JSON, but no object")
        return answer

    @staticmethod
    def _payments(
        answer: dict[str, object], reply: Reply, asked: str | None = None
    ) -> tuple[tuple[Payment, ...], tuple[UnreadablePayment, ...]]:
        """The payments of an answer, readable ones apart; `asked` is the only QR they may belong to."""
        elements = answer.get("payments")
        if not isinstance(elements, list):
            raise Unreadable(f"{reply.describe()}: no list of payments")
        read = [read_payment(element, asked) for element in elements]
        return (
            tuple(one for one in read if isinstance(one, Payment)),
            tuple(one for one in read if isinstance(one, UnreadablePayment)),
        )


def read_payment(element: object, asked: str | None = None) -> Payment | UnreadablePayment:
    """One payment; what lacks its id, amount or currency is kept as it came, never guessed."""
    raw = compact_json(element)
    if not isinstance(element, dict):
        return UnreadablePayment(raw, "not_an_object")
    qr_id, number = identifier(element.get("charge")), identifier(element.get("ref"))
    cents, currency = whole_number(element.get("cents")), element.get("currency")
    if qr_id is None or number is None:
        return UnreadablePayment(raw, "no_qr_id" if qr_id is None else "no_transaction_id", qr_id)
    if asked is not None and qr_id != asked:
        return UnreadablePayment(raw, "other_qr", qr_id)
    if cents is None or not isinstance(currency, str):
        return UnreadablePayment(raw, "no_amount" if cents is None else "no_currency", qr_id)
    amount = Decimal(cents).scaleb(-2)
    try:
        to_minor(amount, currency)
    except MoneyError as error:
        return UnreadablePayment(raw, error.problem, qr_id)
    return Payment(qr_id, number, amount, currency, paid_at(element.get("paid_at")), raw=raw)


def paid_at(value: object) -> datetime | None:
    """Seconds since 1970 as a moment; None when there are none: a payment is booked without its moment too."""
    seconds = whole_number(value)
    return None if seconds is None or not 0 < seconds < 10**11 else datetime.fromtimestamp(seconds, UTC)
