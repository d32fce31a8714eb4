#!lua
-- Adds rises to series and rankings, and moves the checkpoint: all of it, once.
--
-- KEYS[1]      the checkpoint
-- KEYS[2…n+1]  hashes of series: by bucket within the chunk and kind, by how much counts moved
-- KEYS[n+2…]   sorted sets, the rankings
-- ARGV[1]      the checkpoint that must stand there, "" for none
-- ARGV[2]      the one that stands there afterwards
-- ARGV[3]      n
-- ARGV[4]      how many items a ranking keeps, and ARGV[5] how many more it may have until some are taken away
-- ARGV[6]      JSON: [[the keys' ends in s since 1970, from KEYS[2] on, 0 for never],
--                     [number of the key from 1, field, by how much, item, [number of a ranking's key from 1, …]], …]
--
-- Answer: 1, also where the checkpoint is the new one already; 0 where it is any other one, and nothing was done.
-- An item's place in a ranking is its number in the series: so one that was taken away has it again when it moves.

local call = redis.call
local since, upto, hashes, most, more = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local now = call('GET', KEYS[1]) or ''
if now ~= since then
    return now == upto and 1 or 0
end

local rows = cjson.decode(ARGV[6])
local ends = rows[1]
for at = 2, #rows do
    local row = rows[at]
    local number = row[1]
    local key = KEYS[number + 1]
    local by = row[3]
    local n = call('HINCRBY', key, row[2], by)
    if n == by and ends[number] > 0 then -- likely the first of its hash
        call('EXPIREAT', key, ends[number])
    end
    for _, ranking in ipairs(row[5]) do
        if n > 0 then
            call('ZADD', KEYS[hashes + ranking + 1], n, row[4])
        elseif by < 0 then
            call('ZREM', KEYS[hashes + ranking + 1], row[4])
        end
    end
end
for number = hashes + 1, #KEYS - 1 do
    local key = KEYS[number + 1]
    if ends[number] > 0 then
        call('EXPIREAT', key, ends[number])
    end
    local size = call('ZCARD', key)
    if size > most + more then
        call('ZREMRANGEBYRANK', key, 0, size - most - 1)
    end
end
call('SET', KEYS[1], upto)
return 1
