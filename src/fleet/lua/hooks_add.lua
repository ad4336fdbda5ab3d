-- A job has come to a state: whatever of it is to be told and was not yet is written down, once
-- for each URL.
-- KEYS: 1 "{reelay}:hooks:", before every key of webhooks.
-- ARGV: 1 job, 2 number of its state, 3 ms that it is known what was told, 4 ms that deliveries are
--   kept at most, ended or not, 5 id and 6 body of "job.created", 7 type of its end ("": it has not
--   ended), 8 id and 9 body of that, 10... hashes and URLs, in turn.
-- Channel: ring, something was made due.
-- Of a job: of:JOB has the number of the last end that was told. Of a delivery: d:ID; due:HASH has
-- what is to be sent by time; turn:HASH:JOB those that are pending, the first goes first.
-- Answers how many were added.
local hooks = KEYS[1]
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local added = 0
local function add(message, kind, body)
    for i = 10, #ARGV, 2 do
        local id = redis.call('INCR', hooks .. 'last')
        local turn = hooks .. 'turn:' .. ARGV[i] .. ':' .. ARGV[1]
        redis.call('HSET', hooks .. 'd:' .. id, 'message', message, 'job', ARGV[1], 'type', kind,
            'url', ARGV[i + 1], 'hash', ARGV[i], 'state', 'pending', 'attempts', '0', 'status', '0',
            'why', '', 'created', now, 'ended', '0', 'body', body)
        if redis.call('RPUSH', turn, id) == 1 then
            redis.call('ZADD', hooks .. 'due:' .. ARGV[i], now, id)
        end
        for _, key in ipairs({hooks .. 'd:' .. id, turn, hooks .. 'due:' .. ARGV[i]}) do
            redis.call('PEXPIRE', key, ARGV[4])
        end
        redis.call('ZADD', hooks .. 'log', id, id)
        redis.call('ZADD', hooks .. 'job:' .. ARGV[1], id, id)
        added = added + 1
    end
    redis.call('PEXPIRE', hooks .. 'job:' .. ARGV[1], ARGV[4])
end
local told = redis.call('GET', hooks .. 'of:' .. ARGV[1])
if not told then
    add(ARGV[5], 'job.created', ARGV[6])
    told = '0'
end
if ARGV[7] ~= '' and tonumber(ARGV[2]) > tonumber(told) then
    add(ARGV[8], ARGV[7], ARGV[9])
    told = ARGV[2]
end
redis.call('SET', hooks .. 'of:' .. ARGV[1], told, 'PX', ARGV[3])
return added
