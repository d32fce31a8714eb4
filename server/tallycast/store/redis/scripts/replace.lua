-- Replaces what some actors say of an item, each who says what they did when that was read. It may be sent again.
--
-- ARGV[5]      the names of kinds by whose places the records go: those of the header that was read, and perhaps more
-- ARGV[6…]     for each actor: its name, its record as it was, and as it shall be, '' for none
--
-- Answer: the header (nil: none yet), what moved as apply.lua answers it, then for each actor 1, or 0 where something
-- else is said by now.

local function values_of(record)
    local values = {}
    for at = 1, #record, 12 do
        local code, value = struct.unpack('<BI3', record, at)
        values[code] = value
    end
    return values
end

local function begins(whole, part)
    return part == '' or whole == part or string.sub(whole, 1, #part + 1) == part .. ' '
end

local header = call('HGET', KEYS[1], '')
local v, counts, names = parts_of(header)
local answer = { header, '' }
if not begins(names, ARGV[5]) then
    if not begins(ARGV[5], names) then -- it was deleted meanwhile: places mean something else
        for at = 6, #ARGV, 3 do
            answer[#answer + 1] = 0
        end
        return answer
    end
    names = ARGV[5]
end
local list = names_in(names)
for place = #counts + 1, #list do
    counts[place] = 0
end

local moved, replaced, changed = {}, false, false
for at = 6, #ARGV, 3 do
    local actor, was, wanted = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    local stands = call('HGET', KEYS[1], actor) or ''
    if stands == was and was ~= wanted then
        for place, value in pairs(values_of(was)) do
            moved[place] = (moved[place] or 0) - value
        end
        for place, value in pairs(values_of(wanted)) do
            moved[place] = (moved[place] or 0) + value
        end
        if wanted == '' then
            call('HDEL', KEYS[1], actor)
        else
            call('HSET', KEYS[1], actor, wanted)
        end
        replaced = true
    end
    answer[#answer + 1] = (stands == was or stands == wanted) and 1 or 0
end
for place, by in pairs(moved) do
    counts[place] = counts[place] + by
    changed = changed or by ~= 0
end

if changed then
    v = next_to(v)
end
if replaced then
    header = header_of(v, counts, names)
end
if header then
    call('HSET', KEYS[1], '', header) -- also where it is as before, so that WAIT waits
end
if changed then
    answer[2] = tell(header, v, list, moved)
end
answer[1] = header
return answer
