#!lua
-- Counts one call's reactions: all of it at once, and everything may be sent again.
--
-- KEYS[1…n]    the items' hashes, each once. In a hash, the field with the empty name is the item's header, every other
--              field is an actor with its record (keys.py takes both apart):
--                header  number of kinds (1 byte), version (7), the count of each kind (6), their names between spaces
--                record  entries: a kind's place in the header from 1 (1 byte), value (3), seq (7), and the place of one
--                        more kind, 0 for none, that says 0 with the same seq (1): mostly the other one of a group
--              All numbers are little-endian. What an entry of an `event` kind says is how many events were counted.
-- KEYS[n+1…]   two sets for each item that has events here, in the items' order: ids of even days, ids of odd days.
--              Days are Redis's own in UTC; a set ends with the day after its own, so that ids last 24 h at least.
--              On a cluster the set of yesterday is at the same time begun as that of tomorrow, with an id that is in
--              both: while a slot moves, Redis refuses commands whose keys are not all there, or all elsewhere.
--              Then a HyperLogLog for each `unique` kind of each item that is said here: who said it. Its name is the
--              item's with `:u:` and the kind's. Last the stream of all changes, where ARGV[7] is not 0.
-- ARGV[1]      n
-- ARGV[2]      the names of this hub's kinds, with spaces between; they are numbered from 1
-- ARGV[3]      a byte for each of them: 255 for `event`, 254 for `unique`, the number of its group from 1, or 0; then one
--              more for each: the number of its only rival, 0 where it has none, 255 where they are many
-- ARGV[4]      PUBLISH, or SPUBLISH on a cluster
-- ARGV[5]      what channels have before the key's name
-- ARGV[6]      where in the key's name the item's begins
-- ARGV[7]      how many changes the stream holds; 0 on a cluster, where it is in another slot
-- ARGV[8…]     for each item: one string with 1 if it is to be published when its counts move, else 0 (1 byte), the
--              number of its actors (2) and all their reactions (12 bytes each: number of the kind (1), value (3), seq
--              (7), 0 for none, and (1) the sum of 1 where the same actor says more, 2 where its rivals are taken back
--              though the value is 0, since it was set a moment before or rates, and 4 where the value is set whatever
--              the rule is); then the actors in the same order, then the ids of the events among the reactions
--
-- Answer: for each item its header (nil: none yet), 1 if its counts moved, else 0, then each actor's record. On a
-- cluster at last what moved, as it is in the stream: '["item",version,{"kind":by}]' for each item, with commas between.
--
-- What is published of an item is its header. Items and kinds are made of characters that JSON takes as they are.
--
-- Records and headers are written also where nothing changed: WAIT tells of what this connection wrote last, and a
-- repeated reaction must not be acknowledged before the first one is on the replica. Written are whole strings, so that
-- the replica does the same.
--
-- What Redis does for a reaction is mostly calls, strings and tables made here: hence the short ways below.

local ENTRY = 12
local FORM = '<BI3I7B'
local MOST = 2 ^ 24 - 1 -- that a value can be
local EVENT, UNIQUE, MANY = 255, 254, 255
local FEW = 3 -- actors: HGET for each is then less work than one HMGET
local DAY_S = 86400
local KEYS, ARGV = KEYS, ARGV
local byte, sub, rep, gmatch = string.byte, string.sub, string.rep, string.gmatch
local type, pairs, ipairs, unpack, concat = type, pairs, ipairs, unpack, table.concat
local bytes_of, numbers_of, format = struct.pack, struct.unpack, string.format
local call, try = redis.call, redis.pcall

