-- acquire: give the key to the token if the key is vacant.
--
-- This is for masters before Redis 7, which cannot combine NX and GET in one SET. It is also for
-- grants that have to do more than a SET: store a fencing token, or check the restart guard.
--
-- The client proposes the fencing token. The script stores it in the same step if it is higher than
-- the stored one and within a minute of this master's time. A proposal far ahead would push the
-- name's fences toward the largest number that can be stored. A proposal far behind could be lower
-- than a fence that was stored and has expired. With the restart guard, the proposal must also be
-- within a quarter of the guard. Then, after a master forgot and was quarantined, every proposal is
-- above the earlier ones.
--
-- If the token is already stored, either a client repeated the request, or the key was handed on to
-- a waiter that now confirms it. The key gets at least the TTL, and never less than it had. A
-- repeated request proposes no higher fence than the first one stored, so it stores nothing anew.
--
-- KEYS[1]       the lock's key
-- KEYS[2]       with fencing: where its fence is stored
-- KEYS[n]       for a waiter: the queue that it leaves; see wait.lua
-- KEYS[#KEYS]   with the restart guard: the marker
-- ARGV[1]       the token
-- ARGV[2]       the TTL in milliseconds
-- ARGV[3]       the proposed fence, '' without fencing
-- ARGV[4]       how many milliseconds a fence is kept
-- ARGV[5]       the restart guard in milliseconds, '0' without it
-- ARGV[6]       n, '0' for anyone but a waiter
-- Reply         {HELD, stored fence, 1 if it was stored anew, time}
--               {TAKEN, the other token, 0, time}
--               {QUARANTINED, '', milliseconds left of the guard, time}
--               where time is the master's, in microseconds
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local current = redis.call('GET', KEYS[1])
if current and current ~= ARGV[1] then --mutant:acquire-compares
  return {TAKEN, current, 0, now}
end
if not current and ARGV[5] ~= '0' then --mutant:acquire-guarded
  local left = quarantine(KEYS[#KEYS], tonumber(ARGV[5]), math.floor(now / 1000)) --mutant:acquire-quarantine
  if left then
    return {QUARANTINED, '', left, now}
  end
end
local stored, anew = 0, 0
if ARGV[3] ~= '' then
  stored = fenceAt(KEYS[2])
  local near = 60000000
  if ARGV[5] ~= '0' then --mutant:guarded-proposal
    near = math.min(near, ARGV[5] * 250)
  end --mutant:/guarded-proposal
  if math.abs(ARGV[3] - now) <= near and storeFence(KEYS[2], stored, ARGV[3], ARGV[4]) then --mutant:near-proposal
    stored, anew = tonumber(ARGV[3]), 1
  end
end
if not current then --mutant:acquire-vacant
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
elseif redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2]) --mutant:acquire-lengthens
end
local n = tonumber(ARGV[6])
if n > 0 then
  removeWaiter(KEYS[n], ARGV[1])
end
return {HELD, string.format('%.0f', stored), anew, now}
