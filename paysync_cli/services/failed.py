"""Failed jobs: checks that were given up after their last attempt, and why. Listed and grouped by cause."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from paysync_cli.errors import InputError
from paysync_cli.language import _
from paysync_cli.payments.qr import Qr
from paysync_cli.queue.failed import Alike, FailedJob, FailedJobs, Place
from paysync_cli.queue.names import QUEUE_NAMES
from paysync_cli.store import qrs
from paysync_cli.store.database import Database

MAX_GROUPS = 1_000  # different errors that are told apart; what is more stands together
MAX_ERROR_CHARS = 300
GAP = "…"  # where the errors of a group differ
_ID_LIKE = re.compile(r"(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{6,}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which failed jobs are meant. `error` is a part of the reason, capitals or not; `bank` the bank of the QR."""

    error: str | None = None
    bank: str | None = None

    def __bool__(self) -> bool:
        return self.error is not None or self.bank is not None


@dataclass(frozen=True, slots=True)
class FailedItem:
    """A failed job with its QR as it is now; None when no row of ours is meant."""

    job: FailedJob
    qr: Qr | None


@dataclass(frozen=True, slots=True)
class FailedReport:
    """One page, the newest first. `total` is how many failed jobs there are in all; `next` continues the list."""

    items: Sequence[FailedItem]
    total: int
    next: str | None


@dataclass(slots=True)
class Group:
    """Failed jobs with the same error. `last` is the newest of them; `qr` its QR."""

    error: str | None
    last: FailedJob
    oldest: FailedJob
    jobs: int = 0
    qr: Qr | None = None


@dataclass(frozen=True, slots=True)
class GroupsReport:
    """The groups, the most jobs first. `jobs` is how many they hold, `total` how many failed jobs there are."""

    groups: Sequence[Group]
    jobs: int
    total: int


@dataclass(slots=True)
class _Groups:
    by_error: dict[str | None, Group] = field(default_factory=dict)

    def add(self, alike: Alike, error: str) -> None:
        key: str | None = error if error in self.by_error or len(self.by_error) < MAX_GROUPS else None
        group = self.by_error.get(key)
        if group is None:
            group = self.by_error[key] = Group(key, alike.newest, alike.oldest)
        group.jobs += alike.jobs
        group.last = max(group.last, alike.newest, key=_moment)
        group.oldest = min(group.oldest, alike.oldest, key=_moment)


def list_failed(
    store: Database, failed: FailedJobs, wanted: Filter, *, total: int, limit: int, after: str | None
) -> FailedReport:
    """One page. Raises InputError on a token of another list, RedisUnavailable, DatabaseUnavailable."""
    found: list[FailedJob] = []
    for page in matching(store, failed, wanted, _read_token(after) if after is not None else None):
        found += page
        if len(found) > limit:
            break
    more, found = len(found) > limit, found[:limit]
    rows = rows_of(store, found)
    items = [FailedItem(job, row_of(job, rows)) for job in found]
    return FailedReport(items, total, _write_token(found[-1].place) if more else None)


def group_failed(store: Database, failed: FailedJobs, wanted: Filter, *, total: int) -> GroupsReport:
    """All failed jobs by their error, in bounded steps and bounded memory. Raises as `list_failed`."""
    groups = _Groups()
    for counted in _counted(store, failed, wanted):
        errors = _errors(store, [alike.newest for alike in counted], groups.by_error)
        for alike, error in zip(counted, errors, strict=True):
            groups.add(alike, error)
    ordered = sorted(groups.by_error.values(), key=lambda group: group.jobs, reverse=True)
    rows = rows_of(store, [group.last for group in ordered])
    for group in ordered:
        group.qr = row_of(group.last, rows)
    return GroupsReport(ordered, sum(group.jobs for group in ordered), total)


def _counted(store: Database, failed: FailedJobs, wanted: Filter) -> Iterator[list[Alike]]:
    """What is meant, counted by reason in Redis; of which bank a job is only SQL knows, one by one."""
    if wanted.bank is None:
        says = _Says(wanted.error)
        yield from ([alike for alike in step if says(alike.newest.reason)] for step in failed.count())
    else:
        yield from ([Alike(1, job, job) for job in page] for page in matching(store, failed, wanted))


