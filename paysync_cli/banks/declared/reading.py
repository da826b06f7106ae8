"""Reading and judging the tables of `[banks.<name>]`: one SettingsError tells everything that is wrong."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from paysync_cli.banks.base import BankProfile
from paysync_cli.banks.declared.expression import Expression
from paysync_cli.banks.declared.section import Section, as_text, is_scalar, not_one_of
from paysync_cli.banks.declared.spec import (
    DEFAULT_LIFETIME_S,
    OPTIONS,
    Auth,
    DayList,
    Envelope,
    NoticeForm,
    Paging,
    PaymentFields,
    Request,
    Spec,
    StatusCall,
)
from paysync_cli.banks.declared.template import DAY_NAMES, Template
from paysync_cli.banks.notices import NOTICE_KEYS, notice_problems, takes_notices
from paysync_cli.errors import Fault, SettingsError
from paysync_cli.language import _
from paysync_cli.payments.money import CURRENCIES
from paysync_cli.payments.status import BankStatus

AUTH_KINDS = ("none", "basic", "bearer", "api_key", "oauth2", "login")
QR_NAMES = ("qr_id", "account", "currency")
LIST_NAMES = (*DAY_NAMES, "account", "currency")
LONGEST_LIFETIME_S = 86_400
MAX_PAGES = 1000

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_VISIBLE = re.compile(r"[\x20-\x7e]*", re.ASCII)
_PATH = re.compile(r"/[!-\"$->@-~]*", re.ASCII)  # visible, without ? and #
_SECRET_HEADER = re.compile(r".*(authorization|cookie|key|token|secret|password)", re.ASCII | re.IGNORECASE)
_OWN_HEADERS = frozenset(("connection", "content-length", "content-type", "host", "transfer-encoding"))
_LOCAL = ("localhost", "127.0.0.1", "::1")


def read_spec(profile: BankProfile) -> Spec:
    """The whole description of a bank. Raises SettingsError with one Fault for each thing that is wrong."""
    faults: list[Fault] = []
    reader = _Reader(profile, faults)
    spec = reader.spec()
    if faults or spec is None:
        message = _("bank {bank}: its description is wrong in {n} places").format(bank=profile.name, n=len(faults))
        raise SettingsError(faults[0].message if len(faults) == 1 else message, faults=faults)
    return spec


class _Reader:
    def __init__(self, profile: BankProfile, faults: list[Fault]) -> None:
        self._profile = profile
        self._faults = faults
        self._bank = Section(f"banks.{profile.name}", {**profile.options, **profile.tables}, faults)

    def spec(self) -> Spec | None:
        bank = self._bank
        for option in OPTIONS:
            bank.text(option)
        auth = self._auth()
        headers = self._headers(auth)
        envelope = self._envelope()
        status = self._status()
        day_list = self._day_list(envelope_has_marker=envelope.ok is not None)
        payment = self._payment(status, day_list)
        ping = self._ping()
        notice = self._notice()
        bank.end()
        if auth is None or status is None or self._faults:
            return None
        return Spec(auth, headers, envelope, status, payment, day_list, ping, notice)

    # -- who we are

    def _auth(self) -> Auth | None:
        one_of = _("one of {kinds}").format(kinds=", ".join(AUTH_KINDS))
        section = self._bank.section("auth", needed=_("a table with kind, {one_of}").format(one_of=one_of))
        if section is None:
            return None
        kind = section.choice("kind", AUTH_KINDS, needed=one_of)
        self._refuse_secrets(section)
        auth = None if kind is None else self._auth_of(kind, section)
        if kind is not None:
            section.end()
        return auth

    def _auth_of(self, kind: str, section: Section) -> Auth | None:
        refused = self._refused_statuses(section)
        if kind == "none":
            return Auth(kind, "", "", None, refused)
        if kind == "basic":
            self._need(kind, "username", "password")
            if ":" in self._profile.options.get("username", ""):
                self._bank.fault("username", _("basic authentication allows no colon in it."))
            return Auth(kind, "authorization", "Basic ", None, refused)
        if kind == "bearer":
            self._need(kind, "token")
            return Auth(kind, "authorization", "Bearer ", None, refused)
        if kind == "api_key":
            self._need(kind, "api_key")
            header, query = section.text("header"), section.text("query")
            if (header is None) == (query is None):
                section.fault("", _("say where the key goes: header or query, one of them."))
            return Auth(kind, self._header_name(section, header), section.text("prefix", "") or "", query, refused)
        return self._oauth2(section, refused) if kind == "oauth2" else self._login(section, refused)

    def _oauth2(self, section: Section, refused: frozenset[int]) -> Auth:
        self._need("oauth2", "client_id", "client_secret")
        url = section.text("token_url", needed=_("where the token is given: a path, or an https:// address"))
        return Auth(
            "oauth2",
            "authorization",
            "Bearer ",
            None,
            refused,
            token_url=self._token_url(section, url),
            scope=section.text("scope"),
            in_body=section.choice("send", ("basic", "body"), "basic") == "body",
            lifetime_s=float(section.whole("lifetime_s", DEFAULT_LIFETIME_S, 30, LONGEST_LIFETIME_S) or 0),
        )

    def _login(self, section: Section, refused: frozenset[int]) -> Auth:
        request = self._request(section, (*OPTIONS, "account"), secret=True)
        if request is not None:
            self._need("login", *sorted(request.names & set(OPTIONS)))
        header = section.text("header", "authorization")
        prefix = section.text("prefix", "Bearer " if (header or "").lower() == "authorization" else "")
        return Auth(
            "login",
            self._header_name(section, header),
            prefix or "",
            None,
            refused,
            request=request,
            find=section.expression("find", needed=_("the JMESPath of the token in the answer to the login")),
            lifetime=section.expression("lifetime"),
            lifetime_s=float(section.whole("lifetime_s", DEFAULT_LIFETIME_S, 30, LONGEST_LIFETIME_S) or 0),
        )

    def _refused_statuses(self, section: Section) -> frozenset[int]:
        given = section.anything("refused")
        if given is None:
            return frozenset((401,))
        good = isinstance(given, list) and all(type(one) is int and 400 <= one <= 499 for one in given)
        if not good or not given or {408, 429} & set(given):
            section.fault("refused", _("write a list of statuses from 400 to 499, without 408 and 429."))
            return frozenset((401,))
        return frozenset(given)

    def _refuse_secrets(self, section: Section) -> None:
        for option in OPTIONS:
            if section.anything(option) is not None:
                section.fault(option, _("this belongs into [{path}] itself.").format(path=self._bank.path),
                              self._ways_to_give(option))  # fmt: skip

    def _need(self, kind: str, *options: str) -> None:
        for option in options:
            given = self._profile.options.get(option)
            if not given:
                why = _("is missing: auth.kind {kind} needs it.").format(kind=kind)
                self._bank.fault(option, why, self._ways_to_give(option))
            elif option != "password" and not _VISIBLE.fullmatch(given):
                self._bank.fault(option, _("it holds characters that cannot be sent."))

    def _ways_to_give(self, option: str) -> str:
        variable = f"PAYSYNC_BANK_{self._profile.name.upper()}_{option.upper()}"
        return _("Set {option} or {option}_file in [{path}], or {variable} or {variable}_FILE.").format(
            option=option, path=self._bank.path, variable=variable
        )

    def _token_url(self, section: Section, url: str | None) -> str | None:
        """The address of the token, whole. A path counts from base_url."""
        if url is None:
            return None
        if url.startswith("/"):
            return self._profile.base_url.rstrip("/") + url
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # brackets that do not match, a port that is none
            section.fault("token_url", _("write a path that starts with /, or https://host/path."))
            return url
        local = parts.hostname in _LOCAL or self._profile.environment != "production"
        if not usable or "@" in parts.netloc:
            section.fault("token_url", _("write a path that starts with /, or https://host/path."))
        elif parts.scheme == "http" and not local:
            section.fault("token_url", _("the credential would travel unprotected: write https://."))
        return url

    def _header_name(self, section: Section, header: str | None) -> str:
        if header is not None and not _HEADER_NAME.fullmatch(header):
            section.fault("header", _("this is no header's name."))
        return header or ""

    # -- what goes with every request

    def _headers(self, auth: Auth | None) -> dict[str, Template]:
        path = f"{self._bank.path}.headers"
        found = self._bank.templates("headers", OPTIONS)
        for name, template in found.items():
            problem = self._problem_of_header(name, template, auth)
            if problem:
                self._faults.append(Fault("invalid_setting", f"{path}.{name}: {problem}"))
            self._need_of_header(name, template)
        return found

    def _problem_of_header(self, name: str, template: Template, auth: Auth | None) -> str | None:
        if not _HEADER_NAME.fullmatch(name) or not _VISIBLE.fullmatch(template.text):
            return _("a header is made of visible ASCII characters.")
        if name.lower() in _OWN_HEADERS:
            return _("this header is set by paysync.")
        if auth is not None and name.lower() == auth.header.lower():
            return _("auth sends this header already.")
        if _SECRET_HEADER.fullmatch(name) and not template.names:
            return _("a secret does not stand here: write a placeholder like {name} and set {option}.").format(
                name="{api_key}", option=f"{self._bank.path}.api_key"
            )
        return None

    def _need_of_header(self, name: str, template: Template) -> None:
        for option in sorted(template.names):
            if not self._profile.options.get(option):
                why = _("is missing: the header {header} needs it.").format(header=name)
                self._bank.fault(option, why, self._ways_to_give(option))

    # -- what an answer looks like

    def _envelope(self) -> Envelope:
        section = self._bank.section("answer")
        if section is None:
            return Envelope(None, (), None)
        ok = section.expression("ok")
        values = section.anything("ok_is")
        message = section.expression("message")
        wanted = (True,) if values is None else tuple(values) if isinstance(values, list) else (values,)
        if not wanted or not all(map(is_scalar, wanted)):
            section.fault("ok_is", _("write a value, or a list of values: text, whole numbers, true or false."))
        if values is not None and "ok" not in section:
            section.fault("ok", _("is missing: ok_is is compared with what it finds."))
        section.end()
        return Envelope(ok, wanted, message)

    # -- the questions

    def _request(self, section: Section, allowed: Collection[str], *, secret: bool = False) -> Request | None:
        """A request. Its keys are read; `end` is left to the caller."""
        has_body = "json" in section or "form" in section
        method = section.choice("method", ("GET", "POST"), "POST" if has_body else "GET")
        path = section.template("path", () if secret else allowed, needed=_("the address behind base_url"))
        query = {} if secret else section.templates("query", allowed)
        json = self._tree(section, "json", section.anything("json"), allowed)
        form = section.templates("form", allowed) if "form" in section else None
        if "json" in section and "form" in section:
            section.fault("form", _("json and form are two bodies: choose one."))
        if has_body and method == "GET":
            section.fault("method", _("a body goes with POST."))
        if path is not None and not _PATH.fullmatch(path.text):
            section.fault("path", _("write a path that starts with /, in ASCII; parameters stand in query."))
        if path is None or method is None:
            return None
        return Request(method, path, query, json, form)

    def _tree(self, section: Section, key: str, value: Any, allowed: Collection[str]) -> Any:
        """A JSON body: texts become templates, tables and lists stay what they are."""
        if isinstance(value, dict):
            return {name: self._tree(section, f"{key}.{name}", one, allowed) for name, one in value.items()}
        if isinstance(value, list):
            return [self._tree(section, f"{key}[{n}]", one, allowed) for n, one in enumerate(value)]
        if isinstance(value, str):
            return section.read_template(key, value, allowed)
        if value is not None and not isinstance(value, int):
            section.fault(key, _("write text, a whole number, true/false, a list or a table."))
        return value

    def _status(self) -> StatusCall | None:
        section = self._bank.section("status", needed=_("it says how one QR is asked about"))
        if section is None:
            return None
        request = self._request(section, QR_NAMES)
        value = section.expression("value", needed=_("the JMESPath of the bank's word for the status"))
        words = self._words(section)
        qr_id, unknown = section.expression("qr_id"), section.expression("unknown_qr")
        payments = section.expression("payments")
        section.end()
        if request is not None and "qr_id" not in request.names:
            section.fault("", _("the request does not name the QR: put {name} into path, query, json or form.").format(
                name="{qr_id}"))  # fmt: skip
        if request is None or value is None:
            return None
        return StatusCall(request, value, words, qr_id, unknown, payments)

    def _words(self, section: Section) -> dict[str, BankStatus]:
        ours = [one.value for one in BankStatus]
        words: dict[str, BankStatus] = {}
        given = section.table("words")
        for word, status in given.items():
            if isinstance(status, str) and status in ours:
                words[word] = BankStatus(status)
            else:
                section.fault(f"words.{word}", not_one_of(str(status), ours))
        if not given:
            section.fault("words", _("is missing: which of the bank's words means which of {ours}.").format(
                ours=", ".join(ours)))  # fmt: skip
        elif "paid" not in given.values():
            section.fault("words", _("no word means paid."))
        return words

    def _day_list(self, *, envelope_has_marker: bool) -> DayList | None:
        section = self._bank.section("day_list")
        if section is None:
            return None
        paging = self._paging(section)
        names = {"page": ("page", "page_size"), "cursor": ("cursor", "page_size"), "next_link": ("page_size",)}
        request = self._request(section, (*LIST_NAMES, *names.get(paging.kind, ())))
        elements = section.expression("elements", needed=_("the JMESPath of the list of payments"))
        missing_is_empty = section.flag("missing_is_empty")
        if missing_is_empty and not envelope_has_marker:
            section.fault("missing_is_empty", _("this needs answer.ok: what else tells an empty day from no answer?"))
        self._judge_day(section)
        section.end()
        if request is None or elements is None:
            return None
        self._judge_paging(section, request, paging)
        return DayList(request, elements, missing_is_empty, paging)

    def _judge_day(self, section: Section) -> None:
        """The list must be one by the day of *payment*: with another one a day would count as read and not be whole."""
        by = section.choice("by", ("payment_day", "creation_day"), needed=_(
            "write by = \"payment_day\" once you know that the bank lists by the day of payment"))  # fmt: skip
        if by == "creation_day":
            section.fault("by", _("a list by the day of creation does not tell what was paid on a day; leave it out."))

    def _judge_paging(self, section: Section, request: Request, paging: Paging) -> None:
        if not request.names & set(DAY_NAMES):
            section.fault("", _("the request does not name the day: use {names}.").format(
                names=", ".join("{" + name + "}" for name in DAY_NAMES)))  # fmt: skip
        if paging.kind in ("page", "cursor") and paging.kind not in request.names:
            section.fault("", _("the request does not name the page: use {name}.").format(
                name="{" + paging.kind + "}"))  # fmt: skip
        if "page_size" in request.names and paging.size is None:
            section.fault("paging.size", _("is missing: the request names {name}.").format(name="{page_size}"))
        if paging.kind == "next_link" and request.method != "GET":
            section.fault("paging.kind", _("next_link goes with GET."))

    def _paging(self, section: Section) -> Paging:
        table = section.section("paging")
        if table is None:
            return Paging()
        kinds = ("page", "cursor", "next_link")
        kind = table.choice("kind", kinds, needed=_("one of {kinds}").format(kinds=", ".join(kinds)))
        size = table.whole("size", None, 1, 10_000)
        most = table.whole("max_pages", MAX_PAGES, 1, 100_000) or MAX_PAGES
        paging = Paging(kind or "none", size=size, max_pages=most)
        if kind == "page":
            first = table.whole("first", 1, 0, 1)
            pages, more = table.expression("pages"), table.expression("more")
            if pages is not None and more is not None:
                table.fault("more", _("pages and more say the same: choose one."))
            paging = Paging(kind, 1 if first is None else first, size, pages, more, max_pages=most)
        elif kind == "cursor":
            cursor = table.expression("cursor", needed=_("the JMESPath of the next page's cursor"))
            paging = Paging(kind, size=size, more=table.expression("more"), cursor=cursor, max_pages=most)
        elif kind == "next_link":
            link = table.expression("link", needed=_("the JMESPath of the next page's address"))
            paging = Paging(kind, size=size, link=link, max_pages=most)
        if kind is not None:
            table.end()
        return paging

    def _ping(self) -> Request | None:
        section = self._bank.section("ping")
        if section is None:
            return None
        request = self._request(section, ("account", "currency"))
        section.end()
        return request

    def _notice(self) -> NoticeForm | None:
        for key in NOTICE_KEYS:
            self._bank.text(key)
        for problem in notice_problems(self._profile):
            self._bank.fault("", problem)
        needed = _("it says how a notice is read") if takes_notices(self._profile) else ""
        section = self._bank.section("notice", needed=needed)
        if section is None:
            return None
        path = section.text("path", "") or ""
        if path and (not _PATH.fullmatch(path) or path.endswith("/")):
            section.fault("path", _("it begins with / and does not end with it."))
        qr_ids = section.expression("qr_ids", needed=_("without it nobody knows which QR to ask about"))
        taken, refused = section.table("taken"), section.table("refused")
        status = section.whole("refused_status", 400, 200, 599) or 400
        section.end()
        return None if qr_ids is None else NoticeForm(path, qr_ids, taken, refused, status)

    # -- what a payment looks like

    def _payment(self, status: StatusCall | None, day_list: DayList | None) -> PaymentFields | None:
        told = (status is not None and status.payments is not None) or "day_list" in self._bank
        if status is not None and not told:
            self._bank.fault("status.payments", _(
                "is missing, and so is day_list: nothing would ever tell what was paid."))  # fmt: skip
        section = self._bank.section("payment", needed=_("it says where id, amount and currency stand") if told else "")
        if section is None:
            return None
        transaction_id = section.expression("transaction_id", needed=_("without the bank's own id nothing is booked"))
        books_qr_amount = section.flag("books_qr_amount")
        amount = section.expression("amount", needed="" if books_qr_amount else _("without it nothing is booked"))
        if books_qr_amount:
            self._judge_own_amount(section)
        qr_why = _("a list must say whose payment it is") if day_list is not None else ""
        fields = PaymentFields(
            transaction_id=transaction_id or Expression("@"),
            amount=amount,
            minor_units=section.flag("minor_units"),
            decimal_mark=section.choice("decimal_mark", (".", ","), ".") or ".",
            currency=section.expression("currency"),
            fixed_currency=self._currency(section, "fixed_currency", section.text("fixed_currency")),
            currencies=self._currencies(section),
            qr_id=section.expression("qr_id", needed=qr_why),
            paid_at=section.expression("paid_at"),
            paid_at_format=self._moment_format(section),
            payer=section.expression("payer"),
        )
        self._judge_currency(section)
        section.end()
        return fields

    def _judge_own_amount(self, section: Section) -> None:
        """The QR's own amount may be booked only where nothing else could ever tell another one."""
        if "amount" in section:
            section.fault("books_qr_amount", _("the bank tells the amount: leave one of them out."))
        if "day_list" in self._bank:
            section.fault("books_qr_amount", _("a day list has to tell amounts: leave one of them out."))

    def _judge_currency(self, section: Section) -> None:
        if ("currency" in section) == ("fixed_currency" in section):
            choice = _("say where the currency stands, or fixed_currency when the bank never tells it; one of them.")
            section.fault("currency", choice)
        if "currencies" in section and "currency" not in section:
            section.fault("currencies", _("it translates what currency finds, which is missing."))

    def _currencies(self, section: Section) -> dict[str, str]:
        found: dict[str, str] = {}
        for word, code in section.table("currencies").items():
            known = self._currency(section, f"currencies.{word}", code)
            if known is not None:
                found[word] = known
        return found

    def _currency(self, section: Section, key: str, code: object) -> str | None:
        if code is None or (isinstance(code, str) and code in CURRENCIES):
            return code
        section.fault(key, _("{code!r} is not a currency: write BOB, USD, BRL ...").format(code=as_text(code)))
        return None

    def _moment_format(self, section: Section) -> str:
        form = section.text("paid_at_format", "iso") or "iso"
        if form not in ("iso", "epoch_s", "epoch_ms") and ("%Y" not in form and "%y" not in form):
            section.fault("paid_at_format", _("write iso, epoch_s, epoch_ms or a form like %d/%m/%Y %H:%M:%S."))
        if "paid_at_format" in section and "paid_at" not in section:
            section.fault("paid_at", _("is missing: paid_at_format says how it is written."))
        return form
