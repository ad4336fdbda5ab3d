-- An open upload becomes something to do.
-- KEYS: see work_create. ARGV: 2 id, 3 step, 4 spec, 5 priority (1 high, 2 normal, 3 low).
-- Answers {"ok"}, {"state"} or {"missing"}.
local state = redis.call('HGET', KEYS[1], 'state')
if not state then
    return {'missing'}
end
if state ~= 'open' then
    return {'state'}
end
local queue = KEYS[1 + tonumber(ARGV[5])]
redis.pcall('XGROUP', 'CREATE', queue, 'workers', '0', 'MKSTREAM')
local entry = redis.call('XADD', queue, '*', 'job', ARGV[2])
redis.call('HSET', KEYS[1], 'state', 'queued', 'step', ARGV[3], 'spec', ARGV[4],
    'priority', ARGV[5], 'queue', ARGV[5], 'entry', entry, 'attempts', '0', 'cancel', '0',
    'why', '', 'worker', '', 'mark', '0')
redis.call('ZREM', KEYS[6], ARGV[2])
redis.call('PUBLISH', ARGV[1] .. 'wake', ARGV[2])
return {'ok'}
