-- inspect: who has the key, and for how long yet. It changes nothing.
--
-- KEYS[1]  the lock's key
-- Reply    nil if nobody has it, otherwise {token, milliseconds left (-1: no expiry)}
local standing = redis.call('GET', KEYS[1])
if not standing then
  return nil
end
return {standing, redis.call('PTTL', KEYS[1])}
