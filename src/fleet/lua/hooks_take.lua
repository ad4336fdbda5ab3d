-- What is due to one URL, for the one node that delivers; it is not due again for a while.
-- KEYS: see hooks_add. ARGV: 1 node, 2 ms that it is the one, 3 hash of the URL, 4 how many at
--   most, 5 ms until what is taken and not settled is due again.
-- Answers {"other"}, or {"ok", when the next is due ("": never), {id, message, job, type, url,
--   attempts, created, body, round}...}.
local hooks = KEYS[1]
local one = redis.call('GET', hooks .. 'leader')
if one and one ~= ARGV[1] then
    return {'other'}
end
redis.call('SET', hooks .. 'leader', ARGV[1], 'PX', ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = hooks .. 'due:' .. ARGV[3]
local reply = {'ok', ''}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, ARGV[4])) do
    local d = redis.call('HMGET', hooks .. 'd:' .. id, 'message', 'job', 'type', 'url', 'attempts',
        'created', 'body', 'round')
    if d[1] then
        d[8] = d[8] or '0'
        redis.call('ZADD', due, now + tonumber(ARGV[5]), id)
        reply[#reply + 1] = {id, unpack(d)}
    else
        redis.call('ZREM', due, id)
    end
end
reply[2] = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or ''
return reply
