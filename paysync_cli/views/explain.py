"""Why a QR is or is not asked about, in sentences: `paysync explain`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from paysync_cli.language import _, ngettext
from paysync_cli.payments.status import PlanState
from paysync_cli.services.explain import ExplainReport, Reason
from paysync_cli.views.base import View
from paysync_cli.views.page import BAD, GOOD, NOTICE, Page, Styled
from paysync_cli.views.times import iso_utc, span

ShowMoment = Callable[[datetime], str]


@dataclass(frozen=True)
class ExplainView(View):
    """What holds it first, then check n of 20, then when."""

    report: ExplainReport

    def data(self) -> object:
        qr, plan = self.report.qr, self.report.qr.plan
        return {
            "qr_id": qr.qr_id,
            "bank": qr.bank,
            "environment": qr.environment,
            "status": qr.status,
            "blocked": self.report.blocked,
            "reasons": [
                {"code": reason.code, "message": sentence(reason, iso_utc), "blocks": reason.blocks}
                for reason in self.report.reasons
            ],
            "next_check_at": plan.next_check_at,
            "checks": plan.checks,
            "max_checks": plan.max_checks,
            "plan_state": plan.state,
        }

    def human(self, page: Page) -> None:
        page.line(Styled(self._verdict(), NOTICE if self.report.blocked else GOOD))
        for reason in self.report.reasons:
            text = f"- {sentence(reason, page.moment)}"
            alarming = reason.blocks and reason.code not in ("final", "held")
            page.line(Styled(text, BAD) if alarming else text)

    def _verdict(self) -> str:
        qr = self.report.qr
        facts = {"qr": qr.qr_id, "bank": qr.bank, "status": qr.status.value}
        if qr.plan.state is PlanState.DONE:
            return _("QR {qr} of {bank} is {status}: nothing is asked about it any more.").format(**facts)
        if self.report.blocked:
            return _("QR {qr} of {bank} is {status} and is not asked about now.").format(**facts)
        if qr.status.final:
            return _("QR {qr} of {bank} is {status}; the bank gave notice of it and is asked once more.").format(
                **facts
            )
        return _("QR {qr} of {bank} is {status} and is asked about at its moments.").format(**facts)


def sentence(reason: Reason, moment: ShowMoment) -> str:
    """The reason in words; `moment` says how a moment reads."""
    facts: dict[str, object] = {name: moment(fact) if isinstance(fact, datetime) else fact
                                for name, fact in reason.facts.items()}  # fmt: skip
    return _SENTENCES[reason.code](facts)


def _final(facts: Mapping[str, object]) -> str:
    return _("It is {status} since {at}, by news from: {cause}.").format(**_filled(facts))


def _held(facts: Mapping[str, object]) -> str:
    if not facts:
        return _("It is on hold; `paysync release` lets it go on. The bank's day list still books its payments.")
    return _(
        "It is on hold since {at} by {who}: {reason}. `paysync release` lets it go on; the bank's day list still "
        "books its payments."
    ).format(**_filled(facts))


def _unconfigured(facts: Mapping[str, object]) -> str:
    return _("The bank {bank} is not configured here: nobody who reads these settings asks it.").format(**facts)


def _other_environment(facts: Mapping[str, object]) -> str:
    return _("It is a QR of the {environment} environment of {bank}; the credential here is for {ours}.").format(
        **facts
    )


def _stopped(facts: Mapping[str, object]) -> str:
    return _(
        "The credential of {bank} is stopped since {at}: {reason}. When a person has acted: "
        "`paysync bank unlock {bank}`."
    ).format(**_filled(facts))


def _paused(facts: Mapping[str, object]) -> str:
    known = _filled(facts)
    if facts.get("until") is None:
        return _("{bank} is paused since {at} by {who}: {reason}. `paysync resume {bank}` ends it.").format(**known)
    return _("{bank} is paused until {until} by {who}: {reason}. `paysync resume {bank}` ends it sooner.").format(
        **known
    )


def _breaker(facts: Mapping[str, object]) -> str:
    seconds = facts.get("seconds")
    if not isinstance(seconds, int | float):
        return _("{bank} does not answer: only probes reach it until one is answered.").format(**facts)
    return _("{bank} does not answer: only probes reach it; the next one in {span}.").format(
        bank=facts["bank"], span=span(max(0.0, seconds))
    )


def _redis(facts: Mapping[str, object]) -> str:
    return _("Redis is away, and no check starts without it: {error}").format(**facts)


def _no_worker(_facts: Mapping[str, object]) -> str:
    return _("No worker is alive: run `paysync worker`.")


def _exhausted(facts: Mapping[str, object]) -> str:
    used = ngettext("Its {n} check is used up", "Its {n} checks are used up", _number(facts["n"])).format(**facts)
    if facts["listed"]:
        rest = _("the bank's day list finds payments; it is asked about once more when it is due")
    else:
        rest = _("it is asked about once a day")
    return _("{used}: {rest}. `paysync enqueue QR --now` grants one.").format(used=used, rest=rest)


def _free(facts: Mapping[str, object]) -> str:
    return _(
        "The next check was asked for by a person or by the bank's notice, and costs nothing; {n} of {of} are used."
    ).format(**facts)


def _budget(facts: Mapping[str, object]) -> str:
    return _("The next check is number {n} of {of}.").format(**facts)


def _attempt(facts: Mapping[str, object]) -> str:
    return _("Attempt {n} of {of} to ask failed: {error}. The next one follows at the moment below.").format(
        **_filled(facts)
    )


def _asking(_facts: Mapping[str, object]) -> str:
    return _("A worker is asking the bank right now.")


def _queued(facts: Mapping[str, object]) -> str:
    return _("Its check waits in the {priority} queue.").format(**facts)


def _lost(_facts: Mapping[str, object]) -> str:
    return _("Its check is no longer in Redis: the leading worker puts it back to the plan within seconds.")


def _due(facts: Mapping[str, object]) -> str:
    return _("Its check is due since {at} and goes to the {priority} queue as soon as there is room.").format(**facts)


def _planned(facts: Mapping[str, object]) -> str:
    return _("Its next check is at {at}, {priority} priority.").format(**facts)


def _due_query(facts: Mapping[str, object]) -> str:
    return _("Only the answer to a question sent at {at} or later can end it as expired.").format(**facts)


def _last_check(facts: Mapping[str, object]) -> str:
    return _("It was last asked about at {at}: {outcome}.").format(**facts)


def _never(_facts: Mapping[str, object]) -> str:
    return _("The bank was never asked about it.")


def _reviews(facts: Mapping[str, object]) -> str:
    text = ngettext(
        "{n} review of it is open: see `paysync review list`.",
        "{n} reviews of it are open: see `paysync review list`.",
        _number(facts["n"]),
    )
    return text.format(**facts)


def _filled(facts: Mapping[str, object]) -> dict[str, object]:
    """The facts, with a question mark for what nobody wrote down; a sentence's end is ours."""
    return {name: "?" if fact is None else str(fact).rstrip(". ") for name, fact in facts.items()}


def _number(fact: object) -> int:
    return fact if isinstance(fact, int) else 0


_SENTENCES: Mapping[str, Callable[[Mapping[str, object]], str]] = {
    "final": _final,
    "held": _held,
    "unconfigured_bank": _unconfigured,
    "other_environment": _other_environment,
    "credential_stopped": _stopped,
    "bank_paused": _paused,
    "breaker_open": _breaker,
    "redis_unavailable": _redis,
    "no_worker": _no_worker,
    "exhausted": _exhausted,
    "free_check": _free,
    "budget": _budget,
    "attempt_failed": _attempt,
    "asking_now": _asking,
    "queued": _queued,
    "job_lost": _lost,
    "due": _due,
    "planned": _planned,
    "due_query": _due_query,
    "last_check": _last_check,
    "never_asked": _never,
    "reviews_open": _reviews,
}
