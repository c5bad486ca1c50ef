-- release: take the key from the token, if the token has it, and hand it on to the next waiter.
-- Also remove the token from the queue.
--
-- A key of another type counts as another token's. A release never fails for lack of memory or of a
-- right to publish. If the key cannot be handed on, it is deleted. If the waiter cannot be
-- notified, it finds out by asking. A quarantined master hands nothing on, because that would be a
-- grant.
--
-- A waiter gives back a key that too few masters granted it. It hands the key on to lower tickets
-- only, so that a stray grant does not circulate forever.
--
-- KEYS[1]  the lock's key
-- KEYS[2]  the queue; see wait.lua. Without it there is no waiter
-- KEYS[3]  with the restart guard: the marker
-- ARGV[1]  the token
-- ARGV[2]  the restart guard in milliseconds; none or '0' without it
-- ARGV[3]  hand on to tickets lower than this only; none or '' for any
-- Reply    HELD the token had the key, HANDED_ON it had the key and a waiter has it now,
--          ABSENT nobody has the key, TAKEN something else is stored there
local current = redis.pcall('GET', KEYS[1])
local waiting = KEYS[2] and redis.pcall('EXISTS', KEYS[2]) == 1
if waiting then
  removeWaiter(KEYS[2], ARGV[1])
end
if not current then
  return ABSENT
elseif current ~= ARGV[1] then --mutant:release-compares
  return TAKEN
end
if waiting then
  local clock = redis.call('TIME')
  local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
  local guard = tonumber(ARGV[2] or '0')
  local token, grant, channel = nextWaiter(KEYS[2], ARGV[3] or '', now)
  if token and not (guard > 0 and quarantine(KEYS[3], guard, now)) then --mutant:release-quarantined
    if redis.pcall('SET', KEYS[1], token, 'PX', grant).ok then
      removeWaiter(KEYS[2], token)
      redis.pcall('PUBLISH', channel, token) --mutant:release-publishes
      return HANDED_ON
    end
  end
end
redis.call('DEL', KEYS[1])
return HELD
