-- Open uploads by when they were last touched, the longest ago first; nothing is changed.
-- KEYS: see work_create. ARGV: 2 touched since (ms), 3 touched before (ms), 4 how many at most.
-- Answers their ids and when, one behind the other.
return redis.call('ZRANGEBYSCORE', KEYS[6], ARGV[2], '(' .. ARGV[3], 'WITHSCORES', 'LIMIT', 0, ARGV[4])
