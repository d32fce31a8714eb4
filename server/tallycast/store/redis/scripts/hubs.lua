#!lua
-- Keeps the list of the hubs that are heard of.
--
-- KEYS[1]      a sorted set: hubs by when they are forgotten, in ms of Redis's clock
-- ARGV[1]      the hub that tells of itself
-- ARGV[2]      for how many ms; 0: it leaves
--
-- Answer: all hubs that are there now.

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[2] == '0' then
    redis.call('ZREM', KEYS[1], ARGV[1])
else
    redis.call('ZADD', KEYS[1], now_ms + ARGV[2], ARGV[1])
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms)
return redis.call('ZRANGE', KEYS[1], 0, -1)
