-- acquire: give the key to the token if it is vacant.
--
-- For masters before Redis 7, which cannot combine NX and GET in one SET, and
-- wherever a grant has to do more than that: store a fencing token, or ask the
-- restart guard.
--
-- A fencing token is proposed by the client. It is stored in the same step, if it
-- is higher than what is stored and within a minute of this master's time: one
-- that is far ahead would push the name towards the end of what a number can
-- hold, and one far behind could be lower than what was stored and has expired.
-- With the restart guard it must be within a quarter of that, so that after a
-- master forgot and was held out, all proposals are above those of before.
--
-- Where the token stands already, a client has repeated the request, or the key
-- was handed on to a waiter that now takes the lock. It gets at least the TTL; it
-- never gets less than it had. What a repeated request proposes is not higher
-- than what the first one stored, so it has stored nothing anew.
--
-- KEYS[1]       the lock's key
-- KEYS[2]       with fencing: where its fence is stored
-- KEYS[n]       for a waiter: the queue that it leaves; see wait.lua
-- KEYS[#KEYS]   with the restart guard: the marker
-- ARGV[1]       the token
-- ARGV[2]       the TTL in milliseconds
-- ARGV[3]       the proposed fence, '' without fencing
-- ARGV[4]       for how many milliseconds a fence is kept
-- ARGV[5]       the restart guard in milliseconds, '0' without it
-- ARGV[6]       n, '0' for who is no waiter
-- Reply         {1, stored fence, 1 if it was stored anew, time} the token has it
--               {-1, token, 0, time}                             another token has it
--               {-2, '', milliseconds yet, time}                 held out by the guard
--               where time is the master's, in microseconds
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local standing = redis.call('GET', KEYS[1])
if standing and standing ~= ARGV[1] then
  return {-1, standing, 0, now}
end
if not standing and ARGV[5] ~= '0' then
  local left = heldOut(KEYS[#KEYS], tonumber(ARGV[5]), math.floor(now / 1000))
  if left then
    return {-2, '', left, now}
  end
end
local stored, anew = 0, 0
if ARGV[3] ~= '' then
  stored = fenceAt(KEYS[2])
  local near = 60000000
  if ARGV[5] ~= '0' then --mutant:guarded-proposal
    near = math.min(near, ARGV[5] * 250)
  end --mutant:/guarded-proposal
  if math.abs(ARGV[3] - now) <= near and storeFence(KEYS[2], stored, ARGV[3], ARGV[4]) then
    stored, anew = tonumber(ARGV[3]), 1
  end
end
if not standing then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
elseif redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
local n = tonumber(ARGV[6])
if n > 0 then
  removeWaiter(KEYS[n], ARGV[1])
end
return {1, string.format('%.0f', stored), anew, now}
