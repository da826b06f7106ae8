"""Banco Nacional de Bolivia (BNB), QR Simple: every call is a POST, also a question.

The status tells no amount: what was paid is in the list of the QRs *issued* on a day, so a paid QR is looked up
there, under its own day of issue. The bank lists by no day of payment, and has no word for *cancelled*.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from paysync_cli.banks.base import BankProfile, BankTools, Refused, Unreadable
from paysync_cli.banks.bearer import BearerCalls, Called, jwt_lifetime_s, login_answer, token_text
from paysync_cli.banks.elements import parted, payment_of
from paysync_cli.banks.http import MAX_BODY, Reply, exchange
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
from paysync_cli.banks.wire import compact_json, decimal_number, moment, quoted, whole_number
from paysync_cli.payments.qr import Answer, Ask, Payment, UnreadablePayment
from paysync_cli.payments.status import BankStatus

LOGIN = "/ClientAuthentication.API/api/v1/auth/token"
STATUS = "/QRSimple.API/api/v1/main/getQRStatusAsync"
ISSUED = "/QRSimple.API/api/v1/main/getQRbyGenerationDateAsync"

USED = 2
STATUSES = {1: BankStatus.UNPAID, USED: BankStatus.PAID, 3: BankStatus.EXPIRED}  # 4 is an error, which is no state

LIFETIME_S = 600.0  # the bank documents none: the shortest that its customers reckon with
MAX_LIST_BODY = 64 * 1024 * 1024
KEPT_DAYS = 4
SERVES_AGAIN = timedelta(minutes=1)  # a list; afterwards a QR may have been paid once more

Row = Mapping[str, object]

log = logging.getLogger("paysync.banks")


class BnbBank:
    """One customer's access to BNB. `profile.options`: `account_id` and `authorization_id`.

    One object belongs to one event loop; its checks may run in parallel and share one token.
    """

    notice_paths = ("",)

    def __init__(self, profile: BankProfile, tools: BankTools) -> None:
        keys = ("account_id", "authorization_id")
        refuse(
            profile,
            [
                *address_problems(profile.base_url),
                *missing_keys(profile, *keys),
                *unknown_keys(profile, *keys, *NOTICE_KEYS),
                *notice_problems(profile),
            ],
        )
        self.profile = profile
        self._tools = tools
        self._base_url = profile.base_url.rstrip("/")
        self._calls = BearerCalls(tools, self._log_in)
        self._days = _Days()

    async def check(self, ask: Ask) -> Answer:
        """What the bank says of one QR now; for a paid one also the list of its day of issue.

        Raises BankError; Unreadable also for a QR that the bank does not know: it has no word of its own for that.
        """
        called, answer = await self._ask(STATUS, {"qrId": ask.qr_id})
        code = _status_code(answer, called.reply, ask.qr_id)
        payments: tuple[Payment, ...] = ()
        unreadable: tuple[UnreadablePayment, ...] = ()
        if code == USED:
            payments, unreadable = await self._details(ask, called.sent_at)
        return Answer(STATUSES[code], str(code), called.sent_at, payments, unreadable)

    async def ping(self) -> None:
        """Ask for the list of the QRs issued today and drop it: changes nothing at the bank. Raises BankError."""
        await self._fetch(self._tools.now().astimezone(self.profile.timezone).date())

    def noticed(self, notice: Notice) -> Sequence[str]:
        """The QR of a `ReceiveNotification`, which is unsigned. Raises Unreadable."""
        found = notice_object(notice)
        return notice_ids(found.get("QRId", found.get("qrId")))

    def notice_reply(self, fate: NoticeFate) -> NoticeReply:
        """`success` as the bank has it."""
        message = {NoticeFate.TAKEN: "OK", NoticeFate.UNREADABLE: "unreadable notice"}.get(fate, "try again")
        status = 503 if fate is NoticeFate.TRY_AGAIN else 200
        return json_reply({"success": fate is NoticeFate.TAKEN, "message": message}, status)

    async def _details(
        self, ask: Ask, paid_since: datetime
    ) -> tuple[tuple[Payment, ...], tuple[UnreadablePayment, ...]]:
        """What was paid for a QR that was already paid at `paid_since`; nothing when no list tells (yet)."""
        issued = (ask.issued_at or self._tools.now()).astimezone(self.profile.timezone).date()
        # Registered a little after midnight, a QR may carry the day after the bank's.
        for day in (issued, issued - timedelta(days=1)):
            try:
                rows = await self._days.rows_of(ask, day, paid_since, self._fetch)
            except Unreadable as error:
                fields = {"event_name": "list_unreadable", "bank": self.profile.name, "qr_id": ask.qr_id}
                log.warning("%s: paid, but its details cannot be read: %s", ask.qr_id, error.message, extra=fields)
                return (), ()
            if rows:
                return parted(read_payment(row, ask.qr_id, self.profile) for row in rows)
        return (), ()

    async def _fetch(self, day: date) -> _Listed:
        """The used QRs among those issued on a day."""
        called, answer = await self._ask(ISSUED, {"generationDate": f"{day:%Y-%m-%d}"}, max_body=MAX_LIST_BODY)
        rows = answer.get("dTOqrDetails", ...)
        if rows is not None and not isinstance(rows, list):
            # A renamed key must not pass for a day without QRs.
            raise Unreadable(f"{called.reply.describe()}: no list of QRs")
        return _Listed(called.sent_at, _used(rows or ()))

    async def _ask(
        self, path: str, question: Mapping[str, str], *, max_body: int = MAX_BODY
    ) -> tuple[Called, dict[str, object]]:
        called = await self._calls.send("POST", self._base_url + path, json=question, max_body=max_body)
        reply = called.reply
        if reply.status != 200:
            raise Unreadable(f"{reply.describe()}: not an answer")
        answer = reply.json_object()
        if answer.get("success") is not True:
            raise Unreadable(f"{reply.describe()}: no success{self._said(answer, called.token)}")
        return called, answer

    async def _log_in(self) -> Token:
        """Ask for a token, once: it comes in `message`, where a refusal has its words."""
        options, sent_at = self.profile.options, self._tools.now()
        reply, answer = await login_answer(
            exchange(
                self._tools.client,
                "POST",
                self._base_url + LOGIN,
                now=self._tools.now,
                json={"accountId": options["account_id"], "authorizationId": options["authorization_id"]},
            )
        )
        text = token_text(answer.get("message"))
        if reply.status == 200 and answer.get("success") is True and text is not None:
            return Token(text, jwt_lifetime_s(text, sent_at, LIFETIME_S))
        said = "" if answer.get("success") is True else self._said(answer)
        raise Refused(f"{reply.describe()}: login refused{said}")

    def _said(self, answer: Mapping[str, object], token: str = "") -> str:
        return quoted(answer.get("message"), token, *self.profile.options.values())


@dataclass(frozen=True, slots=True)
class _Listed:
    """The used QRs of one day of issue, by their id; `sent_at` is when they were asked for."""

    sent_at: datetime
    used: Mapping[str, list[Row]]


@dataclass(slots=True)
class _Day:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    listed: _Listed | None = None


class _Days:
    """The lists of the last few days that were needed: a hundred paid QRs of one day want one list, not a hundred."""

    def __init__(self) -> None:
        self._days: OrderedDict[date, _Day] = OrderedDict()

    async def rows_of(
        self, ask: Ask, day: date, paid_since: datetime, fetch: Callable[[date], Awaitable[_Listed]]
    ) -> list[Row]:
        """What the list of that day says of a QR that was paid at `paid_since`; a list asked for later, or a new one
        that already has the payment of a single-use QR, serves again."""
        kept = self._days.setdefault(day, _Day())
        self._days.move_to_end(day)
        while len(self._days) > KEPT_DAYS:
            self._days.popitem(last=False)
        async with kept.lock:
            listed = kept.listed
            known = listed.used.get(ask.qr_id, []) if listed is not None else []
            old = listed is not None and listed.sent_at <= paid_since - SERVES_AGAIN
            if listed is None or old or (listed.sent_at <= paid_since and (ask.multi_use or not known)):
                listed = kept.listed = await fetch(day)
            return listed.used.get(ask.qr_id, [])


def _used(rows: Iterable[object]) -> Mapping[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if isinstance(row, dict) and whole_number(row.get("statusId")) == USED:
            qr_id = _id(row.get("id"))
            if qr_id is not None:
                found[qr_id].append(row)
    return dict(found)


def _id(value: object) -> str | None:
    """The id of a QR, which comes as text or as a number."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _status_code(answer: Mapping[str, object], reply: Reply, asked: str) -> int:
    """The status of the QR; older versions of the bank send it in `qrId`. Raises Unreadable when it is none."""
    if answer.get("id") is not None and _id(answer["id"]) != asked:
        raise Unreadable(f"{reply.describe()}: speaks of another QR")
    value = answer.get("statusId")
    if value is None:
        value = answer.get("qrId")
        if value is not None and _id(value) == asked:
            raise Unreadable(f"{reply.describe()}: no status, or the id of the QR in its place")
    code = whole_number(value)
    if code not in STATUSES:
        shown = "none" if value is None else "4 (error)" if code == 4 else "unknown"
        raise Unreadable(f"{reply.describe()}: no readable status of the QR: {shown}")
    return code


def read_payment(row: Row, qr_id: str, profile: BankProfile) -> Payment | UnreadablePayment:
    """The payment in the row of a used QR. The voucher is the bank's number of it."""
    return payment_of(
        compact_json(row),
        qr_id,
        row.get("voucherId"),
        decimal_number(row.get("amount")),
        row.get("currency"),
        paid_at=moment(row.get("transactionDate"), profile.timezone),
    )
