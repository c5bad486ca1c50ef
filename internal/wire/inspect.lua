-- inspect reports which token has the key, for how long, and the state of this master. It changes
-- nothing.
--
-- KEYS    the lock's key; except for peek: the queue
-- ARGV    the name; except for peek: a token whose entry is listed in any case, '' for none
-- Result  {token, '' if nobody has the key,
--          milliseconds left, -1: no expiry, -2: nobody has the key,
--          milliseconds left of this master's quarantine, 0: none,
--          the maxmemory-policy if keys may be evicted, otherwise '',
--          the number of waiters, milliseconds for which the first of them has waited,
--          since when the token has the key, if it was handed on to it, otherwise '',
--          the fence that is stored, '' for none; and of ordered admission, each entry: see census}
local function inspect(k, a, queue)
  local current, policy, out = redis.call('GET', KEYS[k]), '', 0
  if guard > 0 and queue then
    local _, seen, since, longest = marked()
    longest = math.max(longest or 0, guard)
    out = seen == identity() and math.max(since + longest - now, 0) or longest
    local memory = redis.call('INFO', 'memory')
    policy = string.match(memory, 'maxmemory_policy:([%w-]+)') or ''
    if policy == 'noeviction' or string.match(memory, 'maxmemory:0%s') then
      policy = ''
    end
  end
  local waiting, waited = queue and redis.pcall('ZCARD', queue), 0
  if type(waiting) ~= 'number' then
    waiting = 0 -- no queue, or no right to read it
  elseif waiting > 0 then
    local ticket = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2]
    waited = math.max(now - math.floor(ticket / 1000), 0)
  end
  local since, fence = '', ''
  if queue then
    local date = redis.pcall('GET', keyBeside(queue, ':since'))
    if type(date) == 'string' and current and string.find(date, current .. ' ', 1, true) == 1 then --mutant:date-of-token
      since = string.sub(date, #current + 2)
    end
    local stored = redis.pcall('GET', keyBeside(queue, ':fence'))
    fence = type(stored) == 'string' and stored or ''
  end
  local entries, first
  if queue and ordered().isEntry(current) then
    entries, waiting, first = ordered().census(KEYS[k], keyBeside(queue, ':order'), current, ARGV[a + 1])
    waited = first and math.max(now - math.floor(first / 1000), 0) or 0
  end
  return {current or '', redis.call('PTTL', KEYS[k]), out, policy, waiting, waited, since, fence, entries}
end
