-- What a node says of a Socket.IO client that it has.
-- KEYS: 1 the client's rooms. ARGV: 1 token, 2 how long they are kept (ms), 3 "some": what has
--   changed, "all" there is, or "end": it has left; 4 sid, 5 subject, 6 how many jobs it joined,
--   7... these, and behind them those that it left.
-- Answers "ok"; "lost": a later token has it; "gone": Redis knows less than what it was told.
local was = tonumber(redis.call('HGET', KEYS[1], 'token') or '')
local mine = tonumber(ARGV[1])
if was and was > mine then
    return 'lost'
end
if ARGV[3] == 'some' and was ~= mine then
    return 'gone'
end
if ARGV[3] ~= 'some' then
    redis.call('DEL', KEYS[1])
end
-- Who was claimed leaves the token behind: a node that had it before may not know yet.
if ARGV[3] == 'end' and mine == 1 then
    return 'ok'
end
redis.call('HSET', KEYS[1], 'token', ARGV[1])
if ARGV[3] == 'all' then
    redis.call('HSET', KEYS[1], 'sid', ARGV[4], 'subject', ARGV[5])
end
for i = 7, #ARGV do
    if i < 7 + ARGV[6] then
        redis.call('HSET', KEYS[1], 'job:' .. ARGV[i], '')
    else
        redis.call('HDEL', KEYS[1], 'job:' .. ARGV[i])
    end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 'ok'
