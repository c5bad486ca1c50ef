-- release takes the key from the token, if the token has it, and hands it on to the next waiter. It
-- also removes the token from the queue.
--
-- A key of another type counts as another token's. A release never fails for lack of memory or of a
-- right to publish. If the key cannot be handed on, it is deleted. If the waiter cannot be
-- notified, it finds out by asking.
--
-- A waiter gives back a key that too few masters granted it. It hands the key on to lower tickets
-- only, so that a stray grant does not circulate forever.
--
-- KEYS    the lock's key; except for drop: the queue
-- ARGV    the name, the token, and except for drop: hand on to tickets lower than this only, '' for
--         any; the fence that the client proposes for the waiter, '' for none
-- Result  HELD the token had the key, HANDED_ON it had the key and a waiter has it now,
--         ABSENT nobody has the key, TAKEN something else is stored there
function release(k, a, queue)
  local key, token = KEYS[k], ARGV[a + 1]
  local current = redis.pcall('GET', key)
  local waiting = queue and redis.pcall('EXISTS', queue) == 1
  if waiting then
    rest().removeWaiter(queue, token)
  end
  if not current then
    return ABSENT
  elseif current ~= token then --mutant:release-compares
    return TAKEN
  end
  if waiting and rest().handOn(key, queue, ARGV[a + 2], ARGV[a + 3]) then
    return HANDED_ON
  end
  redis.call('DEL', key)
  return HELD
end
