-- Somebody wants a work gone.
-- KEYS: see work_create. ARGV: 2 id.
-- Answers {"ok"} (a worker will end it), {"state"} (it was open, and is gone) or {"missing"}.
local state, queue, entry, worker, token, over = unpack(redis.call('HMGET', KEYS[1],
    'state', 'queue', 'entry', 'worker', 'token', 'over'))
if not state then
    return {'missing'}
end
if state == 'open' then
    redis.call('DEL', KEYS[1])
    redis.call('ZREM', KEYS[6], ARGV[2])
    redis.call('ZREM', KEYS[9], ARGV[2])
    if over == '1' then
        local time = redis.call('TIME')
        redis.call('ZADD', KEYS[8], math.floor(time[1] * 1000 + time[2] / 1000), ARGV[2])
    end
    return {'state'}
end
if state == 'dropped' or redis.call('HGET', KEYS[1], 'cancel') == '1' then
    return {'ok'}
end
redis.call('HSET', KEYS[1], 'cancel', '1')
if state == 'leased' then
    redis.call('PUBLISH', ARGV[1] .. 'worker:' .. worker, ARGV[2] .. ' ' .. token)
    return {'ok'}
end
-- Nobody is to wait for its turn, or its backoff, to be told that it is over.
if state == 'queued' then
    redis.call('XDEL', KEYS[1 + tonumber(queue)], entry)
end
redis.call('ZREM', KEYS[5], ARGV[2])
redis.pcall('XGROUP', 'CREATE', KEYS[2], 'workers', '0', 'MKSTREAM')
entry = redis.call('XADD', KEYS[2], '*', 'job', ARGV[2])
redis.call('HSET', KEYS[1], 'state', 'queued', 'queue', '1', 'entry', entry)
redis.call('PUBLISH', ARGV[1] .. 'wake', ARGV[2])
return {'ok'}
