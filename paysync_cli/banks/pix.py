"""PIX, the standard of Brazil's central bank (API 2.9): any payment provider that speaks it.

The status of a charge is that of its *record*: an expired one stays ATIVA for ever, so its end is computed. Paid
means paid with whatever amount; what went back to the payer is subtracted. `GET /pix` lists what was settled.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from urllib.parse import quote, urlencode

from paysync_cli.banks.base import BankProfile, BankTools, Refused, Throttled, Unavailable, Unknown, Unreadable
from paysync_cli.banks.bearer import LONGEST_LIFETIME_S, BearerCalls, Called, basic_pair, login_answer, token_text
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
from paysync_cli.banks.wire import compact_json, decimal_number, identifier, moment, quoted, whole_number
from paysync_cli.language import _
from paysync_cli.payments.qr import Answer, Ask, PaidDay, Payment, UnreadablePayment
from paysync_cli.payments.status import BankStatus

CURRENCY = "BRL"
SCOPE = "cob.read pix.read"
ERRORS = "https://pix.bcb.gov.br/api/v2/error/"

STATUSES = {
    "ATIVA": BankStatus.UNPAID,
    "CONCLUIDA": BankStatus.PAID,
    "REMOVIDA_PELO_USUARIO_RECEBEDOR": BankStatus.CANCELLED,
    "REMOVIDA_PELO_PSP": BankStatus.CANCELLED,
    # The standard's prose spells them so; its enumeration does not.
    "REMOVIDO_PELO_USUARIO_RECEBEDOR": BankStatus.CANCELLED,
    "REMOVIDO_PELO_PSP": BankStatus.CANCELLED,
}

DEFAULT_EXPIRY_S = 86_400
LONGEST_EXPIRY_S = 10**9
DEFAULT_LIFETIME_S = 300.0  # the standard names none
PAGE = 100  # the standard's own default: some providers refuse, or cut, larger ones
MAX_PAGES = 5_000
MAX_LIST_BODY = 64 * 1024 * 1024  # bytes of all pages of one day

_END_TO_END_ID = re.compile(r"[a-zA-Z0-9]{32}", re.ASCII)
_AMOUNT = re.compile(r"[0-9]{1,10}\.[0-9]{2}", re.ASCII)

log = logging.getLogger("paysync.banks")


class PixBank:
    """One receiver's access. `profile.options`: `client_id`, `client_secret`, `token_url`, and where the provider
    wants them `scope` and `token_auth` (`basic`, or `body`). The client certificate belongs to the profile.

    QRs are registered under their txid. One object belongs to one event loop; its checks may run in parallel.
    """

    notice_paths = ("/pix", "")

    def __init__(self, profile: BankProfile, tools: BankTools) -> None:
        refuse(profile, _problems(profile))
        self.profile = profile
        self._tools = tools
        self._base_url = profile.base_url.rstrip("/")
        self._calls = BearerCalls(tools, self._log_in)

    async def check(self, ask: Ask) -> Answer:
        """What the provider says of one immediate charge now. Raises BankError."""
        if ask.qr_id in ("", ".", ".."):
            raise Unreadable("this QR id cannot be part of an address")
        called = await self._calls.send("GET", f"{self._base_url}/cob/{quote(ask.qr_id, safe='')}")
        reply = called.reply
        if reply.status == 404 and "NaoEncontrado" in _problem_name(reply):
            raise Unknown(f"{reply.where}: the bank does not know this QR")
        charge = self._answer_of(called)
        if charge.get("txid") != ask.qr_id:
            raise Unreadable(f"{reply.describe()}: speaks of another QR")
        word = charge.get("status")
        status = STATUSES.get(word) if isinstance(word, str) else None
        if status is None or not isinstance(word, str):
            raise Unreadable(f"{reply.describe()}: no readable status of the QR")
        if status is BankStatus.UNPAID and self._has_expired(charge, called.sent_at):
            status = BankStatus.EXPIRED
        payments, unreadable = parted(read_payment(one, ask.qr_id) for one in _elements(charge.get("pix"), reply))
        if status is not BankStatus.PAID and any(one.problem == "other_qr" for one in unreadable):
            raise Unreadable(f"{reply.describe()}: speaks of another QR")
        return Answer(status, word, called.sent_at, payments, unreadable)

    async def paid_on(self, day: date) -> PaidDay:
        """Every payment that was settled on that day, page by page. A page that is missing makes the day incomplete;
        without the first one it raises BankError.
        """
        list_ = _List(*_window(day, self.profile, self._tools.now()))
        while not list_.whole:
            if list_.page >= MAX_PAGES:
                return self._cut_short(day, list_, f"more than {MAX_PAGES} pages")
            try:
                await self._read_page(list_)
            except (Unavailable, Throttled, Unreadable) as error:
                if list_.sent_at is None:
                    raise
                return self._cut_short(day, list_, error.message)
        return list_.paid_day(self._tools.now(), complete=True)

    async def ping(self) -> None:
        """Ask for the first of today's payments and drop it: changes nothing at the bank. Raises BankError."""
        today = self._tools.now().astimezone(self.profile.timezone).date()
        list_ = _List(*_window(today, self.profile, self._tools.now()))
        self._answer_of(await self._calls.send("GET", self._page_url(list_, 1)))

    def noticed(self, notice: Notice) -> Sequence[str]:
        """The charges of the payments and returns in a webhook's call; none for transfers without a charge. Raises
        Unreadable.
        """
        elements = notice_object(notice).get("pix")
        if not isinstance(elements, list) or not all(isinstance(one, dict) for one in elements):
            raise Unreadable("a notice without a list of payments")
        charges = [one["txid"] for one in elements if not _is_no_qr(one)]
        return notice_ids(*charges) if charges else ()

    def notice_reply(self, fate: NoticeFate) -> NoticeReply:
        """200 is all that the standard wants; what is wrong is a problem document (RFC 7807)."""
        if fate is NoticeFate.TAKEN:
            return json_reply({})
        name, status = {NoticeFate.UNREADABLE: ("RequisicaoInvalida", 400)}.get(fate, ("ServicoIndisponivel", 503))
        problem = {"type": f"{ERRORS}{name}", "title": name, "status": status}
        return json_reply(problem, status, "application/problem+json")

    async def _read_page(self, list_: _List) -> None:
        called = await self._calls.send("GET", self._page_url(list_, PAGE), max_body=MAX_LIST_BODY - list_.size)
        answer = self._answer_of(called)
        elements = answer.get("pix", ...)
        if not isinstance(elements, list):
            # A renamed key must not pass for a day without payments.
            raise Unreadable(f"{called.reply.describe()}: no list of payments")
        list_.add(elements, _paging(answer), called)

    def _page_url(self, list_: _List, size: int) -> str:
        query = {
            "inicio": list_.start,
            "fim": list_.end,
            "txIdPresente": "true",
            "paginacao.paginaAtual": str(list_.page),
            "paginacao.itensPorPagina": str(size),
        }
        return f"{self._base_url}/pix?{urlencode(query)}"

    def _cut_short(self, day: date, list_: _List, why: str) -> PaidDay:
        fields = {"event_name": "list_incomplete", "bank": self.profile.name, "day": day.isoformat()}
        log.warning("bank %s: the list of %s is not whole: %s", self.profile.name, day, why, extra=fields)
        return list_.paid_day(self._tools.now(), complete=False)

    def _has_expired(self, charge: Mapping[str, object], sent_at: datetime) -> bool:
        """Whether a question sent at `sent_at` came after the charge's own end and our margin."""
        calendar = charge.get("calendario")
        calendar = calendar if isinstance(calendar, dict) else {}
        created = moment(calendar.get("criacao"), UTC)
        seconds = whole_number(calendar.get("expiracao", DEFAULT_EXPIRY_S))
        if created is None or seconds is None or not 0 < seconds <= LONGEST_EXPIRY_S:
            return False
        return sent_at >= created + timedelta(seconds=seconds + self.profile.due_margin_s)

    def _answer_of(self, called: Called) -> dict[str, object]:
        reply = called.reply
        if reply.status != 200:
            raise Unreadable(f"{reply.describe()}: not an answer{self._said(reply, called.token)}")
        return reply.json_object()

    def _said(self, reply: Reply, *secrets: str) -> str:
        """What a problem document says, or the error of a login, ready to append to a sentence."""
        words = [_text(reply, key) for key in ("title", "detail", "error", "error_description")]
        return quoted(": ".join(word for word in words if word), *secrets, self.profile.options["client_secret"])

    # -- the login

    async def _log_in(self) -> Token:
        """The client credentials grant (RFC 6749, 4.4), once."""
        options, body = self.profile.options, self.profile.options.get("token_auth") == "body"
        form = {"grant_type": "client_credentials", "scope": options.get("scope", SCOPE)}
        pair = basic_pair(options["client_id"], options["client_secret"])
        if body:
            form |= {"client_id": options["client_id"], "client_secret": options["client_secret"]}
        reply, answer = await login_answer(
            exchange(
                self._tools.client,
                "POST",
                options["token_url"],
                now=self._tools.now,
                headers={} if body else {"authorization": f"Basic {pair}"},
                form=form,
            )
        )
        text, kind = token_text(answer.get("access_token")), answer.get("token_type", "bearer")
        if reply.status == 200 and text is not None and isinstance(kind, str) and kind.lower() == "bearer":
            return Token(text, _lifetime_s(answer.get("expires_in")))
        raise Refused(f"{reply.describe()}: login refused{self._said(reply, pair)}")


