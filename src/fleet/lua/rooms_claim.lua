-- A Socket.IO client has come back, to this node or from another.
-- KEYS: 1 the client's rooms. ARGV: 1 its subject, 2 how long they are kept (ms).
-- Answers {token, previous, sid, job...}: they are the asker's, by a token above every earlier
--   one. {token, previous}: they are somebody else's, or the client has left. {token, ""}: there
--   are none; nothing was written.
local was, sid, subject = unpack(redis.call('HMGET', KEYS[1], 'token', 'sid', 'subject'))
local time = redis.call('TIME')
local token = string.format('%.0f', math.max(time[1] * 1000000 + time[2], (tonumber(was) or 0) + 1))
if not sid or subject ~= ARGV[1] then
    return {token, was or ''}
end
redis.call('HSET', KEYS[1], 'token', token)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local answer = {token, was, sid}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(field, 1, 4) == 'job:' then
        answer[#answer + 1] = string.sub(field, 5)
    end
end
return answer
