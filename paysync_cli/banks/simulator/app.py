"""The simulated bank as an ASGI application: paths, faults that touch the connection, the control interface."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import timedelta
from email.utils import format_datetime
from functools import cache
from typing import Any
from urllib.parse import unquote

from paysync_cli.banks.simulator.bank import SimulatedBank
from paysync_cli.banks.simulator.dialects import DIALECTS, Dialect
from paysync_cli.banks.simulator.fields import ScenarioError, span_s
from paysync_cli.banks.simulator.notifier import Notifier
from paysync_cli.banks.simulator.scenario import FaultPlan, read_scenario
from paysync_cli.banks.simulator.talk import HTML, UNAUTHORIZED, Asked, Call, Out, said
from paysync_cli.banks.simulator.traffic import Traffic
from paysync_cli.banks.wire import parse_json

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
CloseConnection = Callable[[Scope], None]

CONTROL = "/_simulator/"
MAX_REQUEST = 16 * 1024 * 1024
PAGE = b"<!DOCTYPE html><html><head><title>Mantenimiento</title></head><body>Volvemos pronto</body></html>"
NOT_FOUND = Out(
    404, b"<!DOCTYPE html><html><head><title>404 - File or directory not found.</title></head></html>", HTML
)

_UNANSWERED = ("hang", "down", "truncated")


class SimulatorApp:
    """The ASGI callable. `close_connection` cuts the line of a request; the server knows how."""

    def __init__(self, bank: SimulatedBank, close_connection: CloseConnection) -> None:
        self.bank = bank
        self.traffic = Traffic()
        self.notifier = Notifier(bank)
        self._close_connection = close_connection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["raw_path"].decode("latin-1")
        body = b"" if scope["method"] == "GET" else await _body(receive)
        if path.startswith(CONTROL):
            await _send(send, self._control(scope["method"], path, body))
            return
        asked = Asked(scope["method"], path, scope["query_string"].decode("latin-1"), scope["headers"], body)
        dialect, call = _understand(asked)
        if dialect is None or call is None:
            await _send(send, NOT_FOUND)
            return
        await self._serve(dialect, call, scope, receive, send)

    async def _serve(self, dialect: Dialect, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        delay_ms, fault = self.bank.fault_for(call)
        traffic, outcome = self.traffic, "gone"
        traffic.begin(call.name, call.subject)
        try:
            if delay_ms and await _is_gone(receive, delay_ms / 1000):
                return
            if fault is not None and fault.kind in _UNANSWERED:
                outcome = fault.kind
                await self._break_off(fault.kind, dialect, call, scope, receive, send)
                return
            out = self._out(dialect, call, fault)
            outcome = str(out.status)
            await _send(send, out)
        finally:
            traffic.end(call.name, call.subject, outcome, self.bank.now())

    def _out(self, dialect: Dialect, call: Call, fault: FaultPlan | None) -> Out:
        if fault is None:
            return dialect.answer(self.bank, call)
        if fault.kind in ("status_code", "no_status"):
            return dialect.answer(self.bank, call, fault)
        if fault.kind in ("error_code", "login_refused"):
            return dialect.refusal(fault)
        return _faulty(fault, self.bank)

    async def _break_off(
        self, kind: str, dialect: Dialect, call: Call, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if kind == "truncated":
            out = dialect.answer(self.bank, call)
            await _send_head(send, out)
            await send({"type": "http.response.body", "body": out.body[: len(out.body) // 2], "more_body": True})
        if kind != "hang":
            self._close_connection(scope)
        await _is_gone(receive, None)

    def _control(self, method: str, path: str, body: bytes) -> Out:
        action, _, subject = path.removeprefix(CONTROL).partition("/")
        try:
            return said(self._act(method, action, unquote(subject), body))
        except ScenarioError as error:
            return said({"error": error.message}, 400)
        except ValueError as error:
            return said({"error": f"the body is not JSON: {error}"}, 400)

    def _act(self, method: str, action: str, subject: str, body: bytes) -> object:
        bank = self.bank
        if (method, action) == ("GET", "ledger"):
            return bank.ledger()
        if (method, action) == ("GET", "requests"):
            return self.traffic.report()
        if (method, action) == ("GET", "notices"):
            return self.notifier.report()
        found = parse_json(body) if body.strip() else {}
        if (method, action) == ("POST", "pay") and subject:
            payment = bank.pay(subject, found)
            return {"id": payment.id, "qr": payment.qr_id, "paid_at": payment.plan.at.isoformat()}
        if (method, action) == ("POST", "cancel") and subject:
            bank.cancel(subject)
        elif (method, action) == ("POST", "expire") and subject:
            bank.expire(subject)
        elif (method, action) == ("POST", "scenario"):
            bank.load(read_scenario(found, bank.now()))
        elif (method, action) == ("POST", "reset"):
            self.reset()
        elif (method, action) == ("POST", "unlock"):
            bank.failed_logins = 0
        else:
            raise ScenarioError(f"{method} {CONTROL}{action} is nothing this simulator does")
        return {"ok": True}

    def reset(self) -> None:
        """A fresh bank and fresh counts; requests in flight end uncounted."""
        self.bank.reset()
        self.traffic = Traffic()


def _understand(asked: Asked) -> tuple[Dialect | None, Call | None]:
    for dialect in DIALECTS.values():
        call = dialect.understand(asked)
        if call is not None:
            return dialect, call
    return None, None


def _faulty(fault: FaultPlan, bank: SimulatedBank) -> Out:
    kind = fault.kind
    if kind == "throttled":
        wait = _retry_after(fault.retry_after, bank)
        return Out(429, b"", headers=(("retry-after", wait),) if wait else ())
    if kind == "body":
        return Out(fault.status or 200, fault.body.encode(), fault.content_type)
    if kind == "huge":
        return Out(200, b'{"message":"' + b"x" * (10 << 20) + b'"}')
    if kind == "gzip_bomb":
        return Out(200, _bomb(), headers=(("content-encoding", "gzip"),))
    return {
        "html": Out(200, PAGE, HTML),
        "unauthorized": UNAUTHORIZED,
        "forbidden": Out(403, PAGE, HTML),
        "server_error": Out(fault.status or 500, PAGE, HTML),
        "not_found": NOT_FOUND,
        "redirect": Out(302, b"", HTML, (("location", "/login.html"),)),
        "bad_utf8": Out(200, b'{"statusQrCode":0,"responseCode":0,"message":"\xff\xfe\xfa"}'),
    }[kind]


@cache
def _bomb() -> bytes:
    return gzip.compress(b" " * (100 << 20))


def _retry_after(wanted: str | None, bank: SimulatedBank) -> str | None:
    if wanted is None or not wanted.startswith("date:"):
        return wanted
    return format_datetime(bank.now() + timedelta(seconds=span_s(wanted[5:], "retry_after")), usegmt=True)


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body") or len(body) > MAX_REQUEST:
            return bytes(body[:MAX_REQUEST])


async def _is_gone(receive: Receive, timeout_s: float | None) -> bool:
    """Wait for the other side to hang up, at most `timeout_s`; whether it did."""
    try:
        async with asyncio.timeout(timeout_s):
            while (await receive())["type"] != "http.disconnect":
                pass
            return True
    except TimeoutError:
        return False


async def _send_head(send: Send, out: Out) -> None:
    headers = [(b"content-type", out.content_type.encode()), (b"content-length", b"%d" % len(out.body))]
    headers += [(name.encode(), value.encode("latin-1")) for name, value in out.headers]
    await send({"type": "http.response.start", "status": out.status, "headers": headers})


async def _send(send: Send, out: Out) -> None:
    await _send_head(send, out)
    await send({"type": "http.response.body", "body": out.body})
