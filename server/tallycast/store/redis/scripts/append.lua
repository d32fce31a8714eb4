#!lua
-- Adds an entry to a journal. It may be sent again.
--
-- KEYS[1]      the journal, a stream whose entries have one field, `body`
-- KEYS[2]      a hash: by hub, the number of the last entry that it added and its id
-- ARGV[1]      the hub
-- ARGV[2]      the number of this entry among all that the hub adds, from 1
-- ARGV[3]      the body
-- ARGV[4…]     how many entries are kept, as XADD takes it: MAXLEN, = or ~, a number
--
-- Answer: the entry's id.

local MOST_HUBS = 1000 -- that ever were
local call = redis.call

local number, id = string.match(call('HGET', KEYS[2], ARGV[1]) or '', '^(%d+) (.+)$')
if not number or tonumber(number) < tonumber(ARGV[2]) then
    id = call('XADD', KEYS[1], ARGV[4], ARGV[5], ARGV[6], '*', 'body', ARGV[3])
    if not number and call('HLEN', KEYS[2]) >= MOST_HUBS then
        call('DEL', KEYS[2])
    end
end
call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. id) -- also where it is as before, so that WAIT waits
return id
