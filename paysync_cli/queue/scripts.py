"""The server-side scripts, over RQ's documented keys. Redis TIME decides; every loop is bounded by its caller.

They name their keys themselves (no cluster), so that they work under any RQ_KEY_PREFIX.
"""

from __future__ import annotations

# ARGV: prefix, database id, timestamp, result_ttl, failure_ttl, timeout, then (queue, job id, data, description)...
# Pushes each job unless that very id is queued or started. Returns how many were pushed, or -1 and the id of the
# other database that these queues belong to.
PUSH = """
local prefix, database, stamp = ARGV[1], ARGV[2], ARGV[3]
local owner = redis.call('GET', 'paysync:database')
if owner and owner ~= database then return {-1, owner} end
if not owner then redis.call('SET', 'paysync:database', database) end
local now = tonumber(redis.call('TIME')[1])
local jobs, seen = {}, {}
for i = 7, #ARGV, 4 do
  local id = ARGV[i + 1]
  jobs[#jobs + 1] = {queue = ARGV[i], id = id, data = ARGV[i + 2], description = ARGV[i + 3]}
  seen[#seen + 1], seen[#seen + 2] = prefix .. ':job:' .. id, prefix .. ':executions:' .. id
end
-- Nearly always none of the ids was ever here: one look says so for all.
local strange = #seen > 0 and redis.call('EXISTS', unpack(seen)) > 0
local function busy(job)
  local list = prefix .. ':queue:' .. job.queue
  if redis.call('EXISTS', prefix .. ':job:' .. job.id) == 1 and redis.call('LPOS', list, job.id) then return true end
  for _, execution in ipairs(redis.call('ZRANGE', prefix .. ':executions:' .. job.id, 0, -1)) do
    local lease = redis.call('ZSCORE', prefix .. ':wip:' .. job.queue, job.id .. ':' .. execution)
    if lease and tonumber(lease) > now then return true end
  end
  redis.call('DEL', prefix .. ':job:' .. job.id)
  return false
end
local pushed, by_queue = 0, {}
for _, job in ipairs(jobs) do
  if not (strange and busy(job)) then
    redis.call('HSET', prefix .. ':job:' .. job.id, 'created_at', stamp, 'enqueued_at', stamp, 'origin', job.queue,
      'status', 'queued', 'data', job.data, 'description', job.description, 'timeout', ARGV[6], 'result_ttl', ARGV[4],
      'failure_ttl', ARGV[5])
    local ids = by_queue[job.queue] or {}
    ids[#ids + 1], by_queue[job.queue] = job.id, ids
    pushed = pushed + 1
  end
end
for queue, ids in pairs(by_queue) do
  for _, name in ipairs({'finished', 'failed'}) do
    redis.call('ZREM', prefix .. ':' .. name .. ':' .. queue, unpack(ids))
  end
  redis.call('SADD', prefix .. ':queues', prefix .. ':queue:' .. queue)
  redis.call('RPUSH', prefix .. ':queue:' .. queue, unpack(ids))
end
if pushed > 0 then redis.call('PUBLISH', 'paysync:wake', 'pushed') end
return {pushed, ''}
"""

