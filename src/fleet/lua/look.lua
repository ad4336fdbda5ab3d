-- A job as Redis knows it.
-- KEYS: record, status. ARGV: none.
-- Answers {record or "", status or ""}.
local texts = {}
for i = 1, 2 do
    local text = redis.pcall('GET', KEYS[i])
    if type(text) == 'table' and not string.find(text.err, 'WRONGTYPE', 1, true) then
        return text
    end
    -- What is of another type is somebody else's, and says nothing.
    texts[i] = type(text) == 'string' and text or ''
end
return texts
