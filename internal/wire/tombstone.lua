-- tombstone releases the key, but keeps it taken for a while. It stores a value that is nobody's
-- token, so nobody can release it, and the first waiter gets the key when it expires. It also
-- removes the token from the queue.
--
-- A release never fails for lack of memory: if the value cannot be stored, the key is deleted.
--
-- KEYS    the lock's key; for leave: the queue
-- ARGV    the name, the token, for how many milliseconds the key stays taken
-- Result  HELD the token had the key, ABSENT nobody has it or the token was released before,
--         TAKEN something else is stored there
local function tombstone(k, a, queue)
  local key, token = KEYS[k], ARGV[a + 1]
  local current, stone = redis.pcall('GET', key), RELEASED .. token
  if queue then
    removeWaiter(queue, token) --mutant:tombstone-leaves
  end
  if not current or current == stone then
    return ABSENT
  elseif current ~= token then --mutant:tombstone-compares
    return TAKEN
  end
  if not redis.pcall('SET', key, stone, 'PX', ARGV[a + 2]).ok then
    redis.call('DEL', key)
  end
  return HELD
end
