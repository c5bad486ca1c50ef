-- extend: keep the key for the token, for at least the TTL from now.
--
-- It never shortens the time that the key has left. A majority may apply a short extension whose
-- answers are lost, while the holder still relies on its earlier, longer window. A key without an
-- expiry gets the TTL.
--
-- A repair also gives a vacant key to the token. It is for a holder that a majority has just
-- confirmed, on a master that forgot the key. So the restart guard does not apply.
--
-- With fencing, every master that keeps the lock also stores its fence, because the masters that
-- keep the lock may not be the ones that granted it.
--
-- KEYS[1]  the lock's key
-- KEYS[2]  with fencing: where its fence is stored
-- ARGV[1]  the token
-- ARGV[2]  the TTL in milliseconds
-- ARGV[3]  '1' for a repair, '0' otherwise
-- ARGV[4]  the lock's fence, '' without fencing
-- ARGV[5]  how many milliseconds a fence is kept
-- Reply    HELD the token has the key, and its fence or a higher one is stored,
--          ABSENT nobody has the key, TAKEN another token has it
local current = redis.call('GET', KEYS[1])
if current and current ~= ARGV[1] then --mutant:extend-compares
  return TAKEN
elseif not current and ARGV[3] ~= '1' then --mutant:extend-repairs
  return ABSENT
end
if ARGV[4] ~= '' then --mutant:extend-fence
  storeFence(KEYS[2], fenceAt(KEYS[2]), ARGV[4], ARGV[5]) --mutant:carried-fence
end
if not current then --mutant:extend-vacant
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
elseif redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then --mutant:extend-lengthens
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return HELD
