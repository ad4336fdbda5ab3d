-- Forgets what ended before a time, and of the oldest what is not there any more.
-- KEYS: see hooks_add. ARGV: 1 that (ms), 2 how many at most.
-- Answers how many.
local hooks = KEYS[1]
local ids = redis.call('ZRANGEBYSCORE', hooks .. 'ended', '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do
    local job = redis.call('HGET', hooks .. 'd:' .. id, 'job')
    redis.call('DEL', hooks .. 'd:' .. id)
    redis.call('ZREM', hooks .. 'ended', id)
    redis.call('ZREM', hooks .. 'log', id)
    if job then
        redis.call('ZREM', hooks .. 'job:' .. job, id)
    end
end
for _, id in ipairs(redis.call('ZRANGE', hooks .. 'log', 0, 99)) do
    if redis.call('EXISTS', hooks .. 'd:' .. id) == 0 then
        redis.call('ZREM', hooks .. 'log', id)
    end
end
return #ids
