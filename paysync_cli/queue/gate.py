"""The gate before each bank, shared by all workers: its rate, its places in flight, its breaker. All in Redis, all with
an end: a place is leased, and whoever asks renews its lease; a worker that dies gives its place back by time.

Keys: `paysync:bank:<name>:flight` (places, scored by their end), `:rate` (when the next question may go),
`:breaker` (hash: state, failures, opens_until, wait_s, closed_at, hold_until), `:probe` (lease of the one probe).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from paysync_cli.queue.client import QueueClient

PLACE_LEASE_S = 30.0
PROBE_LEASE_S = 60
FAILURES_TO_OPEN = 5
FIRST_WAIT_S, LONGEST_WAIT_S = 30, 300
LONGEST_TURN_S = 5  # further behind than this no turn is taken: the plan waits, not the worker
BURST_S = 0.25  # how much of a second's rate may go at once


class Word(StrEnum):
    """What the gate says."""

    GO = "go"
    LATER = "later"
    BEHIND = "behind"
    FULL = "full"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Wish:
    """A question that wants to pass. `token` names its place; `booked`: its turn in the rate is taken already."""

    bank: str
    token: str
    rate_per_s: float
    concurrency: int
    booked: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """`go`: ask now. `later`: the turn is taken, come back in `wait_s`. The others: no turn was taken."""

    word: Word
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A question that is still under way: its place is kept for another lease."""

    bank: str
    token: str


@dataclass(frozen=True, slots=True)
class Left:
    """A question that is over.

    `failed` says that the bank gave no readable answer, None that nobody knows whether it would have; `hold_s` that it
    wants nobody for so long (429).
    """

    bank: str
    token: str
    failed: bool | None
    hold_s: float = 0.0


@dataclass(frozen=True, slots=True)
class BreakerSeen:
    """A bank's breaker: `closed`, `open` (its probe is due in `opens_in_s`), or `held` (the bank asked us to wait so
    long); `ramp_per_s` is the rate of the first seconds after an outage.
    """

    state: str
    failures: int
    opens_in_s: float | None
    ramp_per_s: float | None
    in_flight: int


class BankGate:
    """The gates of all banks of one Redis. Raises RedisUnavailable.

    `speed` is that of the clock that decides: a compressed clock compresses waits and raises rates alike. `lease_s` is
    real time: how long a place outlives whoever holds it.
    """

    def __init__(self, client: QueueClient, speed: float = 1.0, *, lease_s: float = PLACE_LEASE_S) -> None:
        self._speed = speed
        self.lease_s = lease_s
        self._pass = client.scripts(KEEP, LEAVE, ENTER)
        self._probe = client.script(PROBE)
        self._look = client.script(LOOK)

    def enter(self, wishes: Sequence[Wish]) -> list[Verdict]:
        """One verdict per wish, in one round trip."""
        return self.through([], [], wishes)[1]

    def leave(self, left: Sequence[Left]) -> list[str]:
        """Give the places back and tell the breakers; the banks whose breaker opened by this."""
        return self.through([], left, [])[0]

    def keep(self, kept: Sequence[Kept]) -> None:
        """Renew the leases of these places; one that Redis has forgotten is taken again, for it is in use."""
        self.through(kept, [], [])

    def through(
        self, kept: Sequence[Kept], left: Sequence[Left], wishes: Sequence[Wish]
    ) -> tuple[list[str], list[Verdict]]:
        """Who stays, who leaves, then who wants to enter, in one round trip: the banks whose breaker opened, and the
        verdicts.
        """
        keeping: list[Any] = [self._speed, self.lease_s]
        for stay in kept:
            keeping += [stay.bank, stay.token]
        leaving: list[Any] = [self._speed, FAILURES_TO_OPEN, FIRST_WAIT_S / self._speed]
        for one in left:
            leaving += [one.bank, one.token, _HOW[one.failed], one.hold_s / self._speed]
        entering: list[Any] = [self._speed, self.lease_s, BURST_S, LONGEST_TURN_S]
        for wish in wishes:
            rate = wish.rate_per_s * self._speed
            entering += [wish.bank, wish.token, rate, wish.concurrency, int(wish.booked)]
        _kept, opened, verdicts = self._pass(
            keeping if kept else None, leaving if left else None, entering if wishes else None
        )
        return (
            [bank.decode() for bank in opened or ()],
            [Verdict(Word(word.decode()), float(wait)) for word, wait in verdicts or ()],
        )

    def may_probe(self, bank: str, token: str) -> bool:
        """Whether this caller may send the one probe of an open breaker whose wait is over."""
        return bool(self._probe([self._speed, bank, token, "take", PROBE_LEASE_S, LONGEST_WAIT_S / self._speed]))

    def probed(self, bank: str, token: str, *, failed: bool) -> None:
        """How the probe went: it closes the breaker, or doubles the wait."""
        word = "failed" if failed else "answered"
        self._probe([self._speed, bank, token, word, PROBE_LEASE_S, LONGEST_WAIT_S / self._speed])

    def look(self, banks: Sequence[str]) -> dict[str, BreakerSeen]:
        """The breakers as they are; changes nothing."""
        seen = {}
        for bank, (state, failures, opens_in, ramp, flight) in zip(
            banks, self._look([self._speed, *banks]), strict=True
        ):
            seen[bank] = BreakerSeen(
                state.decode(),
                int(failures),
                float(opens_in) if opens_in else None,
                float(ramp) / self._speed if ramp else None,
                int(flight),
            )
        return seen


