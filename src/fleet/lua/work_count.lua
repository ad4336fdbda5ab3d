-- How much work there is.
-- KEYS: see work_create. ARGV: 2 a node is alive that was heard of within (ms).
-- Answers {queued, leased, delayed, open, workers}.
local queued, leased = 0, 0
for q = 2, 4 do
    local len = redis.call('XLEN', KEYS[q])
    if len > 0 then
        local pending = redis.pcall('XPENDING', KEYS[q], 'workers')
        local held = pending.err and 0 or math.min(pending[1], len)
        queued = queued + len - held
        leased = leased + held
    end
end
local time = redis.call('TIME')
local since = math.floor(time[1] * 1000 + time[2] / 1000) - tonumber(ARGV[2])
return {queued, leased, redis.call('ZCARD', KEYS[5]), redis.call('ZCARD', KEYS[6]),
    redis.call('ZCOUNT', KEYS[7], since, '+inf')}
