-- Renews a lease.
-- KEYS: see work_create. ARGV: 2 id, 3 token, 4 node, 5 mark of the last checkpoint, 6 "1": the
--   node claims.
-- Answers {"ok", cancel}, {"stale"}, or {"missing"}: Redis has lost the work, or knows an older
--   moment of it.
local state, token, mark, cancel, queue, entry = unpack(redis.call('HMGET', KEYS[1],
    'state', 'token', 'mark', 'cancel', 'queue', 'entry'))
local mine = tonumber(ARGV[3])
if ARGV[6] == '1' then
    local time = redis.call('TIME')
    -- A Redis that is full refuses it, but not what keeps the lease.
    redis.pcall('ZADD', KEYS[7], math.floor(time[1] * 1000 + time[2] / 1000), ARGV[4])
end
if not state then
    return {redis.call('ZSCORE', KEYS[8], ARGV[2]) and 'stale' or 'missing'}
end
token = tonumber(token)
if token > mine or (token == mine and state ~= 'leased') then
    return {'stale'}
end
if token < mine or tonumber(mark) < tonumber(ARGV[5]) then
    return {'missing'}
end
local kept = redis.pcall('XCLAIM', KEYS[1 + tonumber(queue)], 'workers', ARGV[4], 0, entry,
    'JUSTID')
return kept.err and {'missing'} or {'ok', cancel}
