"""Why a QR is or is not asked about: every reason that is known, what holds it first. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from paysync_cli.errors import PaysyncError
from paysync_cli.payments.qr import Qr
from paysync_cli.payments.schedule import Rhythm, due_query_at
from paysync_cli.payments.status import PlanState
from paysync_cli.queue.client import QueueClient
from paysync_cli.queue.gate import BankGate
from paysync_cli.queue.names import JobName
from paysync_cli.services.inspect import the_one
from paysync_cli.store import banks as bank_rows
from paysync_cli.store import history
from paysync_cli.store.banks import BankState
from paysync_cli.store.database import Database
from paysync_cli.store.history import Story

Fact = str | int | float | datetime | None


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason. `code` is in JSON; `facts` fill its sentence; `blocks`: nothing is asked because of it."""

    code: str
    blocks: bool = False
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExplainReport:
    """One QR with the reasons, those that hold it first."""

    qr: Qr
    reasons: Sequence[Reason]

    @property
    def blocked(self) -> bool:
        return any(reason.blocks for reason in self.reasons)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the command looks from: what is configured here (`environments` by bank) and Redis as it was found.

    `queue` is None when the embedded server does not run, or the error that Redis gave.
    """

    environments: Mapping[str, str]
    rhythms: Mapping[str, Rhythm]
    queue: QueueClient | PaysyncError | None


def explain(
    store: Database, place: Place, qr_id: str, *, now: datetime, bank: str | None = None, environment: str | None = None
) -> ExplainReport:
    """Raises NotFound, with ids that begin alike; UsageError when several banks or environments have one."""
    with store.read() as tx:
        qr = the_one(tx, qr_id, bank, environment)
        story = history.story(tx, qr.id)
        states = {(state.bank, state.environment): state for state in bank_rows.states(tx)}
    reviews = sum(review["state"] == "open" for review in story.reviews)
    reasons = list(_final(qr, story) if qr.status.final else ())
    if qr.plan.state is not PlanState.DONE:
        reasons += _open(qr, story, states, place, now)
    if reviews:
        reasons.append(Reason("reviews_open", facts={"n": reviews}))
    return ExplainReport(qr, reasons)


def _final(qr: Qr, story: Story) -> Iterator[Reason]:
    last = story.transitions[-1] if story.transitions else {"at": None, "cause": None}
    facts = {"status": qr.status.value, "at": last["at"], "cause": last["cause"]}
    yield Reason("final", qr.plan.state is PlanState.DONE, facts)


def _open(
    qr: Qr, story: Story, states: Mapping[tuple[str, str], BankState], place: Place, now: datetime
) -> Iterator[Reason]:  # fmt: skip
    if qr.plan.state is PlanState.HELD:
        yield _held(story)
    yield from _of_bank(qr, states.get((qr.bank, qr.environment)), place, now)
    seen = _look(qr, place.queue)
    yield from seen.reasons
    rhythm = place.rhythms.get(qr.bank) or Rhythm()
    yield from _of_plan(qr, story, seen.job, rhythm, now)
    due_query = due_query_at(qr.due_at, rhythm)
    if due_query is not None and not qr.status.final:
        yield Reason("due_query", facts={"at": due_query})


def _held(story: Story) -> Reason:
    action = next((one for one in reversed(story.actions) if one["action"] == "hold"), None)
    facts = {} if action is None else {"who": action["who"], "at": action["at"], "reason": action["reason"]}
    return Reason("held", True, facts)


def _of_bank(qr: Qr, state: BankState | None, place: Place, now: datetime) -> Iterator[Reason]:
    ours = place.environments.get(qr.bank)
    if ours is None:
        yield Reason("unconfigured_bank", True, {"bank": qr.bank})
    elif ours != qr.environment:
        yield Reason("other_environment", True, {"bank": qr.bank, "environment": qr.environment, "ours": ours})
    if state is None:
        return
    if state.stopped_at is not None:
        yield Reason("credential_stopped", True, {"bank": qr.bank, "at": state.stopped_at, "reason": state.stop_reason})
    if state.paused(now):
        facts: dict[str, Fact] = {
            "bank": qr.bank,
            "at": state.paused_at,
            "until": state.paused_until,
            "who": state.paused_by,
            "reason": state.pause_reason,
        }
        yield Reason("bank_paused", True, facts)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What Redis tells: reasons, and where the job of the next check is (None: not known)."""

    reasons: Sequence[Reason]
    job: str | None = None


def _look(qr: Qr, queue: QueueClient | PaysyncError | None) -> _Seen:
    if queue is None:
        return _Seen([Reason("no_worker", True)])
    if isinstance(queue, PaysyncError):
        return _Seen([Reason("redis_unavailable", True, {"error": queue.message})])
    try:
        breaker = BankGate(queue).look([qr.bank])[qr.bank]
        alive = any(worker.alive for worker in queue.workers())
        name = JobName(qr.id, qr.plan.seq)
        job = queue.whereabouts([name])[name] if qr.plan.state is PlanState.QUEUED else None
    except PaysyncError as error:
        return _Seen([Reason("redis_unavailable", True, {"error": error.message})])
    reasons = [] if alive else [Reason("no_worker", True)]
    if breaker.state == "open":
        reasons.append(Reason("breaker_open", True, {"bank": qr.bank, "seconds": breaker.opens_in_s}))
    return _Seen(reasons, job)


def _of_plan(qr: Qr, story: Story, job: str | None, rhythm: Rhythm, now: datetime) -> Iterator[Reason]:
    plan = qr.plan
    if plan.checks >= plan.max_checks and not qr.status.final:
        yield Reason("exhausted", facts={"n": plan.max_checks, "listed": int(rhythm.lists_by_payment_day)})
    elif plan.free:
        yield Reason("free_check", facts={"n": plan.checks, "of": plan.max_checks})
    else:
        yield Reason("budget", facts={"n": plan.checks + 1, "of": plan.max_checks})
    if plan.attempts:
        error = story.checks[-1]["error"] if story.checks else None
        yield Reason("attempt_failed", facts={"n": plan.attempts, "of": rhythm.attempts, "error": error})
    if plan.state is PlanState.QUEUED:
        yield Reason(_AT_WORK.get(job or "", "job_lost"), facts={"priority": plan.priority.value})
    elif plan.state is not PlanState.HELD and plan.next_check_at is not None:
        due = plan.next_check_at <= now
        yield Reason("due" if due else "planned", facts={"at": plan.next_check_at, "priority": plan.priority.value})
    if story.checks:
        last = story.checks[-1]
        yield Reason("last_check", facts={"at": last["at"], "outcome": last["outcome"]})
    else:
        yield Reason("never_asked")


# Where its job is, and what that means; without Redis it is believed to wait.
_AT_WORK = {"": "queued", "listed": "queued", "started": "asking_now"}
