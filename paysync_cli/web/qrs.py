"""`POST /qrs` and `GET /qrs/{id}`: for the application that issues QRs and is not written in Python."""

from __future__ import annotations

import hmac
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from paysync_cli.errors import Fault, InputError, PaysyncError, RefusedError, UsageError
from paysync_cli.language import _
from paysync_cli.services.register import EnqueueReport, Outcome, Wish, enqueue
from paysync_cli.services.request_lines import read_object
from paysync_cli.services.requests import BankDefaults, parse_request, parse_wish
from paysync_cli.services.standing import QrStatus, standing
from paysync_cli.settings import BankSettings, Settings, select_bank
from paysync_cli.views.enqueue import EnqueueView, conflict_sentence
from paysync_cli.web.answers import HttpError, Redact, answered, failed
from paysync_cli.web.desk import Desk
from paysync_cli.web.guard import guarded, read_body

MAX_BODY = 64 * 1024
WITHIN_S = 20.0
WISHES = ("now", "priority")  # beside the fields of an import


class Qrs:
    """The two routes; without a token there are none."""

    def __init__(self, desk: Desk, token: str, redact: Redact) -> None:
        self._desk, self._token, self._redact = desk, token.encode(), redact

    def routes(self) -> list[Route]:
        return [
            Route("/qrs", guarded(self._register, self._redact), methods=["POST"]),
            Route("/qrs/{qr_id:path}", guarded(self._status, self._redact), methods=["GET"]),
        ]

    async def _register(self, request: Request) -> Response:
        self._refuse_stranger(request)
        if self._desk.runtime.settings.read_only:
            raise RefusedError(_("PAYSYNC_READ_ONLY is set: nothing may be changed."), code="read_only")
        body = await read_body(request, MAX_BODY)
        report, bank = await self._desk.do(lambda: self._enqueue(body), within_s=WITHIN_S)
        trouble = await self._desk.do(self._desk.wake_workers, within_s=WITHIN_S)
        return self._registered(report, bank, trouble)

    def _enqueue(self, body: bytes) -> tuple[EnqueueReport, BankSettings]:
        runtime = self._desk.runtime
        fields = read_object(body, also=WISHES)
        bank = _bank(fields.pop("bank", None), runtime.settings)
        now = runtime.clock.now()
        said = {name: fields.pop(name) for name in WISHES if name in fields}
        wish = _wish(said, bank, now, f"serve ({runtime.who})")
        defaults = BankDefaults(bank.name, bank.currency, bank.account, bank.timezone)
        report = enqueue(
            runtime.store,
            [parse_request(fields, defaults, now)],
            bank=bank.name,
            environment=bank.environment,
            rhythm=runtime.rhythm(bank),
            now=now,
            wish=wish,
        )
        return report, bank

    def _registered(self, report: EnqueueReport, bank: BankSettings, trouble: PaysyncError | None) -> Response:
        (item,) = report.items
        faults = [Fault("conflict", conflict_sentence(item))] if item.outcome is Outcome.CONFLICT else []
        status = {Outcome.CREATED: 201, Outcome.CONFLICT: 409}.get(item.outcome, 200)
        if trouble is not None:
            safe = _("What is planned is safe in the database; the workers find it when Redis is back.")
            faults += [Fault(one.code, self._redact(one.message), safe) for one in trouble.faults]
            status = 409 if item.outcome is Outcome.CONFLICT else 503
        data = EnqueueView(report, bank.name, bank.environment).data()
        return answered(data, status, word="partial" if faults else "ok", faults=faults, retry=status == 503)

    async def _status(self, request: Request) -> Response:
        self._refuse_stranger(request)
        qr_id, bank = request.path_params["qr_id"], request.query_params.get("bank")
        try:
            seen = await self._desk.do(lambda: standing(self._desk.runtime.store, qr_id, bank), within_s=WITHIN_S)
        except UsageError as error:  # several banks know the id
            said = UsageError(error.message, code=error.code, hint=_("Say which with ?bank=NAME."))
            return failed(said, self._redact)
        return answered(_shown(seen))

    def _refuse_stranger(self, request: Request) -> None:
        scheme, _space, token = request.headers.get("authorization", "").partition(" ")
        shown = token.strip().encode("utf-8", "surrogateescape")
        if scheme.lower() != "bearer" or not hmac.compare_digest(shown, self._token):
            message = _("The token is missing or wrong.")
            raise HttpError(401, "unauthorized", message, {"www-authenticate": "Bearer"})


def _bank(name: str | None, settings: Settings) -> BankSettings:
    """The bank that is meant. Raises UsageError in the words of a request."""
    try:
        return select_bank(settings, name)
    except UsageError as error:
        hint = _('Name it in the field "bank".') if error.code == "bank_needed" else error.hint
        raise UsageError(error.message, code=error.code, hint=hint) from None


def _wish(said: dict[str, str], bank: BankSettings, now: datetime, who: str) -> Wish:
    if said.get("now") not in (None, "true", "false"):
        raise InputError(_("now must be true or false."), code="invalid_now")
    return parse_wish(
        within=None,
        at=None,
        now_wanted=said.get("now") == "true",
        priority=said.get("priority"),
        more_checks=None,
        zone=bank.timezone,
        now=now,
        who=who,
    )


def _shown(seen: QrStatus) -> dict[str, object]:
    return {name: getattr(seen, name) for name in seen.__dataclass_fields__}
