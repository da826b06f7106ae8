"""Alerts: would somebody hear of trouble?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from paysync_cli.errors import Fault
from paysync_cli.language import _, ngettext
from paysync_cli.services.doctor.finding import Finding, fault, ok, warning

AREA = "alerts"
PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """How many addresses are set, what is wrong with them, and what waits; `errors` are those of the last failures."""

    now: datetime
    addresses: int
    faults: Sequence[Fault] = ()
    undelivered: int = 0
    oldest_at: datetime | None = None
    errors: Sequence[str] = ()


def judge(facts: AlertFacts) -> list[Finding]:
    """One quiet line when all is well."""
    if not facts.addresses:
        text = _("No alert URL is set: nobody is told when something is wrong. PAYSYNC_ALERT_URLS says where to.")
        return [ok(AREA, "no_address", text)]
    found = [*_settings(facts), *_undelivered(facts)]
    text = ngettext("Alerts go to {n} address.", "Alerts go to {n} addresses.", facts.addresses)
    return found or [ok(AREA, "delivered", text.format(n=facts.addresses))]


def _settings(facts: AlertFacts) -> Iterator[Finding]:
    for one in facts.faults:
        yield fault(AREA, one.code, one.message, one.hint or "paysync config check")


def _undelivered(facts: AlertFacts) -> Iterator[Finding]:
    late = facts.oldest_at is not None and facts.now - facts.oldest_at > PATIENCE
    if not facts.undelivered or not (facts.errors or late):
        return
    text = ngettext("{n} alert is not delivered", "{n} alerts are not delivered", facts.undelivered)
    text = text.format(n=facts.undelivered)
    because = _("{what}: {cause}.").format(what=text, cause=facts.errors[0].rstrip(".")) if facts.errors else f"{text}."
    yield warning(AREA, "undelivered", because, "paysync alert test")
