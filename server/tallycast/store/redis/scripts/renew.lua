#!lua
-- Gives an item whose data was lost a version that everybody takes for newer than what they were shown.
--
-- KEYS[1]      the item's hash, as in apply.lua; it may be gone
-- ARGV[1]      the newest version that was shown of it
--
-- Answer: 1, or 0 when its version is newer already.

local header = redis.call('HGET', KEYS[1], '')
local shown = tonumber(ARGV[1])
local v = 0
if header then
    v = struct.unpack('<I7', header, 2)
end
if v > shown then
    return 0
end

local time = redis.call('TIME')
v = struct.pack('<I7', math.max(shown + 1, time[1] * 1000000 + time[2]))
if header then
    header = string.sub(header, 1, 1) .. v .. string.sub(header, 9)
else
    header = '\0' .. v
end
redis.call('HSET', KEYS[1], '', header)
return 1
