"""The worker: many checks in flight on one event loop, seen by every RQ tool as an RQ worker.

It claims jobs in batches, runs each as a task, ends them in batches; what a job means it is told by its `Duties`.
Nothing here ever resolves a name that stands in Redis: a job is ours by exact match or it is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker

from paysync_cli.queue import scripts
from paysync_cli.queue.client import STEP
from paysync_cli.queue.failing import keep_failed
from paysync_cli.queue.link import Link, why
from paysync_cli.queue.names import (
    FINISHED_TTL_S,
    PREFIX,
    QUEUE_NAMES,
    REFUSED,
    REFUSED_DATA,
    WAKE_CHANNEL,
    WORKER_CONCURRENCY,
    Ended,
    JobName,
    now_text,
    parse_job,
)

LEASE_S = 30
BEAT_S = 10.0
IDLE_POLL_S = 1.0
FINISH_EVERY_S = 0.02
WORKER_TTL_S = 90
RECONNECT_MIN_S, RECONNECT_MAX_S = 0.2, 5.0
TELL_AGAIN_S = 60.0  # of a trouble that lasts: an outage of hours must not fill the log
TEARDOWN_S = 5.0
CANCEL_AGAIN_S = 0.5

log = logging.getLogger("paysync.worker")


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job this worker runs now."""

    name: JobName
    queue: str
    execution: str
    since: float


@dataclass(slots=True)
class Trouble:
    """Why one of the worker's loops does not get on: since when, and what was told of it, when."""

    since: float
    kind: type[Exception] | None = None
    told_at: float = 0.0

    def is_news(self, error: Exception, now: float) -> bool:
        """Whether to tell of `error`: another one than the last, or for a while nothing was said."""
        if type(error) is self.kind and now - self.told_at < TELL_AGAIN_S:
            return False
        self.kind, self.told_at = type(error), now
        return True


class Duties(Protocol):
    """What the worker is told to do with its jobs."""

    async def check(self, name: JobName, queue: str) -> Ended:
        """Run one check to its recorded end. Cancelled when the worker must stop."""
        ...

    def wanted(self, running: int) -> int:
        """How many more jobs to claim now, beside the running ones."""
        ...

    def worth_taking(self) -> int:
        """While jobs run: how many must be wanted before a claim pays."""
        ...

    def tell_when_wanted(self, tell: Callable[[], None]) -> None:
        """Call `tell` whenever more jobs may be wanted before a running one has ended."""
        ...

    async def give_back(self, names: Sequence[JobName]) -> None:
        """Return these jobs to the plan: they were not asked, or their answers are lost."""
        ...

    async def done(self) -> bool:
        """Whether nothing is due or waiting for an attempt (burst mode ends then)."""
        ...


@dataclass(frozen=True)
class Chore:
    """Recurring work beside the checks. `run` returns the seconds until it wants to run again."""

    name: str
    run: Callable[[], Awaitable[float]]
    woken_by_news: bool = False


