-- The next state of a job, unless it has moved on.
-- KEYS: record, status, seen.
-- ARGV: 1 expected number ("0": no record), 2 token of the lease ("0": none), 3 state (JSON),
--   4 milliseconds the record lives, 5 status text ("": none), 6 seconds it lives,
--   7 "1": a foreign status text stays, 8 channel of records, 9 "1": that one is sharded,
--   10 channel and 11 text of reports ("": none), 12 channel and 13 text of bytes,
--   14 number that the node knows of, 15 number to put back ("0": a new one),
--   16... hashes of the foreign messages in it.
-- A record is "NUMBER TOKEN STATE".
-- Answers {"ok", number}, or {"moved", record, seen...}: another state is there, and which
--   hashes are in it ("1" or "0" each); {"seen", record}: all are; {"stale", record}: a later
--   lease has spoken.
-- What is of another type is somebody else's, and gives way.
for i = 1, 3 do
    local is = redis.call('TYPE', KEYS[i]).ok
    if is ~= 'none' and is ~= (i == 3 and 'zset' or 'string') then
        redis.call('DEL', KEYS[i])
    end
end
local record = redis.call('GET', KEYS[1]) or ''
local number, token = string.match(record, '^(%d+) (%d+) ')
number = tonumber(number or '0')
token = tonumber(token or '0')
local mine = tonumber(ARGV[2])
if mine > 0 and mine < token then
    return {'stale', record}
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local seen, unseen = {}, 0
for i = 16, #ARGV do
    local score = redis.call('ZSCORE', KEYS[3], ARGV[i])
    local known = score and now - tonumber(score) < 10000000
    seen[#seen + 1] = known and '1' or '0'
    if not known then
        unseen = unseen + 1
    end
end
if #seen > 0 and unseen == 0 then
    return {'seen', record}
end
if number ~= tonumber(ARGV[1]) then
    return {'moved', record, unpack(seen)}
end
local following = tonumber(ARGV[15])
if following == 0 then
    following = math.max(number + 1, tonumber(ARGV[14]) + 1, now)
end
if mine == 0 then
    mine = token
end
local text = string.format('%.0f %.0f ', following, mine) .. ARGV[3]
redis.call('SET', KEYS[1], text, 'PX', ARGV[4])
for i = 16, #ARGV do
    redis.call('ZADD', KEYS[3], now, ARGV[i])
end
if #seen > 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - 10000000)
    redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1001)
    redis.call('PEXPIRE', KEYS[3], 20000)
end
if ARGV[5] ~= '' then
    local there = ARGV[7] == '1' and redis.call('GET', KEYS[2])
    if not there or string.sub(there, -1) == '\t' then
        redis.call('SET', KEYS[2], ARGV[5], 'EX', ARGV[6])
    end
end
redis.call(ARGV[9] == '1' and 'SPUBLISH' or 'PUBLISH', ARGV[8], text)
if ARGV[11] ~= '' then
    redis.call('PUBLISH', ARGV[10], ARGV[11])
end
if ARGV[13] ~= '' then
    redis.call('PUBLISH', ARGV[12], ARGV[13])
end
return {'ok', string.format('%.0f', following)}
