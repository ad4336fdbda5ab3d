-- A new upload.
-- KEYS of every script of work: 1 hash of the job (or what all their names begin with), 2 3 4
--   queues high, normal, low, 5 delayed, 6 open, 7 workers, 8 over, 9 parts of uploads to be. ARGV[1]: what
--   every channel's name begins with.
-- Fields of the hash: state (open, dropped, queued, delayed, leased), step, spec, chunks,
--   touched (ms), priority, queue and entry (where it waits or is pending), token, worker,
--   attempts, cancel ("1"), place (of an open upload's chunks, where it is not as in spec), why, mark (number of the checkpoint within the lease), over ("1": a
--   lease of it was taken over, so an old holder may live).
-- ARGV: 2 id, 3 spec, 4 how many parts of uploads there may be ("0": this is none).
-- Answers {"ok"}, {"exists"} or {"limit"}.
if redis.call('EXISTS', KEYS[1]) == 1 then
    return {'exists'}
end
local time = redis.call('TIME')
local ms = string.format('%.0f', math.floor(time[1] * 1000 + time[2] / 1000))
local most = tonumber(ARGV[4])

-- Redis may have thrown away some of them, its memory being full.
local function forget_lost()
    local hashes = string.sub(KEYS[1], 1, -1 - #ARGV[2])
    for _, part in ipairs(redis.call('ZRANGE', KEYS[9], 0, 63)) do
        if redis.call('EXISTS', hashes .. part) == 0 then
            redis.call('ZREM', KEYS[9], part)
        end
    end
end

if most > 0 then
    if redis.call('ZCARD', KEYS[9]) >= most then
        forget_lost()
    end
    if redis.call('ZCARD', KEYS[9]) >= most then
        return {'limit'}
    end
    redis.call('ZADD', KEYS[9], ms, ARGV[2])
end
-- Larger than that of anyone who held a work of this name before.
local token = string.format('%.0f', time[1] * 1000000 + time[2])
redis.call('HSET', KEYS[1], 'state', 'open', 'step', '', 'spec', ARGV[3], 'chunks', '0',
    'touched', ms, 'token', token, 'over', '0', 'place', '')
redis.call('ZADD', KEYS[6], ms, ARGV[2])
redis.call('ZREM', KEYS[8], ARGV[2])
return {'ok'}