# ARGV: prefix, worker, timestamp, lease seconds, how many, high, medium, low, then an execution id per job wanted.
# Pops a batch and marks it started, in one step: no job is ever between two lists. High before medium before low,
# except that every eighth job comes from medium and low in turn when they have any. Returns (queue, id, execution,
# data) per job; data is false when the hash is gone or carries what we never write (callbacks, webhooks, dependencies).
CLAIM = """
local prefix, worker, stamp, lease = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if redis.call('EXISTS', prefix .. ':suspended') == 1 then return {} end
local orders = {
  {ARGV[6], ARGV[7], ARGV[8]},
  {ARGV[7], ARGV[8], ARGV[6]},
  {ARGV[8], ARGV[7], ARGV[6]},
}
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local turn = tonumber(redis.call('GET', 'paysync:turn') or '0')
local wanted, popped = tonumber(ARGV[5]), {}
local function pop(order, most)
  local left = most
  for _, name in ipairs(order) do
    local ids = left > 0 and redis.call('LPOP', prefix .. ':queue:' .. name, left) or {}
    for _, id in ipairs(ids) do popped[#popped + 1] = {name, id} end
    left = left - #ids
  end
  turn = turn + most - left
  return left == 0
end
while #popped < wanted do
  local plain = math.min(7 - turn % 8, wanted - #popped)
  local full
  if plain > 0 then full = pop(orders[1], plain) else full = pop(orders[2 + math.floor((turn + 1) / 8 + 1) % 2], 1) end
  if not full then break end
end
local taken, wip, mine = {}, {}, {}
for n, one in ipairs(popped) do
  local queue, id, execution = one[1], one[2], ARGV[8 + n]
  local composite, job = id .. ':' .. execution, prefix .. ':job:' .. id
  redis.call('HSET', prefix .. ':execution:' .. composite, 'id', execution, 'job_id', id, 'created_at', now,
    'last_heartbeat', now, 'worker_name', worker)
  redis.call('EXPIRE', prefix .. ':execution:' .. composite, lease + 60)
  redis.call('ZADD', prefix .. ':executions:' .. id, now + lease + 60, execution)
  redis.call('EXPIRE', prefix .. ':executions:' .. id, lease + 60)
  local leases = wip[queue] or {}
  leases[#leases + 1], leases[#leases + 2], wip[queue] = now + lease, composite, leases
  mine[n] = composite
  local fields = redis.call('HMGET', job, 'data', 'success_callback_name', 'failure_callback_name',
    'stopped_callback_name', 'webhooks', 'dependency_id', 'dependency_ids', 'repeats_left', 'group_id')
  local data = fields[1]
  for f = 2, #fields do if fields[f] and fields[f] ~= '' then data = false end end
  if data then
    redis.call('HSET', job, 'status', 'started', 'started_at', stamp, 'last_heartbeat', stamp, 'worker_name', worker)
  end
  taken[n] = {queue, id, execution, data}
end
if #taken > 0 then
  for queue, leases in pairs(wip) do redis.call('ZADD', prefix .. ':wip:' .. queue, unpack(leases)) end
  redis.call('SADD', prefix .. ':worker:' .. worker .. ':executions', unpack(mine))
  redis.call('SET', 'paysync:turn', turn)
  redis.call('EXPIRE', prefix .. ':worker:' .. worker .. ':executions', lease + 120)
  local worker_key = prefix .. ':worker:' .. worker
  if redis.call('EXISTS', worker_key) == 1 then redis.call('HSET', worker_key, 'state', 'busy') end
end
return taken
"""

# ARGV: prefix, worker, timestamp, finished ttl, keep, seconds worked, high, medium, low, then (queue, id, execution,
# how)... `how` is finished (kept in the registry) or gone (no trace). A job counts only if it still was ours: its
# removal from the started registry says so. Then the oldest finished jobs go until `keep` are left in all three
# queues together, at most a few hundred at a time. Returns how many were still ours.
_FINISH_JOBS = """
local prefix, worker, stamp, ttl, keep = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local queues = {ARGV[7], ARGV[8], ARGV[9]}
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local jobs, by_queue, executions, spent = {}, {}, {}, {}
for i = 10, #ARGV, 4 do
  local queue, id, execution, how = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local composite = id .. ':' .. execution
  local composites = by_queue[queue] or {named = {}}
  by_queue[queue] = composites
  if not composites.named[composite] then
    composites[#composites + 1], composites.named[composite] = composite, true
    jobs[#jobs + 1] = {queue = queue, id = id, execution = execution, composite = composite, how = how}
    executions[#executions + 1] = composite
    spent[#spent + 1] = prefix .. ':execution:' .. composite
  end
end
local held = {}
for queue, composites in pairs(by_queue) do
  local leases = redis.call('ZMSCORE', prefix .. ':wip:' .. queue, unpack(composites))
  for n, composite in ipairs(composites) do held[composite] = leases[n] end
  redis.call('ZREM', prefix .. ':wip:' .. queue, unpack(composites))
end
local ours, finished = 0, {}
for _, job in ipairs(jobs) do
  if held[job.composite] then
    ours = ours + 1
    spent[#spent + 1] = prefix .. ':executions:' .. job.id
    if job.how == 'finished' and keep > 0 then finished[#finished + 1] = job
    else spent[#spent + 1] = prefix .. ':job:' .. job.id end
  else
    redis.call('ZREM', prefix .. ':executions:' .. job.id, job.execution)
  end
end
if #executions > 0 then redis.call('SREM', prefix .. ':worker:' .. worker .. ':executions', unpack(executions)) end
local kept = {}
for n, job in ipairs(finished) do
  local queue, id = job.queue, job.id
  if n <= #finished - keep then
    spent[#spent + 1] = prefix .. ':job:' .. id  -- more than are kept ended together: these would go at once
  else
    redis.call('HSET', prefix .. ':job:' .. id, 'status', 'finished', 'ended_at', stamp)
    redis.call('EXPIRE', prefix .. ':job:' .. id, ttl)
    local scores = kept[queue] or {}
    scores[#scores + 1], scores[#scores + 2], kept[queue] = now + ttl + n / 1000000, id, scores
  end
end
for queue, scores in pairs(kept) do redis.call('ZADD', prefix .. ':finished:' .. queue, unpack(scores)) end
if #spent > 0 then redis.call('UNLINK', unpack(spent)) end
local worker_key = prefix .. ':worker:' .. worker
if redis.call('EXISTS', worker_key) == 1 then
  if ours > 0 then
    redis.call('HINCRBY', worker_key, 'successful_job_count', ours)
    redis.call('HINCRBYFLOAT', worker_key, 'total_working_time', ARGV[6])
  end
  local left = redis.call('SCARD', worker_key .. ':executions')
  redis.call('HSET', worker_key, 'state', left > 0 and 'busy' or 'idle')
end
"""

