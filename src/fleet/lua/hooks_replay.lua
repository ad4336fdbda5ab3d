-- What has ended is pending again, from the first attempt of one more round. Who delivers hears of
-- it: that may be another node.
-- KEYS: see hooks_add. ARGV: 1 id, 2... hashes of the URLs that there are.
-- Answers "ok" or "missing".
local hooks = KEYS[1]
local key = hooks .. 'd:' .. ARGV[1]
local state, hash, job = unpack(redis.call('HMGET', key, 'state', 'hash', 'job'))
local is_known = false
for i = 2, #ARGV do
    is_known = is_known or ARGV[i] == hash
end
if not state or state == 'pending' or not is_known then
    return 'missing'
end
local time = redis.call('TIME')
redis.call('HSET', key, 'state', 'pending', 'attempts', '0')
redis.call('HINCRBY', key, 'round', 1)
redis.call('ZREM', hooks .. 'ended', ARGV[1])
redis.call('LPUSH', hooks .. 'turn:' .. hash .. ':' .. job, ARGV[1])
redis.call('ZADD', hooks .. 'due:' .. hash, time[1] * 1000, ARGV[1])
redis.call('PUBLISH', hooks .. 'ring', ARGV[1])
return 'ok'