local kinds, number_of = {}, {}
for name in gmatch(ARGV[2], '[^ ]+') do
    kinds[#kinds + 1] = name
    number_of[name] = #kinds
end
local rules, only = { byte(ARGV[3], 1, #kinds) }, { byte(ARGV[3], #kinds + 1, -1) }
local publish, channel_prefix, item_at, most_changes = ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7]

local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local day = math.floor(time[1] / DAY_S)

-- What the names in a header mean: each kind of this hub by its place there, made once a call for all items alike.
local schemas = {}
local function schema_of(names)
    local schema = schemas[names]
    if schema then
        return schema
    end
    local codes, named, size = {}, {}, 0
    for name in gmatch(names, '[^ ]+') do
        size = size + 1
        named[size] = name
        if number_of[name] then
            codes[number_of[name]] = size
        end
    end
    local counts = rep('I6', size)
    schema = {
        codes = codes, named = named, first = {}, names = names, size = size,
        reading = '<I7' .. counts, writing = '<BI7' .. counts,
    }
    schemas[names] = schema
    return schema
end

local function with_kind(schema, number)
    return schema_of(schema.size == 0 and kinds[number] or schema.names .. ' ' .. kinds[number])
end

-- A record's kinds in order, their values and seqs by place.
local function read(record)
    local list, values, seqs = {}, {}, {}
    for at = 1, #record, ENTRY do
        local code, value, seq, other = numbers_of(FORM, record, at)
        list[#list + 1] = code
        values[code], seqs[code] = value, seq
        if other ~= 0 then
            list[#list + 1] = other
            values[other], seqs[other] = 0, seq
        end
    end
    return list, values, seqs
end

-- The record that read() takes apart, '' where nothing is said. Kinds that say nothing and have no seq take no room.
local function write(list, values, seqs)
    if #list == 1 then
        local code = list[1]
        local value, seq = values[code], seqs[code]
        return (value ~= 0 or seq ~= 0) and bytes_of(FORM, code, value, seq, 0) or ''
    end
    local own, others, with_room = {}, {}, {}
    for _, code in ipairs(list) do
        if values[code] ~= 0 then
            own[#own + 1] = code
            with_room[seqs[code]] = code
        end
    end
    for _, code in ipairs(list) do
        local seq = seqs[code]
        if values[code] == 0 and seq ~= 0 then
            if with_room[seq] then
                others[with_room[seq]] = code
                with_room[seq] = nil
            else
                own[#own + 1] = code
                with_room[seq] = code
            end
        end
    end
    for at, code in ipairs(own) do
        own[at] = bytes_of(FORM, code, values[code], seqs[code], others[code] or 0)
    end
    return concat(own)
end

local function meet(people, kind, actor)
    local its = people[kind] or {}
    its[#its + 1], people[kind] = actor, its
    return people
end

local answer, answered = {}, 0
local moved = {} -- by how much each count of an item, by place
local changes, told = { '', '', '', '' }, 0 -- what moved as JSON, in so many pieces; most calls have four
local next_arg = 8
local items = tonumber(ARGV[1])
local next_set = items + 1

for number = 1, items do
    local key = KEYS[number]
    local header = try('HGET', key, '')
    if type(header) == 'table' then
        return redis.error_reply('WRONGTYPE ' .. key)
    end
    local was = schema_of(header and sub(header, 9 + 6 * byte(header)) or '')
    local schema = was
    local codes = schema.codes
    local reactions = ARGV[next_arg]
    local announced, actors, at = numbers_of('<BI2', reactions)
    local actors_at = next_arg
    next_arg = next_arg + 1 + actors
    local all = actors > FEW and call('HMGET', key, unpack(ARGV, actors_at + 1, actors_at + actors))
    local today, yesterday, fresh, gone, people
    local writes, written = {}, 0
    local at_answer = answered + 1
    answered = answered + 2

    for pair = 1, actors do
        local actor = ARGV[actors_at + pair]
        local stored = all and all[pair]
        if not all then
            stored = call('HGET', key, actor)
        end
        local record = stored or ''
        local kind, value, seq, flags = numbers_of(FORM, reactions, at)
        at = at + ENTRY
        local more, sets, rule = flags % 2 == 1, value ~= 0 or flags % 4 > 1, flags > 3 and 0 or rules[kind]
        local code = codes[kind]
        if not code then
            schema = with_kind(schema, kind)
            codes, code = schema.codes, schema.codes[kind]
        end

        -- Most say one thing, and before that said nothing, or something of that kind and its only rival. All that is
        -- done here the loop below does too.
        local rival = rule == 0 and 0 or only[kind]
        if rival ~= 0 then
            rival = rival ~= MANY and codes[rival] or nil
        end
        local telling = sets and seq ~= 0 and rival ~= 0 -- the rivals are given the seq
        local done = false
        if rule == UNIQUE and not more then
            done, people = true, meet(people or {}, kind, value ~= 0 and actor or nil)
        elseif not more and rule ~= EVENT and (rival or not telling) then
            if record == '' then
                done = true
                if value ~= 0 or seq ~= 0 then
                    record = bytes_of(FORM, code, value, seq, telling and rival or 0)
                    moved[code] = (moved[code] or 0) + value
                end
            elseif #record == ENTRY then
                local said, old, standing, other = numbers_of(FORM, record)
                if not telling and said == code and other == 0 then
                    done = true
                    if seq == 0 or seq >= standing then
                        moved[code] = (moved[code] or 0) + value - old
                        if seq ~= 0 then
                            standing = seq
                        end
                        record = ''
                        if value ~= 0 or standing ~= 0 then
                            record = bytes_of(FORM, code, value, standing, 0)
                        end
                    end
                elseif telling and (said == code and other == rival or said == rival and other == code) then
                    done = true
                    if seq >= standing then
                        moved[said] = (moved[said] or 0) - old
                        moved[code] = (moved[code] or 0) + value
                        record = bytes_of(FORM, code, value, seq, rival)
                    end
                end
            end
        end

        if not done then
            local list, values, seqs = read(record)
            while true do
                if not values[code] and rule ~= UNIQUE then
                    list[#list + 1] = code
                    values[code], seqs[code] = 0, 0
                end
                local old = values[code]
                if rule == UNIQUE then
                    people = meet(people or {}, kind, value ~= 0 and actor or nil)
                elseif rule == EVENT then
                    if not today then
                        today, yesterday = KEYS[next_set + day % 2], KEYS[next_set + (day + 1) % 2]
                        next_set = next_set + 2
                    end
                    local event = actor .. '\0' .. kinds[kind] .. '\0' .. ARGV[next_arg]
                    next_arg = next_arg + 1
                    if old < MOST and call('SISMEMBER', yesterday, event) == 0 and call('SADD', today, event) == 1 then
                        fresh = event
                        values[code] = old + 1
                        moved[code] = (moved[code] or 0) + 1
                    end
                elseif seq == 0 or seq >= seqs[code] then
                    if seq ~= 0 then
                        seqs[code] = seq
                    end
                    values[code] = value
                    moved[code] = (moved[code] or 0) + value - old
                    if sets and rule ~= 0 then
                        for other = 1, #rules do
                            if rules[other] == rule and other ~= kind then
                                if seq ~= 0 and not codes[other] then
                                    schema = with_kind(schema, other)
                                    codes = schema.codes
                                end
                                local place = codes[other]
                                if place and values[place] then
                                    moved[place] = (moved[place] or 0) - values[place]
                                    values[place] = 0
                                    if seqs[place] < seq then
                                        seqs[place] = seq
                                    end
                                elseif seq ~= 0 then
                                    list[#list + 1] = place
                                    values[place], seqs[place] = 0, seq
                                end
                            end
                        end
                    end
                end
                if not more then
                    break
                end
                kind, value, seq, flags = numbers_of(FORM, reactions, at)
                at = at + ENTRY
                more, sets, rule = flags % 2 == 1, value ~= 0 or flags % 4 > 1, flags > 3 and 0 or rules[kind]
                code = codes[kind]
                if not code then
                    schema = with_kind(schema, kind)
                    codes, code = schema.codes, schema.codes[kind]
                end
            end
            record = write(list, values, seqs)
        end

        if record ~= '' then
            writes[written + 1], writes[written + 2] = actor, record
            written = written + 2
        elseif stored then
            gone = gone or {}
            gone[#gone + 1] = actor
        end
        answered = answered + 1
        answer[answered] = record
    end

    local numbers -- version, counts
    if people then
        numbers = header and { numbers_of(was.reading, header, 2) } or { 0 }
        for kind, its in pairs(people) do
            local log = key .. ':u:' .. kinds[kind]
            if #its > 0 and call('PFADD', log, unpack(its)) == 1 then
                -- What stands is what was given, in the record of the hub's own actor, and the people before.
                local code, given = codes[kind], call('HGET', key, '~start:' .. kinds[kind])
                local _, values = read(given or '')
                local stands = code <= was.size and numbers[code + 1] or 0
                local by = call('PFCOUNT', log) + (values[code] or 0) - stands
                if by > 0 then -- an estimate that went down is not shown
                    moved[code] = (moved[code] or 0) + by
                end
            end
        end
    end
    local changed = 0
    for _, by in pairs(moved) do
        changed = by ~= 0 and 1 or changed
    end
    if header or written > 0 or changed == 1 then
        if changed == 1 or schema ~= was then
            numbers = numbers or header and { numbers_of(was.reading, header, 2) } or { 0 }
            for place = was.size + 1, schema.size do
                numbers[place + 1] = 0
            end
            for code, by in pairs(moved) do
                numbers[code + 1] = numbers[code + 1] + by
            end
            if changed == 1 then
                numbers[1] = numbers[1] < now_us and now_us or numbers[1] + 1
                changes[told + 1], changes[told + 2] = told == 0 and '["' or '}],["', sub(key, item_at, -2)
                told = told + 2
                local begun = false
                for code, by in pairs(moved) do
                    if by ~= 0 then
                        local name = schema.named[code]
                        if begun then
                            name = ',"' .. name .. '":'
                        elseif numbers[1] ~= now_us then
                            name = format('",%.0f,{"%s":', numbers[1], name)
                        else -- as of most items
                            name = schema.first[code] or format('",%.0f,{"%s":', now_us, name)
                            schema.first[code] = name
                        end
                        changes[told + 1], changes[told + 2] = name, by == 1 and '1' or by
                        begun, told = true, told + 2
                    end
                end
            end
            header = bytes_of(schema.writing, schema.size, unpack(numbers, 1, schema.size + 1)) .. schema.names
        end
        if gone then
            call('HDEL', key, unpack(gone))
        end
        call('HSET', key, '', header, unpack(writes, 1, written))
        if fresh then
            call('EXPIREAT', today, (day + 2) * DAY_S)
            if publish == 'SPUBLISH' and call('EXISTS', yesterday) == 0 then
                call('SADD', yesterday, fresh)
                call('EXPIREAT', yesterday, (day + 3) * DAY_S)
            end
        end
    end
    if changed == 1 and announced == 1 then
        call(publish, channel_prefix .. key, header)
    end
    for code in pairs(moved) do moved[code] = nil end
    answer[at_answer], answer[at_answer + 1] = header, changed
end

local text = told > 0 and concat(changes, '', 1, told) .. '}]' or ''
if most_changes == '0' then
    answer[answered + 1] = text
elseif told > 0 then
    call('XADD', KEYS[#KEYS], 'MAXLEN', '~', most_changes, '*', 'body', '[' .. text .. ']')
end
return answer
