-- breakHold takes the key from a victim's token. It also takes a vacant key, so that the victim
-- cannot put its token back while others have yet to be taken. Whoever breaks a lock does not hold
-- it, so the restart guard does not apply.
--
-- If there is no memory to store the token, the victim's is deleted all the same.
--
-- KEYS    the lock's key
-- ARGV    the name, the token, the deadline, the victim's token, the TTL in milliseconds
-- Result  HELD the token has the key, ABSENT nobody has it, TAKEN a third token has it, EXPIRED
local function breakHold(k, a)
  local key, token = KEYS[k], ARGV[a + 1]
  local current = redis.call('GET', key)
  if current == token then
    return HELD
  elseif current and current ~= ARGV[a + 3] then --mutant:break-compares
    return TAKEN
  elseif isLate(ARGV[a + 2]) then --mutant:late-break
    return EXPIRED
  end
  local stored = redis.pcall('SET', key, token, 'PX', ARGV[a + 4])
  if stored.ok then
    return HELD
  elseif not string.find(stored.err, 'OOM', 1, true) then
    error(stored)
  end
  redis.call('DEL', key)
  return ABSENT
end
