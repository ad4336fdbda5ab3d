-- A job as Redis knows it.
-- KEYS: record, status. ARGV: none.
-- Answers {record or "", status or ""}.
local record = redis.call('GET', KEYS[1])
local status = redis.call('GET', KEYS[2])
return {record or '', status or ''}
