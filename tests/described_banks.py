"""Three banks that nobody wrote code for, as real HTTP servers, each with its description for the adapter `http`.

They speak the dialects that differ most: OAuth2 and page numbers; basic, POST, cents and a cursor; an API key, a form
and links to the next page.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

from tests.http_server import Incoming, serving

LA_PAZ = ZoneInfo("America/La_Paz")
PAGE_SIZE = 100
DOCS = Path(__file__).parents[1] / "docs" / "http-adapter.md"

Told = tuple[int, object]
EXACT = "\u0000"  # marks an amount that goes out as a JSON number with its very digits


@dataclass
class Credit:
    """One payment at the bank."""

    qr_id: str
    number: str
    amount: Decimal
    currency: str
    at: datetime


@dataclass
class DescribedBank:
    """What all three have in common: QRs with their state, and what was paid. A QR that was not issued is not known."""

    tables: ClassVar[dict[str, Any]]
    options: ClassVar[dict[str, str]]

    now: Callable[[], datetime]
    states: dict[str, str] = field(default_factory=dict)
    credits: list[Credit] = field(default_factory=list)
    url: str = ""

    def issue(self, qr_id: str, amount: str | None, currency: str) -> None:
        self.states.setdefault(qr_id, "open")

    def pay(self, qr_id: str, amount: str, currency: str = "BOB") -> str:
        self.states[qr_id] = "paid"
        at = self.now().astimezone(LA_PAZ)
        self.credits.append(Credit(qr_id, f"T{len(self.credits) + 1}", Decimal(amount), currency, at))
        return self.credits[-1].number

    def cancel(self, qr_id: str) -> None:
        self.states[qr_id] = "cancelled"

    def expire(self, qr_id: str) -> None:
        self.states[qr_id] = "expired"

    def expire_tokens(self) -> None:
        raise NotImplementedError

    def answer(self, request: Incoming) -> Told:
        raise NotImplementedError

    def of(self, qr_id: str) -> list[Credit]:
        return [one for one in self.credits if one.qr_id == qr_id]

    def on(self, day: str) -> list[Credit]:
        return [one for one in self.credits if one.at.date().isoformat() == day]

    @classmethod
    @contextlib.contextmanager
    def serve(cls, now: Callable[[], datetime]) -> Iterator[DescribedBank]:
        bank = cls(now)
        with serving(lambda request: exact(bank.answer(request))) as bank.url:
            yield bank


def exact(told: Told) -> Told:
    """The answer with marked amounts as numbers: 1234567.89 leaves digit by digit."""
    return told[0], re.sub(r'"\\u0000([0-9.]+)"', r"\1", json.dumps(told[1]))


def _documented() -> dict[str, Any]:
    """The tables of the first description on the page."""
    text = re.findall(r"^```toml\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)[0]
    block = tomllib.loads(text)["banks"]["andes"]
    return {name: table for name, table in block.items() if isinstance(table, dict)}


@dataclass
class Andes(DescribedBank):
    """The bank of `docs/http-adapter.md`."""

    tables: ClassVar[dict[str, Any]] = _documented()
    options: ClassVar[dict[str, str]] = {"client_id": "shop-17", "client_secret": "canary-client-secret"}
    WORDS: ClassVar[dict[str, str]] = {
        "open": "OPEN", "paid": "SETTLED", "cancelled": "REVOKED", "expired": "LAPSED", "busy": "CLEARING",
    }  # fmt: skip

    tokens: list[str] = field(default_factory=list)
    given: int = 0

    def expire_tokens(self) -> None:
        self.tokens.clear()

    def answer(self, request: Incoming) -> Told:
        parts = urlsplit(request.target)
        if parts.path == "/oauth/token":
            return self._token(request)
        if request.headers["authorization"] not in {f"Bearer {token}" for token in self.tokens}:
            return 401, {"success": False, "error": {"text": "no token"}}
        if parts.path == "/credits":
            return 200, self._page({name: values[0] for name, values in parse_qs(parts.query).items()})
        qr_id = unquote(parts.path.removeprefix("/charges/"))
        if qr_id not in self.states:
            return 404, {"success": False, "error": {"code": "NO_SUCH_CHARGE", "text": "no such charge"}}
        state = self.states[qr_id]
        credits_ = [self.element(one) for one in self.of(qr_id)]
        charge = {"reference": qr_id, "state": self.WORDS.get(state, state), "credits": credits_}
        return 200, {"success": True, "charge": charge}

    def _token(self, request: Incoming) -> Told:
        pair = base64.b64encode(":".join(self.options.values()).encode()).decode()
        if request.headers["authorization"] != f"Basic {pair}" or b"client_credentials" not in request.body:
            return 400, {"error": "invalid_client"}
        self.given += 1
        self.tokens.append(f"canary-token-{self.given}")
        return 200, {"access_token": self.tokens[-1], "token_type": "Bearer", "expires_in": 3600}

    def _page(self, query: dict[str, str]) -> object:
        day, page = "-".join(reversed(query["date"].split("/"))), int(query["page"])
        found = [self.element(one) for one in self.on(day)]
        pages = -(-len(found) // PAGE_SIZE)
        return {"success": True, "pages": pages, "credits": found[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]}

    def element(self, credit: Credit) -> dict[str, object]:
        at = credit.at.replace(tzinfo=None).isoformat(timespec="seconds")
        return {"reference": credit.qr_id, "operation": credit.number, "total": f"{EXACT}{credit.amount}",
                "currency": credit.currency, "settled_at": at, "sender": {"name": "ANA"}}  # fmt: skip


@dataclass
class Pacifico(DescribedBank):
    """Everything is POST, business errors come with 200, amounts are cents, moments seconds."""

    tables: ClassVar[dict[str, Any]] = tomllib.loads("""
        auth = { kind = "basic" }
        answer = { ok = "codigo", ok_is = "0000", message = "mensaje" }
        ping = { path = "/vivo", json = {} }
        [status]
        path = "/estado"
        json = { alias = "{qr_id}" }
        value = "objeto.estado"
        words = { 0 = "unpaid", 1 = "paid", 9 = "cancelled" }
        payments = "objeto.pagos"
        unknown_qr = "codigo == '0404'"
        [payment]
        qr_id = "alias"
        transaction_id = "orden"
        amount = "centavos"
        minor_units = true
        currency = "moneda"
        currencies = { Bs = "BOB" }
        paid_at = "fecha"
        paid_at_format = "epoch_s"
        [day_list]
        by = "payment_day"
        path = "/pagos"
        json = { dia = "{day:%Y%m%d}", desde = "{cursor}", cantidad = "{page_size}" }
        elements = "objeto"
        paging = { kind = "cursor", cursor = "siguiente", size = 100 }
    """)
    options: ClassVar[dict[str, str]] = {"username": "shop", "password": "canary-password"}

    def answer(self, request: Incoming) -> Told:
        pair = base64.b64encode(":".join(self.options.values()).encode()).decode()
        if request.headers["authorization"] != f"Basic {pair}":
            return 401, {"codigo": "0401", "mensaje": "credencial incorrecta"}
        asked = json.loads(request.body)
        if request.target == "/vivo":
            return 200, {"codigo": "0000"}
        if request.target == "/pagos":
            return 200, self._page(asked)
        if asked["alias"] not in self.states:
            return 200, {"codigo": "0404", "mensaje": "no existe"}
        state = {"open": 0, "paid": 1, "cancelled": 9}[self.states[asked["alias"]]]
        payments = [self._element(one) for one in self.of(asked["alias"])]
        return 200, {"codigo": "0000", "objeto": {"estado": state, "pagos": payments}}

    def _page(self, asked: dict[str, Any]) -> object:
        day, start = asked["dia"], int(asked.get("desde", "0").removeprefix("c") or 0)
        found = self.on(f"{day[:4]}-{day[4:6]}-{day[6:]}")
        end = start + int(asked["cantidad"])
        following = {"siguiente": f"c{end}"} if end < len(found) else {}
        return {"codigo": "0000", "objeto": [self._element(one) for one in found[start:end]]} | following

    def _element(self, credit: Credit) -> dict[str, object]:
        return {"alias": credit.qr_id, "orden": credit.number, "centavos": int(credit.amount * 100),
                "moneda": "Bs" if credit.currency == "BOB" else credit.currency,
                "fecha": int(credit.at.timestamp())}  # fmt: skip


@dataclass
class Oriente(DescribedBank):
    """An API key, a form, one payment as part of the QR, amounts as text, links to the next page."""

    tables: ClassVar[dict[str, Any]] = tomllib.loads("""
        [auth]
        kind = "api_key"
        header = "X-Api-Key"
        [headers]
        X-Channel = "paysync"
        [status]
        path = "/qr/status"
        form = { id = "{qr_id}" }
        value = "qr.state"
        qr_id = "qr.id"
        words = { WAITING = "unpaid", DONE = "paid", VOID = "cancelled", LATE = "expired" }
        payments = "qr"
        [payment]
        qr_id = "id"
        transaction_id = "receipt"
        amount = "value"
        fixed_currency = "BOB"
        paid_at = "join(' ', [date, time])"
        paid_at_format = "%d/%m/%Y %H:%M:%S"
        [day_list]
        by = "payment_day"
        path = "/receipts"
        query = { from = "{day_start}", until = "{next_day_start}" }
        elements = "data"
        paging = { kind = "next_link", link = "links.next" }
    """)
    options: ClassVar[dict[str, str]] = {"api_key": "canary-api-key"}
    WORDS: ClassVar[dict[str, str]] = {"open": "WAITING", "paid": "DONE", "cancelled": "VOID", "expired": "LATE"}

    def answer(self, request: Incoming) -> Told:
        if (request.headers["x-api-key"], request.headers["x-channel"]) != (self.options["api_key"], "paysync"):
            return 401, {}
        parts = urlsplit(request.target)
        if parts.path == "/receipts":
            return 200, self._page({name: values[0] for name, values in parse_qs(parts.query).items()})
        qr_id = parse_qs(request.body.decode(), keep_blank_values=True)["id"][0]
        if qr_id not in self.states:
            return 400, {"error": "bad request"}
        paid = self.of(qr_id)
        qr = self._element(paid[0]) if paid else {"id": qr_id, "value": "100.50"}
        return 200, {"qr": qr | {"state": self.WORDS[self.states[qr_id]]}}

    def _page(self, query: dict[str, str]) -> object:
        first, until = (datetime.fromisoformat(query[name]) for name in ("from", "until"))
        found = [one for one in self.credits if first <= one.at < until]
        start = int(query.get("start", 0))
        following = f"?from={_q(query['from'])}&until={_q(query['until'])}&start={start + PAGE_SIZE}"
        links = {"next": following} if start + PAGE_SIZE < len(found) else {}
        return {"data": [self._element(one) for one in found[start : start + PAGE_SIZE]], "links": links}

    def _element(self, credit: Credit) -> dict[str, object]:
        return {"id": credit.qr_id, "receipt": credit.number, "value": str(credit.amount),
                "date": f"{credit.at:%d/%m/%Y}", "time": f"{credit.at:%H:%M:%S}"}  # fmt: skip


def _q(text: str) -> str:
    return text.replace(":", "%3A").replace("+", "%2B")
