"""One QR whole: which one is meant, and everything that is known of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from paysync_cli.errors import NotFound, RedisUnavailable, UsageError
from paysync_cli.language import _
from paysync_cli.payments.qr import Qr
from paysync_cli.queue.client import QueueClient
from paysync_cli.queue.names import JobName
from paysync_cli.store import history, ledger, qrs
from paysync_cli.store.database import Database, Tx
from paysync_cli.store.history import Story

SUGGESTIONS = 3
SHORTEST_START = 2


@dataclass(frozen=True, slots=True)
class JobSeen:
    """The RQ job of a QR: of the check under way, else of the last one that Redis still keeps."""

    id: str
    state: str | None
    queue: str | None
    worker: str | None
    enqueued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class QrReport:
    """Everything about one QR. `paid` is what came in its own currency, in minor units."""

    qr: Qr
    paid: int
    story: Story
    job: JobSeen | None


def inspect(
    store: Database, queue: QueueClient | None, qr_id: str, *, bank: str | None = None, environment: str | None = None
) -> QrReport:
    """The QR with its whole story, from one snapshot; its job too while Redis answers. Raises as `find_one`."""
    with store.read() as tx:
        qr = the_one(tx, qr_id, bank, environment)
        story = history.story(tx, qr.id)
        paid = ledger.paid(tx, [qr.id]).get(qr.id, 0)
    return QrReport(qr, paid, story, _job_of(queue, qr))


def find_one(store: Database, qr_id: str, bank: str | None = None, environment: str | None = None) -> Qr:
    """The QR with the bank's id `qr_id`.

    Raises NotFound, with ids that begin alike; UsageError when several banks or environments have one.
    """
    with store.read() as tx:
        return the_one(tx, qr_id, bank, environment)


def the_one(tx: Tx, qr_id: str, bank: str | None = None, environment: str | None = None) -> Qr:
    """`find_one` inside a transaction of the caller's."""
    if "\0" in f"{qr_id}{bank}":  # which no id has and PostgreSQL takes in no question
        raise NotFound(_("No QR {qr} is known.").format(qr=qr_id), code="no_qr")
    found = [qr for qr in qrs.by_qr_id(tx, qr_id, bank) if environment in (None, qr.environment)]
    if not found:
        raise _unknown(tx, qr_id, bank, environment)
    if len(found) > 1:
        raise _ambiguous(qr_id, found)
    return found[0]


def look_for(tx: Tx, qr_id: str, bank: str | None = None, environment: str | None = None) -> Qr | NotFound:
    """As `the_one`; that nobody knows it comes back as a value, for whoever named several."""
    try:
        return the_one(tx, qr_id, bank, environment)
    except NotFound as error:
        return error


def _unknown(tx: Tx, qr_id: str, bank: str | None, environment: str | None) -> NotFound:
    near = _alike(tx, qr_id, bank)
    if near:
        hint = _("Did you mean {ids}?").format(ids=_(" or ").join(near))
    else:
        hint = _("`paysync list` shows what there is; `paysync enqueue` follows a new one.")
    place = " ".join(word for word in (bank, environment) if word)
    if place:
        return NotFound(_("No QR {qr} is known of {place}.").format(qr=qr_id, place=place), hint=hint, code="no_qr")
    return NotFound(_("No QR {qr} is known.").format(qr=qr_id), hint=hint, code="no_qr")


def _alike(tx: Tx, qr_id: str, bank: str | None) -> list[str]:
    """Known ids that begin like this one: whole (it was cut), else without its last characters (they are wrong)."""
    for length in _lengths(len(qr_id)):
        near = qrs.alike(tx, qr_id[:length], bank, SUGGESTIONS)
        if near:
            return near
    return []


def _lengths(whole: int) -> Iterable[int]:
    lengths = {whole, whole - 1, whole - 2, whole - 3, whole // 2}
    return sorted((n for n in lengths if n >= SHORTEST_START), reverse=True)


def _ambiguous(qr_id: str, found: list[Qr]) -> UsageError:
    places = ", ".join(f"{qr.bank} ({qr.environment})" for qr in found)
    several_banks = len({qr.bank for qr in found}) > 1
    return UsageError(
        _("There are several QRs {qr}: {places}.").format(qr=qr_id, places=places),
        hint=_("Say which with --bank NAME.") if several_banks else _("Say which with --environment NAME."),
        code="ambiguous_qr",
    )


def _job_of(queue: QueueClient | None, qr: Qr) -> JobSeen | None:
    if queue is None:
        return None
    try:
        # A recorded check has raised the seq: what the last one left carries the number before.
        for name in (JobName(qr.id, qr.plan.seq), JobName(qr.id, qr.plan.seq - 1)):
            fields = queue.job(name)
            if fields:
                return JobSeen(
                    id=name.id,
                    state=fields.get("status"),
                    queue=fields.get("origin"),
                    worker=fields.get("worker_name") or None,
                    enqueued_at=_moment(fields.get("enqueued_at")),
                    started_at=_moment(fields.get("started_at")),
                    ended_at=_moment(fields.get("ended_at")),
                )
    except RedisUnavailable:
        return None
    return None


def _moment(text: str | None) -> datetime | None:
    """RQ writes moments as ISO text in UTC; anything else is no moment."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None
