"""`POST /notify/{bank}`: a bank says that something was paid. Those QRs are asked about at once; nothing is booked."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from paysync_cli.banks.base import Unreadable
from paysync_cli.banks.notices import Notice, NoticeFate, Notices, authenticated, belongs
from paysync_cli.errors import PaysyncError
from paysync_cli.language import _
from paysync_cli.services.metric_names import NOTICE_FATES, OF
from paysync_cli.services.notices import NoticeReport, take_notice
from paysync_cli.web.answers import HttpError, Redact
from paysync_cli.web.desk import Desk
from paysync_cli.web.guard import guarded, read_body

MAX_BODY = 1024 * 1024
LOG_EVERY_S = 10.0  # whoever guesses secrets must not fill the log
WRITTEN_WITHIN_S = 3.0  # Baneco takes an answer after 5 s for none

log = logging.getLogger("paysync.notices")


class NoticeDesk:
    """The route for the banks that send notices and can prove that they are theirs."""

    def __init__(self, desk: Desk, banks: Mapping[str, Notices], redact: Redact) -> None:
        self._desk, self._banks, self._redact = desk, banks, redact
        self._counts = Counter(dict.fromkeys(product(banks, NOTICE_FATES), 0))
        self._quiet_until: dict[tuple[str, str], float] = {}

    def routes(self) -> list[Route]:
        handler = guarded(self._take, self._redact)
        return [
            Route("/notify/{bank}", handler, methods=["POST"]),
            Route("/notify/{bank}/{rest:path}", handler, methods=["POST"]),
        ]

    def page(self) -> bytes:
        """What became of all notices so far, for Prometheus."""
        return generate_latest(self) if self._banks else b""

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The same, for prometheus-client."""
        metric = OF["paysync_notices_total"]
        family = CounterMetricFamily(metric.name, metric.help, labels=[label.name for label in metric.labels])
        for labels, n in sorted(self._counts.items()):
            family.add_metric(labels, n)
        yield family

    async def _take(self, request: Request) -> Response:
        bank = self._banks.get(request.path_params["bank"])
        if bank is None:
            raise HttpError(404, "not_found", _("No bank of this name sends notices here."))
        path = f"/{request.path_params['rest']}" if "rest" in request.path_params else ""
        shown = authenticated(bank.profile, Notice(path, dict(request.headers), b""))
        if shown is None:
            self._note(bank, "unauthorized")
            headers = {"www-authenticate": 'Basic realm="notices", charset="UTF-8"'}
            raise HttpError(401, "unauthorized", _("This notice does not prove that it comes from the bank."), headers)
        if not belongs(bank, shown):
            raise HttpError(404, "not_found", _("The bank sends no notices to this path."))
        try:
            body = await read_body(request, MAX_BODY)
        except HttpError as error:
            self._note(bank, "unreadable", error.code)
            return _in_its_form(bank, NoticeFate.UNREADABLE, error.status)
        return _in_its_form(bank, await self._act_on(bank, Notice(shown.path, shown.headers, body)))

    async def _act_on(self, bank: Notices, notice: Notice) -> NoticeFate:
        try:
            qr_ids = bank.noticed(notice)
        except Unreadable as error:
            self._note(bank, "unreadable", error.message)
            return NoticeFate.UNREADABLE
        if not qr_ids:
            return NoticeFate.TAKEN
        try:
            report = await self._desk.do(lambda: self._write(bank, tuple(qr_ids)), within_s=WRITTEN_WITHIN_S)
        except PaysyncError as error:
            self._note(bank, "not_written", self._redact(error.message))
            return NoticeFate.TRY_AGAIN
        for fate in ("asked", "quiet", "unknown"):
            self._counts[bank.profile.name, fate] += len(getattr(report, fate))
        if report.asked:
            await self._wake(bank)
        return NoticeFate.TAKEN

    def _write(self, bank: Notices, qr_ids: tuple[str, ...]) -> NoticeReport:
        runtime, profile = self._desk.runtime, bank.profile
        return take_notice(
            runtime.store, qr_ids, bank=profile.name, environment=profile.environment, now=runtime.clock.now()
        )

    async def _wake(self, bank: Notices) -> None:
        """Without Redis the plan is written all the same: the next dispatch finds it."""
        try:
            trouble = await self._desk.do(self._desk.wake_workers, within_s=1.0)
        except PaysyncError as error:
            trouble = error
        if trouble is not None:
            self._note(bank, "not_told", self._redact(trouble.message))

    def _note(self, bank: Notices, what: str, why: str = "") -> None:
        """Count it, and log it: the first one, then at most one line in some seconds with the count so far."""
        key = (bank.profile.name, what)
        self._counts[key] += 1
        if time.monotonic() < self._quiet_until.get(key, 0.0):
            return
        self._quiet_until[key] = time.monotonic() + LOG_EVERY_S
        log.warning("notice of bank %s: %s%s", *key, f": {why}" if why else "",
                    extra={"event_name": "notice_trouble", "bank": key[0], "reason": what,
                           "count": self._counts[key]})  # fmt: skip


def _in_its_form(bank: Notices, fate: NoticeFate, status: int | None = None) -> Response:
    reply = bank.notice_reply(fate)
    return Response(reply.body, status or reply.status, media_type=reply.content_type)
