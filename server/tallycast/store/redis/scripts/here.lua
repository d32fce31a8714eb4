#!lua
-- Tells how many watch some items at one hub.
--
-- KEYS[1]      the hub's hash: how many watch by item
-- ARGV[1]      for how many ms this holds, unless the hub is heard of again
-- ARGV[2]      1 when all items are told of, so that what stands there goes first, else 0
-- ARGV[3…]     items with how many watch them, in turn; 0 takes an item out
--
-- Answer: 1, or 0 when what was told before is lost: then all is to be told.

if ARGV[2] == '1' then
    redis.call('DEL', KEYS[1])
elseif redis.call('EXISTS', KEYS[1]) == 0 then
    return 0
end
redis.call('HSET', KEYS[1], '', '0') -- stands also where nobody watches anything, so that a loss shows
for at = 3, #ARGV, 2 do
    if ARGV[at + 1] == '0' then
        redis.call('HDEL', KEYS[1], ARGV[at])
    else
        redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
    end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
