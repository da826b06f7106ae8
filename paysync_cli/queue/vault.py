"""What Redis keeps for the logins of all workers: the sealed token, the lease of the one who logs in, the wait after
logins without an answer. Caches and leases only: whoever loses them loses nothing but a login.

Keys: `paysync:bank:<name>:token` (hash: credential's fingerprint -> token), `:login` (lease, with an end),
`:login-wait` (hash: next_at, failures, `rejected:<fingerprint>` = the mark of the last rejected token). What stands
there and is not ours, of a wrong type, without an end or with one too far away, counts as absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from paysync_cli.queue.client import QueueClient

LOGIN_LEASE_S = 45.0  # longer than the longest login
LONGEST_WAIT_S = 3600.0  # a bank's Retry-After counts up to an hour


@dataclass(frozen=True, slots=True)
class ShelvedToken:
    """A token as it lies in Redis; its ends count from now, in real seconds."""

    mark: str
    sealed: bytes
    refresh_in_s: float
    expires_in_s: float
    on_trial: bool


class Turn(StrEnum):
    """Whether one may log in."""

    GO = "go"
    TOKEN = "token"  # noqa: S105 - no need: there is a fresh one
    BUSY = "busy"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Taken:
    """`wait_s`: with GO how long nobody may log in again unless this login is answered, with WAIT how long it is."""

    turn: Turn
    wait_s: float = 0.0
    token: ShelvedToken | None = None


class TokenShelf:
    """One credential's place in Redis. `owner` names who logs in. Raises RedisUnavailable.

    `speed` is the clock's: waits are given and told in its seconds.
    """

    def __init__(self, client: QueueClient, bank: str, fingerprint: str, speed: float = 1.0) -> None:
        self._to = [bank, fingerprint]
        self._speed = speed
        self._read = client.script(READ)
        self._busy = client.script(BUSY)
        self._take = client.script(TAKE)
        self._store = client.script(STORE)
        self._fail = client.script(FAIL)
        self._give_back = client.script(GIVE_BACK)
        self._accept = client.script(ACCEPT)
        self._discard = client.script(DISCARD)
        self._stop = client.script(STOP)
        self._pardon = client.script(PARDON)
        self._drop = client.script(DROP)

    def read(self) -> tuple[ShelvedToken | None, str]:
        """The token, and the mark of the last one that was rejected (empty when none was)."""
        found, rejected = self._read(self._to)
        return _token(found), rejected.decode(errors="replace")

    def is_busy(self) -> bool:
        """Whether somebody has the turn."""
        return bool(self._busy([*self._to, round(LOGIN_LEASE_S * 1000)]))

    def take(self, owner: str, first_wait_s: float, max_wait_s: float) -> Taken:
        """Take the one turn to log in; with GO this login counts as unanswered already."""
        pace = self._speed
        arguments = [owner, round(LOGIN_LEASE_S * 1000), first_wait_s / pace, max_wait_s / pace, LONGEST_WAIT_S / pace]
        word, wait, token = self._take([*self._to, *arguments])
        return Taken(Turn(word.decode()), float(wait) * pace, _token(token))

    def store(self, owner: str, token: ShelvedToken) -> bool | None:
        """End the turn with a token. Whether it is on trial; None when the turn was lost and the token not kept."""
        ends = [token.refresh_in_s, token.expires_in_s, int(token.on_trial)]
        answer = int(self._store([*self._to, owner, token.mark, token.sealed, *ends]))
        return None if answer < 0 else bool(answer)

    def fail(self, owner: str, wait_s: float = 0.0) -> float:
        """End the turn without a token; nobody logs in for at least `wait_s`. The seconds until somebody may."""
        return float(self._fail([*self._to, owner, wait_s / self._speed])) * self._speed

    def give_back(self, owner: str) -> None:
        """End the turn: no login was sent, so none counts."""
        self._give_back([*self._to, owner])

    def accept(self, mark: str) -> None:
        """This token is no longer on trial."""
        self._accept([*self._to, mark])

    def discard(self, owner: str, mark: str, *, again: bool) -> str:
        """Forget this token if it is still there: `gone`, `trial` (gone, and was on trial), `replaced`, `unknown`.

        For `trial`, and for `gone` with `again`, the turn to log in is taken, so that nobody does before `stop`.
        """
        found = self._discard([*self._to, owner, mark, int(again), round(LOGIN_LEASE_S * 1000)])
        return str(found.decode())

    def stop(self, owner: str) -> None:
        """The stop is in SQL: forget token and waits, end the turn."""
        self._stop([*self._to, owner])

    def pardon(self) -> None:
        """Forget the waits, also the gate's: the next login may be tried now."""
        self._pardon(self._to)

    def drop(self, sealed: bytes) -> None:
        """Remove content that nobody can open, if it is still that."""
        self._drop([*self._to, sealed])


def _token(found: Any) -> ShelvedToken | None:
    if not found:
        return None
    mark, refresh_in, expires_in, on_trial, sealed = found
    return ShelvedToken(mark.decode(), sealed, float(refresh_in), float(expires_in), on_trial == b"1")


# ARGV: bank, fingerprint, then each script's own.
_START = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local fingerprint = ARGV[2]
local function key(what, kind)
  local name = 'paysync:bank:' .. ARGV[1] .. ':' .. what
  local found = redis.call('TYPE', name)['ok']
  if found ~= 'none' and found ~= kind then redis.call('DEL', name) end
  return name
