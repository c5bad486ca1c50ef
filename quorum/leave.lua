-- leave: take the key from the token, if the token has it.
--
-- A key of another type is not the token's, so it counts as another's.
--
-- KEYS[1]  the lock's key
-- ARGV[1]  the token
-- Reply    1 the token had the key, 0 nobody has it, -1 something else is there
local standing = redis.pcall('GET', KEYS[1])
if not standing then
  return 0
elseif standing ~= ARGV[1] then
  return -1
end
redis.call('DEL', KEYS[1])
return 1
