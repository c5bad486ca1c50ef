-- wait keeps a waiter's place in the key's queue, and reports the state of the lock.
--
-- It never grants. If it did, waiters would collect masters that restart empty, one after another,
-- and take the lock from a live holder.
--
-- Without a ticket it only reports. That is for clients that do not know the masters' time yet.
--
-- KEYS    the lock's key; the queue: a sorted set of tokens, by ticket; the waiters' records
-- ARGV    the name, the waiter's token, the deadline, its ticket, '' for none, for how many
--         milliseconds its place is kept; and for its record: grant, question, retention, channel
-- Result  {HELD the waiter has the key, ABSENT nobody has it, TAKEN another token has it,
--          QUARANTINED nobody has it and the master is quarantined,
--          milliseconds that the key has left, as PTTL reports them, or the quarantine,
--          how many waiters are ahead of it, how many listen on the channel, -1 if unknown}
--         EXPIRED
local function listeners(channel)
  local told = channel ~= '' and redis.pcall('PUBSUB', 'NUMSUB', channel)
  return told and told[2] or -1
end

local function wait(k, a)
  local key, queue, records, token, ticket = KEYS[k], KEYS[k + 1], KEYS[k + 2], ARGV[a + 1], ARGV[a + 3]
  local lease, channel = tonumber(ARGV[a + 4]), ARGV[a + 8]
  local current = redis.call('GET', key) --mutant:wait-current
  local keyLeft = redis.call('PTTL', key)
  if current == token then
    return {HELD, keyLeft, 0, listeners(channel)} --mutant:wait-held
  elseif isLate(ARGV[a + 2]) then --mutant:late-wait
    return EXPIRED
  end
  local rank = 0
  if ticket ~= '' then
    nextWaiter(queue, '')
    redis.call('ZADD', queue, ticket, token)
    redis.call('HSET', records, token, table.concat({'2', string.format('%.0f', now + lease), ARGV[a + 5],
      ARGV[a + 6], string.format('%.0f', micros), ARGV[1], ARGV[a + 7], channel}, ' '))
    lengthen(queue, lease) --mutant:queue-expires
    lengthen(records, lease)
    rank = redis.call('ZRANK', queue, token)
  end
  -- A waiter starts the quarantine even if the key is not vacant yet.
  local left = quarantine(guard) --mutant:wait-quarantine
  if left > 0 and not current then
    return {QUARANTINED, left, rank, listeners(channel)}
  end
  return {current and TAKEN or ABSENT, keyLeft, rank, listeners(channel)}
end
