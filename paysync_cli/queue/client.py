"""The Redis side of the plan: what is in the queues and registries, pushing, counting, purging.

Counts by LLEN and ZCARD only: RQ's own counting cleans registries as it reads. Redis' failures leave here in our
words, within the connect time-out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from paysync_cli.errors import RefusedError
from paysync_cli.language import _
from paysync_cli.payments.status import Priority
from paysync_cli.queue import scripts, stamp
from paysync_cli.queue.link import Link, unavailable
from paysync_cli.queue.names import (
    DATABASE_KEY,
    FAILED_TTL_S,
    FINISHED_TTL_S,
    PREFIX,
    QUEUE_NAMES,
    QUEUES,
    REFUSED,
    WAKE_CHANNEL,
    WORKER_CONCURRENCY,
    JobName,
    job_key,
    now_text,
    parse_id,
    queue_key,
    registry_key,
)

JOB_TIMEOUT_S = 180
SILENT_S = 45  # a stock worker at work beats every 30 s: a longer silence is a bad sign
OURS_SILENT_S = 30  # ours beats every 10 s, and after so long others take over what it ran
IDLE_STOCK_LIFETIME_S = 240  # but a stock worker that waits for work is silent up to 405 s, and its key lives longer
SPENT_TTL_S = {"finished": FINISHED_TTL_S, "failed": FAILED_TTL_S}  # a spent job's score is its end plus this
STEP = 500  # ids in one server-side step: keeps other clients' waits in milliseconds


@dataclass(frozen=True, slots=True)
class Pushed:
    """A job to push: the row's name for it, its queue, and the QR's id for people who look into Redis."""

    name: JobName
    priority: Priority
    description: str


@dataclass(frozen=True, slots=True)
class JobCounts:
    """Jobs in Redis: waiting in the queues, started, and kept in the finished and failed registries.

    `depths` are those that wait, queue by queue.
    """

    waiting: int
    active: int
    completed: int
    failed: int
    depths: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Spent:
    """The oldest jobs of one registry kind (finished, failed), in the one order of all queues together.

    Of `total` jobs `matched` are meant, up to and with `last` (score, position of its queue, job id). The order is
    score, queue, job id: equal scores have their order too. `last` is None when none is meant.
    """

    kind: str
    total: int
    matched: int
    last: tuple[bytes, int, bytes] | None


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A worker as RQ's registry shows it; `heartbeat_age_s` is None when it never beat.

    `lifetime_s` is how long its key outlives a beat; `concurrency` only our own workers tell. `done` and `failed` are
    None when its key is gone. `killed`: its process was on this host and is no more, whatever its last beat says.
    """

    name: str
    hostname: str | None
    pid: int | None
    state: str
    heartbeat_age_s: float | None
    running: int
    queues: tuple[str, ...]
    lifetime_s: float | None = None
    concurrency: int | None = None
    done: int | None = 0
    failed: int | None = 0
    born_at: datetime | None = None
    killed: bool = False

    @property
    def condition(self) -> str:
        """`alive`; `stale`: killed or silent for too long, its key is there; `stopped`: it left, or its key ran out."""
        if self.alive:
            return "alive"
        return "stopped" if self.state == "stopped" or self.lifetime_s is None else "stale"

    @property
    def alive(self) -> bool:
        """Whether it beats as it should."""
        if self.killed or self.state == "stopped" or self.heartbeat_age_s is None or self.lifetime_s is None:
            return False
        if self.concurrency is not None:
            return self.heartbeat_age_s <= OURS_SILENT_S
        return self.heartbeat_age_s <= SILENT_S or self.lifetime_s > IDLE_STOCK_LIFETIME_S


