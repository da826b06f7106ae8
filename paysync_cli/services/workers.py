"""The workers as Redis knows them, and how one is asked to leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from paysync_cli.errors import NotFound, RefusedError
from paysync_cli.language import _
from paysync_cli.queue.client import QueueClient, WorkerSeen
from paysync_cli.store import history, leases
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database

LOOK_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class WorkersReport:
    """Every worker, and which of them leads."""

    workers: Sequence[WorkerSeen]
    leader: str | None


@dataclass(frozen=True, slots=True)
class StopReport:
    """Who left, who was asked and still finishes what it runs, and who did not hear."""

    left: Sequence[str]
    finishing: Sequence[str]
    deaf: Sequence[str]


def look(store: Database, queue: QueueClient | None, clock: Clock) -> WorkersReport:
    """The workers; none when the embedded Redis does not run. Raises RedisUnavailable, DatabaseUnavailable."""
    now = clock.now()
    with store.read() as tx:
        leader = leases.holder(tx, leases.LEADER, now)
    return WorkersReport(queue.workers(gone=True) if queue is not None else [], leader)


def choose(seen: Sequence[WorkerSeen], names: Sequence[str]) -> list[WorkerSeen]:
    """The workers meant. Raises NotFound for a name that nobody has, RefusedError for a worker that cannot hear."""
    by_name = {worker.name: worker for worker in seen}
    for name in names:
        if name not in by_name:
            raise NotFound(_("No worker is called {name!r}.").format(name=name), hint=_nearest(name, list(by_name)))
        if not by_name[name].alive:
            raise _dead(by_name[name])
    return [by_name[name] for name in dict.fromkeys(names)]


def stop(
    store: Database,
    queue: QueueClient,
    names: Sequence[str],
    *,
    clock: Clock,
    who: str,
    patience_s: float,
    pause: Callable[[float], None],
    gone: Callable[[int], None] = lambda _n: None,
) -> StopReport:
    """Ask each worker once to finish and leave, and wait up to `patience_s` until they have; `gone` counts them.

    One that does not listen at the moment (it connects to Redis anew) is asked again until it hears.
    """
    asked: set[str] = set()
    waiting = list(names)
    left_s = patience_s
    while waiting:
        fresh = [name for name in waiting if name not in asked and queue.ask_worker_to_stop(name)]
        if fresh:
            asked.update(fresh)
            _audit(store, fresh, clock, who)
        here = {worker.name for worker in queue.workers() if worker.condition != "stopped"}
        gone(sum(name not in here for name in waiting))
        waiting = [name for name in waiting if name in here]
        if not waiting or left_s <= 0:
            break
        pause(LOOK_EVERY_S)
        left_s -= LOOK_EVERY_S
    return StopReport(
        left=[name for name in names if name not in waiting],
        finishing=[name for name in waiting if name in asked],
        deaf=[name for name in waiting if name not in asked],
    )


def _audit(store: Database, names: Sequence[str], clock: Clock, who: str) -> None:
    with store.write() as tx:
        for name in names:
            history.record_action(tx, at=clock.now(), who=who, action="worker-stop", what=name)


def _dead(worker: WorkerSeen) -> RefusedError:
    place = _("pid {pid} on {host}").format(pid=worker.pid or "?", host=worker.hostname or "?")
    if worker.condition == "stopped":
        message = _("Worker {name} has ended already ({place}).").format(name=worker.name, place=place)
        return RefusedError(message, hint=_("See: paysync workers"), code="worker_dead")
    if worker.killed:
        message = _("Worker {name} was killed: its process is gone ({place}).").format(name=worker.name, place=place)
        return RefusedError(message, hint=_("See: paysync workers"), code="worker_dead")
    message = _("Worker {name} has been silent for {n:.0f} s and would not hear it ({place}).").format(
        name=worker.name, n=worker.heartbeat_age_s or 0, place=place
    )
    hint = _("It died or hangs. Look for the process, and end it there with: kill {pid}").format(
        pid=worker.pid or "PID"
    )
    return RefusedError(message, hint=hint, code="worker_dead")


def _nearest(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return _("Did you mean {near}?").format(near=near[0]) if near else _("See: paysync workers")
