-- leave: take the key from the token, if the token has it, and hand it on to the
-- next waiter. The token leaves the queue too.
--
-- A key of another type is not the token's, so it counts as another's. A release
-- never fails for want of memory or of a right to publish: where the key cannot
-- be handed on it is deleted, and where the waiter cannot be told it finds out.
-- Nor is a master handed on that the restart guard holds out: that is a grant.
--
-- A waiter gives back what too few masters granted it. It hands that on to those
-- with lower tickets only, so that a stray grant does not go round for ever.
--
-- KEYS[1]  the lock's key
-- KEYS[2]  the queue; see wait.lua. Without it nobody waits
-- KEYS[3]  with the restart guard: the marker
-- ARGV[1]  the token
-- ARGV[2]  the restart guard in milliseconds; none or '0' without it
-- ARGV[3]  hand on to tickets lower than this only; none or '' for any
-- Reply    1 the token had the key, 2 it had it and a waiter has it now,
--          0 nobody has it, -1 something else is there
local standing = redis.pcall('GET', KEYS[1])
local waiting = KEYS[2] and redis.pcall('EXISTS', KEYS[2]) == 1
if waiting then
  removeWaiter(KEYS[2], ARGV[1])
end
if not standing then
  return 0
elseif standing ~= ARGV[1] then
  return -1
end
if waiting then
  local clock = redis.call('TIME')
  local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
  local guard = tonumber(ARGV[2] or '0')
  local token, grant, inbox = nextWaiter(KEYS[2], ARGV[3] or '', now)
  if token and not (guard > 0 and heldOut(KEYS[3], guard, now)) then
    if redis.pcall('SET', KEYS[1], token, 'PX', grant).ok then
      removeWaiter(KEYS[2], token)
      redis.pcall('PUBLISH', inbox, token)
      return 2
    end
  end
end
redis.call('DEL', KEYS[1])
return 1
