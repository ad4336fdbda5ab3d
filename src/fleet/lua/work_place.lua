-- Where the chunks of an open upload lie, by compare-and-set. Also a sign of life.
-- KEYS: see work_create. ARGV: 2 id, 3 place as it is, 4 as it shall be.
-- Answers {"ok"}, {"exists"} (it is another by now), {"state"} or {"missing"}.
local state, place, spec = unpack(redis.call('HMGET', KEYS[1], 'state', 'place', 'spec'))
if not state then
    return {'missing'}
end
if state ~= 'open' then
    return {'state'}
end
local is_there = place == ARGV[3] or place == ARGV[4]
if not place or place == '' then
    is_there = string.find(spec, '"place":"' .. ARGV[3] .. '"', 1, true)
end
if not is_there then
    return {'exists'}
end
local time = redis.call('TIME')
local ms = string.format('%.0f', math.floor(time[1] * 1000 + time[2] / 1000))
redis.call('HSET', KEYS[1], 'place', ARGV[4], 'touched', ms)
redis.call('ZADD', KEYS[6], ms, ARGV[2])
return {'ok'}
