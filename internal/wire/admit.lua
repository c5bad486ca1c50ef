  -- conflict returns the mode of an entry that does not go together with a mode: permits go only
  -- with as many permits.
  local function conflict(order, mode)
    local member = redis.call('ZRANGE', order, 0, 0)[1] or redis.call('ZRANGE', beside(order, ':shared'), 0, 0)[1]
    local other = member and modeOf(member)
    if other and other ~= mode and (permitsOf(other) or permitsOf(mode)) then --mutant:kinds-conflict
      return other
    end
  end

  -- floorOf returns the fence that a new entry's must exceed. The order of two shared entries does
  -- not matter, so they need not arrive in the order of their fences.
  local function floorOf(order, mode)
    local floor = highest(order)
    if mode == 'x' then
      floor = math.max(floor, highest(beside(order, ':shared'))) --mutant:floor-of-readers
    end
    return floor
  end

  -- storedFence returns the fence that is stored under a key, or 0.
  local function storedFence(key)
    local stored = redis.call('GET', key)
    return stored and fenceOf(stored) or 0
  end

  -- fenceFloor returns the highest fence that was ever stored for an entry that a new one must come
  -- after. A master that forgot the entry of a holder may know its fence.
  local function fenceFloor(order, mode, fence, isRepair)
    local floor = storedFence(beside(order, ':fence'))
    if mode ~= 's' then
      floor = math.max(floor, storedFence(beside(order, ':readers'))) --mutant:fence-above-readers
    end
    return isRepair and floor == fence and 0 or floor
  end

  -- carry stores an entry's fence.
  local function carry(order, mode, a)
    storeFence(beside(order, mode == 's' and ':readers' or ':fence'), ARGV[a + 4], ARGV[a + 9]) --mutant:admitted-fence
  end

  -- isTimely reports whether a proposed fence is near this master's time, or not far above the
  -- fences that it must exceed. So a wrong clock cannot push a name's fences far ahead.
  local function isTimely(fence, floor)
    local near = 60000000
    if fencing and guard > 0 then --mutant:guarded-admission
      near = math.min(near, guard * 250)
    end
    return math.abs(fence - micros) <= near or fence > floor and fence <= floor + 1000000 --mutant:timely-fence
  end

  -- refusal returns why a new entry is not admitted, or nil if it is.
  local function refusal(k, a, how, current)
    local order, token, mode, fence = KEYS[k + 1], ARGV[a + 1], ARGV[a + 3], tonumber(ARGV[a + 4])
    if how == 'renew' then --mutant:renew-is-no-admission
      return ABSENT
    elseif isLate(ARGV[a + 2]) then
      return EXPIRED
    end
    local isRepair = how == 'readmit'
    if not isRepair then
      local left = guard > 0 and rest().quarantine(guard) or 0 --mutant:admit-guarded
      if left > 0 then
        return {QUARANTINED, left}
      end
    elseif redis.pcall('GET', rest().barOf(KEYS[k], token)) == '1' then --mutant:barred-readmission
      return ABSENT
    end
    local floor = 0
    if current then
      local other = conflict(order, mode)
      if other then
        return {CONFLICT, other}
      end
      floor = floorOf(order, mode)
    end
    if fencing then
      floor = math.max(floor, fenceFloor(order, mode, fence, isRepair)) --mutant:floor-of-fences
    end
    if fence <= floor or not isRepair and not isTimely(fence, floor) then --mutant:admission-floor
      return {OVERTAKEN, string.format('%.0f', floor)}
    end
  end

  -- keep keeps an entry for so many milliseconds from now, but for no less than before.
  local function keep(key, set, leases, member, life, isFirst)
    local ends = string.format('%.0f', now + life)
    if isFirst then
      redis.call('ZADD', leases, ends, member)
      redis.call('PEXPIRE', set, life)
      redis.call('PEXPIRE', leases, life)
      return
    end
    local before = redis.call('ZSCORE', leases, member)
    if not before or tonumber(before) < now + life then --mutant:lease-lengthens
      redis.call('ZADD', leases, ends, member)
    end
    for _, name in ipairs({key, set, leases}) do
      rest().lengthen(name, life) --mutant:mark-lengthened
    end
  end

  -- await stores how to notify a waiter, and returns the result for it.
  local function await(k, a, code, inTheWay)
    local order, mode, channel = KEYS[k + 1], ARGV[a + 3], ARGV[a + 8]
    local records = beside(order, ':records')
    if channel ~= '' then
      redis.call('HSET', records, ARGV[a + 1], ARGV[a + 7] .. ' ' .. channel)
      rest().lengthen(records, ARGV[a + 6])
    end
    local ends = redis.call('ZSCORE', beside(order, ':leases'), inTheWay)
    local rank
    if mode == 's' then
      rank = redis.call('ZCOUNT', order, '-inf', '(' .. ARGV[a + 4])
    else
      rank = redis.call('ZRANK', order, mode .. ' ' .. ARGV[a + 1])
    end
    local left = ends and math.max(ends - now, 0) or 0
    return {BLOCKED, code == STORED and 1 or 0, inTheWay, left, rank, rest().listeners(channel)}
  end

  -- admit admits an entry, or keeps the one that stands. An entry before which there is room is kept
  -- for the TTL. One that waits is kept for a shorter lease, so that a dead waiter does not keep
  -- others waiting.
  --
  -- KEYS    the lock's key, the key of the order
  -- ARGV    admit; renew: only keep an entry that stands; readmit: for a holder that a majority has
  --         just confirmed, so the restart guard does not apply;
  --         the token, the deadline, the mode, the fence, the TTL and the lease in milliseconds, the
  --         waiter's question, its channel, '' for none; with fencing: how many milliseconds a fence
  --         is kept
  -- Result  HELD the entry stands and has room, STORED it was admitted just now and has room, or
  --         {HELD or STORED, the tokens before it} for a permit if there are any
  --         {BLOCKED, 1 if it was admitted just now, the member that is in its way, milliseconds left
  --         of that one's lease, how many are before it, how many listen on the channel}
  --         {OVERTAKEN, the fence to exceed}, {CONFLICT, the mode of the others},
  --         {TAKEN, the token of a plain lock, milliseconds left}, {QUARANTINED, milliseconds left},
  --         ABSENT, EXPIRED
  local function admit(k, a, how)
    local key, order = KEYS[k], KEYS[k + 1]
    local mode, fence, ttl = ARGV[a + 3], tonumber(ARGV[a + 4]), ARGV[a + 5]
    local member, set, leases = mode .. ' ' .. ARGV[a + 1], setOf(order, mode), beside(order, ':leases')
    local current = redis.call('GET', key)
    if current and current ~= ORDERED then --mutant:admit-respects-plain
      return {TAKEN, current, redis.call('PTTL', key)}
    end
    current = current and prune(key, order)
    local standing = current and redis.call('ZSCORE', set, member)
    if not standing then
      local why = refusal(k, a, how, current)
      if why then
        return why
      end
    end
    if fencing then
      carry(order, mode, a)
    end
    if not current then
      redis.call('SET', key, ORDERED, 'PX', ttl) --mutant:mark-set
      redis.call('DEL', order, beside(order, ':shared'), leases, beside(order, ':records')) --mutant:unmarked-is-void
    end
    if not standing then
      redis.call('ZADD', set, ARGV[a + 4], member)
    end
    local inTheWay, others = before(order, mode, member, fence)
    keep(key, set, leases, member, inTheWay and ARGV[a + 6] or ttl, not current) --mutant:waiters-lease
    local code = standing and HELD or STORED
    if inTheWay then
      return await(k, a, code, inTheWay)
    end
    return others and others[1] and {code, string.sub(tokens(others), 2)} or code --mutant:permits-named
  end
