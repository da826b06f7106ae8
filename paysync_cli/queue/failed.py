"""The jobs kept as failed, the newest first, a bounded step at a time. Reads registries and reasons, nothing else.

Their one order over all queues is score, queue, job id, as in `QueueClient.find_spent`: a place in it stays a place
while jobs come and go.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from paysync_cli.queue.client import QueueClient
from paysync_cli.queue.names import FAILED_REASON, FAILED_TTL_S, PREFIX, QUEUE_NAMES, JobName, parse_id

STEP = 500  # jobs in one server-side step: keeps other clients' waits in milliseconds
COUNTING_STEP = 1_000  # where they are only counted
_MAX_REASON_BYTES = 65_536
_LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order of all failed jobs: score as Redis writes it, position of the queue, job id.

    The id of a job that is not ours may be any bytes: they are kept (surrogateescape), else the place would be lost.
    """

    score: str
    queue: int
    id: str

    @property
    def raw_id(self) -> bytes:
        return self.id.encode(errors="surrogateescape")


@dataclass(frozen=True, slots=True)
class FailedJob:
    """One failed job. `name` is None for a job that is not ours; `reason` is the text kept with it, maybe empty."""

    place: Place
    name: JobName | None
    reason: str

    @property
    def id(self) -> str:
        """The job's id for people."""
        return self.place.raw_id.decode(errors="replace")

    @property
    def queue(self) -> str:
        return QUEUE_NAMES[self.place.queue - 1]

    @property
    def failed_at(self) -> datetime | None:
        """When it was given up: RQ's score is that moment plus how long the job is kept."""
        at = float(self.place.score) - FAILED_TTL_S
        return datetime.fromtimestamp(at, UTC) if 0 <= at < _LATEST else None


@dataclass(frozen=True, slots=True)
class Alike:
    """Failed jobs of one queue that have the same reason: how many, the newest and the oldest of them."""

    jobs: int
    newest: FailedJob
    oldest: FailedJob


class FailedJobs:
    """The failed registries. Every method raises RedisUnavailable when Redis does not answer."""

    def __init__(self, queue: QueueClient) -> None:
        self._page = queue.script(_PAGE)
        self._count = queue.script(_COUNT)
        self._named = queue.script(_NAMED)
        self._drop = queue.script(_DROP)

    def page(self, below: Place | None = None, limit: int = STEP) -> list[FailedJob]:
        """The newest failed jobs, those that come after the place `below` when it is given."""
        cursor: tuple[str, int, bytes] = ("", 0, b"")
        if below is not None:
            cursor = (below.score, below.queue, below.raw_id)
        return _read(self._page([PREFIX, min(limit, STEP), *cursor, *QUEUE_NAMES]))

    def walk(self, below: Place | None = None) -> Iterator[list[FailedJob]]:
        """All of them, page by page; what fails while this walks is not met."""
        while page := self.page(below):
            yield page
            below = page[-1].place

    def count(self) -> Iterator[list[Alike]]:
        """All of them step by step, counted by reason where they are: only what differs comes over the line."""
        for position in range(1, len(QUEUE_NAMES) + 1):
            cursor: tuple[bytes, bytes] = (b"", b"")
            while True:
                arguments = [PREFIX, COUNTING_STEP, cursor[0], position, cursor[1], *QUEUE_NAMES]
                last, groups, reasons = self._count(arguments)
                if not last:
                    break
                texts = _texts(reasons)
                yield [
                    Alike(
                        n,
                        _job(newest[0], newest[1], position, texts[reason]),
                        _job(oldest[0], oldest[1], position, texts[reason]),
                    )
                    for reason, n, newest, oldest in groups
                ]
                cursor = last[0], last[1]

    def named(self, names: Sequence[JobName]) -> list[FailedJob]:
        """Which of these jobs are kept as failed."""
        found: list[FailedJob] = []
        for start in range(0, len(names), STEP):
            ids = [name.id for name in names[start : start + STEP]]
            found += _read(self._named([PREFIX, *QUEUE_NAMES, *ids]))
        return found

    def drop(self, jobs: Sequence[FailedJob]) -> int:
        """Remove these jobs with all their keys; how many still were there."""
        dropped = 0
        for start in range(0, len(jobs), STEP):
            pairs = [word for job in jobs[start : start + STEP] for word in (job.queue, job.place.raw_id)]
            dropped += int(self._drop([PREFIX, *pairs]))
        return dropped


def _read(answer: Any) -> list[FailedJob]:
    rows, reasons = answer
    texts = _texts(reasons)
    return [_job(score, job_id, queue, texts[reason]) for score, queue, job_id, reason in rows]


def _job(score: bytes, job_id: bytes, queue: int, reason: str) -> FailedJob:
    name = _text(job_id)
    return FailedJob(Place(_text(score), queue, name), parse_id(name), reason)


def _texts(reasons: Sequence[tuple[bytes, bytes]]) -> list[str]:
    """The reasons by number; 0 is none."""
    return ["", *(_unpacked(text) if kind == b"packed" else text.decode(errors="replace") for kind, text in reasons)]


def _unpacked(packed: bytes) -> str:
    """RQ keeps a reason compressed, in base64. What is not readable is no reason to stumble; what is huge is cut."""
    try:
        return zlib.decompressobj().decompress(base64.b64decode(packed), _MAX_REASON_BYTES).decode(errors="replace")
    except (binascii.Error, zlib.error):
        return ""