def _moment(job: FailedJob) -> tuple[float, int, bytes]:
    """The order of all failed jobs."""
    return float(job.place.score), job.place.queue, job.place.raw_id


def matching(
    store: Database, failed: FailedJobs, wanted: Filter, below: Place | None = None
) -> Iterator[list[FailedJob]]:
    """The failed jobs that are meant, page by page, the newest first; a page may be empty."""
    says = _Says(wanted.error)
    for page in failed.walk(below):
        found = [job for job in page if says(job.reason)]
        if wanted.bank is not None and found:
            found = _of_bank(store, found, wanted.bank)
        yield found


def count_matching(store: Database, failed: FailedJobs, wanted: Filter, below: Place | None = None) -> int:
    """How many are meant, by the walk that the deed takes."""
    return sum(len(page) for page in matching(store, failed, wanted, below))


def rows_of(store: Database, jobs: Sequence[FailedJob]) -> dict[int, Qr]:
    """The rows that the jobs name, by id."""
    ids = {job.name.qr for job in jobs if job.name is not None}
    if not ids:
        return {}
    with store.read() as tx:
        return qrs.load(tx, ids)


def row_of(job: FailedJob, rows: Mapping[int, Qr]) -> Qr | None:
    """The row that the job names; None when it is none of these."""
    return rows.get(job.name.qr) if job.name is not None else None


def error_line(reason: str) -> str:
    """The last line of a reason, at most a few hundred characters of it."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    return lines[-1][:MAX_ERROR_CHARS] if lines else ""


def _errors(store: Database, jobs: Sequence[FailedJob], known: Collection[str | None]) -> list[str]:
    """The error of each job as its group is called: without what differs from QR to QR.

    Most ids show by their looks; where an error is new all the same, the QR's own id is looked up and taken out.
    """
    shapes: dict[str, str] = {}
    errors = [shapes.get(job.reason) or shapes.setdefault(job.reason, _shape(job.reason)) for job in jobs]
    strange = [n for n, error in enumerate(errors) if error not in known and jobs[n].name is not None]
    if strange:
        with store.read() as tx:
            ids = qrs.qr_ids_of(tx, {name.qr for n in strange if (name := jobs[n].name) is not None})
        for n in strange:
            name = jobs[n].name
            qr_id = ids.get(name.qr) if name is not None else None
            if qr_id is not None:
                errors[n] = _shape(jobs[n].reason.replace(qr_id, GAP))
    return errors


def _shape(reason: str) -> str:
    return _ID_LIKE.sub(GAP, error_line(reason))


class _Says:
    """Whether a reason holds the text; its gaps stand for anything, so that a group's error names its jobs."""

    def __init__(self, text: str | None) -> None:
        parts = [re.escape(part) for part in (text or "").split(GAP)]
        self._pattern = None if text is None else re.compile(".*".join(parts), re.IGNORECASE)
        self._reason: str | None = None
        self._verdict = True

    def __call__(self, reason: str) -> bool:
        if self._pattern is None:
            return True
        if reason is not self._reason:
            self._reason, self._verdict = reason, self._pattern.search(reason) is not None
        return self._verdict


def _of_bank(store: Database, jobs: Sequence[FailedJob], bank: str) -> list[FailedJob]:
    with store.read() as tx:
        banks = qrs.banks_of(tx, {job.name.qr for job in jobs if job.name is not None})
    return [job for job in jobs if job.name is not None and banks.get(job.name.qr) == bank]


def _write_token(place: Place) -> str:
    content = json.dumps(["failed", place.score, place.queue, place.id])
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def _read_token(token: str) -> Place:
    try:
        made_for, score, queue, job_id = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if made_for != "failed" or not isinstance(score, str) or not isinstance(job_id, str):
            raise ValueError(token)
        if type(queue) is not int or not 1 <= queue <= len(QUEUE_NAMES):
            raise ValueError(token)
        float(score)
    except (ValueError, TypeError, RecursionError):
        raise InputError(
            _("--after {token} is not a page of this list.").format(token=token),
            hint=_("Take the token that the page before printed."),
        ) from None
    return Place(score, queue, job_id)
