"""The adapter `http`: a bank as its tables in the settings tell it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from urllib.parse import urlencode

from paysync_cli.banks.base import BankProfile, BankTools, Throttled, Unavailable, Unknown, Unreadable
from paysync_cli.banks.declared.access import Shown, open_access, secrets_of
from paysync_cli.banks.declared.expression import Expression, Unfit
from paysync_cli.banks.declared.pages import Pages
from paysync_cli.banks.declared.payment import QrMoney, has_no_id, is_blank, read_payment
from paysync_cli.banks.declared.reading import read_spec
from paysync_cli.banks.declared.spec import DayList, Request, filled
from paysync_cli.banks.declared.template import Value
from paysync_cli.banks.elements import parted, refuse_junk
from paysync_cli.banks.http import MAX_BODY, Reply, exchange
from paysync_cli.banks.notices import Notice, NoticeFate, NoticeReply
from paysync_cli.banks.wire import masked, printable, quoted
from paysync_cli.payments.qr import Answer, Ask, PaidDay, Payment, UnreadablePayment
from paysync_cli.payments.status import BankStatus

MAX_LIST_BODY = 64 * 1024 * 1024  # bytes of all pages of one day
READ_AT_ONCE = 500  # payments read before others get their turn

log = logging.getLogger("paysync.banks")


class HttpBank:
    """One bank. It has `paid_on` only where a day list is described, `ping` where that or a ping is, and it reads
    notices only where one is.

    One object belongs to one event loop; its checks may run in parallel and share one credential.
    """

    paid_on: Callable[[date], Awaitable[PaidDay]]
    ping: Callable[[], Awaitable[None]]
    noticed: Callable[[Notice], Sequence[str]]
    notice_reply: Callable[[NoticeFate], NoticeReply]
    notice_paths: Sequence[str]

    def __init__(self, profile: BankProfile, tools: BankTools) -> None:
        self.profile = profile
        self._tools = tools
        self._spec = read_spec(profile)
        self._base_url = profile.base_url.rstrip("/")
        # The QR's amount is given to nobody who could have read one: see Ask.
        self.books_qr_amount = self._spec.payment is not None and self._spec.payment.amount is None
        self._headers = {name: one.fill(profile.options) or "" for name, one in self._spec.headers.items()}
        self._access = open_access(profile, self._spec, tools, self._headers)
        if self._spec.day_list is not None:
            self.paid_on, self.ping = self._paid_on, self._ping_by_list
        if self._spec.ping is not None:
            self.ping = self._ping
        if self._spec.notice is not None:
            form = self._spec.notice
            self.noticed, self.notice_reply, self.notice_paths = form.noticed, form.reply, form.paths

    @staticmethod
    def lists_payments(profile: BankProfile) -> bool:
        """Whether this bank's description holds a day list."""
        return "day_list" in profile.tables

    async def check(self, ask: Ask) -> Answer:
        """What the bank says of one QR now. Raises BankError; Unreadable also for a word that the table lacks."""
        status = self._spec.status
        if ask.qr_id in ("", ".", ".."):
            raise Unreadable("this QR id cannot be part of an address")
        values = self._values() | {"qr_id": ask.qr_id, "currency": ask.currency or self.profile.currency}
        reply, sent_at, shown = await self._call(status.request, values)
        if status.unknown_qr is not None and _says(status.unknown_qr, reply):
            raise Unknown(f"{reply.where}: the bank does not know this QR")
        answer = self._answer_of(reply, shown)
        if status.qr_id is not None and _text(self._found(status.qr_id, answer, reply)) != ask.qr_id:
            raise Unreadable(f"{reply.describe()}: speaks of another QR, or of none")
        word = _text(self._found(status.value, answer, reply))
        meant = self._meaning(word, reply, shown)
        elements = self._paid_elements(answer, meant, reply)
        payments, unreadable = await self._payments_of(elements, ask.qr_id, (ask.amount, ask.currency))
        if meant is not BankStatus.PAID and any(one.problem == "other_qr" for one in unreadable):
            # The answer contradicts itself: it may be another QR's. Unpaid or cancelled is not concluded from it.
            raise Unreadable(f"{reply.describe()}: speaks of another QR")
        return Answer(meant, printable(word or "", 64), sent_at, payments, unreadable)

    def _meaning(self, word: str | None, reply: Reply, shown: Shown) -> BankStatus:
        where = f"banks.{self.profile.name}.status"
        if word is None:
            raise Unreadable(f"{reply.describe()}: no status where {where}.value looks")
        meant = self._spec.status.words.get(word)
        if meant is None:
            told = printable(masked(word, shown.secret, *secrets_of(self.profile)), 64)
            raise Unreadable(f'{reply.where}: unknown status "{told}"; {where}.words lacks it')
        return meant

    def _paid_elements(self, answer: object, meant: BankStatus, reply: Reply) -> list[object]:
        """The payments in a status answer: a list, one object, or nothing."""
        status, fields = self._spec.status, self._spec.payment
        if status.payments is None or fields is None:
            return []
        found = self._found(status.payments, answer, reply)
        if found is None or found == "":
            return []
        if isinstance(found, dict):
            # The object may be the QR itself, whose amount is no payment as long as nobody paid.
            unpaid = meant is not BankStatus.PAID and has_no_id(found, fields)
            return [] if unpaid or is_blank(found, fields) else [found]
        if not isinstance(found, list):
            raise Unreadable(f"{reply.describe()}: payments are neither a list nor an object")
        return found

    # -- the day list

    async def _paid_on(self, day: date) -> PaidDay:
        """Every payment of that bank day, page by page. A page that is missing makes the day incomplete; without the
        first one it raises BankError.
        """
        wanted = self._spec.day_list
        if wanted is None:
            raise Unreadable("no day list is described")
        pages, values, left = Pages(wanted.paging), self._values() | self._days(day), MAX_LIST_BODY
        payments: list[Payment] = []
        unreadable: list[UnreadablePayment] = []
        first_sent_at: datetime | None = None
        for _page in range(wanted.paging.max_pages):
            try:
                page = await self._page(wanted, pages, values, left)
                first_sent_at = first_sent_at or page.sent_at
                left -= page.size
                read = await self._payments_of(page.elements, None)
                payments += read[0]
                unreadable += read[1]
                follows = pages.step(page.answer, page.elements, page.url)
            except (Unavailable, Throttled, Unreadable) as error:
                if first_sent_at is None:
                    raise
                return self._cut_short(day, error.message, payments, unreadable, first_sent_at)
            if not follows:
                return PaidDay(tuple(payments), tuple(unreadable), first_sent_at)
        why = f"more than {wanted.paging.max_pages} pages"
        return self._cut_short(day, why, payments, unreadable, first_sent_at or self._tools.now())

    async def _page(self, wanted: DayList, pages: Pages, values: Mapping[str, Value], left: int) -> _Page:
        url = pages.url or self._url(wanted.request, {**values, **pages.values})
        reply, sent_at, shown = await self._call(wanted.request, {**values, **pages.values}, url=url, max_body=left)
        answer = self._answer_of(reply, shown)
        found = self._found(wanted.elements, answer, reply)
        if found is None and wanted.missing_is_empty:
            found = []
        if not isinstance(found, list):
            # A renamed key must not pass for a day without payments.
            raise Unreadable(f"{reply.describe()}: no list where banks.{self.profile.name}.day_list.elements looks")
        return _Page(url, answer, found, sent_at, len(reply.body))

    def _cut_short(
        self, day: date, why: str, payments: list[Payment], unreadable: list[UnreadablePayment], sent_at: datetime
    ) -> PaidDay:
        fields = {"event_name": "list_incomplete", "bank": self.profile.name, "day": day.isoformat()}
        log.warning("bank %s: the list of %s is not whole: %s", self.profile.name, day, why, extra=fields)
        return PaidDay(tuple(payments), tuple(unreadable), sent_at, complete=False)

    def _days(self, day: date) -> dict[str, Value]:
        zone, following = self.profile.timezone, day + timedelta(days=1)
        start = datetime.combine(day, time(), tzinfo=zone)
        after = datetime.combine(following, time(), tzinfo=zone)
        last = datetime.combine(day, time(23, 59, 59), tzinfo=zone)
        return {"day": day, "next_day": following, "day_start": start, "day_end": last, "next_day_start": after}

    # -- is it there?

    async def _ping(self) -> None:
        """Ask the question that is described for it. Raises BankError."""
        request = self._spec.ping
        if request is not None:
            reply, _sent_at, shown = await self._call(request, self._values())
            self._answer_of(reply, shown)

    async def _ping_by_list(self) -> None:
        """Ask for the first page of today's list and drop it: changes nothing at the bank. Raises BankError."""
        wanted = self._spec.day_list
        if wanted is not None:
            today = self._tools.now().astimezone(self.profile.timezone).date()
            await self._page(wanted, Pages(wanted.paging), self._values() | self._days(today), MAX_LIST_BODY)

    # -- one request and its answer

    def _values(self) -> dict[str, Value]:
        return {"account": self.profile.account, "currency": self.profile.currency}

    async def _call(
        self, request: Request, values: Mapping[str, Value], *, url: str | None = None, max_body: int = MAX_BODY
    ) -> tuple[Reply, datetime, Shown]:
        """The reply, when it was asked for, and what it was asked with. At most one new login for a refusal."""
        for again in (False, True):
            shown = await self._access.show()
            sent_at = self._tools.now()
            reply = await exchange(
                self._tools.client,
                request.method,
                _with_query(url or self._url(request, values), shown.query),
                now=self._tools.now,
                headers={**self._headers, **shown.headers},
                json=filled(request.json, values),
                form=None if request.form is None else _filled(request.form, values),
                max_body=max_body,
            )
            if reply.status not in self._spec.auth.refused:
                await self._access.accepted(shown)
                break
            await self._access.rejected(shown, f"{reply.where}: HTTP {reply.status}", again=again)
        return reply, sent_at, shown

    def _url(self, request: Request, values: Mapping[str, Value]) -> str:
        path = request.path.fill(values, quoted=True) or ""
        return _with_query(self._base_url + path, _filled(request.query, values))

    def _answer_of(self, reply: Reply, shown: Shown) -> object:
        """The JSON of an answer that says it is fine. Raises Unreadable for everything else."""
        envelope = self._spec.envelope
        if not 200 <= reply.status < 300:
            raise Unreadable(f"{reply.describe()}: not an answer{self._said(_json(reply), shown)}")
        answer = reply.json()
        if not envelope.says_ok(answer):
            raise Unreadable(f"{reply.describe()}: does not say that it is fine{self._said(answer, shown)}")
        return answer

    def _said(self, answer: object, shown: Shown) -> str:
        """The bank's message, ready to append to a sentence."""
        return quoted(self._spec.envelope.said(answer), shown.secret, *secrets_of(self.profile))

    def _found(self, expression: Expression, answer: object, reply: Reply) -> object:
        try:
            return expression.of(answer)
        except Unfit as unfit:
            raise Unreadable(f"{reply.describe()}: does not fit {printable(str(unfit))}") from None

    async def _payments_of(
        self, elements: Sequence[object], asked: str | None, qr_money: QrMoney = (None, None)
    ) -> tuple[tuple[Payment, ...], tuple[UnreadablePayment, ...]]:
        """The payment elements, readable ones apart. Raises Unreadable for a mass of junk."""
        fields = self._spec.payment
        if fields is None:
            return (), ()
        payments: list[Payment] = []
        unreadable: list[UnreadablePayment] = []
        for start in range(0, len(elements), READ_AT_ONCE):
            some = elements[start : start + READ_AT_ONCE]
            read = parted(read_payment(element, fields, self.profile.timezone, asked, qr_money) for element in some)
            payments += read[0]
            unreadable += read[1]
            refuse_junk(unreadable)
            await asyncio.sleep(0)
        return tuple(payments), tuple(unreadable)


@dataclass(frozen=True, slots=True)
class _Page:
    """One page of a list: where it was, all of it, its payments, when it was asked for, its bytes."""

    url: str
    answer: object
    elements: list[object]
    sent_at: datetime
    size: int


def _filled(templates: Mapping[str, object], values: Mapping[str, Value]) -> dict[str, str]:
    """The parameters that have a value."""
    found = filled(dict(templates), values)
    return {name: str(value) for name, value in found.items()}


def _with_query(url: str, query: Mapping[str, str]) -> str:
    if not query:
        return url
    return url + ("&" if "?" in url else "?") + urlencode(query)


def _says(expression: Expression, reply: Reply) -> bool:
    return expression.of_or_none(_json(reply)) is True


def _json(reply: Reply) -> object:
    """The body of an answer that need not be JSON; None when it is not."""
    try:
        return reply.json()
    except Unreadable:
        return None


def _text(value: object) -> str | None:
    """A bank's word as text: a whole number and true or false count as theirs."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return value.strip() or None if isinstance(value, str) else None
