-- keep: let the token have the key for at least the TTL from now.
--
-- It never shortens what the key has left: a majority may apply a short
-- extension whose answers are lost, and its holder goes on trusting the longer
-- window it had before. A key without an expiry gets the TTL.
--
-- To repair, it also gives a vacant key to the token. That is for a holder that
-- a majority has just confirmed, on a master that forgot.
--
-- KEYS[1]  the lock's key
-- ARGV[1]  the token
-- ARGV[2]  the TTL in milliseconds
-- ARGV[3]  '1' to repair, '0' not to
-- Reply    1 the token has the key, 0 nobody has it, -1 another token has it
local standing = redis.call('GET', KEYS[1])
if not standing then
  if ARGV[3] == '1' then
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    return 1
  end
  return 0
elseif standing ~= ARGV[1] then
  return -1
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
