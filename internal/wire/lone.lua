-- lone returns the functions of ordered admission for a name that has one entry or none, as nearly
-- always. Then the entry is the value of the lock's key, 'ORDERED mode fence token', and lasts as
-- long as the key. Everything else is in ordered.lua.
local loneFunctions
local function lone()
  if loneFunctions then
    return loneFunctions
  end

  -- beside returns another key of the order, which has the name AUXorder.
  local function beside(order, kind)
    return AUX .. kind .. string.sub(order, #AUX + 6)
  end

  -- storedFence returns the fence that is stored under a key, or 0.
  local function storedFence(key)
    local stored = redis.call('GET', key)
    return stored and fenceOf(stored) or 0
  end

  -- fenceFloor returns the highest fence that was ever stored for an entry that a new one must come
  -- after.
  local function fenceFloor(order, mode)
    local floor = storedFence(beside(order, 'fence'))
    if mode ~= 's' then
      floor = math.max(floor, storedFence(beside(order, 'readers'))) --mutant:fence-above-readers
    end
    return floor
  end

  -- carry stores an entry's fence.
  local function carry(order, mode, fence, retention)
    storeFence(beside(order, mode == 's' and 'readers' or 'fence'), fence, retention) --mutant:admitted-fence
  end

  -- isCredible reports whether a fence is near this master's time, if it must be. So a client that
  -- knows nothing but its own clock, which may be wrong, cannot push a name's fences far ahead.
  -- With fencing and a restart guard, no fence may be far behind: after a quarantine, the master
  -- knows none of the earlier ones.
  local function isCredible(fence, isGuess)
    local guarded = fencing and guard > 0 --mutant:guarded-admission
    local near = guarded and math.min(60000000, guard * 250) or 60000000
    return not (isGuess or guarded) or math.abs(fence - micros) <= near --mutant:guessed-fence-near
  end

  -- stride returns how far behind others an entry goes that they have overtaken. It differs from
  -- entry to entry, so that those that move up hardly ever ask for the same place.
  local function stride(token)
    local a, b = string.byte(token, 1, 2)
    return 1 + (a * 31 + (b or 0)) % 61 --mutant:stride
  end

  -- proposed returns the fence that a client asks for. A guess that is far off is replaced by this
  -- master's time.
  local function proposed(a, how)
    local fence = tonumber(ARGV[a + 4])
    if how ~= 'readmit' and not isCredible(fence, ARGV[a + 9] == '') then
      return micros
    end
    return fence
  end

  -- positionOf returns the fence with which a new entry is admitted: the one that was proposed, or
  -- the next one after those that it must come after. floor is the highest of those that have room.
  -- The entry of a holder is admitted with its own fence, or not at all. Fences that were stored do
  -- not matter to it: nobody that it excludes can have held the lock since it does.
  local function positionOf(k, a, how, fence, floor)
    local order, mode = KEYS[k + 1], ARGV[a + 3]
    if how == 'readmit' then
      return fence > floor and fence --mutant:readmission-floor
    end
    if fencing then
      floor = math.max(floor, fenceFloor(order, mode)) --mutant:floor-of-fences
    end
    if fence <= floor then --mutant:admission-floor
      fence = floor + stride(ARGV[a + 1])
    end
    assert(fence <= 9007199254740991, 'the fences are used up')
    return fence
  end

  -- banned returns why an entry is not admitted now, or why it counts for nothing if it stands, or
  -- nil.
  --
  -- In a quarantine, the master may have forgotten entries and leases that clients still rely on.
  -- So what it knows of an entry counts for nothing: neither for a waiter, nor for a holder that
  -- was admitted again.
  local function banned(k, a, how, standing)
    if not standing then
      if how == 'renew' or how == 'remain' then --mutant:renew-is-no-admission
        return ABSENT
      elseif isLate(ARGV[a + 2]) then --mutant:late-admission
        return EXPIRED
      elseif redis.pcall('GET', rest().barOf(KEYS[k], ARGV[a + 1])) == '1' then --mutant:barred-admission
        return ABSENT
      end
    end
    local left = guard > 0 and how ~= 'readmit' and rest().quarantine(guard) or 0 --mutant:admit-guarded
    return left > 0 and {QUARANTINED, left} or nil
  end

  -- entryOf returns the value of the lock's key if the entry is the only one. parse is its inverse.
  -- It returns nil for other values.
  local function entryOf(mode, fence, token)
    return LONE .. mode .. ' ' .. fence .. ' ' .. token
  end

  local function parse(value)
    if type(value) == 'string' and string.sub(value, 1, #LONE) == LONE then
      return string.match(value, '^%S+ (%S+) (%d+) (.*)$')
    end
  end

  -- probation returns for how many more milliseconds the permit of a holder that was admitted again
  -- does not count, and whether it ever did not.
  local function probation(order, token)
    local record = redis.pcall('HGET', beside(order, 'records'), token)
    local ends = type(record) == 'string' and string.match(record, '^held (%d+)$')
    return ends and math.max(ends - now, 0) or 0, ends
  end

  -- hold records for how long a permit does not count. life is the entry's.
  local function hold(order, token, life, left)
    local records = beside(order, 'records')
    redis.call('HSET', records, token, string.format('held %.0f', now + left))
    rest().lengthen(records, math.max(life, left)) --mutant:probation-is-kept
  end

  -- mark begins the time for which the permit of a holder that was admitted again does not count,
  -- so that other holders can be admitted before it: until the quarantine is over, or else for its
  -- TTL. It returns why a permit does not count now, or nil. Once it counts, it does so for good,
  -- even if this master's clock is set back.
  local function mark(k, a, how, stood)
    local order, token, ttl = KEYS[k + 1], ARGV[a + 1], tonumber(ARGV[a + 5])
    if string.sub(ARGV[a + 3], 1, 1) ~= 'p' or how ~= 'readmit' and how ~= 'renew' then
      return nil
    elseif not stood then --mutant:holders-marked
      local quarantined = rest().quarantine(guard)
      hold(order, token, ttl, quarantined > 0 and quarantined or ttl)
      return nil
    end
    local left, ever = probation(order, token)
    if left > 0 then --mutant:probation-counts-not
      return OVERTAKEN
    elseif ever then
      redis.call('HDEL', beside(order, 'records'), token) --mutant:probation-ends
    end
  end

  -- admit admits an entry, or keeps the one that stands. If the client asks for a higher fence than
  -- the entry has, it moves up, unless that is a guess: the request may be late, and the entry may
  -- hold the lock by now. A holder's entry that others have overtaken on this master comes down, if
  -- there is room. An entry before which there is room is kept for the TTL. One that waits is kept
  -- for a shorter lease, so that a dead waiter does not keep others waiting.
  --
  -- KEYS    the lock's key, the key of the order
  -- ARGV    admit; remain: only keep a waiter's entry that stands; renew: only keep a holder's;
  --         readmit: for a holder that a majority has just confirmed. To the last, the restart
  --         guard does not apply;
  --         the token, the deadline, the mode, the fence, the TTL and the lease in milliseconds,
  --         '0' to be admitted only if there is room, the waiter's question, its channel, '' for
  --         none, '' if the fence is a guess by the client's clock, or is checked by the masters;
  --         with fencing: how many milliseconds a fence is kept
  -- Result  HELD the entry stands with this fence and has room, STORED it was admitted just now, or
  --         {HELD or STORED, the tokens before it for a permit, the fence that it has}
  --         {BLOCKED, 1 if it was admitted just now, the member that is in its way, milliseconds
  --         left of that one's lease, how many are before it, how many listen on the channel, its
  --         fence}
  --         {CONFLICT, the mode of the others}, {TAKEN, the token of a plain lock, milliseconds
  --         left}, {QUARANTINED, milliseconds left}, ABSENT, EXPIRED, OVERTAKEN it is not
  --         readmitted, or was but does not count yet
  local function admit(k, a, how)
    readTime()
    local key, order, mode, wanted, token = KEYS[k], KEYS[k + 1], ARGV[a + 3], ARGV[a + 4], ARGV[a + 1]
    local ttl, fence, current = ARGV[a + 5], nil, redis.call('GET', key)
    if current == entryOf(mode, wanted, token) then
      fence = wanted
    elseif current then
      local ownMode, ownFence, ownToken = parse(current)
      if ownToken ~= token or ownMode ~= mode then
        return ordered().admit(k, a, how, current)
      end
      fence = ownFence
      if tonumber(wanted) < tonumber(ownFence) then
        fence = how == 'readmit' and wanted or ownFence --mutant:lone-comes-down
      elseif ARGV[a + 9] ~= '' then --mutant:guess-moves-nothing
        fence = wanted --mutant:lone-moves-up
      end
    end
    local why = banned(k, a, how, current)
    if why and not current then
      return why
    elseif not current then
      local position = positionOf(k, a, how, proposed(a, how), 0)
      if not position then
        return OVERTAKEN
      end
      fence = string.format('%.0f', position)
    end
    if current == entryOf(mode, fence, token) then
      rest().lengthen(key, ttl)
    else
      if current then
        ttl = math.max(redis.call('PTTL', key), tonumber(ttl)) --mutant:lone-lengthens
      end
      redis.call('SET', key, entryOf(mode, fence, token), 'PX', ttl)
    end
    why = why or mark(k, a, how, current) --mutant:lone-marked
    if fencing and not why then
      carry(order, mode, fence, ARGV[a + 10])
    end
    local code = current and HELD or STORED
    return why or fence == wanted and code or {code, '', fence} --mutant:quarantine-counts-alone
  end

  -- depart removes an entry, whether it holds the lock or waits for it. It never fails for lack of
  -- memory or of a right to publish.
  --
  -- KEYS    the lock's key, the key of the order
  -- ARGV    depart, the token, the mode
  -- Result  HELD the entry stood, HANDED_ON it did and there is room for a waiter now, ABSENT
  local function depart(k, a)
    local key, current = KEYS[k], redis.pcall('GET', KEYS[k])
    if current == ORDERED then
      return ordered().leave(key, KEYS[k + 1], ARGV[a + 2] .. ' ' .. ARGV[a + 1], ARGV[a + 1])
    end
    local _, _, token = parse(current)
    if token ~= ARGV[a + 1] then --mutant:depart-compares
      return ABSENT
    end
    redis.call('DEL', key)
    return HELD
  end

  loneFunctions = {hold = hold, mark = mark, probation = probation, stride = stride, admit = admit, depart = depart, parse = parse, proposed = proposed,
    positionOf = positionOf, banned = banned, carry = carry, beside = beside}
  return loneFunctions
end