# Part of FINISH and of TRIM: removes the oldest of a registry kind until `keep` are left over all queues.
_TRIM_LOOP = """
local function trim(prefix, kind, queues, keep, most)
  local total = 0
  for _, queue in ipairs(queues) do total = total + redis.call('ZCARD', prefix .. ':' .. kind .. ':' .. queue) end
  local over, oldest = math.min(total - keep, most), {}
  if over <= 0 then return 0 end
  for place, queue in ipairs(queues) do
    local found = redis.call('ZRANGE', prefix .. ':' .. kind .. ':' .. queue, 0, over - 1, 'WITHSCORES')
    for n = 1, #found, 2 do oldest[#oldest + 1] = {tonumber(found[n + 1]), place, found[n], (n + 1) / 2} end
  end
  table.sort(oldest, function(a, b)
    if a[1] ~= b[1] then return a[1] < b[1] end
    if a[2] ~= b[2] then return a[2] < b[2] end
    return a[4] < b[4]
  end)
  local gone, keys = {}, {}
  for n = 1, over do
    local place, id = oldest[n][2], oldest[n][3]
    local ids = gone[place] or {}
    ids[#ids + 1], gone[place] = id, ids
    for _, key in ipairs({':job:' .. id, ':results:' .. id, ':job:' .. id .. ':dependents',
        ':job::' .. id .. ':dependencies', ':executions:' .. id}) do keys[#keys + 1] = prefix .. key end
  end
  for place, ids in pairs(gone) do redis.call('ZREM', prefix .. ':' .. kind .. ':' .. queues[place], unpack(ids)) end
  redis.call('UNLINK', unpack(keys))
  return over
end
"""

FINISH = _TRIM_LOOP + _FINISH_JOBS + "trim(prefix, 'finished', queues, keep, 500)\nreturn ours\n"

# ARGV: prefix, kind, keep, the most to remove, high, medium, low. Returns how many went.
TRIM = _TRIM_LOOP + "return trim(ARGV[1], ARGV[2], {ARGV[5], ARGV[6], ARGV[7]}, tonumber(ARGV[3]), tonumber(ARGV[4]))\n"

# ARGV: prefix, kind, keep, age (empty, or the seconds that are taken from the clock to get the highest score that may
# go), high, medium, low. Finds the last of the jobs that may go, in the order score, queue, id over all queues, by
# halving: nothing is read but ranks. Returns how many there are, how many may go, and that last one's score, the
# position of its queue, its id.
FIND_SPENT = """
local prefix, kind, keep, age = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local keys, sizes, total = {}, {}, 0
for i = 1, 3 do
  keys[i] = prefix .. ':' .. kind .. ':' .. ARGV[4 + i]
  sizes[i] = redis.call('ZCARD', keys[i])
  total = total + sizes[i]
end
local matched = math.max(0, total - keep)
if age ~= '' then
  local old, time = 0, redis.call('TIME')
  local newest = string.format('%.6f', tonumber(time[1]) + tonumber(time[2]) / 1000000 - tonumber(age))
  for i = 1, 3 do old = old + redis.call('ZCOUNT', keys[i], '-inf', newest) end
  matched = math.min(matched, old)
end
if matched == 0 then return {total, 0} end
local function place(i, rank)
  local found = redis.call('ZRANGE', keys[i], rank, rank, 'WITHSCORES')
  local before = rank + 1
  for other = 1, 3 do
    if other < i then before = before + redis.call('ZCOUNT', keys[other], '-inf', found[2]) end
    if other > i then before = before + redis.call('ZCOUNT', keys[other], '-inf', '(' .. found[2]) end
  end
  return before, found
end
for i = 1, 3 do
  local low, high = 0, sizes[i] - 1
  while low <= high do
    local middle = math.floor((low + high) / 2)
    local before, found = place(i, middle)
    if before == matched then return {total, matched, found[2], i, found[1]} end
    if before < matched then low = middle + 1 else high = middle - 1 end
  end
end
return redis.error_reply('no spent job at place ' .. matched)
"""

