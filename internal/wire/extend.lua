-- extend keeps the key for the token, for at least the TTL from now.
--
-- It never shortens the time that the key has left. A majority may apply a short extension whose
-- answers are lost, while the holder still relies on its earlier, longer window. A key without an
-- expiry gets the TTL.
--
-- A repair also gives a vacant key to the token. It is for a holder that a majority has just
-- confirmed, on a master that forgot the key. So the restart guard does not apply. It gives nothing
-- to a token that was broken; see break.lua.
--
-- With fencing, every master that keeps the lock also stores its fence, because the masters that
-- keep the lock may not be the ones that granted it.
--
-- KEYS    the lock's key; with fencing: the fence's key
-- ARGV    the name, the token, the deadline, the TTL in milliseconds, and with fencing: the lock's
--         fence, how many milliseconds a fence is kept
-- Result  HELD the token has the key, and its fence or a higher one is stored,
--         ABSENT nobody has the key, TAKEN another token has it, EXPIRED
local function extend(k, a, isRepair)
  local key, token, ttl = KEYS[k], ARGV[a + 1], ARGV[a + 3]
  local current = redis.call('GET', key)
  if current and current ~= token then --mutant:extend-compares
    return TAKEN
  elseif not current and not isRepair then --mutant:extend-repairs
    return ABSENT
  elseif not current and isLate(ARGV[a + 2]) then --mutant:late-repair
    return EXPIRED
  elseif not current and redis.pcall('GET', barOf(key, token)) == '1' then --mutant:barred-repair
    return TAKEN
  end
  if fencing then --mutant:extend-fence
    storeFence(KEYS[k + 1], ARGV[a + 4], ARGV[a + 5]) --mutant:carried-fence
  end
  if current then
    lengthen(key, ttl) --mutant:extend-lengthens
  else
    redis.call('SET', key, token, 'PX', ttl)
  end
  return HELD
end

-- dated is extend for a lock that was handed on. It also stores since when the token has the key:
-- the token was made when its waiter began to wait. Nothing depends on it, so it may fail.
--
-- KEYS    those of extend; the key of the date
-- ARGV    those of extend; the date, for how many milliseconds it is kept
-- Result  that of extend
local function dated(k, a)
  local result = extend(k, a, false)
  if result == HELD then
    redis.pcall('SET', KEYS[k + 1 + more], ARGV[a + 1] .. ' ' .. ARGV[a + 4 + 2 * more], 'PX',
      ARGV[a + 5 + 2 * more])
  end
  return result
end