class ConcurrentWorker(BaseWorker):
    """An RQ worker with `concurrency` jobs in flight.

    `work()` returns when stopped or, in burst mode, when all is done; `cut_short` says that jobs were given back.
    """

    def __init__(
        self,
        link: Link,
        duties: Duties,
        *,
        grace_s: float,
        keep_finished: int,
        keep_failed: int,
        chores: Sequence[Chore] = (),
        name: str,
        concurrency: int = 1,
    ) -> None:
        self._link = link
        self._duties = duties
        self._grace_s = grace_s
        self._keep_finished = keep_finished
        self._keep_failed = keep_failed
        self._chores = chores
        self._troubles: dict[str, Trouble] = {}
        self._concurrency = concurrency
        self.ended = 0
        self.cut_short = False
        self.stopped_by = ""
        connection = link.client(retry=Retry(NoBackoff(), 0))
        super().__init__(
            list(QUEUE_NAMES),
            name=name,
            connection=connection,
            worker_ttl=WORKER_TTL_S,
            serializer=JSONSerializer,
            log_job_description=False,
        )

    # -- life ---------------------------------------------------------------------------------------------------

    def work(self, burst: bool = False, **_unused: Any) -> bool:  # type: ignore[override]
        """Run until stopped; True when any job was run."""
        return asyncio.run(self.run(burst))

    async def run(self, burst: bool = False) -> bool:
        """The same inside a running loop."""
        self._begin(burst)
        loops = [asyncio.create_task(loop, name=name) for name, loop in self._loops()]
        try:
            await self._stopping.wait()
            await self._drain()
        finally:
            await _end(loops)
            await self._leave()
        return self.ended > 0

    def stop(self, reason: str = "asked to stop") -> None:
        """Take nothing new and finish what is in flight inside the grace; called again, stop at once."""
        if self._stopping.is_set():
            log.warning("stopping at once", extra={"event_name": "worker_stopping_now"})
            self._at_once.set()
        else:
            self.stopped_by = reason
            log.info("stopping: %s", reason, extra={"event_name": "worker_stopping", "in_flight": len(self._running)})
            self._stopping.set()
            self._news.set()

    @property
    def in_flight(self) -> int:
        """Jobs that run now."""
        return len(self._running)

    async def begins_to_stop(self, within_s: float) -> bool:
        """Whether nothing new is taken any more; waits for that, but not longer. After `run` has begun."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._stopping.wait()
        return self._stopping.is_set()

    def _begin(self, burst: bool) -> None:
        self._burst = burst
        self._loop = asyncio.get_running_loop()
        self._stopping, self._at_once = asyncio.Event(), asyncio.Event()
        self._slot_free, self._news, self._dispatch_news = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._claiming = asyncio.Lock()
        self._running: dict[Claimed, asyncio.Task[None]] = {}
        self._endings: list[tuple[Claimed, Ended]] = []
        self._refused: list[tuple[str, bytes, str]] = []
        self._endings_waiting = asyncio.Event()
        self._redis = self._link.async_client(retry=_no_async_retry())
        self._claim_script = self._redis.register_script(scripts.CLAIM)
        self._finish_script = self._redis.register_script(scripts.FINISH)
        self._beat_script = self._redis.register_script(scripts.BEAT)
        self._duties.tell_when_wanted(self._slot_free.set)
        self._install_signal_handlers()

    def _loops(self) -> list[tuple[str, Any]]:
        loops = [
            ("claim", self._forever("claim", self._claim_once)),
            ("finish", self._forever("finish", self._finish_once)),
            ("beat", self._forever("beat", self._beat_once)),
            ("listen", self._forever("listen", self._listen)),
        ]
        return loops + [(chore.name, self._forever(chore.name, self._chore_step(chore))) for chore in self._chores]

    async def _forever(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        """Run `step` again and again; no error ends it, errors make it wait longer, with jitter."""
        wait_s = RECONNECT_MIN_S
        while True:
            try:
                await step()
                wait_s = RECONNECT_MIN_S
                self._well(name)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                await self._after_error(name, error, wait_s)
                wait_s = min(wait_s * 2, RECONNECT_MAX_S)

    def _well(self, name: str) -> None:
        trouble = self._troubles.pop(name, None)
        if trouble is not None:
            log.info("%s: works again, after %.0f s", name, time.monotonic() - trouble.since,
                     extra={"event_name": "worker_loop_again", "loop": name})  # fmt: skip

    async def _after_error(self, name: str, error: Exception, wait_s: float) -> None:
        now = time.monotonic()
        known = isinstance(error, redis.RedisError | OSError) or hasattr(error, "exit_status")
        if self._troubles.setdefault(name, Trouble(now)).is_news(error, now):
            log.warning(
                "%s: %s; trying again",
                name,
                why(error) if isinstance(error, redis.RedisError) else error,
                exc_info=None if known else error,
                extra={"event_name": "worker_loop_error", "loop": name},
            )
        await asyncio.sleep(wait_s * (1 + random.random() / 2))
        if self._link.revive is not None and isinstance(error, redis.RedisError):
            with contextlib.suppress(Exception):
                await asyncio.to_thread(self._link.revive)

    # -- taking -------------------------------------------------------------------------------------------------

    async def _claim_once(self) -> None:
        if self._stopping.is_set():
            await asyncio.Event().wait()
        free = self._duties.wanted(len(self._running))
        if free < (self._duties.worth_taking() if self._running else 1):
            await self._wait(self._slot_free, IDLE_POLL_S)
            return
        async with self._claiming:
            jobs = await self._claim(free)
            for job in jobs:
                self._start(job)
        if len(jobs) < free:
            if self._burst and not jobs and not self._running and not self._endings and await self._duties.done():
                self.stop("nothing is due")
                return
            await self._wait(self._news, 0.05 if self._burst else IDLE_POLL_S)

    async def _claim(self, free: int) -> list[Claimed]:
        executions = [token_hex(16) for _n in range(min(free, STEP))]
        arguments: list[Any] = [PREFIX, self.name, now_text(), LEASE_S, len(executions), *QUEUE_NAMES, *executions]
        jobs = []
        for queue, job_id, execution, data in await self._claim_script(args=arguments):
            name = parse_job(job_id.decode(errors="replace"), data)
            if name is not None:
                jobs.append(Claimed(name, queue.decode(), execution.decode(), time.monotonic()))
            else:
                self._refuse(queue.decode(), job_id, execution.decode())
        return jobs

    def _refuse(self, queue: str, job_id: bytes, execution: str) -> None:
        """A job that is not ours runs nothing; it is kept among the failed, where a person sees it."""
        text = job_id.decode(errors="replace")
        log.error("job %s in queue %s is not a paysync check and was refused", text, queue,
                  extra={"event_name": "job_refused", "job_id": text, "queue": queue})  # fmt: skip
        self._refused.append((queue, job_id, execution))
        self._endings_waiting.set()

    def _start(self, job: Claimed) -> None:
        task = asyncio.create_task(self._run(job), name=job.name.id)
        self._running[job] = task

    async def _run(self, job: Claimed) -> None:
        try:
            ended = await self._duties.check(job.name, job.queue)
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # by us: whoever cancelled gives the job back. A library's own is an error like any other.
            log.error("job %s: %s", job.name.id, error, exc_info=error,
                      extra={"event_name": "job_error", "job_id": job.name.id, "queue": job.queue})  # fmt: skip
            ended = Ended("failed", f"{type(error).__name__}: {error}")
        self._over(job, ended)

    def _over(self, job: Claimed, ended: Ended) -> None:
        self._endings.append((job, ended))
        self._endings_waiting.set()
        self._running.pop(job, None)
        self._slot_free.set()
        if self._burst:
            self._news.set()

    # -- ending -------------------------------------------------------------------------------------------------

    async def _finish_once(self) -> None:
        await self._endings_waiting.wait()
        started = time.monotonic()
        await self._end_jobs()
        if not self._stopping.is_set():
            await asyncio.sleep(max(0.0, FINISH_EVERY_S - (time.monotonic() - started)))

    async def _end_jobs(self) -> None:
        self._endings_waiting.clear()
        endings = self._endings[:STEP]
        try:
            while self._refused:
                # The first stays until it is done, while the next batch may append behind it.
                queue, job_id, execution = self._refused[0]
                await asyncio.to_thread(self._fail, job_id, queue, execution, REFUSED, REFUSED_DATA)
                self._refused.pop(0)
            for job, ended in endings:
                if ended.how == "failed":
                    name = job.name
                    await asyncio.to_thread(
                        self._fail, name.id.encode(), job.queue, job.execution, ended.reason, name.data
                    )
            # Also where all have failed: it tells whether the worker is still busy.
            quiet = [(job, ended) for job, ended in endings if ended.how != "failed"]
            await self._finish_script(args=self._finish_arguments(quiet))
        finally:
            # After an error they are tried again: ending a job twice is harmless, the first removal counts.
            self._endings_waiting.set()
        del self._endings[: len(endings)]
        if not self._endings and not self._refused:
            self._endings_waiting.clear()
        self.ended += len(endings)

    def _finish_arguments(self, endings: Sequence[tuple[Claimed, Ended]]) -> list[Any]:
        worked = sum(time.monotonic() - job.since for job, _ended in endings)
        arguments: list[Any] = [PREFIX, self.name, now_text(), FINISHED_TTL_S, self._keep_finished, round(worked, 6)]
        arguments += QUEUE_NAMES
        for job, ended in endings:
            arguments += [job.queue, job.name.id, job.execution, ended.how]
        return arguments

    def _fail(self, job_id: bytes, queue: str, execution: str, reason: str, data: bytes) -> None:
        """A rare path, through RQ's own methods: the job goes to the failed registry with its reason.

        A job that RQ itself cannot show (an id it does not accept, a hash of another type) leaves no trace instead.
        """
        try:
            keep_failed(self, job_id.decode(), queue, execution, reason, data)
            trim = self.connection.register_script(scripts.TRIM)
            trim(args=[PREFIX, "failed", self._keep_failed, STEP, *QUEUE_NAMES])
        except (ValueError, redis.ResponseError) as error:
            log.error("job %r cannot be kept among the failed: %s", job_id, error,
                      extra={"event_name": "job_dropped", "job_id": job_id.decode(errors="replace"),
                             "queue": queue})  # fmt: skip
            finish = self.connection.register_script(scripts.FINISH)
            finish(args=[PREFIX, self.name, now_text(), FINISHED_TTL_S, self._keep_finished, 0, *QUEUE_NAMES,
                         queue, job_id, execution, "gone"])  # fmt: skip

    # -- beside the jobs ----------------------------------------------------------------------------------------

    async def _beat_once(self) -> None:
        arguments: list[Any] = [PREFIX, self.name, WORKER_TTL_S, LEASE_S, now_text()]
        for job in (*self._running, *(job for job, _ended in self._endings)):
            arguments += [job.queue, job.name.id, job.execution]
        if not await self._beat_script(args=arguments):
            await asyncio.to_thread(self._register)
            await self._beat_script(args=arguments)
            self._news.set()
            self._dispatch_news.set()
        await asyncio.sleep(BEAT_S)

    def _register(self) -> None:
        log.info("registered", extra={"event_name": "worker_registered", "worker": self.name})
        self.register_birth()  # type: ignore[no-untyped-call]
        # Its key has an end already: a beat that comes too late leaves nothing behind.
        self.connection.hset(self.key, WORKER_CONCURRENCY, self._concurrency)

    async def _listen(self) -> None:
        """News of planned or pushed work, and RQ's commands to this worker.

        Nothing is ever overdue on this line, so it asks for a sign of life; a second silence means that it is dead.
        """
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(WAKE_CHANNEL, self.pubsub_channel_name)
            asked = False
            while True:
                message = await pubsub.get_message(timeout=BEAT_S / 2)
                if message is not None:
                    self._well("listen")
                if message is None and asked:
                    raise redis.ConnectionError("no sign of life")
                asked = message is None
                if message is None:
                    await pubsub.ping()
                elif message["type"] != "message":
                    continue
                elif message["channel"].decode() == WAKE_CHANNEL:
                    self._news.set()
                    if message["data"] != b"pushed":
                        self._dispatch_news.set()
                else:
                    self._obey(message["data"])

    def _obey(self, payload: bytes) -> None:
        try:
            command = json.loads(payload)
            verb, job_id = command["command"], command.get("job_id")
        except (ValueError, KeyError, TypeError):
            return
        if verb == "shutdown":
            self.stop("the shutdown command")
        elif verb in ("stop-job", "stop-execution"):
            for job, task in self._running.items():
                if job.name.id == job_id:
                    self._running[job] = self._loop.create_task(self._stop_job(job, task), name=job.name.id)
                    return

    async def _stop_job(self, job: Claimed, task: asyncio.Task[None]) -> None:
        """End this job now. It stays ours, and runs for whoever looks, until it is in the plan again."""
        task.cancel()
        await asyncio.wait({task})
        wait_s = RECONNECT_MIN_S
        while job in self._running:
            try:
                await self._duties.give_back([job.name])
                self._over(job, Ended("gone"))
                self._well("stop-job")
            except Exception as error:
                await self._after_error("stop-job", error, wait_s)
                wait_s = min(wait_s * 2, RECONNECT_MAX_S)

    def _chore_step(self, chore: Chore) -> Callable[[], Awaitable[None]]:
        wait_s: float | None = None  # nothing to wait for at first, and after an error

        async def step() -> None:
            nonlocal wait_s
            rest_s, wait_s = wait_s, None
            if rest_s is not None and chore.woken_by_news:
                await self._wait(self._dispatch_news, rest_s)
            elif rest_s is not None:
                await asyncio.sleep(rest_s)
            if self._stopping.is_set():
                await asyncio.Event().wait()
            wait_s = await chore.run()

        return step

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.001)):
                await event.wait()
        event.clear()

    # -- stopping -----------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Finish what is in flight inside the grace; whatever is left goes back to the plan."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TEARDOWN_S), self._claiming:
                pass  # a batch on its way from Redis is in flight too
        running = set(self._running.values())
        at_once = asyncio.create_task(self._at_once.wait())
        deadline = time.monotonic() + self._grace_s
        while running and not self._at_once.is_set() and time.monotonic() < deadline:
            left_s = max(0.0, deadline - time.monotonic())
            await asyncio.wait({*running, at_once}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            running = set(self._running.values())
        at_once.cancel()
        if self._running:
            await self._give_back_the_rest()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(TEARDOWN_S):
                while self._endings:
                    await self._end_jobs()

    async def _give_back_the_rest(self) -> None:
        self.cut_short = True
        jobs = list(self._running)
        for task in list(self._running.values()):
            task.cancel()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(TEARDOWN_S):
                await asyncio.gather(*self._running.values(), return_exceptions=True)
                await self._duties.give_back([job.name for job in jobs])
        self._endings += [(job, Ended("gone")) for job in jobs]
        self._running.clear()
        log.warning(
            "%d checks given back to the plan", len(jobs), extra={"event_name": "worker_gave_back", "n": len(jobs)}
        )

    async def _leave(self) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(TEARDOWN_S):
                await asyncio.to_thread(self.register_death)
        with contextlib.suppress(Exception):
            await self._redis.aclose()
        self.connection.close()

    # -- RQ's hooks ---------------------------------------------------------------------------------------------

    def _set_connection(self, connection: redis.Redis) -> redis.Redis:
        """RQ would raise the socket time-out to minutes for its blocking pop; we have none."""
        return connection

    def _set_ip_address(self, connection: redis.Redis) -> None:
        self.ip_address = "unknown"
        with contextlib.suppress(redis.RedisError):
            super()._set_ip_address(connection)

    def _install_signal_handlers(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop, signal.Signals(number).name)


async def _end(loops: Sequence[asyncio.Task[None]]) -> None:
    """Cancel until they are gone: a library below may swallow a cancellation that meets its own time-out."""
    pending = set(loops)
    for _attempt in range(round(TEARDOWN_S / CANCEL_AGAIN_S)):
        for loop in pending:
            loop.cancel()
        if not pending:
            return
        _done, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
    log.warning("loops that do not end: %s", [loop.get_name() for loop in pending], extra={"event_name": "stuck_loops"})


def _no_async_retry() -> Any:
    from redis.asyncio.retry import Retry as AsyncRetry

    return AsyncRetry(NoBackoff(), 0)