def _text(value: bytes) -> str:
    return value.decode(errors="surrogateescape")


# The latest reason of a job, once per step: most failures have few reasons. Ours keep a short one in their hash, at a
# quarter of the cost of RQ's own place, its stream of results.
_REASONS = """
local reasons, known = {}, {plain = {}, packed = {}}
local function number_of(kind, text)
  local number = known[kind][text]
  if not number then
    number = #reasons + 1
    reasons[number], known[kind][text] = {kind, text}, number
  end
  return number
end
local function reason_of(prefix, id)
  local short = redis.pcall('HGET', prefix .. ':job:' .. id, 'FIELD')
  if type(short) == 'string' then return number_of('plain', short) end
  local results = redis.pcall('XREVRANGE', prefix .. ':results:' .. id, '+', '-', 'COUNT', 1)
  local fields = results[1] and results[1][2] or {}
  for n = 1, #fields, 2 do
    if fields[n] == 'exc_string' then return number_of('packed', fields[n + 1]) end
  end
  return 0
end
""".replace("FIELD", FAILED_REASON)

# ARGV: prefix, how many, then the place (score, position of its queue, id; score empty for the top), then high, medium,
# low. Ids are compared by bytes, as the registry orders them: Lua's own comparison obeys the server's locale.
_PLACES = """
local prefix, limit, score, place, last = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5]
local function before(one, other)
  for n = 1, math.min(#one, #other) do
    local a, b = string.byte(one, n), string.byte(other, n)
    if a ~= b then return a < b end
  end
  return #one < #other
end
local function rank_of_place(key, position)
  if score == '' then return redis.call('ZCARD', key) end
  if position < place then return redis.call('ZCOUNT', key, '-inf', score) end
  local low = redis.call('ZCOUNT', key, '-inf', '(' .. score)
  if position > place then return low end
  local high = low + redis.call('ZCOUNT', key, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if before(redis.call('ZRANGE', key, middle, middle)[1], last) then low = middle + 1 else high = middle end
  end
  return low
end
local function key_of(position) return prefix .. ':failed:' .. ARGV[5 + position] end
local function page_of(position, ...)
  local key = key_of(position)
  local rank = rank_of_place(key, position)
  return rank > 0 and redis.call('ZRANGE', key, math.max(0, rank - limit), rank - 1, ...) or {}
end
"""

# Returns the jobs below the place, the newest first, as (score, position of queue, id, number of its reason), and the
# reasons. Of equal scores the later queue's comes first.
_PAGE = _REASONS + _PLACES + """
local pages, rows = {}, {}
for position = 1, 3 do pages[position] = page_of(position, 'WITHSCORES') end
while #rows < limit do
  local from, top
  for position = 3, 1, -1 do
    local at = tonumber(pages[position][#pages[position]])
    if at and (not top or at > top) then from, top = position, at end
  end
  if not from then break end
  local at, id = table.remove(pages[from]), table.remove(pages[from])
  rows[#rows + 1] = {at, from, id, reason_of(prefix, id)}
end
return {rows, reasons}
"""  # fmt: skip

# Returns the place where the step ended (score, id; none when there was nothing), for each reason of the queue's jobs
# below the given place its number, how many have it, the newest and the oldest (score, id), and the reasons.
_COUNT = _REASONS + _PLACES + """
local page, groups, by_reason = page_of(place), {}, {}
if #page == 0 then return {{}, groups, reasons} end
for n = #page, 1, -1 do
  local number = reason_of(prefix, page[n])
  local group = by_reason[number]
  if not group then
    group = {number, 0, page[n], page[n]}
    groups[#groups + 1], by_reason[number] = group, group
  end
  group[2], group[4] = group[2] + 1, page[n]
end
-- Asked for these few alone: spelling out each job's score takes longer than reading its reason.
local function scored(id) return {redis.call('ZSCORE', key_of(place), id), id} end
for _, group in ipairs(groups) do group[3], group[4] = scored(group[3]), scored(group[4]) end
return {scored(page[1]), groups, reasons}
"""  # fmt: skip

# ARGV: prefix, high, medium, low, then ids. Returns those that are kept as failed, as the script above.
_NAMED = _REASONS + """
local prefix, rows = ARGV[1], {}
for n = 5, #ARGV do
  for position = 1, 3 do
    local score = redis.call('ZSCORE', prefix .. ':failed:' .. ARGV[1 + position], ARGV[n])
    if score then rows[#rows + 1] = {score, position, ARGV[n], reason_of(prefix, ARGV[n])} end
  end
end
return {rows, reasons}
"""  # fmt: skip

# ARGV: prefix, then (queue, id)... Removes each with all its keys if it still is kept as failed: the same id may be
# queued again meanwhile, and then its hash is that job's. Returns how many went.
_DROP = """
local prefix, dropped = ARGV[1], 0
for n = 2, #ARGV, 2 do
  local id = ARGV[n + 1]
  if redis.call('ZREM', prefix .. ':failed:' .. ARGV[n], id) == 1 then
    redis.call('UNLINK', prefix .. ':job:' .. id, prefix .. ':results:' .. id, prefix .. ':job:' .. id .. ':dependents',
      prefix .. ':job::' .. id .. ':dependencies', prefix .. ':executions:' .. id)
    dropped = dropped + 1
  end
end
return dropped
"""
