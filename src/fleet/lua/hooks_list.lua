-- Deliveries, newest first.
-- KEYS: see hooks_add. ARGV: 1 job ("": any), 2 state ("": any), 3 ids below this ("": any), 4 how
--   many at most.
-- Answers an array of {id, message, job, type, url, state, attempts, status, why, created, ended,
--   next ("": it is held, or has ended)}. Of a rare state not more than 5000 are looked through.
local hooks = KEYS[1]
local set = ARGV[1] ~= '' and hooks .. 'job:' .. ARGV[1] or hooks .. 'log'
local last = ARGV[3] ~= '' and '(' .. ARGV[3] or '+inf'
local rows, most = {}, tonumber(ARGV[4])
for page = 0, 24 do
    local ids = redis.call('ZREVRANGEBYSCORE', set, last, '-inf', 'LIMIT', page * 200, 200)
    for _, id in ipairs(ids) do
        local d = redis.call('HMGET', hooks .. 'd:' .. id, 'message', 'job', 'type', 'url', 'state',
            'attempts', 'status', 'why', 'created', 'ended', 'hash')
        if d[1] and (ARGV[2] == '' or d[5] == ARGV[2]) then
            local hash = d[11]
            d[11] = d[5] == 'pending' and redis.call('ZSCORE', hooks .. 'due:' .. hash, id) or ''
            rows[#rows + 1] = {id, unpack(d)}
            if #rows == most then
                return rows
            end
        end
    end
    if #ids < 200 then
        break
    end
end
return rows
