-- What the holder of a lease knows: a checkpoint, or the whole work where Redis has lost it.
-- KEYS: see work_create. ARGV: 2 id, 3 token, 4 node, 5 mark, 6 step, 7 spec, 8 priority ("0":
--   is not to be put back), 9 attempts, 10 chunks, 11 why, 12 cancel, 13 over.
-- Answers {"ok"} or {"stale"}.
local state, token, mark, queue, entry = unpack(redis.call('HMGET', KEYS[1],
    'state', 'token', 'mark', 'queue', 'entry'))
local mine = tonumber(ARGV[3])
token = tonumber(token or '0')
if token > mine or (token == mine and state ~= 'leased') then
    return {'stale'}
end
if token == mine then
    local kept = redis.pcall('XCLAIM', KEYS[1 + tonumber(queue)], 'workers', ARGV[4], 0, entry,
        'JUSTID')
    if not kept.err then
        if tonumber(mark) <= tonumber(ARGV[5]) then
            redis.call('HSET', KEYS[1], 'step', ARGV[6], 'spec', ARGV[7], 'mark', ARGV[5])
        end
        return {'ok'}
    end
end
if ARGV[8] == '0' or (not state and redis.call('ZSCORE', KEYS[8], ARGV[2])) then
    return {'stale'}
end
if entry and entry ~= '' then
    redis.call('XACK', KEYS[1 + tonumber(queue)], 'workers', entry)
    redis.call('XDEL', KEYS[1 + tonumber(queue)], entry)
end
redis.call('ZREM', KEYS[5], ARGV[2])
redis.call('ZREM', KEYS[6], ARGV[2])
-- Nobody has read the entry yet: whoever does sees a lease, and leaves it to its holder.
queue = KEYS[1 + tonumber(ARGV[8])]
redis.pcall('XGROUP', 'CREATE', queue, 'workers', '0', 'MKSTREAM')
entry = redis.call('XADD', queue, '*', 'job', ARGV[2])
local time = redis.call('TIME')
local ms = string.format('%.0f', math.floor(time[1] * 1000 + time[2] / 1000))
redis.call('HSET', KEYS[1], 'state', 'leased', 'step', ARGV[6], 'spec', ARGV[7],
    'chunks', ARGV[10], 'touched', ms, 'priority', ARGV[8], 'queue', ARGV[8], 'entry', entry,
    'token', ARGV[3], 'worker', ARGV[4], 'attempts', ARGV[9], 'cancel', ARGV[12], 'why', ARGV[11],
    'mark', ARGV[5], 'over', ARGV[13])
return {'ok'}