class QueueClient:
    """The queues, seen from outside a worker. Raises RedisUnavailable when Redis does not answer.

    With `home` the stamps of its workers tell which were killed, before their silence does.
    """

    def __init__(self, link: Link, *, home: Path | None = None) -> None:
        self.link = link
        self._home = home
        self._redis = link.client(retry=Retry(NoBackoff(), 0))
        self._news: Any = None
        self._push = self._redis.register_script(scripts.PUSH)
        self._trim = self._redis.register_script(scripts.TRIM)
        self._find_spent = self._redis.register_script(scripts.FIND_SPENT)
        self._drop_spent = self._redis.register_script(scripts.DROP_SPENT)

    @property
    def where(self) -> str:
        return self.link.where

    def close(self) -> None:
        if self._news is not None:
            self._news.close()
        self._redis.close()

    def ping(self) -> None:
        with self._translated():
            self._redis.ping()

    def script(self, source: str) -> Callable[[Sequence[Any]], Any]:
        """A server-side script, to be called with its ARGV. Its calls raise RedisUnavailable."""
        registered = self._redis.register_script(source)

        def call(arguments: Sequence[Any]) -> Any:
            with self._translated():
                return registered(args=list(arguments))

        return call

    def scripts(self, *sources: str) -> Callable[..., list[Any]]:
        """Several scripts for one round trip: called with an ARGV for each, None for those left out this time.

        Its calls raise RedisUnavailable.
        """
        registered = [self._redis.register_script(source) for source in sources]

        def call(*arguments: Sequence[Any] | None) -> list[Any]:
            wanted = [(script, its) for script, its in zip(registered, arguments, strict=True) if its is not None]
            with self._translated(), self._redis.pipeline(transaction=False) as pipeline:
                for script, its in wanted:
                    # By its hash alone: redis-py's own way asks first, with each pipeline, whether it is known.
                    pipeline.evalsha(script.sha, 0, *its)
                sent = pipeline.execute(raise_on_error=False)
                answers = iter([_known_or_run(one, *of) for one, of in zip(sent, wanted, strict=True)])
            return [None if its is None else next(answers) for its in arguments]

        return call

    def claim_database(self, database_id: str) -> None:
        """Tie this Redis to the database, once. Raises RefusedError when it carries another database's jobs."""
        with self._translated():
            self._redis.set(DATABASE_KEY, database_id, nx=True)
            owner = _text(self._redis.get(DATABASE_KEY))
        if owner not in (database_id, None):
            raise self._foreign(owner or "")

    def owner(self) -> str | None:
        """Which database's jobs this Redis carries; None when no worker of ours ever used it. Only reads."""
        with self._translated():
            found: str | None = _text(self._redis.get(DATABASE_KEY))
        return found

    def refuse_foreign(self, database_id: str) -> None:
        """Raise RefusedError when this Redis carries another database's jobs. Only reads."""
        owner = self.owner()
        if owner not in (database_id, None):
            raise self._foreign(owner or "")

    def wake(self) -> None:
        """Tell every worker that there may be something due."""
        with self._translated():
            self._redis.publish(WAKE_CHANNEL, "planned")

    def wait_for_news(self, seconds: float) -> bool:
        """Sleep until something is planned, at most `seconds`; whether something was."""
        with self._translated():
            if self._news is None:
                self._news = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
                self._news.subscribe(WAKE_CHANNEL)
            deadline = time.monotonic() + seconds
            while (left_s := deadline - time.monotonic()) > 0:
                message = self._news.get_message(timeout=left_s)
                if message is not None and message["data"] != b"pushed":
                    return True
        return False

    def room(self, bound: int) -> dict[Priority, int]:
        """How many more jobs each queue takes before it holds `bound`."""
        lengths = self._pipelined(lambda pipe: [pipe.llen(queue_key(QUEUES[priority])) for priority in Priority])
        return {priority: max(0, bound - length) for priority, length in zip(Priority, lengths, strict=True)}

    def push(self, database_id: str, jobs: Sequence[Pushed]) -> int:
        """Push the jobs that are neither queued nor started; how many were.

        Raises RefusedError when this Redis belongs to another database.
        """
        pushed = 0
        for start in range(0, len(jobs), STEP):
            arguments: list[Any] = [PREFIX, database_id, now_text(), FINISHED_TTL_S, FAILED_TTL_S, JOB_TIMEOUT_S]
            for job in jobs[start : start + STEP]:
                arguments += [QUEUES[job.priority], job.name.id, job.name.data, job.description]
            with self._translated():
                count, owner = self._push(args=arguments)
            if count < 0:
                raise self._foreign(_text(owner) or "")
            pushed += count
        return pushed

    def job_counts(self) -> JobCounts:
        kinds = [(kind, name) for kind in ("wip", "finished", "failed") for name in QUEUE_NAMES]
        figures = self._pipelined(
            lambda pipe: (
                [pipe.llen(queue_key(name)) for name in QUEUE_NAMES]
                + [pipe.zcard(registry_key(kind, name)) for kind, name in kinds]
            )
        )
        waiting, active, completed, failed = (sum(figures[start : start + 3]) for start in (0, 3, 6, 9))
        return JobCounts(waiting, active, completed, failed, dict(zip(QUEUE_NAMES, figures, strict=False)))

    def whereabouts(self, names: Sequence[JobName]) -> dict[JobName, str]:
        """Where each job is, in one moment: `listed`, `started`, `lost` (its lease ran out), `failed`, `absent`.

        A failed job that never started (a worker without `-S json` cannot read it, ours refuses strange data) is
        `absent`.
        """
        answers = self._pipelined(
            lambda pipe: (
                [pipe.lrange(queue_key(name), 0, -1) for name in QUEUE_NAMES]
                + [pipe.zrange(registry_key("wip", name), 0, -1, withscores=True) for name in QUEUE_NAMES]
                + [pipe.time()]
            ),
            transaction=True,
        )
        listed = {_text(job_id) for ids in answers[:3] for job_id in ids}
        leases = {_text(member).split(":")[0]: score for members in answers[3:6] for member, score in members}
        now = answers[6][0]
        places: dict[JobName, str] = {}
        for name in names:
            if name.id in listed:
                places[name] = "listed"
            elif name.id in leases:
                places[name] = "started" if leases[name.id] > now else "lost"
            else:
                places[name] = "absent"
        missing = [name for name, place in places.items() if place == "absent"]
        return places | dict.fromkeys(self._failed(missing), "failed")

    def forget(self, names: Sequence[JobName]) -> None:
        """Remove every trace of abandoned executions, so that the same id may be pushed again."""
        for start in range(0, len(names), STEP):
            with self._translated(), self._redis.pipeline(transaction=False) as pipe:
                for name in names[start : start + STEP]:
                    self._forget_one(pipe, name.id)
                pipe.execute()

    def fail(self, jobs: Sequence[tuple[JobName, Priority]], reason: str) -> None:
        """Show these jobs among the failed."""
        from paysync_cli.queue.failing import Bystander, keep_failed

        with self._translated():
            for name, priority in jobs:
                keep_failed(Bystander(self._redis), name.id, QUEUES[priority], None, reason, name.data)

    def spent(self, kind: str) -> int:
        """How many jobs the registry `kind` (finished or failed) keeps, in all queues."""
        return sum(self._pipelined(lambda pipe: [pipe.zcard(registry_key(kind, name)) for name in QUEUE_NAMES]))

    def find_spent(self, kind: str, *, keep: int = 0, older_than_s: float | None = None) -> Spent:
        """All spent jobs of this kind but the newest `keep`; of those only what ended longer ago than `older_than_s`.

        Redis' own clock says what is old.
        """
        age = "" if older_than_s is None else older_than_s - SPENT_TTL_S[kind]
        with self._translated():
            total, matched, *last = self._find_spent(args=[PREFIX, kind, keep, age, *QUEUE_NAMES])
        return Spent(kind, int(total), int(matched), (last[0], int(last[1]), last[2]) if matched else None)

    def drop_spent(self, spent: Spent, most: int = STEP) -> int:
        """Remove the oldest of these jobs, at most `most` (one short server-side step); how many went."""
        if spent.last is None:
            return 0
        with self._translated():
            return int(self._drop_spent(args=[PREFIX, spent.kind, min(most, STEP), *spent.last, *QUEUE_NAMES]))

    def names_in(self, place: str) -> Iterator[list[JobName]]:
        """Our jobs of all queues, in pages: `queue` (waiting), `wip` (started), `finished` or `failed`.

        What moves while it is read may be missed or come twice.
        """
        for name in QUEUE_NAMES:
            key = queue_key(name) if place == "queue" else registry_key(place, name)
            start = 0
            while page := self._page(key, place, start):
                ids = (_text(member).split(":")[0] for member in page)
                yield [name for name in map(parse_id, ids) if name is not None]
                start += len(page)

    def _page(self, key: str, place: str, start: int) -> list[Any]:
        with self._translated():
            read = self._redis.lrange if place == "queue" else self._redis.zrange
            page: Any = read(key, start, start + STEP - 1)
        return list(page)

    def trim(self, kind: str, keep: int) -> int:
        """Remove the oldest spent jobs of all queues together until `keep` are left; how many went."""
        removed = 0
        while True:
            with self._translated():
                step = int(self._trim(args=[PREFIX, kind, keep, STEP, *QUEUE_NAMES]))
            removed += step
            if step < STEP:
                return removed

    def job(self, name: JobName) -> Mapping[str, str]:
        """The job's hash as RQ shows it (without its data); empty when Redis has none."""
        with self._translated():
            fields: Any = self._redis.hgetall(job_key(name.id))
        return {_text(key) or "": _text(value) or "" for key, value in fields.items() if key != b"data"}

    def workers(self, *, gone: bool = False) -> list[WorkerSeen]:
        """Every registered worker, by name; with `gone` also those that died so long ago that only the name is left."""
        with self._translated():
            keys = sorted(_text(key) or "" for key in self._redis.smembers(f"{PREFIX}:workers"))
        if not keys:
            return []
        answers = self._pipelined(
            lambda pipe: (
                [pipe.hgetall(key) for key in keys]
                + [pipe.scard(f"{key}:executions") for key in keys]
                + [pipe.pttl(key) for key in keys]
            )
        )
        hashes, running, left_ms = (answers[start : start + len(keys)] for start in range(0, 3 * len(keys), len(keys)))
        killed = frozenset() if self._home is None else stamp.killed(self._home)
        seen = [_worker(*one) for one in zip(keys, hashes, running, left_ms, strict=True) if one[1] or gone]
        return [replace(one, killed=True, state="killed") if one.name in killed and one.state != "stopped" else one
                for one in seen]  # fmt: skip

    def ask_worker_to_stop(self, name: str) -> bool:
        """Send RQ's shutdown command to this worker; whether it heard. Twice means at once: ask only once."""
        with self._translated():
            return bool(self._redis.publish(f"{PREFIX}:pubsub:{name}", '{"command": "shutdown"}'))

    def server(self) -> dict[str, Any]:
        """What INFO and the eviction policy say; fields that an ACL hides are absent."""
        with self._translated():
            try:
                info: Any = self._redis.info()
            except redis.exceptions.NoPermissionError:
                info = {}
        wanted = ("redis_version", "valkey_version", "used_memory", "maxmemory", "maxmemory_policy", "evicted_keys")
        return {name: info[name] for name in wanted if name in info}

    def _failed(self, names: Sequence[JobName]) -> list[JobName]:
        if not names:
            return []
        scores = self._pipelined(
            lambda pipe: [pipe.zmscore(registry_key("failed", name), [job.id for job in names]) for name in QUEUE_NAMES]
        )
        failed = [job for i, job in enumerate(names) if any(queue[i] is not None for queue in scores)]
        return [job for job in failed if not self._never_read(job)]

    def _never_read(self, name: JobName) -> bool:
        from rq.job import Job
        from rq.serializers import JSONSerializer

        with self._translated():
            try:
                result = Job.fetch(name.id, connection=self._redis, serializer=JSONSerializer()).latest_result()
            except LookupError:
                return True
        reason = (result.exc_string if result else None) or ""
        return "DeserializationError" in reason or REFUSED in reason

    def _forget_one(self, pipe: Any, job_id: str) -> None:
        for queue in QUEUE_NAMES:
            pipe.eval(scripts.FORGET, 0, PREFIX, queue, job_id)

    def _pipelined(self, fill: Callable[[Any], Any], *, transaction: bool = False) -> list[Any]:
        with self._translated(), self._redis.pipeline(transaction=transaction) as pipe:
            fill(pipe)
            return list(pipe.execute())

    def _foreign(self, owner: str) -> RefusedError:
        return RefusedError(
            _("The Redis at {where} already serves another paysync database ({owner}).").format(
                where=self.where, owner=owner
            ),
            hint=_("Give each database its own Redis or database number in REDIS_URL."),
            code="foreign_database",
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            raise unavailable(self.where, error) from error


def _known_or_run(answer: Any, script: Any, arguments: Sequence[Any]) -> Any:
    """The answer, after running the script once more when the server did not know it (then it did nothing)."""
    if isinstance(answer, redis.exceptions.NoScriptError):
        return script(args=list(arguments))
    if isinstance(answer, Exception):
        raise answer
    return answer


def _worker(key: str, fields: Mapping[bytes, bytes], running: int, left_ms: int) -> WorkerSeen:
    values = {_text(name): _text(value) or "" for name, value in fields.items()}
    beat = values.get("last_heartbeat")
    age = None
    if beat:
        age = (datetime.now(UTC) - datetime.fromisoformat(beat)).total_seconds()
    return WorkerSeen(
        name=key.removeprefix(f"{PREFIX}:worker:"),
        hostname=values.get("hostname"),
        pid=int(values["pid"]) if values.get("pid") else None,
        state="stopped" if "death" in values or not values else values.get("state", "?"),
        heartbeat_age_s=age,
        running=running,
        queues=tuple(values.get("queues", "").split(",")),
        lifetime_s=age + left_ms / 1000 if age is not None and left_ms > 0 else None,
        concurrency=int(values[WORKER_CONCURRENCY]) if values.get(WORKER_CONCURRENCY) else None,
        done=int(values.get("successful_job_count") or 0) if values else None,
        failed=int(values.get("failed_job_count") or 0) if values else None,
        born_at=datetime.fromisoformat(values["birth"]) if values.get("birth") else None,
    )


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