end
local tokens, lease, wait = key('token', 'hash'), key('login', 'string'), key('login-wait', 'hash')
local function parse(raw)
  local mark, refresh, ends, trial, sealed = string.match(raw, '^(%x+) (%d+%.%d+) (%d+%.%d+) ([01]) (%S+)$')
  if not mark or #mark > 64 or #sealed > 32768 then return nil end
  refresh, ends = math.min(tonumber(refresh), tonumber(ends)), tonumber(ends)
  if ends <= now or ends - now > 172800 then return nil end
  return {mark = mark, refresh = refresh, ends = ends, trial = trial, sealed = sealed}
end
local function current()
  local raw = redis.call('HGET', tokens, fingerprint)
  return raw and parse(raw)
end
local function put(token)
  redis.call('HSET', tokens, fingerprint, string.format('%s %.6f %.6f %s %s',
    token.mark, token.refresh, token.ends, token.trial, token.sealed))
end
local function told(token)
  if not token then return {} end
  return {token.mark, tostring(token.refresh - now), tostring(token.ends - now), token.trial, token.sealed}
end
local function number(name)
  local found = tonumber(redis.call('HGET', wait, name) or '') or 0
  if found >= 0 then return found end
  return 0
end
local function free(owner)
  if redis.call('GET', lease) == owner then redis.call('DEL', lease) end
end
local function hold(owner, ms)
  redis.call('SET', lease, owner, 'PX', ms)
end
local function held(ms)
  local left = redis.call('PTTL', lease)
  if left == -1 or left > tonumber(ms) then redis.call('DEL', lease) return false end
  return left > 0
end
local function keep_wait() redis.call('EXPIRE', wait, 86400) end
"""

READ = _START + "return {told(current()), redis.call('HGET', wait, 'rejected:' .. fingerprint) or ''}"

# lease ms.
BUSY = _START + "return held(ARGV[3]) and 1 or 0"

# owner, lease ms, first wait, longest growing wait, longest wait.
TAKE = (
    _START
    + """
local owner, ms, first, most, longest = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local token = current()
if token and token.refresh > now then return {'token', '0', told(token)} end
if held(ms) then return {'busy', '0', {}} end
local next_at = number('next_at')
if next_at > now and next_at - now <= longest then return {'wait', tostring(next_at - now), {}} end
local failures = number('failures') + 1
if not (failures < 1000) then failures = 1 end
local pause = math.min(first * 2 ^ math.min(failures - 1, 10), most)
hold(owner, ms)
redis.call('HSET', wait, 'failures', string.format('%d', failures), 'next_at', string.format('%.6f', now + pause))
keep_wait()
return {'go', tostring(pause), {}}
"""
)

# owner, mark, sealed, refresh in, expires in, on trial. A turn that was lost to somebody else keeps nothing.
STORE = (
    _START
    + """
local owner, rejected = ARGV[3], 'rejected:' .. fingerprint
local holder, there = redis.call('GET', lease), current()
if holder ~= owner and (holder or (there and there.refresh > now)) then return -1 end
local trial = ARGV[8]
if redis.call('HEXISTS', wait, rejected) == 1 then trial = '1' end
for _, name in ipairs(redis.call('HKEYS', tokens)) do
  if not parse(redis.call('HGET', tokens, name)) then redis.call('HDEL', tokens, name) end
end
put({mark = ARGV[4], refresh = now + tonumber(ARGV[6]), ends = now + tonumber(ARGV[7]), trial = trial,
  sealed = ARGV[5]})
redis.call('PEXPIRE', tokens, math.ceil(math.max(tonumber(ARGV[7]) * 1000, redis.call('PTTL', tokens))))
redis.call('HDEL', wait, 'failures', 'next_at', rejected)
free(owner)
return tonumber(trial)
"""
)

# owner, wait.
FAIL = (
    _START
    + """
free(ARGV[3])
local asked, next_at = now + tonumber(ARGV[4]), number('next_at')
if asked > next_at and asked > now then
  next_at = asked
  redis.call('HSET', wait, 'next_at', string.format('%.6f', next_at))
  keep_wait()
end
return tostring(math.max(0, next_at - now))
"""
)

# owner. Whoever got the turn found no wait: there is none to bring back.
GIVE_BACK = (
    _START
    + """
if redis.call('GET', lease) == ARGV[3] then
  redis.call('HSET', wait, 'failures', string.format('%d', math.max(0, number('failures') - 1)))
  redis.call('HDEL', wait, 'next_at')
  free(ARGV[3])
end
"""
)

# mark.
ACCEPT = (
    _START
    + """
local token = current()
if token and token.mark == ARGV[3] and token.trial == '1' then
  token.trial = '0'
  put(token)
end
"""
)

# owner, mark, again, lease ms.
DISCARD = (
    _START
    + """
local token = current()
if token and token.mark ~= ARGV[4] then return 'replaced' end
redis.call('HSET', wait, 'rejected:' .. fingerprint, ARGV[4])
keep_wait()
if not token then return 'unknown' end
redis.call('HDEL', tokens, fingerprint)
if (token.trial == '1' or ARGV[5] == '1') and not held(ARGV[6]) then hold(ARGV[3], ARGV[6]) end
return token.trial == '1' and 'trial' or 'gone'
"""
)

# owner.
STOP = (
    _START
    + """
local token = current()
if token then
  redis.call('HSET', wait, 'rejected:' .. fingerprint, token.mark)
  redis.call('HDEL', tokens, fingerprint)
  keep_wait()
end
redis.call('HDEL', wait, 'failures', 'next_at')
free(ARGV[3])
"""
)

PARDON = (
    _START
    + """
redis.call('HDEL', wait, 'failures', 'next_at')
redis.call('HDEL', key('breaker', 'hash'), 'hold_until')
"""
)

# sealed.
DROP = (
    _START
    + """
local token = current()
if token and token.sealed == ARGV[3] then redis.call('HDEL', tokens, fingerprint) end
"""
)
