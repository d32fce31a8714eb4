#!lua
-- Writes a document or takes one away, if what is expected stands there. It may be sent again.
--
-- KEYS[1]      the hash of a space: in the field with the empty name its revision, in `?` the marks of its last changes,
--              in the others, which begin with `=`, its documents
-- ARGV[1]      `=` and the document's key
-- ARGV[2]      8 bytes that mark this change, the same when it is sent again
-- ARGV[3]      what is expected: `any`, `none`, or `this`, ARGV[4]
-- ARGV[5]      the document to be written; without it the one that stands there is taken away
--
-- Answer: 1, or 0 when something else stands there.
--
-- A revision is a time in µs unless the last one was later: so it grows also when all data was lost.

local MARK, MARKS = 8, 128 -- bytes; more changes than that do not come before one is sent again
local call = redis.call

local marks = call('HGET', KEYS[1], '?') or ''
if string.find(marks, ARGV[2], 1, true) then
    call('HSET', KEYS[1], '?', marks) -- so that WAIT waits
    return 1
end

local stands = call('HGET', KEYS[1], ARGV[1])
if ARGV[3] == 'none' and stands or ARGV[3] == 'this' and stands ~= ARGV[4] or not stands and not ARGV[5] then
    return 0
end

if ARGV[5] then
    call('HSET', KEYS[1], ARGV[1], ARGV[5])
else
    call('HDEL', KEYS[1], ARGV[1])
end
local time = call('TIME')
local revision = tonumber(call('HGET', KEYS[1], '') or 0)
revision = math.max(revision + 1, time[1] * 1000000 + time[2])
call('HSET', KEYS[1], '', string.format('%.0f', revision), '?', string.sub(ARGV[2] .. marks, 1, MARK * MARKS))
return 1