_HOW = {True: "failed", False: "answered", None: "unknown"}  # of a question that is over, as LEAVE reads it

# ARGV[1] of every script is the clock's speed.
_START = """
local speed = tonumber(table.remove(ARGV, 1))
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local function key(bank, what) return 'paysync:bank:' .. bank .. ':' .. what end
-- After an outage the rate starts at one a second and doubles each second until it is the bank's own again.
local function ramped(bank, rate)
  local closed = tonumber(redis.call('HGET', key(bank, 'breaker'), 'closed_at') or '')
  if not closed then return rate end
  local ramp = speed * 2 ^ math.floor((now - closed) * speed)
  if ramp >= rate then return rate end
  return ramp
end
-- Lua gives a call no more than some thousands of arguments.
local function in_parts(items, call)
  for first = 1, #items, 2000 do call(unpack(items, first, math.min(first + 1999, #items))) end
end
"""

# ARGV: place lease, burst seconds, longest turn, then (bank, token, rate, concurrency, booked)...
ENTER = (
    _START
    + """
local lease, burst_s, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local banks, verdicts = {}, {}
-- Each bank is read once and written once, however many wish to ask it.
local function look(bank)
  local fields = redis.call('HMGET', key(bank, 'breaker'), 'state', 'hold_until', 'opens_until')
  redis.call('ZREMRANGEBYSCORE', key(bank, 'flight'), '-inf', now)
  return {
    open = fields[1] == 'open', held = tonumber(fields[2] or '0') - now, opens_in = tonumber(fields[3] or '0') - now,
    flying = redis.call('ZCARD', key(bank, 'flight')), turn = tonumber(redis.call('GET', key(bank, 'rate')) or '0'),
    places = {},
  }
end
for i = 4, #ARGV, 5 do
  local bank, token = ARGV[i], ARGV[i + 1]
  local rate, places, booked = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), ARGV[i + 4] == '1'
  local seen = banks[bank] or look(bank)
  banks[bank] = seen
  if seen.held > 0 then
    verdicts[#verdicts + 1] = {'open', tostring(seen.held)}
  elseif seen.open then
    verdicts[#verdicts + 1] = {'open', tostring(math.max(seen.opens_in, 1))}
  elseif seen.flying >= places then
    verdicts[#verdicts + 1] = {'full', '0.05'}
  else
    local wait = 0
    if not booked then
      seen.real = seen.real or ramped(bank, rate)
      local step = 1 / seen.real
      local burst = math.max(1, math.floor(seen.real * burst_s)) - 1
      local turn = math.max(seen.turn, now)
      wait = math.max(0, turn - burst * step - now)
      if wait < 0.001 then wait = 0 end
      if wait <= longest then seen.turn, seen.moved = turn + step, true end
    end
    if wait > longest then
      verdicts[#verdicts + 1] = {'behind', tostring(wait)}
    elseif wait > 0 then
      verdicts[#verdicts + 1] = {'later', tostring(wait)}
    else
      seen.flying = seen.flying + 1
      seen.places[#seen.places + 1], seen.places[#seen.places + 2] = now + lease, token
      verdicts[#verdicts + 1] = {'go', '0'}
    end
  end
end
for bank, seen in pairs(banks) do
  if seen.moved then
    redis.call('SET', key(bank, 'rate'), string.format('%.6f', seen.turn), 'PX',
      math.ceil((seen.turn - now) * 1000) + 1000)
  end
  if #seen.places > 0 then
    in_parts(seen.places, function(...) redis.call('ZADD', key(bank, 'flight'), ...) end)
    redis.call('PEXPIRE', key(bank, 'flight'), math.ceil(lease * 1000))
  end
end
return verdicts
"""
)

# ARGV: place lease, then (bank, token)...
KEEP = (
    _START
    + """
local lease, banks = tonumber(ARGV[1]), {}
for i = 2, #ARGV, 2 do
  local places = banks[ARGV[i]] or {}
  places[#places + 1], places[#places + 2], banks[ARGV[i]] = now + lease, ARGV[i + 1], places
end
for bank, places in pairs(banks) do
  in_parts(places, function(...) redis.call('ZADD', key(bank, 'flight'), ...) end)
  redis.call('PEXPIRE', key(bank, 'flight'), math.ceil(lease * 1000))
end
return 1
"""
)

