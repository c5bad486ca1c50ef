  -- leave removes an entry, and notifies those who come after it.
  local function leave(key, order, member, fence)
    local marked = redis.pcall('GET', key) == ORDERED
    local there = remove(order, member)
    if not (marked and there) then --mutant:depart-respects-plain
      return ABSENT
    elseif not settle(key, order) then
      return HELD
    end
    local mode, token = string.match(member, '^(%S+) (.*)$')
    redis.pcall('HDEL', beside(order, ':records'), token)
    local n, permits = permitsOf(mode), 0
    if n and redis.pcall('ZCOUNT', order, '-inf', '(' .. fence) < n then --mutant:departed-rank
      permits = 1
    end
    return advance(order, permits, mode == 'x' and fence or nil, token) and HANDED_ON or HELD
  end

  -- depart removes an entry, whether it holds the lock or waits for it. It never fails for lack of
  -- memory or of a right to publish.
  --
  -- KEYS    the lock's key, the key of the order
  -- ARGV    depart, the token, the mode, the fence
  -- Result  HELD the entry stood, HANDED_ON it did and there is room for a waiter now, ABSENT
  local function depart(k, a)
    return leave(KEYS[k], KEYS[k + 1], ARGV[a + 2] .. ' ' .. ARGV[a + 1], ARGV[a + 3])
  end

  -- memberOf returns the member of a token and its fence, or nil.
  local function memberOf(order, token)
    local first = redis.call('ZRANGE', order, 0, 0)[1]
    for _, mode in ipairs({'x', 's', first and modeOf(first)}) do
      local member = mode .. ' ' .. token
      local fence = redis.call('ZSCORE', setOf(order, mode), member)
      if fence then
        return member, string.format('%.0f', tonumber(fence))
      end
    end
  end

  -- expel is depart for the token of another client.
  local function expel(key, order, token)
    local member, fence = memberOf(order, token)
    return member and leave(key, order, member, fence) or ABSENT
  end

  -- census lists the entries, in the order of their fences: "mode token fence left waits", where left
  -- is how many milliseconds its lease has left, and waits is 1 if others before it leave no room. It
  -- lists a hundred of each set at most. It also returns how many wait, and the first of them.
  local function census(order)
    local list, waiting, first = {}, 0, nil
    for _, set in ipairs({order, beside(order, ':shared')}) do
      local members = redis.call('ZRANGE', set, 0, 99, 'WITHSCORES')
      for i = 1, #members, 2 do
        local member, fence = members[i], string.format('%.0f', tonumber(members[i + 1]))
        local left = (redis.call('ZSCORE', beside(order, ':leases'), member) or 0) - now
        if left > 0 then
          local waits = before(order, modeOf(member), member, tonumber(fence)) and 1 or 0
          if waits == 1 then
            waiting, first = waiting + 1, math.min(first or math.huge, tonumber(fence))
          end
          list[#list + 1] = string.format('%s %s %.0f %d', member, fence, left, waits)
        end
      end
    end
    return list, waiting, first
  end

  orderedFunctions = {admit = admit, depart = depart, expel = expel, census = census}
  return orderedFunctions
end
