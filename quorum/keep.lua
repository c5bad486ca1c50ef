-- keep: let the token have the key for at least the TTL from now.
--
-- It never shortens what the key has left: a majority may apply a short
-- extension whose answers are lost, and its holder goes on trusting the longer
-- window it had before. A key without an expiry gets the TTL.
--
-- To repair, it also gives a vacant key to the token. That is for a holder that
-- a majority has just confirmed, on a master that forgot, so the restart guard
-- has no say in it.
--
-- With fencing, the lock's fence is carried along to wherever it is kept: the
-- masters that keep it may be others than the ones that granted it.
--
-- KEYS[1]  the lock's key
-- KEYS[2]  with fencing: where its fence is stored
-- ARGV[1]  the token
-- ARGV[2]  the TTL in milliseconds
-- ARGV[3]  '1' to repair, '0' not to
-- ARGV[4]  the lock's fence, '' without fencing
-- ARGV[5]  for how many milliseconds a fence is kept
-- Reply    1 the token has the key, and its fence or a higher one is stored,
--          0 nobody has the key, -1 another token has it
local standing = redis.call('GET', KEYS[1])
if standing and standing ~= ARGV[1] then
  return -1
elseif not standing and ARGV[3] ~= '1' then
  return 0
end
if ARGV[4] ~= '' then
  storeFence(KEYS[2], fenceAt(KEYS[2]), ARGV[4], ARGV[5])
end
if not standing then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
elseif redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
