#!lua
-- What the scripts have in common that move an item's counts outside of reactions; their own lines follow these.
--
-- KEYS[1]      the item's hash, as in apply.lua
-- KEYS[2]      the stream of all changes; not on a cluster, where it is in another slot
-- ARGV[1]      PUBLISH, or SPUBLISH on a cluster
-- ARGV[2]      what channels have before the key's name
-- ARGV[3]      the item
-- ARGV[4]      how many changes the stream holds

local call = redis.call

-- An item's version, counts by place, and names of kinds between spaces.
local function parts_of(header)
    if not header then
        return 0, {}, ''
    end
    local size = string.byte(header)
    local counts = { struct.unpack('<' .. string.rep('I6', size), header, 9) }
    counts[size + 1] = nil -- where the next one would begin
    return struct.unpack('<I7', header, 2), counts, string.sub(header, 9 + 6 * size)
end

local function header_of(v, counts, names)
    return struct.pack('<BI7' .. string.rep('I6', #counts), #counts, v, unpack(counts)) .. names
end

local function names_in(names)
    local list = {}
    for name in string.gmatch(names, '[^ ]+') do
        list[#list + 1] = name
    end
    return list
end

-- The version after `v`.
local function next_to(v)
    local time = call('TIME')
    return math.max(v + 1, time[1] * 1000000 + time[2])
end

-- Publishes how the item stands, and keeps by how much its kinds moved; answers with that on a cluster.
local function tell(header, v, names, moved)
    call(ARGV[1], ARGV[2] .. KEYS[1], header)
    local texts = {}
    for place, by in pairs(moved) do
        if by ~= 0 then
            texts[#texts + 1] = '"' .. names[place] .. '":' .. string.format('%.0f', by)
        end
    end
    local text = '["' .. ARGV[3] .. '",' .. string.format('%.0f', v) .. ',{' .. table.concat(texts, ',') .. '}]'
    if not KEYS[2] then
        return text
    end
    call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'body', '[' .. text .. ']')
    return ''
end

