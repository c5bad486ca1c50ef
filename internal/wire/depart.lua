  -- leave removes an entry, and notifies those who come after it. gone is its token if its own
  -- client has released it, and '-' otherwise.
  local function leave(key, order, member, gone)
    local mode, token = string.match(member, '^(%S+) (.*)$')
    local n, permits = permitsOf(mode), 0
    local place = redis.pcall(n and 'ZRANK' or 'ZSCORE', setOf(order, mode), member)
    if not remove(order, member) then
      return ABSENT
    elseif not settle(key, order) then
      return HELD
    end
    redis.pcall('HDEL', beside(order, 'records'), token)
    if n and place < n then --mutant:departed-rank
      permits = 1
    end
    return advance(order, n, permits, mode == 'x' and place or nil, gone) and HANDED_ON or HELD
  end

  -- memberOf returns the member of a token, or nil.
  local function memberOf(order, token)
    local first = redis.call('ZRANGE', order, 0, 0)[1]
    for _, mode in ipairs({'x', 's', first and modeOf(first)}) do
      local member = mode .. ' ' .. token
      if redis.call('ZSCORE', setOf(order, mode), member) then
        return member
      end
    end
  end

  -- isEntry reports whether the value of a lock's key says that there are entries.
  local function isEntry(current)
    return current == ORDERED or lone().parse(current) ~= nil
  end

  -- expel is depart for the token of another client.
  local function expel(key, order, token)
    local current = redis.call('GET', key)
    if current == ORDERED then
      local member = memberOf(order, token)
      return member and leave(key, order, member, '-') or ABSENT --mutant:expelled-is-not-gone
    end
    local _, _, stored = lone().parse(current)
    if stored ~= token then
      return ABSENT
    end
    redis.call('DEL', key)
    return HELD
  end

  -- census lists the entries, in the order of their fences: "mode fence token left waits", where
  -- left is how many milliseconds its lease has left, and waits is 1 if others before it leave no
  -- room. It lists a hundred of each set at most, and then the one with the given token, unless
  -- that is ''. It also returns how many wait, and the first of them.
  local function census(key, order, current, wanted)
    local list, waiting, first = {}, 0, nil
    if current ~= ORDERED then
      return {string.format('%s %.0f 0', string.sub(current, #LONE + 1), redis.call('PTTL', key))}, 0, nil
    end
    local function add(member, score)
      local mode, token = string.match(member, '^(%S+) (.*)$')
      local left = (redis.call('ZSCORE', beside(order, 'leases'), member) or 0) - now
      if left > 0 then
        local waits = inFront(order, mode, member, tonumber(score)) and 1 or 0
        if waits == 1 then
          waiting, first = waiting + 1, math.min(first or math.huge, tonumber(score))
        end
        list[#list + 1] = string.format('%s %.0f %s %.0f %d', mode, tonumber(score), token, left, waits)
      end
      wanted = token ~= wanted and wanted or ''
    end
    for _, set in ipairs({order, beside(order, 'shared')}) do
      local members = redis.call('ZRANGE', set, 0, 99, 'WITHSCORES')
      for i = 1, #members, 2 do
        add(members[i], members[i + 1])
      end
    end
    local member = wanted ~= '' and memberOf(order, wanted) --mutant:census-wanted
    if member then
      add(member, redis.call('ZSCORE', setOf(order, modeOf(member)), member))
    end
    return list, waiting, first
  end

  orderedFunctions = {admit = admit, leave = leave, isEntry = isEntry, expel = expel, census = census}
  return orderedFunctions
end
