#!lua
-- Puts an item right, unless it changed since it was looked at: `tallycast check --repair`.
--
-- KEYS[1]      the item's hash, as in apply.lua
-- ARGV[1]      its header as it was
-- ARGV[2]      its header as it should be
-- ARGV[3]      PUBLISH, or SPUBLISH on a cluster; empty: nothing is to be told yet
-- ARGV[4]      the item's channel, on which its header is published
-- ARGV[5…]     for each record that is wrong: its actor, the record as it was, the record as it should be, '' for none
--
-- Answer: 1, or 0 when nothing was done since something is not as it was.

local call = redis.call

if call('HGET', KEYS[1], '') ~= ARGV[1] then
    return 0
end
for at = 5, #ARGV, 3 do
    if call('HGET', KEYS[1], ARGV[at]) ~= ARGV[at + 1] then
        return 0
    end
end

for at = 5, #ARGV, 3 do
    if ARGV[at + 2] == '' then
        call('HDEL', KEYS[1], ARGV[at])
    else
        call('HSET', KEYS[1], ARGV[at], ARGV[at + 2])
    end
end
call('HSET', KEYS[1], '', ARGV[2])
if ARGV[3] ~= '' then
    call(ARGV[3], ARGV[4], ARGV[2])
end
return 1
