"""What a person does about alerts: send a test to every address, see what was raised and what is stuck."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from paysync_cli.alerts.post import Address, Note, Post
from paysync_cli.errors import PartlyDone, PaysyncError, UnavailableError
from paysync_cli.language import _, ngettext
from paysync_cli.services.alert_words import quoted, sentence
from paysync_cli.store import alert_messages, alerts
from paysync_cli.store.alert_messages import Event, Failing, NewMessage
from paysync_cli.store.alerts import Alert
from paysync_cli.store.database import Database


@dataclass(frozen=True, slots=True)
class Tried:
    """How one address took the test; `ok` is None when it was not sent (a dry run)."""

    address: Address
    ok: bool | None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """One alert with its sentence in the reader's language."""

    alert: Alert
    text: str


@dataclass(frozen=True, slots=True)
class AlertsReport:
    """`undelivered` counts messages that some address lacks, the oldest from `oldest_at`; `failing` says why."""

    items: Sequence[Listed]
    undelivered: int
    oldest_at: datetime | None
    failing: Sequence[Failing]
    shown: Mapping[str, str]  # addresses of the settings, by key


def send_test(
    addresses: Sequence[Address], post: Post, *, host: str, who: str, redact: Callable[[str], str]
) -> list[Tried]:
    """Send one message to each address, one after the other."""
    title = _("paysync on {host}: test").format(host=quoted(host))
    text = _("This is a test of paysync's alerts, sent by {who}. Nothing is wrong.").format(who=quoted(who))
    tried = []
    for address in addresses:
        (sent,) = post(address, [Note(title, text, "info")])
        cause = None if sent.cause is None else quoted(redact(sent.cause), alert_messages.ERROR_LIMIT)
        tried.append(Tried(address, sent.ok, cause))
    return tried


def verdict(tried: Sequence[Tried]) -> PaysyncError | None:
    """The error when some or all addresses did not take it."""
    failed = [one for one in tried if one.ok is False]
    if not failed:
        return None
    n, of = len(failed), len(tried)
    text = ngettext("The test did not reach {n} of {of} address.", "The test did not reach {n} of {of} addresses.", of)
    hint = _("Correct its URL (https://appriseit.com/services/) or look at that service: paysync config show")
    kind = PartlyDone if n < of else UnavailableError
    return kind(text.format(n=n, of=of), hint=hint, code="alert_not_delivered")


def list_alerts(
    store: Database, addresses: Sequence[Address], *, now: datetime, bank: str | None, since: timedelta | None,
    open_only: bool, limit: int,
) -> AlertsReport:  # fmt: skip
    """What was raised, the newest first. Raises DatabaseUnavailable."""
    with store.read() as tx:
        found = alerts.list_alerts(
            tx, bank=bank, since=None if since is None else now - since, open_only=open_only, limit=limit
        )
        undelivered, oldest = alerts.undelivered(tx)
        failing = alert_messages.failing(tx)
    shown = {address.key: f"{address.number}: {address.shown}" for address in addresses}
    return AlertsReport([Listed(one, _sentence(one)) for one in found], undelivered, oldest, failing, shown)


def _sentence(one: Alert) -> str:
    event = Event.PASSED if one.recovered_at is not None else Event.RAISED
    return sentence(NewMessage(one.kind, one.bank, event, one.count, one.detail, one.first_at, one.recovered_at))
