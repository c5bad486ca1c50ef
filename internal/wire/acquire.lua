-- acquire gives the key to the token if the key is vacant.
--
-- With fencing, the client proposes a fence, and the script stores it in the same step in which it
-- grants the key.
--
-- If the token is already stored, either a client repeated the request, or the key was handed on to
-- a waiter that now confirms it. The key gets at least the TTL, and never less than it had. A
-- repeated request proposes no higher fence than the first one stored, so it stores none.
--
-- KEYS    the lock's key; for a waiter: the queue that it leaves; with fencing: the fence's key
-- ARGV    the name, the token, the deadline, the TTL in milliseconds, and with fencing: the
--         proposed fence, how many milliseconds a fence is kept
-- Result  HELD; with fencing: STORED if the proposed fence was stored, otherwise
--         {HELD, the stored fence}
--         {TAKEN, the other token}, {QUARANTINED, milliseconds left}, EXPIRED
local function acquire(k, a, isWaiter)
  readTime()
  local key, token, ttl = KEYS[k], ARGV[a + 1], ARGV[a + 3]
  local late, left, current = isLate(ARGV[a + 2]), 0, nil
  if guard > 0 then --mutant:acquire-guarded
    left = rest().quarantine(guard, tonumber(ttl))
  end
  if late or left > 0 then
    current = redis.call('GET', key)
    if not current then
      return late and EXPIRED or {QUARANTINED, left}
    end
  else
    current = exchange(key, token, ttl, true)
  end
  if current then
    if current ~= token then --mutant:acquire-compares
      return {TAKEN, current}
    end
    rest().lengthen(key, ttl) --mutant:acquire-lengthens
  end
  if isWaiter then
    rest().removeWaiter(KEYS[k + 1], token)
    k = k + 1
  end
  if not fencing then
    return HELD
  end
  local ok, isNew, stored = pcall(propose, KEYS[k + 1], ARGV[a + 4], ARGV[a + 5], guard)
  if not ok then
    if not current then --mutant:acquire-undone
      redis.call('DEL', key)
    end
    error(isNew, 0) -- here it is what propose raised
  end
  return isNew and STORED or {HELD, stored}
end
