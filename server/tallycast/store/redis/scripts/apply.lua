#!lua
-- Counts one call's reactions: all of it at once, and everything may be sent again.
--
-- KEYS[1…n]    the items' hashes, each once. In a hash, the field with the empty name is the item's header, every other
--              field is an actor with its record (keys.py takes both apart):
--                header  number of kinds (1 byte), version (7), the count of each kind (6), their names between spaces
--                record  one entry a kind: its place in the header from 1 (1 byte), value (4), seq (7)
--              All numbers are little-endian. What an entry of an `event` kind says is how many events were counted.
-- KEYS[n+1…]   two sets for each item that has events here, in the items' order: ids of even days, ids of odd days.
--              Days are Redis's own in UTC; a set ends with the day after its own, so that ids last 24 h at least.
--              On a cluster the set of yesterday is at the same time begun as that of tomorrow, with an id that is in
--              both: while a slot moves, Redis refuses commands whose keys are not all there, or all elsewhere.
-- ARGV[1]      n
-- ARGV[2]      the kinds of this hub, JSON: [[name, 1 for `event` or 0, [numbers of the group's others]], …], from 1
-- ARGV[3]      PUBLISH, or SPUBLISH on a cluster
-- ARGV[4]      what channels have before the key's name
-- ARGV[5]      how many characters of a key stand before the item's name; one stands behind it
-- ARGV[6…]     for each item: how many actors, the actors, the reactions of each (one string of 12 bytes a reaction:
--              number of the kind (1), value (4), seq (7), 0 for none), the ids of the events among them in their order
--
-- Answer: for each item its header (nil: none yet), 1 if its counts moved, else 0, then each actor's record.
--
-- Records and headers are written also where nothing changed: WAIT tells of what this connection wrote last, and a
-- repeated reaction must not be acknowledged before the first one is on the replica. Written are whole strings, so that
-- the replica does the same.

local ENTRY = 12
local DAY_S = 86400
local byte, sub, rep, format = string.byte, string.sub, string.rep, string.format
local unpack, concat = unpack, table.concat
local bytes_of, numbers_of = struct.pack, struct.unpack
local call = redis.call

local kinds = cjson.decode(ARGV[2])
local publish, channel_prefix, name_at = ARGV[3], ARGV[4], ARGV[5] + 1

local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local day = math.floor(time[1] / DAY_S)

-- What the names in a header mean: each kind of this hub by its place there, made once a call for all items alike.
local schemas = {}
local function schema_of(names)
    local schema = schemas[names]
    if not schema then
        local places, list = {}, {}
        for name in string.gmatch(names, '[^ ]+') do
            list[#list + 1] = name
            places[name] = #list
        end
        local codes = {}
        for number = 1, #kinds do
            codes[number] = places[kinds[number][1]]
        end
        local counts = rep('I6', #list)
        schema = {
            codes = codes, list = list, names = names, size = #list,
            reading = '<I7' .. counts, writing = '<BI7' .. counts,
        }
        schemas[names] = schema
    end
    return schema
end
local empty = schema_of('')

local function with_kind(schema, number)
    local name = kinds[number][1]
    return schema_of(schema == empty and name or schema.names .. ' ' .. name)
end

local function find(record, code)
    for at = 1, #record, ENTRY do
        if byte(record, at) == code then
            return at
        end
    end
end

local function put(record, at, code, value, seq)
    local entry = ''
    if value ~= 0 or seq ~= 0 then
        entry = bytes_of('<BI4I7', code, value, seq)
    end
    if not at then
        return record .. entry
    end
    if #record == ENTRY then
        return entry
    end
    return sub(record, 1, at - 1) .. entry .. sub(record, at + ENTRY)
end

local answer = {}
local items = tonumber(ARGV[1])
local at_arg = 6
local next_set = items + 1

for number = 1, items do
    local key = KEYS[number]
    local actors = tonumber(ARGV[at_arg])
    local actors_at = at_arg
    local said_at = at_arg + actors
    local next_id = said_at + actors + 1
    local stored = redis.pcall('HMGET', key, '', unpack(ARGV, actors_at + 1, said_at))
    if stored.err then
        return redis.error_reply('WRONGTYPE ' .. key)
    end

    local header = stored[1]
    local schema, numbers = empty, { 0 } -- version, counts
    if header then
        schema = schema_of(sub(header, 9 + 6 * byte(header)))
        numbers = { numbers_of(schema.reading, header, 2) }
    end
    local codes = schema.codes
    local moved = {}
    local today, yesterday, fresh, gone
    local writes = {}
    local at_answer = #answer + 2

    for pair = 1, actors do
        local actor, reactions = ARGV[actors_at + pair], ARGV[said_at + pair]
        local record = stored[pair + 1] or ''
        local next_reaction = 1

        -- Most say one thing, and never said another. All that this does the loop below does too.
        local kind, value, seq = numbers_of('<BI4I7', reactions)
        local code = codes[kind]
        if code and #reactions == ENTRY and (value == 0 or seq == 0) and kinds[kind][2] == 0
            and (record == '' or (#record == ENTRY and byte(record) == code)) then
            local old, standing = 0, 0
            if record ~= '' then
                old, standing = numbers_of('<I4I7', record, 2)
            end
            if seq == 0 and standing == 0 then
                record = value == 0 and '' or (kind == code and reactions or bytes_of('<BI4I7', code, value, 0))
                if value ~= old then
                    moved[code] = (moved[code] or 0) + value - old
                end
                next_reaction = ENTRY + 1
            end
        end

        for at_reaction = next_reaction, #reactions, ENTRY do
            kind, value, seq = numbers_of('<BI4I7', reactions, at_reaction)
            code = codes[kind]
            if not code then
                schema = with_kind(schema, kind)
                codes = schema.codes
                code = codes[kind]
                numbers[code + 1] = 0
            end
            local at = find(record, code)
            local old, standing = 0, 0
            if at then
                old, standing = numbers_of('<I4I7', record, at + 1)
            end
            if kinds[kind][2] == 1 then
                if not today then
                    today, yesterday = KEYS[next_set + day % 2], KEYS[next_set + (day + 1) % 2]
                    next_set = next_set + 2
                end
                local event = actor .. '\0' .. kinds[kind][1] .. '\0' .. ARGV[next_id]
                next_id = next_id + 1
                if call('SISMEMBER', yesterday, event) == 0 and call('SADD', today, event) == 1 then
                    fresh = event
                    record = put(record, at, code, old + 1, 0)
                    moved[code] = (moved[code] or 0) + 1
                end
            elseif seq == 0 or seq >= standing then
                if seq ~= 0 then
                    standing = seq
                end
                record = put(record, at, code, value, standing)
                if value ~= old then
                    moved[code] = (moved[code] or 0) + value - old
                end
                if value ~= 0 then
                    for _, rival in ipairs(kinds[kind][3]) do
                        local rival_code = codes[rival]
                        if not rival_code and seq ~= 0 then
                            schema = with_kind(schema, rival)
                            codes = schema.codes
                            rival_code = codes[rival]
                            numbers[rival_code + 1] = 0
                        end
                        local rival_at = rival_code and find(record, rival_code)
                        local rival_old, rival_seq = 0, 0
                        if rival_at then
                            rival_old, rival_seq = numbers_of('<I4I7', record, rival_at + 1)
                        end
                        if rival_at or seq ~= 0 then
                            record = put(record, rival_at, rival_code, 0, rival_seq > seq and rival_seq or seq)
                        end
                        if rival_old ~= 0 then
                            moved[rival_code] = (moved[rival_code] or 0) - rival_old
                        end
                    end
                end
            end
        end
        if record ~= '' then
            writes[#writes + 1] = actor
            writes[#writes + 1] = record
        elseif stored[pair + 1] then
            gone = gone or {}
            gone[#gone + 1] = actor
        end
        answer[at_answer + pair] = record
    end

    local changed = 0
    for code, by in pairs(moved) do
        if by ~= 0 then
            numbers[code + 1] = numbers[code + 1] + by
            changed = 1
        end
    end
    if changed == 1 then
        numbers[1] = numbers[1] < now_us and now_us or numbers[1] + 1
    end
    if header or #writes > 0 then
        header = bytes_of(schema.writing, schema.size, unpack(numbers, 1, schema.size + 1)) .. schema.names
        if gone then
            call('HDEL', key, unpack(gone))
        end
        call('HSET', key, '', header, unpack(writes))
        if fresh then
            call('EXPIREAT', today, (day + 2) * DAY_S)
            if publish == 'SPUBLISH' and call('EXISTS', yesterday) == 0 then
                call('SADD', yesterday, fresh)
                call('EXPIREAT', yesterday, (day + 3) * DAY_S)
            end
        end
    end
    if changed == 1 then
        local shown = {}
        for code, name in ipairs(schema.list) do
            if numbers[code + 1] ~= 0 then
                shown[#shown + 1] = format('"%s":%.0f', name, numbers[code + 1])
            end
        end
        call(publish, channel_prefix .. key, format('{"item":"%s","v":%.0f,"counts":{%s}}', sub(key, name_at, -2),
            numbers[1], concat(shown, ',')))
    end
    answer[at_answer - 1], answer[at_answer] = header, changed
    at_arg = next_id
end

return answer
