#!lua flags=allow-oom
-- Publishes how an item stands.
--
-- KEYS[1]      the item's hash, as in apply.lua
-- ARGV[1]      PUBLISH, or SPUBLISH on a cluster
-- ARGV[2]      what channels have before the key's name
--
-- Answer: to how many; 0 also where the item is gone.

local header = redis.call('HGET', KEYS[1], '')
return header and redis.call(ARGV[1], ARGV[2] .. KEYS[1], header) or 0