@dataclass(slots=True)
class _List:
    """The list of a day on its way: what was read of it, and which page is next."""

    start: str
    end: str
    page: int = 0
    size: int = 0  # bytes
    whole: bool = False
    sent_at: datetime | None = None
    payments: dict[tuple[str, str, Decimal], Payment] = field(default_factory=dict)
    unreadable: list[UnreadablePayment] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)  # a hash of each element

    def add(self, elements: list[object], paging: Mapping[str, object], called: Called) -> None:
        """Take a page. Raises Unreadable for one that is not the page that was asked for."""
        told = whole_number(paging.get("paginaAtual", self.page))
        if told != self.page:
            raise Unreadable(f"{called.reply.describe()}: another page than the one that was asked for")
        hashes = {sha256(compact_json(one).encode()).digest() for one in elements}
        if hashes and hashes <= self.seen:
            # A provider that does not heed the page number: what it never sent would be taken for not paid.
            raise Unreadable(f"{called.reply.describe()}: a page that was sent before")
        self.seen |= hashes
        payments, unreadable = parted(read_payment(one) for one in elements if not _is_no_qr(one))
        # One id may stand under two charges: which of them has the money is not for us to say.
        self.payments |= {(one.qr_id, one.bank_transaction_id, one.amount): one for one in payments}
        self.unreadable += unreadable
        self.sent_at = self.sent_at or called.sent_at
        self.size += len(called.reply.body)
        self.page += 1
        pages = whole_number(paging.get("quantidadeDePaginas"))
        if pages is not None:
            self.whole = self.page >= pages
        else:  # then the end is a page that brings nothing
            self.whole = not elements

    def paid_day(self, now: datetime, *, complete: bool) -> PaidDay:
        return PaidDay(tuple(self.payments.values()), tuple(self.unreadable), self.sent_at or now, complete)


