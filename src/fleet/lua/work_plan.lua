-- A sign of life of an upload, and the first word on its number of chunks.
-- KEYS: see work_create. ARGV: 2 id, 3 chunks ("0": says nothing of them).
-- Answers {"ok" or "exists" (it was another number), state, chunks, touched, step, spec,
--   place},
--   {"state"} (also of one that comes in no chunks) or {"missing"}.
local state, chunks, spec = unpack(redis.call('HMGET', KEYS[1], 'state', 'chunks', 'spec'))
if not state then
    return {'missing'}
end
if state ~= 'open' then
    return {'state'}
end
local time = redis.call('TIME')
local ms = string.format('%.0f', math.floor(time[1] * 1000 + time[2] / 1000))
redis.call('HSET', KEYS[1], 'touched', ms)
redis.call('ZADD', KEYS[6], ms, ARGV[2])
if ARGV[3] == '0' then
    return {'ok'}
end
-- The member as upload_write has it: no other text can hold it unescaped.
if string.find(spec, '"is_tus":true', 1, true) then
    return {'state'}
end
if chunks == '0' then
    redis.call('HSET', KEYS[1], 'chunks', ARGV[3])
    chunks = ARGV[3]
end
return {chunks == ARGV[3] and 'ok' or 'exists',
    unpack(redis.call('HMGET', KEYS[1], 'state', 'chunks', 'touched', 'step', 'spec',
        'place'))}
