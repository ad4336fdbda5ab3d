-- The size of an open upload that began without one; the first word counts. Also a sign of
-- life. KEYS: see work_create. ARGV: 2 id, 3 bytes.
-- Answers {"ok"}, {"exists"} (it has another), {"state"} or {"missing"}.
local state, spec = unpack(redis.call('HMGET', KEYS[1], 'state', 'spec'))
if not state then
    return {'missing'}
end
if state ~= 'open' then
    return {'state'}
end
-- The member as upload_write has it: no other text can hold it unescaped.
local known = string.match(spec, '"size":(-?%d+)')
if known ~= '-1' then
    return {known == ARGV[3] and 'ok' or 'exists'}
end
local time = redis.call('TIME')
local ms = string.format('%.0f', math.floor(time[1] * 1000 + time[2] / 1000))
redis.call('HSET', KEYS[1], 'touched', ms,
    'spec', (string.gsub(spec, '"size":%-1', '"size":' .. ARGV[3], 1)))
redis.call('ZADD', KEYS[6], ms, ARGV[2])
return {'ok'}