def _problems(profile: BankProfile) -> Iterator[str]:
    options = profile.options
    yield from address_problems(profile.base_url)
    needed = ("client_id", "client_secret", "token_url")
    yield from missing_keys(profile, *needed)
    yield from unknown_keys(profile, *needed, "scope", "token_auth", *NOTICE_KEYS)
    yield from notice_problems(profile)
    if options.get("token_url"):
        yield from address_problems(options["token_url"], "token_url")
        plain = options["token_url"].lower().startswith("http://") and profile.base_url.startswith("https")
        if plain:
            yield _("token_url must be https, as base_url is: the client's secret goes there")
    if options.get("token_auth", "basic") not in ("basic", "body"):
        yield _("token_auth must be basic or body")
    if profile.currency != CURRENCY:
        yield _("currency must be {currency}: PIX knows no other").format(currency=CURRENCY)
    if profile.timezone.key == "America/La_Paz":
        yield _('timezone must be the provider\'s, such as "America/Sao_Paulo"')
    if profile.environment == "production" and profile.base_url.startswith("https") and not profile.tls.client_cert:
        yield _("client_cert is missing: PIX demands a client certificate")


def _window(day: date, profile: BankProfile, now: datetime) -> tuple[str, str]:
    """The first moment of the day and the first of the next one: both count as inside, and a fraction of the last
    second would be lost with any earlier end. A day that is not over ends a second from now: some refuse a future."""
    start = datetime.combine(day, time(), tzinfo=profile.timezone).astimezone(UTC)
    end = datetime.combine(day + timedelta(days=1), time(), tzinfo=profile.timezone).astimezone(UTC)
    end = max(start, min(end, now.astimezone(UTC) + timedelta(seconds=1)))
    return f"{start:%Y-%m-%dT%H:%M:%SZ}", f"{end:%Y-%m-%dT%H:%M:%SZ}"


