-- Drops uploads that nobody has touched for long.
-- KEYS: see work_create. ARGV: 2 touched before (ms), 3 how many at most.
-- Answers their ids.
local dropped = {}
local time = redis.call('TIME')
local ms = math.floor(time[1] * 1000 + time[2] / 1000)
for _, job in ipairs(redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', '(' .. ARGV[2],
    'LIMIT', 0, ARGV[3])) do
    local state, over = unpack(redis.call('HMGET', KEYS[1] .. job, 'state', 'over'))
    redis.call('ZREM', KEYS[6], job)
    redis.call('ZREM', KEYS[9], job)
    if state == 'open' or state == 'dropped' then
        redis.call('DEL', KEYS[1] .. job)
        dropped[#dropped + 1] = job
        if over == '1' then
            redis.call('ZADD', KEYS[8], ms, job)
        end
    end
end
return dropped