# ARGV: failures that open, first wait, then (bank, token, how, hold)... Any readable answer forgets the failures; a
# question of which nothing is known (how is neither failed nor answered) only gives its place back.
LEAVE = (
    _START
    + """
local limit, first_wait = tonumber(ARGV[1]), tonumber(ARGV[2])
local banks, opened = {}, {}
for i = 3, #ARGV, 4 do
  local bank, how, hold = ARGV[i], ARGV[i + 2], tonumber(ARGV[i + 3])
  local seen = banks[bank]
  if not seen then
    local fields = redis.call('HMGET', key(bank, 'breaker'), 'state', 'failures', 'hold_until')
    seen = {open = fields[1] == 'open', failures = tonumber(fields[2] or '0'), hold = tonumber(fields[3] or '0'),
      tokens = {}}
    banks[bank] = seen
  end
  seen.tokens[#seen.tokens + 1] = ARGV[i + 1]
  if hold > 0 and now + hold > seen.hold then seen.hold, seen.holds = now + hold, true end
  if not seen.open then
    local before = seen.failures
    if how == 'failed' then seen.failures = before + 1 elseif how == 'answered' then seen.failures = 0 end
    seen.changed = seen.changed or seen.failures ~= before
    if seen.failures >= limit then seen.open, seen.opens = true, true end
  end
end
for bank, seen in pairs(banks) do
  local breaker = key(bank, 'breaker')
  in_parts(seen.tokens, function(...) redis.call('ZREM', key(bank, 'flight'), ...) end)
  if seen.holds then redis.call('HSET', breaker, 'hold_until', seen.hold) end
  if seen.changed and seen.failures > 0 then redis.call('HSET', breaker, 'failures', seen.failures) end
  if seen.changed and seen.failures == 0 then redis.call('HDEL', breaker, 'failures') end
  if seen.opens then
    redis.call('HSET', breaker, 'state', 'open', 'opens_until', now + first_wait, 'wait_s', first_wait,
      'opened_at', now)
    redis.call('HDEL', breaker, 'closed_at')
    opened[#opened + 1] = bank
  end
  if seen.holds or seen.changed then redis.call('EXPIRE', breaker, 86400) end
end
return opened
"""
)

# ARGV: bank, token, take | answered | failed, probe lease, longest wait.
PROBE = (
    _START
    + """
local bank, token, what = ARGV[1], ARGV[2], ARGV[3]
local breaker, probe = key(bank, 'breaker'), key(bank, 'probe')
if redis.call('HGET', breaker, 'state') ~= 'open' then return 0 end
if what == 'take' then
  if tonumber(redis.call('HGET', breaker, 'opens_until')) > now then return 0 end
  if redis.call('SET', probe, token, 'NX', 'EX', ARGV[4]) then return 1 end
  return 0
end
if redis.call('GET', probe) ~= token then return 0 end
redis.call('DEL', probe)
if what == 'answered' then
  redis.call('HDEL', breaker, 'state', 'failures', 'opens_until', 'wait_s', 'opened_at')
  redis.call('HSET', breaker, 'closed_at', now)
  redis.call('DEL', key(bank, 'rate'))
  redis.call('EXPIRE', breaker, 3600)
else
  local wait = math.min(tonumber(redis.call('HGET', breaker, 'wait_s')) * 2, tonumber(ARGV[5]))
  redis.call('HSET', breaker, 'opens_until', now + wait, 'wait_s', wait)
  redis.call('EXPIRE', breaker, 86400)
end
return 1
"""
)

# ARGV: banks. Per bank: state, failures, seconds until a probe, rate of the ramp (below 1,024 a second), in flight.
LOOK = (
    _START
    + """
local seen = {}
for i = 1, #ARGV do
  local breaker = key(ARGV[i], 'breaker')
  local fields = redis.call('HMGET', breaker, 'state', 'failures', 'opens_until', 'hold_until')
  local opens_in = fields[3] and tostring(math.max(0, tonumber(fields[3]) - now)) or ''
  if not fields[1] and fields[4] and tonumber(fields[4]) > now then
    fields[1], opens_in = 'held', tostring(tonumber(fields[4]) - now)
  end
  local ramp = ramped(ARGV[i], 1024 * speed)
  seen[i] = {fields[1] or 'closed', tonumber(fields[2] or '0'), opens_in, ramp < 1024 * speed and tostring(ramp) or '',
    redis.call('ZCOUNT', key(ARGV[i], 'flight'), now, '+inf')}
end
return seen
"""
)
