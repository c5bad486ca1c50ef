-- inspect: report which token has the key, for how long, and the state of this master. It changes
-- nothing.
--
-- KEYS[1]      the lock's key
-- KEYS[2]      the queue; see wait.lua. Without it only the lock's key is read
-- KEYS[3]      with the restart guard: the marker
-- ARGV[1]      the restart guard in milliseconds, '0' without it
-- Reply        {token, '' if nobody has the key,
--               milliseconds left, -1: no expiry, -2: nobody has the key,
--               milliseconds left of this master's quarantine, 0: none,
--               the maxmemory-policy if keys may be evicted, otherwise '',
--               the number of waiters, milliseconds for which the first of them has waited}
local current = redis.call('GET', KEYS[1])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local left, policy = 0, ''
if ARGV[1] ~= '0' and KEYS[3] then
  local seen, since = string.match(redis.call('GET', KEYS[3]) or '', '^(%x+%.%x+) (%d+)')
  left = tonumber(ARGV[1])
  if seen == identity() then
    left = math.max(since + left - now, 0)
  end
  local memory = redis.call('INFO', 'memory')
  policy = string.match(memory, 'maxmemory_policy:([%w-]+)') or ''
  if policy == 'noeviction' or string.match(memory, 'maxmemory:0%s') then
    policy = ''
  end
end
local waiting, waited = KEYS[2] and redis.pcall('ZCARD', KEYS[2]), 0
if type(waiting) ~= 'number' then
  waiting = 0 -- no queue, or no right to read it
elseif waiting > 0 then
  local ticket = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
  waited = math.max(now - math.floor(ticket / 1000), 0)
end
return {current or '', redis.call('PTTL', KEYS[1]), left, policy, waiting, waited}
