-- Takes what is to be done: what is due again joins its queue; then what a lease has run out of,
-- then what is new; high before normal before low.
-- KEYS: see work_create. ARGV: 2 node, 3 how many at most ("0": the node claims no more and is
--   forgotten), 4 lease (ms), 5 "1": takes over leases that have run out.
-- Answers an array of {id, token, attempts, taken over ("1"), cancel, step, spec, why, chunks,
--   priority, over}.
local node, slots, lease = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local ms = math.floor(us / 1000)
local taken = {}

-- What needs the group, where it may be gone with Redis' memory.
local function of_group(queue, ...)
    local reply = redis.pcall(...)
    if type(reply) == 'table' and reply.err then
        redis.pcall('XGROUP', 'CREATE', queue, 'workers', '0')
        reply = redis.call(...)
    end
    return reply
end

-- A consumer that has something pending must stay: what is pending would go with it.
local function forget(name)
    for q = 1, 3 do
        local queue = KEYS[1 + q]
        if redis.call('XLEN', queue) > 0 then
            local held = of_group(queue, 'XPENDING', queue, 'workers', '-', '+', 1, name)
            if #held > 0 then
                return
            end
            redis.call('XGROUP', 'DELCONSUMER', queue, 'workers', name)
        end
    end
    redis.call('ZREM', KEYS[7], name)
end

local function take(q, entry, is_over)
    local queue, id = KEYS[1 + q], entry[1]
    local job = entry[2] and entry[2][2] or ''
    local key = KEYS[1] .. job
    local state, at, which, token, attempts, worker, step, spec, why, cancel, chunks, priority, over =
        unpack(redis.call('HMGET', key, 'state', 'queue', 'entry', 'token', 'attempts', 'worker',
            'step', 'spec', 'why', 'cancel', 'chunks', 'priority', 'over'))
    if (state ~= 'queued' and state ~= 'leased') or tonumber(at) ~= q or which ~= id then
        redis.call('XACK', queue, 'workers', id)
        redis.call('XDEL', queue, id)
        return
    end
    if state == 'leased' and not is_over then
        -- Its holder put it back after Redis had lost it: it is the holder's, its lease begins.
        redis.call('XCLAIM', queue, 'workers', worker, 0, id, 'JUSTID')
        return
    end
    token = string.format('%.0f', math.max(tonumber(token) + 1, us))
    attempts = string.format('%.0f', tonumber(attempts) + 1)
    if state == 'leased' then
        over = '1'
    end
    redis.call('HSET', key, 'state', 'leased', 'token', token, 'worker', node,
        'attempts', attempts, 'mark', '0', 'over', over)
    taken[#taken + 1] = {job, token, attempts, state == 'leased' and '1' or '0', cancel, step,
        spec, why, chunks, priority, over}
end

local function take_over(q)
    local queue, cursor = KEYS[1 + q], '0-0'
    repeat
        local reply = of_group(queue, 'XAUTOCLAIM', queue, 'workers', node, lease, cursor,
            'COUNT', slots - #taken)
        cursor = reply[1]
        for _, entry in ipairs(reply[2]) do
            if entry then
                take(q, entry, true)
            end
        end
    until cursor == '0-0' or #taken >= slots
end

local function take_new(q)
    local queue = KEYS[1 + q]
    while #taken < slots do
        local reply = of_group(queue, 'XREADGROUP', 'GROUP', 'workers', node,
            'COUNT', slots - #taken, 'STREAMS', queue, '>')
        if not reply or #reply == 0 then
            return
        end
        for _, entry in ipairs(reply[1][2]) do
            take(q, entry, false)
        end
    end
end

if slots == 0 then
    forget(node)
    return taken
end
redis.call('ZADD', KEYS[7], ms, node)
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[7], '-inf', ms - 10 * lease,
    'LIMIT', 0, 8)) do
    forget(name)
end
for _, job in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', ms, 'LIMIT', 0, 64)) do
    local state, priority = unpack(redis.call('HMGET', KEYS[1] .. job, 'state', 'priority'))
    redis.call('ZREM', KEYS[5], job)
    if state == 'delayed' then
        local queue = KEYS[1 + tonumber(priority)]
        redis.pcall('XGROUP', 'CREATE', queue, 'workers', '0', 'MKSTREAM')
        local entry = redis.call('XADD', queue, '*', 'job', job)
        redis.call('HSET', KEYS[1] .. job, 'state', 'queued', 'queue', priority, 'entry', entry)
    end
end
if ARGV[5] == '1' then
    for q = 1, 3 do
        if #taken < slots and redis.call('XLEN', KEYS[1 + q]) > 0 then
            take_over(q)
        end
    end
end
for q = 1, 3 do
    if redis.call('XLEN', KEYS[1 + q]) > 0 then
        take_new(q)
    end
    if redis.call('XLEN', KEYS[1 + q]) == 0 then
        redis.call('DEL', KEYS[1 + q])
    end
end
return taken
