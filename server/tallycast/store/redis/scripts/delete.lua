-- Takes everything away that is said of an item, its version excepted. It may be sent again.
--
-- Answer: the header (nil: there never was one), and what moved as apply.lua answers it.

local header = call('HGET', KEYS[1], '')
if not header then
    return { header, '' }
end
local v, counts, names = parts_of(header)
local moved, changed = {}, false
for place, n in ipairs(counts) do
    moved[place] = -n
    changed = changed or n ~= 0
end
if changed then
    v = next_to(v)
end
header = header_of(v, {}, '')
call('UNLINK', KEYS[1])
call('HSET', KEYS[1], '', header)
return { header, changed and tell(header, v, names_in(names), moved) or '' }
