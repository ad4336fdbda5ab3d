-- The end of a lease, by its holder.
-- KEYS: see work_create. ARGV: 2 id, 3 token, 4 "finish", "reopen", "retry" or "release",
--   5 spec (reopen) or why (retry), 6 backoff (ms; retry), 7 how long it is known who ended what
--   had been taken over (ms).
-- Answers {"ok"} (also to a repetition), {"stale"}, or {"missing"}: Redis has lost the work, or
--   knows an older moment of it.
local state, token, queue, entry, cancel, attempts, priority, over = unpack(redis.call('HMGET',
    KEYS[1], 'state', 'token', 'queue', 'entry', 'cancel', 'attempts', 'priority', 'over'))
local mine, what = tonumber(ARGV[3]), ARGV[4]
if not state then
    if what == 'finish' then
        return {'ok'}
    end
    return {redis.call('ZSCORE', KEYS[8], ARGV[2]) and 'stale' or 'missing'}
end
token = tonumber(token)
if token > mine then
    return {'stale'}
end
if token < mine and what ~= 'finish' then
    return {'missing'}
end
if token == mine and state ~= 'leased' then
    return {'ok'}
end
-- Whoever gives it back and does not hear the answer says so again later: it must not take a work
-- that another has ended meanwhile for one that Redis has lost.
if what ~= 'finish' then
    redis.call('HSET', KEYS[1], 'over', '1')
end
local time = redis.call('TIME')
local ms = math.floor(time[1] * 1000 + time[2] / 1000)

local function requeue(to)
    redis.pcall('XGROUP', 'CREATE', KEYS[1 + tonumber(to)], 'workers', '0', 'MKSTREAM')
    local id = redis.call('XADD', KEYS[1 + tonumber(to)], '*', 'job', ARGV[2])
    redis.call('HSET', KEYS[1], 'state', 'queued', 'queue', to, 'entry', id, 'worker', '')
    redis.call('PUBLISH', ARGV[1] .. 'wake', ARGV[2])
end

if entry and entry ~= '' then
    redis.call('XACK', KEYS[1 + tonumber(queue)], 'workers', entry)
    redis.call('XDEL', KEYS[1 + tonumber(queue)], entry)
end
if what == 'finish' then
    redis.call('DEL', KEYS[1])
    redis.call('ZREM', KEYS[5], ARGV[2])
    redis.call('ZREM', KEYS[6], ARGV[2])
    redis.call('ZREMRANGEBYSCORE', KEYS[8], '-inf', ms - tonumber(ARGV[7]))
    if over == '1' then
        -- Who held it before must not take its absence for a loss, and put it back.
        redis.call('ZADD', KEYS[8], ms, ARGV[2])
    end
elseif what == 'reopen' then
    -- Cancelled meanwhile: it takes no chunks, and is the next to go as stale.
    local is_wanted = cancel ~= '1'
    redis.call('HSET', KEYS[1], 'state', is_wanted and 'open' or 'dropped', 'step', '',
        'spec', ARGV[5], 'place', '', 'entry', '', 'worker', '', 'touched', string.format('%.0f', ms))
    redis.call('ZADD', KEYS[6], is_wanted and ms or 0, ARGV[2])
elseif what == 'retry' then
    redis.call('HSET', KEYS[1], 'why', ARGV[5])
    if cancel == '1' then
        requeue('1')
    else
        redis.call('HSET', KEYS[1], 'state', 'delayed', 'entry', '', 'worker', '')
        redis.call('ZADD', KEYS[5], ms + tonumber(ARGV[6]), ARGV[2])
    end
else
    redis.call('HSET', KEYS[1], 'attempts', string.format('%.0f', tonumber(attempts) - 1))
    requeue('1')
end
if queue and redis.call('XLEN', KEYS[1 + tonumber(queue)]) == 0 then
    redis.call('DEL', KEYS[1 + tonumber(queue)])
end
return {'ok'}
