-- inspect: who has the key, for how long yet, and how this master stands. It
-- changes nothing.
--
-- KEYS[1]      the lock's key
-- KEYS[2]      the queue; see wait.lua. Without it nothing but the lock's key is read
-- KEYS[3]      with the restart guard: the marker
-- ARGV[1]      the restart guard in milliseconds, '0' without it
-- Reply        {token, '' if nobody has it,
--               milliseconds left, -1: no expiry, -2: nobody has it,
--               milliseconds for which the guard holds this master out, 0: not,
--               the maxmemory-policy if keys may be evicted, '' if not,
--               how many wait, milliseconds for which the first of them has}
local standing = redis.call('GET', KEYS[1])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local out, policy = 0, ''
if ARGV[1] ~= '0' and KEYS[3] then
  local seen, since = string.match(redis.call('GET', KEYS[3]) or '', '^(%x+%.%x+) (%d+)')
  out = tonumber(ARGV[1])
  if seen == identity() then
    out = math.max(since + out - now, 0)
  end
  local memory = redis.call('INFO', 'memory')
  policy = string.match(memory, 'maxmemory_policy:([%w-]+)') or ''
  if policy == 'noeviction' or string.match(memory, 'maxmemory:0%s') then
    policy = ''
  end
end
local waiting, waited = KEYS[2] and redis.pcall('ZCARD', KEYS[2]), 0
if type(waiting) ~= 'number' then
  waiting = 0 -- no queue, or no right to look at it
elseif waiting > 0 then
  local ticket = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
  waited = math.max(now - math.floor(ticket / 1000), 0)
end
return {standing or '', redis.call('PTTL', KEYS[1]), out, policy, waiting, waited}
