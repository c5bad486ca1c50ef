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
  -- after. A master that forgot the entry of a holder may know its fence.
  local function fenceFloor(order, mode, fence, isRepair)
    local floor = storedFence(beside(order, 'fence'))
    if mode ~= 's' then
      floor = math.max(floor, storedFence(beside(order, 'readers'))) --mutant:fence-above-readers
    end
    return isRepair and floor == fence and 0 or floor
  end

  -- carry stores an entry's fence.
  local function carry(order, mode, a)
    storeFence(beside(order, mode == 's' and 'readers' or 'fence'), ARGV[a + 4], ARGV[a + 10]) --mutant:admitted-fence
  end

  -- isTimely reports whether a fence is near this master's time, or near those that it must exceed.
  -- So a client that knows nothing but its own clock, which may be wrong, cannot push a name's
  -- fences far ahead.
  local function isTimely(fence, floor)
    local near = 60000000
    if fencing and guard > 0 then --mutant:guarded-admission
      near = math.min(near, guard * 250)
    end
    return math.abs(fence - micros) <= near or fence > floor and fence <= floor + 1 --mutant:timely-fence
  end

  -- refusal returns why a new entry is not admitted, or nil if it is. floor is the highest fence of
  -- those that stand and that it must come after.
  local function refusal(k, a, how, floor)
    local order, mode, fence = KEYS[k + 1], ARGV[a + 3], tonumber(ARGV[a + 4])
    local isRepair = how == 'readmit'
    if fencing then
      floor = math.max(floor, fenceFloor(order, mode, fence, isRepair)) --mutant:floor-of-fences
    end
    if fence <= floor or ARGV[a + 9] == '' and not isTimely(fence, floor) then --mutant:admission-floor
      return {OVERTAKEN, string.format('%.0f', floor)}
    end
  end

  -- banned returns why no new entry is admitted now, or nil.
  local function banned(k, a, how)
    if how == 'renew' then --mutant:renew-is-no-admission
      return ABSENT
    elseif isLate(ARGV[a + 2]) then
      return EXPIRED
    elseif how == 'readmit' then
      return redis.pcall('GET', rest().barOf(KEYS[k], ARGV[a + 1])) == '1' and ABSENT or nil --mutant:barred-readmission
    end
    local left = guard > 0 and rest().quarantine(guard) or 0 --mutant:admit-guarded
    return left > 0 and {QUARANTINED, left} or nil
  end

  -- entryOf returns the value of the lock's key if the entry is the only one.
  local function entryOf(mode, fence, token)
    return LONE .. mode .. ' ' .. fence .. ' ' .. token
  end

  -- admit admits an entry, or keeps the one that stands. An entry before which there is room is kept
  -- for the TTL. One that waits is kept for a shorter lease, so that a dead waiter does not keep
  -- others waiting.
  --
  -- KEYS    the lock's key, the key of the order
  -- ARGV    admit; renew: only keep an entry that stands; readmit: for a holder that a majority has
  --         just confirmed, so the restart guard does not apply;
  --         the token, the deadline, the mode, the fence, the TTL and the lease in milliseconds, the
  --         waiter's question, its channel, '' for none, '' if the fence is a guess by the client's
  --         clock; with fencing: how many milliseconds a fence is kept
  -- Result  HELD the entry stands and has room, STORED it was admitted just now and has room, or
  --         {HELD or STORED, the tokens before it} for a permit if there are any
  --         {BLOCKED, 1 if it was admitted just now, the member that is in its way, milliseconds left
  --         of that one's lease, how many are before it, how many listen on the channel}
  --         {OVERTAKEN, the fence to exceed}, {CONFLICT, the mode of the others},
  --         {TAKEN, the token of a plain lock, milliseconds left}, {QUARANTINED, milliseconds left},
  --         ABSENT, EXPIRED
  local function admit(k, a, how)
    readTime()
    local key, entry = KEYS[k], entryOf(ARGV[a + 3], ARGV[a + 4], ARGV[a + 1])
    local current = redis.call('GET', key)
    if current and current ~= entry then
      return ordered().admit(k, a, how, current)
    end
    local why = not current and (banned(k, a, how) or refusal(k, a, how, 0))
    if why then
      return why
    end
    if fencing then
      carry(KEYS[k + 1], ARGV[a + 3], a)
    end
    if current then
      rest().lengthen(key, ARGV[a + 5])
      return HELD
    end
    redis.call('SET', key, entry, 'PX', ARGV[a + 5])
    return STORED
  end

  -- depart removes an entry, whether it holds the lock or waits for it. It never fails for lack of
  -- memory or of a right to publish.
  --
  -- KEYS    the lock's key, the key of the order
  -- ARGV    depart, the token, the mode, the fence
  -- Result  HELD the entry stood, HANDED_ON it did and there is room for a waiter now, ABSENT
  local function depart(k, a)
    local key, current = KEYS[k], redis.pcall('GET', KEYS[k])
    if current == ORDERED then
      return ordered().leave(key, KEYS[k + 1], ARGV[a + 2] .. ' ' .. ARGV[a + 1], ARGV[a + 3])
    elseif current == entryOf(ARGV[a + 2], ARGV[a + 3], ARGV[a + 1]) then --mutant:depart-compares
      redis.call('DEL', key)
      return HELD
    end
    return ABSENT
  end

  loneFunctions = {admit = admit, depart = depart, refusal = refusal, banned = banned, carry = carry, beside = beside}
  return loneFunctions
end
