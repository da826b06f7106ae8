"""What nobody may overlook, the worst first: one sentence each, with the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from paysync_cli.language import _, ngettext
from paysync_cli.payments.status import PlanState
from paysync_cli.services.stats import BankFigures, StatsReport
from paysync_cli.views.page import ALARM, GOOD, WARNING, Styled
from paysync_cli.views.text import plain
from paysync_cli.views.times import span


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing. `code` is in JSON; an alarm stops checks now, the others wait for a person."""

    code: str
    message: str
    alarm: bool = False

    @property
    def styled(self) -> Styled:
        """A line that its word tells apart, and its colour, which may be missing."""
        word = _("ALARM") if self.alarm else _("WARNING")
        return Styled(f"{word}: {plain(self.message)}", ALARM if self.alarm else WARNING)


def notices(report: StatsReport) -> list[Notice]:
    """Everything that needs a person, alarms first."""
    return sorted(_all(report), key=lambda notice: not notice.alarm)


def state_cell(code: str) -> Styled:
    """Whether a bank is asked; when it is not, loud also without colour. Codes as in `bank list` and `stats`."""
    words = {
        "open": Styled(_("asked"), GOOD),
        "paused": Styled(_("PAUSED"), WARNING),
        "held": Styled(_("ASKED US TO WAIT"), WARNING),
        "credential_stopped": Styled(_("CREDENTIAL STOPPED"), ALARM),
        "breaker_open": Styled(_("DOES NOT ANSWER"), ALARM),
        "adapter_broken": Styled(_("ADAPTER BROKEN"), ALARM),
    }
    return words.get(code, Styled(code, ALARM))


def _all(report: StatsReport) -> Iterator[Notice]:
    books = report.books
    if report.redis_error is not None:
        yield Notice("redis_unavailable", report.redis_error.message, alarm=True)
    if report.nobody_works:
        text = ngettext(
            "{n} QR is due and no worker is alive: run `paysync worker`.",
            "{n} QRs are due and no worker is alive: run `paysync worker`.",
            books.due,
        )
        yield Notice("no_worker", text.format(n=books.due), alarm=True)
    if report.strange:
        text = _(
            "{leader} leads, but the Redis we look at carries nothing of paysync: REDIS_URL here is not the workers'."
        )
        yield Notice("strange_redis", text.format(leader=books.leader), alarm=True)
    for bank in books.banks:
        yield from _of_bank(bank)
    if books.reviews_open:
        text = ngettext(
            "{n} review is open, a person must decide: run `paysync review list`.",
            "{n} reviews are open, a person must decide: run `paysync review list`.",
            books.reviews_open,
        )
        yield Notice("reviews_open", text.format(n=books.reviews_open))
    if books.alerts.error is not None and books.alerts.count:
        text = ngettext(
            "{n} alert is not delivered: run `paysync alert test` ({reason})",
            "{n} alerts are not delivered: run `paysync alert test` ({reason})",
            books.alerts.count,
        )
        yield Notice("alerts_undelivered", text.format(n=books.alerts.count, reason=books.alerts.error))
    exhausted = books.in_state(PlanState.EXHAUSTED)
    if exhausted:
        text = ngettext(
            "{n} QR has used up its checks: run `paysync list --exhausted`.",
            "{n} QRs have used up their checks: run `paysync list --exhausted`.",
            exhausted,
        )
        yield Notice("plans_exhausted", text.format(n=exhausted))


def _of_bank(bank: BankFigures) -> Iterator[Notice]:
    """Why nobody asks this bank, and what to do about it."""
    state = bank.closed
    if state is not None and state.stopped_at is not None:
        text = _("bank {bank} refused our credential, nobody asks it; mend it, then run `{command}` ({reason})")
        command = f"paysync bank unlock {bank.name} --reason ..."
        message = text.format(bank=bank.name, reason=state.stop_reason, command=command)
        yield Notice("credential_stopped", message, alarm=True)
    elif state is not None:
        text = _("bank {bank} is paused, `{command}` ends it ({reason})")
        reason = state.pause_reason or _("no reason given")
        message = text.format(bank=bank.name, reason=reason, command=f"paysync resume {bank.name}")
        yield Notice("bank_paused", message)
    breaker = bank.breaker
    if breaker is not None and breaker.state == "open":
        text = _("bank {bank} does not answer; it is tried again in {span}: see `paysync bank show {bank}`")
        yield Notice("breaker_open", text.format(bank=bank.name, span=span(breaker.opens_in_s or 0.0)), alarm=True)
    elif breaker is not None and breaker.state == "held":
        text = _("bank {bank} asked us to wait {span}")
        yield Notice("bank_held", text.format(bank=bank.name, span=span(breaker.opens_in_s or 0.0)))
    if bank.sweep is not None and bank.sweep.error is not None:
        text = _("the day list of bank {bank} was not read to its end: run `paysync sweep --bank {bank}` ({reason})")
        yield Notice("sweep_failed", text.format(bank=bank.name, reason=bank.sweep.error))
