  -- conflict returns the mode of an entry that does not go together with a mode: permits go only
  -- with as many permits. If there is none, it also returns the highest fence in the order.
  local function conflict(order, mode)
    local last = redis.call('ZRANGE', order, -1, -1, 'WITHSCORES')
    local member = last[1] or redis.call('ZRANGE', beside(order, 'shared'), 0, 0)[1]
    local other = member and modeOf(member)
    if other and other ~= mode and (permitsOf(other) or permitsOf(mode)) then --mutant:kinds-conflict
      return other
    end
    return nil, tonumber(last[2] or 0)
  end

  -- foremost returns the last of the entries that have room and exclude one of the given mode,
  -- followed by its fence. If all is true and they are permits, it returns all of them, in order.
  local function foremost(order, mode, all)
    local n = permitsOf(mode)
    if n then
      local some = redis.call('ZRANGE', order, all and 0 or n - 1, n - 1, 'WITHSCORES')
      return some[1] and some or redis.call('ZRANGE', order, -1, -1, 'WITHSCORES')
    end
    local shared = beside(order, 'shared')
    local writer = redis.call('ZRANGE', order, 0, 0, 'WITHSCORES')
    local readers = redis.call('ZCOUNT', shared, '-inf', writer[2] and '(' .. writer[2] or '+inf') --mutant:readers-in-front
    if readers == 0 then
      return writer --mutant:floor-of-exclusives
    elseif mode == 'x' then
      return redis.call('ZRANGE', shared, readers - 1, readers - 1, 'WITHSCORES') --mutant:floor-of-readers
    end
    return {}
  end

  -- floorOf returns the fence that a new entry's must exceed: the highest of those that it excludes
  -- and that have room, so that their clients may have been told. It may go before others, because
  -- nobody has told them that there is room. So if a few requests overtake each other on their way
  -- to a master, it does not matter. But one that seems to be much older than others goes behind
  -- them. Otherwise, somebody whose fences are too high could wait forever. last is the highest
  -- fence in the order.
  local function floorOf(order, mode, fence, last)
    local front = foremost(order, mode)
    local floor, patience = tonumber(front[#front] or 0), 100000 -- microseconds
    if mode == 'x' then
      local reader = redis.call('ZRANGE', beside(order, 'shared'), -1, -1, 'WITHSCORES')
      last = math.max(last, tonumber(reader[2] or 0))
    end
    if fence < last - patience then --mutant:floor-of-all
      floor = last
    end
    return floor
  end

  -- floorOfHolder is floorOf for the entry of a holder, which may stand already. It may go before
  -- the permits of other holders that do not count here yet, if all have room. Otherwise, of
  -- several holders only the last could put its entry back. Others may not be passed: an extension
  -- may count what this master said before, together with what another one says that has lost this
  -- entry by now.
  local function floorOfHolder(order, mode, member)
    local front, n = foremost(order, mode, true), permitsOf(mode)
    for i = #front - 1, 1, -2 do
      local isPassed = n and #front < 2 * n and --mutant:holders-keep-their-room
        lone().probation(order, string.match(front[i], ' (.*)$')) > 0 --mutant:only-holders-are-passed
      if front[i] ~= member and not isPassed then
        return tonumber(front[i + 1])
      end
    end
    return 0
  end

  -- keep keeps an entry for so many milliseconds from now, but for no less than before. For one
  -- that stands, it begins with what a master without memory allows, and then the rest is allowed
  -- too.
  local function keep(key, set, leases, member, life, stands)
    local before
    if stands then
      redis.call('PEXPIRE', leases, math.max(redis.call('PTTL', leases), life)) --mutant:keep-without-memory
      before = redis.call('ZSCORE', leases, member)
    end
    if not before or tonumber(before) < now + life then --mutant:lease-lengthens
      redis.call('ZADD', leases, string.format('%.0f', now + life), member)
    end
    if redis.call('PTTL', key) < life then --mutant:mark-lengthened
      for _, name in ipairs({key, set, leases}) do
        rest().lengthen(name, life)
      end
    elseif not permitsOf(modeOf(member)) then
      rest().lengthen(set, life) -- the key lasts for the other set's entries, and so do the leases
    end
  end

  -- await stores how to notify a waiter, and returns the result for it. rank is how many are before
  -- it, if that is known.
  local function await(k, a, code, inTheWay, fence, rank)
    local order, mode, channel = KEYS[k + 1], ARGV[a + 3], ARGV[a + 8]
    local records = beside(order, 'records')
    if channel ~= '' and ARGV[a + 6] ~= '0' then
      redis.call('HSET', records, ARGV[a + 1], table.concat({ARGV[a + 7], fencing and ARGV[a + 10] or '0', guard, channel}, ' '))
      rest().lengthen(records, ARGV[a + 6])
    end
    local ends = redis.call('ZSCORE', beside(order, 'leases'), inTheWay)
    if mode == 's' then
      rank = redis.call('ZCOUNT', order, '-inf', '(' .. fence)
    else
      rank = rank or redis.call('ZRANK', order, mode .. ' ' .. ARGV[a + 1]) or 0
    end
    local left = ends and math.max(ends - now, 0) or 0
    return {BLOCKED, code == STORED and 1 or 0, inTheWay, left, rank, rest().listeners(channel), fence}
  end

  -- spread gives the only entry of a name a place in the sorted sets. The lock's key is written
  -- last: if the client lacks a right to the others, nothing has changed.
  local function spread(key, order, entry)
    local mode, fence, token = lone().parse(entry)
    local left = redis.call('PTTL', key)
    left = left < 0 and 86400000 or math.max(left, 1) -- somebody may have made the key last forever
    local set, leases, member = setOf(order, mode), beside(order, 'leases'), mode .. ' ' .. token
    local records = beside(order, 'records')
    local held = lone().probation(order, token)
    redis.call('DEL', order, beside(order, 'shared'), leases, records) --mutant:lone-is-alone
    if held > 0 then
      lone().hold(order, token, left, held)
    end
    redis.call('ZADD', set, fence, member)
    redis.call('PEXPIRE', set, left)
    redis.call('ZADD', leases, string.format('%.0f', now + left), member)
    redis.call('PEXPIRE', leases, left)
    redis.call('SET', key, ORDERED, 'PX', left) --mutant:spread-writes-last
  end

  -- isUsed reports whether an entry has a fence that matters to one of the given mode.
  local function isUsed(order, mode, fence)
    fence = string.format('%.0f', fence)
    return redis.call('ZCOUNT', order, fence, fence) > 0 or
      mode == 'x' and redis.call('ZCOUNT', beside(order, 'shared'), fence, fence) > 0
  end

  -- enter adds an entry to the sorted sets. It returns its fence, or why it is not admitted. No two
  -- entries that exclude each other have the same fence, so that no two holders ever do.
  local function enter(k, a, how, current)
    local key, order, mode = KEYS[k], KEYS[k + 1], ARGV[a + 3]
    if current ~= ORDERED then
      spread(key, order, current)
    end
    local other, last = conflict(order, mode)
    if other then
      return nil, {CONFLICT, other}
    end
    local isHolder, fence = how == 'readmit', lone().proposed(a, how)
    local floor = isHolder and floorOfHolder(order, mode, '') or floorOf(order, mode, fence, last) --mutant:holders-are-passed
    local position = lone().positionOf(k, a, how, fence, floor)
    while position and isUsed(order, mode, position) do --mutant:entered-fences-differ
      position = not isHolder and position + lone().stride(ARGV[a + 1])
    end
    if not position then
      return nil, OVERTAKEN
    end
    return string.format('%.0f', position)
  end

  -- moved returns the fence of an entry that stands with another one than was asked for. It moves
  -- up. Only a holder's may come down, to the fence with which it holds the lock, and only if it
  -- could be admitted there.
  local function moved(k, a, how, before)
    local order, mode, token, wanted = KEYS[k + 1], ARGV[a + 3], ARGV[a + 1], tonumber(ARGV[a + 4])
    if before > wanted then
      local isFree = how == 'readmit' and --mutant:only-holders-come-down
        floorOfHolder(order, mode, mode .. ' ' .. token) < wanted and --mutant:come-down-floor
        not isUsed(order, mode, wanted) --mutant:come-down-used
      return isFree and wanted or before
    elseif ARGV[a + 9] == '' then --mutant:guess-moves-nobody
      return before
    end
    while before < wanted and isUsed(order, mode, wanted) do --mutant:fences-differ
      wanted = wanted + lone().stride(token)
    end
    return wanted --mutant:entry-moves-up
  end

  -- admit is that of lone.lua, if the lock's key has another value than this entry.
  local function admit(k, a, how, current)
    local key, order, mode, wanted = KEYS[k], KEYS[k + 1], ARGV[a + 3], ARGV[a + 4]
    local member, set = mode .. ' ' .. ARGV[a + 1], setOf(order, mode)
    if current ~= ORDERED and not lone().parse(current) then --mutant:admit-respects-plain
      return {TAKEN, current, redis.call('PTTL', key)}
    elseif current == ORDERED and not prune(key, order) then
      return lone().admit(k, a, how)
    end
    local before = current == ORDERED and redis.call('ZSCORE', set, member)
    local why, fence = lone().banned(k, a, how, before), nil
    if before then
      fence = string.format('%.0f', moved(k, a, how, tonumber(before)))
    elseif not why then
      fence, why = enter(k, a, how, current)
    end
    if not fence then
      return why
    end
    local movesUp = before and tonumber(before) < tonumber(fence)
    if not before or tonumber(before) ~= tonumber(fence) then
      redis.call('ZADD', set, fence, member)
    end
    local inTheWay, others, rank = inFront(order, mode, member, tonumber(fence))
    if inTheWay and not before and ARGV[a + 6] == '0' then --mutant:try-leaves-nothing
      redis.call('ZREM', set, member)
      return await(k, a, HELD, inTheWay, fence)
    end
    keep(key, set, beside(order, 'leases'), member, tonumber((inTheWay or why) and ARGV[a + 6] or ARGV[a + 5]), before) --mutant:waiters-lease
    why = why or lone().mark(k, a, how, before)
    if fencing and not (inTheWay or why) then
      lone().carry(order, mode, fence, ARGV[a + 10])
    end
    if movesUp then
      advance(order, permitsOf(mode), 1, mode == 'x' and before or nil, '-') --mutant:move-publishes
    end
    local code = before and HELD or STORED
    if why then --mutant:quarantine-counts
      return why
    elseif inTheWay then
      return await(k, a, code, inTheWay, fence, rank)
    elseif fence == wanted and not (others and others[1]) then
      return code
    end
    return {code, others and string.sub(tokens(others), 2) or '', fence} --mutant:permits-named
  end