# ARGV: prefix, kind, the most to remove, then what FIND_SPENT found: score, position, id; then high, medium, low.
# Removes the oldest spent jobs up to and with that one. Returns how many went.
DROP_SPENT = """
local prefix, kind, most, last_place, last_id = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[5]), ARGV[6]
local last_score = tonumber(ARGV[4])
local function may_go(score, place, id)
  if score ~= last_score then return score < last_score end
  if place ~= last_place then return place < last_place end
  return id <= last_id
end
local lists, at = {}, {1, 1, 1}
for i = 1, 3 do
  lists[i] = redis.call('ZRANGE', prefix .. ':' .. kind .. ':' .. ARGV[6 + i], 0, most - 1, 'WITHSCORES')
end
local removed, keys = 0, {}
while removed < most do
  local oldest, place, score
  for i = 1, 3 do
    local first = tonumber(lists[i][at[i] + 1])
    if first and (not score or first < score) then oldest, place, score = lists[i][at[i]], i, first end
  end
  if not oldest or not may_go(score, place, oldest) then break end
  at[place] = at[place] + 2
  local n, job = 5 * removed, prefix .. ':job:' .. oldest
  keys[n + 1], keys[n + 2], keys[n + 3] = job, prefix .. ':results:' .. oldest, job .. ':dependents'
  keys[n + 4], keys[n + 5] = prefix .. ':job::' .. oldest .. ':dependencies', prefix .. ':executions:' .. oldest
  removed = removed + 1
end
if removed > 0 then redis.call('UNLINK', unpack(keys)) end
for i = 1, 3 do
  if at[i] > 1 then
    redis.call('ZREMRANGEBYRANK', prefix .. ':' .. kind .. ':' .. ARGV[6 + i], 0, (at[i] - 1) / 2 - 1)
  end
end
return removed
"""

# ARGV: prefix, queue, job id. Removes the job's executions, found by the started registry itself: it is bounded by
# what the workers run, and the job's own index expires before an outage ends.
FORGET = """
local prefix, queue, id = ARGV[1], ARGV[2], ARGV[3]
local wip = prefix .. ':wip:' .. queue
for _, member in ipairs(redis.call('ZRANGE', wip, 0, -1)) do
  if string.sub(member, 1, #id + 1) == id .. ':' then
    redis.call('ZREM', wip, member)
    redis.call('DEL', prefix .. ':execution:' .. member)
  end
end
redis.call('DEL', prefix .. ':executions:' .. id)
return 0
"""

# ARGV: prefix, worker, worker ttl, lease seconds, timestamp, then (queue, id, execution)... Renews the worker's beat
# and the leases of what it runs; a lease that somebody ended is not revived. Returns 0 when the worker's own key is
# gone (it must register again).
BEAT = """
local prefix, worker, ttl, lease, stamp = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
for i = 6, #ARGV, 3 do
  local composite = ARGV[i + 1] .. ':' .. ARGV[i + 2]
  if redis.call('ZADD', prefix .. ':wip:' .. ARGV[i], 'XX', 'CH', now + lease, composite) == 1 then
    redis.call('HSET', prefix .. ':execution:' .. composite, 'last_heartbeat', now)
    redis.call('EXPIRE', prefix .. ':execution:' .. composite, lease + 60)
    redis.call('ZADD', prefix .. ':executions:' .. ARGV[i + 1], 'XX', now + lease + 60, ARGV[i + 2])
    redis.call('EXPIRE', prefix .. ':executions:' .. ARGV[i + 1], lease + 60)
  end
end
local key = prefix .. ':worker:' .. worker
if redis.call('EXISTS', key) == 0 then return 0 end
redis.call('HSET', key, 'last_heartbeat', stamp, 'state', #ARGV > 5 and 'busy' or 'idle')
redis.call('EXPIRE', key, ttl)
redis.call('EXPIRE', key .. ':executions', ttl)
return 1
"""
