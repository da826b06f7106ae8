"""What the tables of `[banks.<name>]` say, once read and found right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paysync_cli.banks.declared.expression import Expression
from paysync_cli.banks.declared.template import Template, Value
from paysync_cli.banks.notices import Notice, NoticeFate, NoticeReply, json_reply, notice_ids, notice_object
from paysync_cli.payments.status import BankStatus

# The keys of [banks.<name>] itself, which may come from the environment or a file. All are text.
OPTIONS = ("username", "password", "token", "api_key", "client_id", "client_secret")
SECRET_OPTIONS = frozenset(OPTIONS) - {"username", "client_id"}

DEFAULT_LIFETIME_S = 1800


@dataclass(frozen=True)
class Request:
    """One kind of question. `json` is a tree whose texts are templates, `form` a flat one; at most one of them."""

    method: str
    path: Template
    query: Mapping[str, Template]
    json: Any = None
    form: Mapping[str, Template] | None = None

    @property
    def names(self) -> frozenset[str]:
        found = set(self.path.names)
        for template in (*self.query.values(), *(self.form or {}).values(), *templates_in(self.json)):
            found |= template.names
        return frozenset(found)


@dataclass(frozen=True)
class Envelope:
    """How an answer says that it is one. Without `ok` every 2xx with JSON is."""

    ok: Expression | None
    ok_is: tuple[object, ...]
    message: Expression | None

    def says_ok(self, answer: object) -> bool:
        """Whether the answer carries the ok marker: the very value, text or number or boolean."""
        if self.ok is None:
            return True
        found = self.ok.of_or_none(answer)
        return any(type(found) is type(wanted) and found == wanted for wanted in self.ok_is)

    def said(self, answer: object) -> str | None:
        """The bank's message, as it came."""
        found = self.message.of_or_none(answer) if self.message is not None else None
        return found if isinstance(found, str) else None


@dataclass(frozen=True)
class StatusCall:
    request: Request
    value: Expression
    words: Mapping[str, BankStatus]
    qr_id: Expression | None
    unknown_qr: Expression | None
    payments: Expression | None


@dataclass(frozen=True)
class PaymentFields:
    """Where one payment's facts stand, seen from its own element."""

    transaction_id: Expression
    amount: Expression | None  # None: the bank never tells it, and the QR's own is booked
    minor_units: bool
    decimal_mark: str
    currency: Expression | None
    fixed_currency: str | None
    currencies: Mapping[str, str]
    qr_id: Expression | None
    paid_at: Expression | None
    paid_at_format: str
    payer: Expression | None


@dataclass(frozen=True)
class Paging:
    """How the next page is asked for: `page` (a number), `cursor`, `next_link`; `none` for a list in one piece."""

    kind: str = "none"
    first: int = 1
    size: int | None = None
    pages: Expression | None = None
    more: Expression | None = None
    cursor: Expression | None = None
    link: Expression | None = None
    max_pages: int = 1


@dataclass(frozen=True)
class DayList:
    request: Request
    elements: Expression
    missing_is_empty: bool
    paging: Paging


@dataclass(frozen=True)
class NoticeForm:
    """How the bank's notices are read and answered. `path` is what the bank appends to the address it was given."""

    path: str
    qr_ids: Expression
    taken: Mapping[str, Any]
    refused: Mapping[str, Any]
    refused_status: int

    @property
    def paths(self) -> Sequence[str]:
        """What may be appended: the path, or nothing."""
        return tuple(dict.fromkeys(("", self.path)))

    def noticed(self, notice: Notice) -> Sequence[str]:
        """The QRs that a notice names. Raises Unreadable."""
        found = self.qr_ids.of_or_none(notice_object(notice))
        return notice_ids(*found) if isinstance(found, list) else notice_ids(found)

    def reply(self, fate: NoticeFate) -> NoticeReply:
        """The answer; 503 for a notice that the bank shall send again."""
        if fate is NoticeFate.TAKEN:
            return json_reply(self.taken)
        return json_reply(self.refused, 503 if fate is NoticeFate.TRY_AGAIN else self.refused_status)


@dataclass(frozen=True)
class Auth:
    """How our credential is shown. `request` and `find` belong to the kinds that log in."""

    kind: str
    header: str
    prefix: str
    query: str | None
    refused: frozenset[int]
    request: Request | None = None
    token_url: str | None = None
    scope: str | None = None
    in_body: bool = False
    find: Expression | None = None
    lifetime: Expression | None = None
    lifetime_s: float = DEFAULT_LIFETIME_S


@dataclass(frozen=True)
class Spec:
    auth: Auth
    headers: Mapping[str, Template]
    envelope: Envelope
    status: StatusCall
    payment: PaymentFields | None
    day_list: DayList | None
    ping: Request | None
    notice: NoticeForm | None = None


def templates_in(tree: Any) -> list[Template]:
    """Every template in a JSON body."""
    if isinstance(tree, Template):
        return [tree]
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return [template for one in inner for template in templates_in(one)]


def filled(tree: Any, values: Mapping[str, Value]) -> Any:
    """A JSON body with its placeholders filled; what has no value is left out. A number alone stays a number."""
    if isinstance(tree, Template):
        alone = values.get(tree.lone_name) if tree.lone_name else None
        return alone if isinstance(alone, int) else tree.fill(values)
    if isinstance(tree, dict):
        pairs = ((name, filled(one, values)) for name, one in tree.items())
        return {name: one for name, one in pairs if one is not None}
    if isinstance(tree, list):
        return [one for one in (filled(item, values) for item in tree) if one is not None]
    return tree