def _paging(answer: Mapping[str, object]) -> Mapping[str, object]:
    parameters = answer.get("parametros")
    paging = parameters.get("paginacao") if isinstance(parameters, dict) else None
    return paging if isinstance(paging, dict) else {}


def _is_no_qr(element: object) -> bool:
    """Whether this is a transfer to our key without a charge: no QR's payment, though only those were asked for."""
    return isinstance(element, dict) and element.get("txid") in (None, "")


def _elements(value: object, reply: Reply) -> list[object]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise Unreadable(f"{reply.describe()}: payments are no list")
    return value


def read_payment(element: object, asked: str | None = None) -> Payment | UnreadablePayment:
    """One Pix, less what was returned of it. `asked`: the charge it stands in, None for any.

    Unreadable problems beside those of `payment_of`: `not_an_object`, `no_qr_id`, `other_qr`, `unreadable_return`,
    and `returned` when nothing is left of it.
    """
    raw = compact_json(element)
    if not isinstance(element, dict):
        return UnreadablePayment(raw, "not_an_object", asked)
    qr_id = identifier(element.get("txid", asked))
    if qr_id is None:
        return UnreadablePayment(raw, "no_qr_id", asked)
    if asked is not None and qr_id != asked:
        return UnreadablePayment(raw, "other_qr", qr_id)
    amount, returned = _amount(element.get("valor")), _returned(element.get("devolucoes"))
    if returned is None:
        return UnreadablePayment(raw, "unreadable_return", qr_id)
    if amount is not None and 0 < amount == returned:
        return UnreadablePayment(raw, "returned", qr_id)
    number = element.get("endToEndId")
    return payment_of(
        raw,
        qr_id,
        number if isinstance(number, str) and _END_TO_END_ID.fullmatch(number) else None,
        None if amount is None else amount - returned,
        CURRENCY,
        paid_at=moment(element.get("horario"), UTC),
        payer=_payer(element.get("pagador")),
    )


def _amount(value: object) -> Decimal | None:
    return decimal_number(value) if isinstance(value, str) and _AMOUNT.fullmatch(value) else None


def _returned(value: object) -> Decimal | None:
    """What went back to the payer and has arrived there; None when that cannot be read."""
    if value is None:
        return Decimal(0)
    returns = [value] if isinstance(value, dict) else value  # one alone is seen as an object
    if not isinstance(returns, list):
        return None
    total = Decimal(0)
    for one in returns:
        status = one.get("status") if isinstance(one, dict) else None
        amount = _amount(one.get("valor")) if isinstance(one, dict) else None
        if status not in ("EM_PROCESSAMENTO", "DEVOLVIDO", "NAO_REALIZADO") or amount is None:
            return None
        total += amount if status == "DEVOLVIDO" else 0
    return total


def _payer(value: object) -> object:
    return value.get("nome") if isinstance(value, dict) else None


def _problem_name(reply: Reply) -> str:
    """The last part of a problem document's type: `CobNaoEncontrado`. Empty for what is none."""
    return _text(reply, "type").rpartition("/")[2]


def _text(reply: Reply, key: str) -> str:
    try:
        answer = reply.json()
    except Unreadable:
        return ""
    value = answer.get(key) if isinstance(answer, dict) else None
    return value if isinstance(value, str) else ""


def _lifetime_s(told: object) -> float:
    seconds = decimal_number(told)
    return float(seconds) if seconds is not None and 0 < seconds <= LONGEST_LIFETIME_S else DEFAULT_LIFETIME_S
