"""SIP, the gateway of MC4 for several Bolivian banks: a QR is named by the merchant's own alias.

The gateway tells no amounts and has no list: that something was paid, and under which order number, is all there is.
So the QR's own amount is booked under that number (`books_qr_amount`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paysync_cli.banks.base import BankProfile, BankTools, Refused, Unreadable
from paysync_cli.banks.bearer import BearerCalls, Called, jwt_lifetime_s, login_answer, token_text
from paysync_cli.banks.elements import parted, payment_of
from paysync_cli.banks.http import exchange
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
from paysync_cli.banks.options import address_problems, header_problems, missing_keys, refuse, unknown_keys
from paysync_cli.banks.session import Token
from paysync_cli.banks.wire import compact_json, decimal_number, moment, printable, quoted
from paysync_cli.payments.qr import Answer, Ask, Payment, UnreadablePayment
from paysync_cli.payments.status import BankStatus

LOGIN = "/autenticacion/v1/generarToken"
STATUS = "/api/v1/estadoTransaccion"
OK = "0000"
LOGIN_OK = (OK, "OK")  # both are seen

STATUSES = {
    "PENDIENTE": BankStatus.UNPAID,
    "PAGADO": BankStatus.PAID,
    "INHABILITADO": BankStatus.CANCELLED,
    "EXPIRADO": BankStatus.EXPIRED,
}  # ERROR is no state

LIFETIME_S = 3600.0
NO_ALIAS = "NO_EXISTE_ALIAS_0"  # for a question that only shows whether the gateway answers


class SipBank:
    """One merchant's access. `profile.options`: `username`, `password`, `api_key` (of the login) and `service_key`
    (of the calls). QRs are registered under their alias.

    One object belongs to one event loop; its checks may run in parallel and share one token.
    """

    books_qr_amount = True
    notice_paths = ("",)

    def __init__(self, profile: BankProfile, tools: BankTools) -> None:
        keys = ("username", "password", "api_key", "service_key")
        refuse(
            profile,
            [
                *address_problems(profile.base_url),
                *missing_keys(profile, *keys),
                *header_problems(profile, "api_key", "service_key"),
                *unknown_keys(profile, *keys, *NOTICE_KEYS),
                *notice_problems(profile),
            ],
        )
        self.profile = profile
        self._tools = tools
        self._base_url = profile.base_url.rstrip("/")
        self._calls = BearerCalls(tools, self._log_in)

    async def check(self, ask: Ask) -> Answer:
        """What the gateway says of one QR now.

        Raises BankError; Unreadable also for an alias that it does not know: it has no word of its own for that.
        """
        called = await self._send(ask.qr_id)
        reply, answer = called.reply, self._answer_of(called)
        found = answer.get("objeto")
        if not isinstance(found, dict):
            raise Unreadable(f"{reply.describe()}: nothing about the QR")
        if found.get("alias") is not None and found["alias"] != ask.qr_id:
            raise Unreadable(f"{reply.describe()}: speaks of another QR")
        word = found.get("estadoActual")
        status = STATUSES.get(word.strip().upper()) if isinstance(word, str) else None
        if status is None or not isinstance(word, str):
            shown = printable(word, 32) if isinstance(word, str) else "none"
            raise Unreadable(f"{reply.describe()}: no readable status of the QR: {shown}")
        payments, unreadable = parted(self._payments(found, ask) if status is BankStatus.PAID else ())
        return Answer(status, printable(word, 32), called.sent_at, payments, unreadable)

    async def ping(self) -> None:
        """Ask about a QR that cannot be there: any envelope of the gateway shows that it is up. Raises BankError."""
        reply = (await self._send(NO_ALIAS)).reply
        if reply.status != 200 or not isinstance(reply.json_object().get("codigo"), str):
            raise Unreadable(f"{reply.describe()}: not an answer")

    def noticed(self, notice: Notice) -> Sequence[str]:
        """The alias of a callback. Raises Unreadable."""
        return notice_ids(notice_object(notice).get("alias"))

    def notice_reply(self, fate: NoticeFate) -> NoticeReply:
        """The gateway's own envelope."""
        code, message = {NoticeFate.TAKEN: (OK, "OK"), NoticeFate.UNREADABLE: ("9999", "unreadable notice")}.get(
            fate, ("9999", "try again")
        )
        return json_reply({"codigo": code, "mensaje": message}, 503 if fate is NoticeFate.TRY_AGAIN else 200)

    async def _send(self, alias: str) -> Called:
        return await self._calls.send(
            "POST",
            self._base_url + STATUS,
            headers={"apikeyServicio": self.profile.options["service_key"]},
            json={"alias": alias},
        )

    def _answer_of(self, called: Called) -> dict[str, object]:
        """The envelope of an answer that says it is fine: errors come with HTTP 200 too."""
        reply = called.reply
        if reply.status != 200:
            raise Unreadable(f"{reply.describe()}: not an answer")
        answer = reply.json_object()
        if answer.get("codigo") != OK:
            raise Unreadable(f"{reply.describe()}: codigo is not {OK}{self._said(answer, called.token)}")
        return answer

    def _payments(self, found: Mapping[str, object], ask: Ask) -> list[Payment | UnreadablePayment]:
        """The one payment that the gateway tells of; none while it has no order number or we know no amount."""
        number, told = found.get("numeroOrdenOriginante"), decimal_number(found.get("monto"))
        raw = compact_json(found)
        if number is None or number == "":
            return []
        if ask.amount is None:
            return [UnreadablePayment(raw, "no_amount", ask.qr_id)]
        if told is not None and told != ask.amount:
            # Not documented, and seen all the same: what contradicts us is not booked.
            return [UnreadablePayment(raw, "other_amount", ask.qr_id)]
        paid_at = moment(found.get("fechaProcesamiento"), self.profile.timezone)
        currency = ask.currency or self.profile.currency
        payer = found.get("nombreCliente")
        return [payment_of(raw, ask.qr_id, number, ask.amount, currency, paid_at=paid_at, payer=payer)]

    async def _log_in(self) -> Token:
        """Ask for a token, once."""
        options, sent_at = self.profile.options, self._tools.now()
        reply, answer = await login_answer(
            exchange(
                self._tools.client,
                "POST",
                self._base_url + LOGIN,
                now=self._tools.now,
                headers={"apikey": options["api_key"]},
                json={"username": options["username"], "password": options["password"]},
            )
        )
        found = answer.get("objeto")
        text = token_text(found.get("token")) if isinstance(found, dict) else None
        if reply.status == 200 and answer.get("codigo") in LOGIN_OK and text is not None:
            return Token(text, jwt_lifetime_s(text, sent_at, LIFETIME_S))
        raise Refused(f"{reply.describe()}: login refused{self._said(answer)}")

    def _said(self, answer: Mapping[str, object], token: str = "") -> str:
        return quoted(answer.get("mensaje"), token, *self.profile.options.values())
