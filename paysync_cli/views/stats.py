"""How `paysync stats` looks: one screen, the age of the oldest due check first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from paysync_cli.language import _, ngettext, pgettext
from paysync_cli.payments.status import PlanState, Status
from paysync_cli.queue.client import WorkerSeen
from paysync_cli.services.stats import BankFigures, StatsReport
from paysync_cli.views.attention import notices, state_cell
from paysync_cli.views.base import View
from paysync_cli.views.breaker import breaker_fields
from paysync_cli.views.page import BAD, GOOD, NOTICE, QUIET, WARNING, Cell, Column, Page, Styled
from paysync_cli.views.times import relative, span

WORKERS_SHOWN = 5  # one screen; the JSON has them all


@dataclass(frozen=True)
class StatsView(View):
    """Two blocks, *Jobs* and *QRs*."""

    report: StatsReport

    def data(self) -> object:
        report, books = self.report, self.report.books
        return {
            "jobs": None if report.jobs is None else asdict(report.jobs),
            "checks_24h": {"ok": books.checks_ok, "failed": books.checks_failed},
            "checks_per_minute": round(books.checks_per_minute, 1),
            "oldest_due_seconds": int(books.oldest_due_s),
            "due": books.due,
            "statuses": {status: books.total(status) for status in Status},
            "exhausted": books.in_state(PlanState.EXHAUSTED),
            "held": books.in_state(PlanState.HELD),
            "reviews_open": books.reviews_open,
            "workers": [_worker(worker) for worker in report.workers],
            "leader": books.leader,
            "banks": [_bank(bank) for bank in books.banks],
            "alerts": {
                "undelivered": books.alerts.count,
                "oldest_at": books.alerts.oldest_at,
                "error": books.alerts.error,
            },
            "last_cleanup": None if books.last_cleanup is None else asdict(books.last_cleanup),
            "redis": _redis(report.server),
            "warnings": [{"code": notice.code, "message": notice.message} for notice in notices(report)],
            "where": dict(report.where),
        }

    def human(self, page: Page) -> None:
        page.compact = True  # what comes first must not scroll away
        page.line(self.oldest())
        for notice in notices(self.report):
            page.line(notice.styled)
        self.figures(page)

    def figures(self, page: Page) -> None:
        """The two blocks, without the lines that stand above them."""
        page.heading(_("Jobs"))
        self._jobs(page)
        page.heading(_("QRs"))
        self._qrs(page)

    def oldest(self) -> Styled:
        """The line that comes first."""
        books = self.report.books
        if not books.due:
            return Styled(_("Nothing is due."), GOOD if self.report.redis_error is None else "bold")
        late = _("The oldest due check waits {span}.").format(span=span(books.oldest_due_s))
        return Styled(late, BAD if self.report.nobody_works else "bold")

    def _jobs(self, page: Page) -> None:
        jobs, books = self.report.jobs, self.report.books
        if jobs is None:
            page.line(Styled(_("unknown: see above"), BAD))
        else:
            counts = (jobs.waiting, jobs.active, jobs.completed, _alarming(jobs.failed), jobs.delayed)
            titles = (_("Waiting"), _("Active"), _("Completed"), _("Failed"), _("Delayed"))
            page.table([Column(title, right=True) for title in titles], [counts], empty="")
        page.fields(
            [
                (_("checks"), self._checks()),
                (_("workers"), self._workers(page)),
                (_("leader"), books.leader),
                (_("last runs"), self._last_runs(page)),
                (_("Redis"), self._redis()),
            ]
        )

    def _checks(self) -> str:
        books = self.report.books
        return _("{rate:.1f} a minute; in 24 hours {ok} answered, {failed} failed").format(
            rate=books.checks_per_minute, ok=books.checks_ok, failed=books.checks_failed
        )

    def _workers(self, page: Page) -> Cell:
        workers = self.report.workers
        if self.report.redis_error is not None:
            return Styled(_("unknown"), BAD)
        if not workers:
            return Styled(_("none"), QUIET)
        shown = [_worker_words(worker) for worker in workers[: WORKERS_SHOWN if page.terminal else None]]
        if len(shown) < len(workers):
            shown.append(_("{n} more").format(n=len(workers) - len(shown)))
        return "; ".join(shown)

    def _last_runs(self, page: Page) -> str:
        def when(at: datetime | None) -> str:
            if at is None:
                return _("never")
            return relative(at, page.now) if page.terminal else page.moment(at)

        sweep, cleanup = self.report.books.last_sweep, self.report.books.last_cleanup
        words = _("sweep {sweep}; cleanup {cleanup}").format(
            sweep=f"{when(sweep)}, {_('FAILED')}" if self.report.books.sweep_failed else when(sweep),
            cleanup=when(cleanup.at if cleanup else None),
        )
        return f"{words}, {cleanup.outcome}" if cleanup else words

    def _redis(self) -> Cell:
        where = str(self.report.where.get("redis", ""))
        if self.report.redis_error is not None:
            return Styled(_("{where}: see above").format(where=where), BAD)
        if self.report.server is None:
            return _("{where}: not running").format(where=where)
        server = _redis(self.report.server)
        if server is None:
            return _("{where}: running, its figures are not for this user").format(where=where)
        words = [f"{server['name']} {server['version']}", _size(server["memory_bytes"]), str(server["policy"])]
        return f"{where}: {', '.join(words)}"

    def _qrs(self, page: Page) -> None:
        books = self.report.books
        titles = (_("Pending"), _("Processing"), _("Active"), _("Completed"), _("Cancelled"), _("Expired"))
        page.table(
            [Column(title, right=True) for title in titles], [[books.total(status) for status in Status]], empty=""
        )
        pairs: list[tuple[str, Cell]] = [(_("of them"), self._apart())]
        if len(books.banks) == 1:
            pairs.append((_("bank"), _bank_words(books.banks[0])))
        page.fields([*pairs, (_("database"), self.report.where.get("database"))])
        if len(books.banks) > 1:
            heads = (_("Rate"), _("Open"), pgettext("how many", "Due"), _("Longest due"))
            page.table(
                [_("Bank"), _("State"), *(Column(head, right=True) for head in heads)],
                (_bank_cells(bank) for bank in books.banks),
                empty="",
            )

    def _apart(self) -> Styled:
        books = self.report.books
        reviews = ngettext("{n} review open", "{n} reviews open", books.reviews_open).format(n=books.reviews_open)
        words = _("{exhausted} exhausted, {held} held, {reviews}").format(
            exhausted=books.in_state(PlanState.EXHAUSTED), held=books.in_state(PlanState.HELD), reviews=reviews
        )
        return Styled(words, NOTICE if books.reviews_open or books.in_state(PlanState.EXHAUSTED) else "")


def _worker(worker: WorkerSeen) -> dict[str, object]:
    age = worker.heartbeat_age_s
    return {
        "name": worker.name,
        "state": worker.state,
        "alive": worker.alive,
        "heartbeat_age_seconds": None if age is None else round(age, 1),
        "running": worker.running,
    }


def _worker_words(worker: WorkerSeen) -> str:
    if worker.killed:
        return _("{name} was killed").format(name=worker.name)
    if not worker.alive:
        age = worker.heartbeat_age_s
        return _("{name} silent for {span}").format(name=worker.name, span="?" if age is None else span(age))
    return _("{name} {state}, runs {n}").format(name=worker.name, state=worker.state, n=worker.running)


def _bank(bank: BankFigures) -> dict[str, object]:
    return {
        "name": bank.name,
        "open": bank.open,
        "due": bank.due,
        "oldest_due_seconds": int(bank.oldest_due_s),
        "last_sweep": bank.last_sweep,
        "last_good_sweep": None if bank.sweep is None else bank.sweep.ok_at,
        "sweep_error": None if bank.sweep is None else bank.sweep.error,
        "statuses": dict(bank.statuses),
        "exhausted": bank.states[PlanState.EXHAUSTED],
        "held": bank.states[PlanState.HELD],
        "state": _state(bank),
        "breaker": breaker_fields(bank.breaker),
        "rate_per_s": bank.rate_per_s,
        "stopped_at": bank.closed and bank.closed.stopped_at,
        "stop_reason": bank.closed and bank.closed.stop_reason,
        "paused_until": bank.closed and bank.closed.paused_until,
        "pause_reason": bank.closed and bank.closed.pause_reason,
    }


def _state(bank: BankFigures) -> str:
    """Why nobody asks it now; `open` when it is asked."""
    if bank.closed is not None:
        return "paused" if bank.closed.stopped_at is None else "credential_stopped"
    if bank.breaker is not None and bank.breaker.state in ("open", "held"):
        return "breaker_open" if bank.breaker.state == "open" else "held"
    return "open"


def _state_words(bank: BankFigures) -> Styled:
    """To people, "asked" only of a bank that these settings know; others may know it, so it is no alarm."""
    state = _state(bank)
    if state == "open" and bank.rate_per_s is None:
        return Styled(_("not configured here"), WARNING)
    return state_cell(state)


def _bank_words(bank: BankFigures) -> Styled:
    """The only bank in one line."""
    state = _state_words(bank)
    rate = "" if bank.rate_per_s is None else _(", {rate:g} questions/s").format(rate=bank.rate_per_s)
    words = _("{name} {state}{rate}, {open} open, {due} due").format(
        name=bank.name, state=state.text, rate=rate, open=bank.open, due=bank.due
    )
    return Styled(words, "" if state.style == GOOD else state.style)


def _bank_cells(bank: BankFigures) -> list[Cell]:
    rate = None if bank.rate_per_s is None else f"{bank.rate_per_s:g}/s"
    waits = span(bank.oldest_due_s) if bank.due else None
    return [bank.name, _state_words(bank), rate, bank.open, bank.due, waits]


def _redis(server: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What INFO told; None when no server was asked or it does not tell."""
    if not server:
        return None
    name = "valkey" if "valkey_version" in server else "redis"
    return {
        "name": name,
        "version": server.get(f"{name}_version"),
        "memory_bytes": server.get("used_memory"),
        "max_memory_bytes": server.get("maxmemory"),
        "policy": server.get("maxmemory_policy"),
        "evicted_keys": server.get("evicted_keys"),
    }


def _size(size: int | None) -> str:
    return "?" if size is None else f"{size / 2**20:.1f} MiB"


def _alarming(failed: int) -> Cell:
    return Styled(failed, BAD) if failed else failed
