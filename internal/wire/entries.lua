  -- inFront returns what is before an entry and leaves no room for it: a member, or nil if there is
  -- room. If there is, and the entry is a permit, it also returns the members before it. For any
  -- permit, it returns third how many those are.
  local function inFront(order, mode, member, fence)
    local permits = permitsOf(mode)
    if permits then
      local rank = redis.call('ZRANK', order, member)
      if rank >= permits then --mutant:permits-room
        return redis.call('ZRANGE', order, 0, 0)[1], nil, rank
      end
      return nil, rank > 0 and redis.call('ZRANGE', order, 0, rank - 1) or {}, rank
    end
    local first = redis.call('ZRANGE', order, 0, 0, 'WITHSCORES')
    if first[1] and first[1] ~= member and (mode == 'x' or tonumber(first[2]) < fence) then --mutant:reader-behind-writer
      return first[1]
    elseif mode == 'x' then
      local reader = redis.call('ZRANGE', beside(order, 'shared'), 0, 0, 'WITHSCORES')
      if reader[1] and tonumber(reader[2]) < fence then --mutant:writer-behind-reader
        return reader[1]
      end
    end
  end

  -- tokens lists the tokens of members, each after a space.
  local function tokens(members)
    local list = ''
    for _, member in ipairs(members) do
      list = list .. ' ' .. string.match(member, ' (.*)$')
    end
    return list
  end

  -- notify tells a waiter that there is room before its entry now. The message is "token + question
  -- fence gone before...": the waiter's latest question, its entry's fence, the token of the entry
  -- that was released, '-' if it expired or moved, and for a permit the tokens before it. With '?'
  -- for '+', the waiter uses fencing, but its fence could not be stored. score is the entry's, and
  -- rank how many are before it if it is a permit. It returns whether the entry is a waiter's.
  local function notify(order, member, score, rank, gone)
    local mode, token = string.match(member, '^(%S+) (.*)$')
    local record = redis.pcall('HGET', beside(order, 'records'), token)
    local question, retention, waitersGuard, channel = string.match(type(record) == 'string' and record or '', '^(%d+) (%d+) (%d+) (.+)$')
    if not question or budget == 0 then
      return false
    end
    budget = budget - 1
    local ok, left = pcall(rest().quarantine, tonumber(waitersGuard))
    if not ok or left > 0 then --mutant:quarantined-notifies-nobody
      return false
    end
    local fence = string.format('%.0f', tonumber(score))
    local isStored = retention == '0' or fencing and pcall(lone().carry, order, mode, fence, retention) --mutant:notify-stores-fence
    local list = rank and rank > 0 and tokens(redis.call('ZRANGE', order, 0, rank - 1)) or ''
    local kind = isStored and '+' or '?'
    redis.pcall('PUBLISH', channel, table.concat({token, kind, question, fence, gone}, ' ') .. list) --mutant:depart-publishes
    return true
  end

  -- advance notifies the waiters for which there is room since entries were removed or moved up. It
  -- returns whether there were any.
  --
  -- n        how many permits there are, or nil for other kinds
  -- permits  how many of the entries were among the first n
  -- above    the lowest fence that an exclusive one of them had, or nil
  local function advance(order, n, permits, above, gone)
    local told = false
    if n then
      local first = math.max(n - permits, 0)
      local next = redis.call('ZRANGE', order, first, n - 1, 'WITHSCORES') --mutant:permits-next
      for i = 1, #next, 2 do
        told = notify(order, next[i], next[i + 1], first + (i - 1) / 2, gone) or told
      end
      return told
    end
    local first, shared = redis.pcall('ZRANGE', order, 0, 0, 'WITHSCORES'), beside(order, 'shared')
    if above then
      local below = first[2] and '(' .. first[2] or '+inf'
      local next = redis.pcall('ZRANGEBYSCORE', shared, '(' .. above, below, 'WITHSCORES', 'LIMIT', 0, budget) --mutant:readers-together
      for i = 1, #next, 2 do
        told = notify(order, next[i], next[i + 1], nil, gone) or told
      end
    end
    local reader = redis.pcall('ZRANGE', shared, 0, 0, 'WITHSCORES')
    if first[1] and not (reader[1] and tonumber(reader[2]) < tonumber(first[2])) then
      told = notify(order, first[1], first[2], nil, gone) or told
    end
    return told
  end

  -- remove removes an entry. It returns whether there was one.
  local function remove(order, member)
    local there = redis.pcall('ZREM', setOf(order, modeOf(member)), member) == 1
    redis.pcall('ZREM', beside(order, 'leases'), member)
    return there
  end

  -- settle makes the lock's key last as long as the longest lease, after entries were removed. It
  -- returns whether there are any left.
  local function settle(key, order)
    local leases = beside(order, 'leases')
    local last = redis.call('ZRANGE', leases, -1, -1, 'WITHSCORES')[2]
    if last and tonumber(last) > now then --mutant:settle-dead
      redis.call('PEXPIREAT', key, string.format('%.0f', tonumber(last))) --mutant:mark-shortened
      return true
    end
    redis.call('DEL', key, beside(order, 'records')) --mutant:mark-removed
    return false
  end

  -- prune removes the entries whose leases are over, and notifies those who come after them: Redis
  -- runs nothing by itself. It returns whether any are left.
  local function prune(key, order)
    local dead = redis.call('ZRANGEBYSCORE', beside(order, 'leases'), '-inf', now, 'LIMIT', 0, budget)
    if #dead == 0 then
      return true
    end
    local permits, above, n = 0, nil, permitsOf(modeOf(dead[1]))
    for _, member in ipairs(dead) do
      budget = budget - 1
      local mode, token = string.match(member, '^(%S+) (.*)$')
      if n and (redis.call('ZRANK', order, member) or n) < n then
        permits = permits + 1
      elseif mode == 'x' then
        above = math.min(above or math.huge, tonumber(redis.call('ZSCORE', order, member) or math.huge))
      end
      remove(order, member)
      redis.call('HDEL', beside(order, 'records'), token)
    end
    if not settle(key, order) then
      return false
    end
    advance(order, n, permits, above and string.format('%.0f', above), '-') --mutant:prune-publishes
    return true
  end
