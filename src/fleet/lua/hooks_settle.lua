-- What an attempt came to.
-- KEYS: see hooks_add. ARGV: 1 id, 2 state, 3 attempts with this one, 4 status, 5 why, 6 when it is
--   tried again (of a pending one), 7 the round that it was of.
-- Answers "ok"; "stale": another has told what came of it.
local hooks = KEYS[1]
local key = hooks .. 'd:' .. ARGV[1]
local state, attempts, hash, job, round = unpack(redis.call('HMGET', key, 'state', 'attempts',
    'hash', 'job', 'round'))
if state ~= 'pending' or (round or '0') ~= ARGV[7] or
    tonumber(attempts) + 1 ~= tonumber(ARGV[3]) then
    return 'stale'
end
local due = hooks .. 'due:' .. hash
redis.call('HSET', key, 'state', ARGV[2], 'attempts', ARGV[3], 'status', ARGV[4], 'why', ARGV[5])
if ARGV[2] == 'pending' then
    redis.call('ZADD', due, ARGV[6], ARGV[1])
    return 'ok'
end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local turn = hooks .. 'turn:' .. hash .. ':' .. job
redis.call('ZREM', due, ARGV[1])
redis.call('HSET', key, 'ended', now)
redis.call('ZADD', hooks .. 'ended', now, ARGV[1])
redis.call('LREM', turn, 1, ARGV[1])
local following = redis.call('LINDEX', turn, 0)
if following and not redis.call('ZSCORE', due, following) then
    redis.call('ZADD', due, now, following)
end
return 'ok'
