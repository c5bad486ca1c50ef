-- Next to each queue is a hash of records, by token. A record has all that a grant to the waiter
-- depends on, because the releasing client may have other options. After the format's version, it
-- has
--
--   lease      when the lease ends, in milliseconds of this master's time
--   grant      for how many milliseconds the key is granted
--   question   the waiter's latest question: when it was asked, by the waiter's clock
--   asked      when that question arrived, in microseconds of this master's time
--   guard      the waiter's restart guard in milliseconds
--   retention  for how many milliseconds its fence is kept; 0 without fencing
--   channel    the channel that notifies the waiter
--
-- The keys of the hash and of the fence are derived from the queue's key, and are in the same slot.
-- So releases, which hardly ever find a waiter, need not carry them.
local function keyBeside(queue, kind)
  return (string.gsub(queue, ':queue', kind, 1))
end

-- Nothing here raises an error: a release must not fail because of what somebody stored under these
-- keys.
local function removeWaiter(queue, token)
  redis.pcall('ZREM', queue, token)
  redis.pcall('HDEL', keyBeside(queue, ':waiters'), token)
end

-- nextWaiter returns the token and the record of the waiter with the lowest ticket, or nil if there
-- is none. On the way it removes waiters whose leases are over. One call of the script removes a
-- thousand at most, because the master does nothing else meanwhile.
--
-- below   only a waiter whose ticket is lower than this, '' for any
local prunes = 1000
local function nextWaiter(queue, below)
  while prunes > 0 do --mutant:bounded-pruning
    local first = redis.pcall('ZRANGE', queue, 0, 0, 'WITHSCORES') --mutant:queue-first
    local token, ticket = first[1], first[2]
    if not token or below ~= '' and tonumber(ticket) >= tonumber(below) then
      return nil
    end
    local record = redis.pcall('HGET', keyBeside(queue, ':waiters'), token)
    local w = {string.match(type(record) == 'string' and record or '',
      '^2 (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (.*)$')} --mutant:record-version
    if w[1] and tonumber(w[1]) > now then --mutant:queue-lease
      return token, {grant = w[2], question = w[3], asked = tonumber(w[4]), guard = tonumber(w[5]),
        retention = tonumber(w[6]), channel = w[7]}
    end
    removeWaiter(queue, token)
    prunes = prunes - 1
  end
end

-- handOn grants the key to the next waiter, and notifies it. It returns whether it did. A master in
-- quarantine hands nothing on, because that would be a grant.
--
-- A waiter that uses fencing gets the fence that the releasing client proposes for it. Nothing is
-- stored if there is no proposal ('') or a higher fence, and then the waiter has to get a fence by
-- itself.
--
-- The message is "token question age fence". age is how many microseconds before this grant the
-- question arrived. fence is '0' if none was stored for this grant.
local function handOn(key, queue, below, proposal)
  local token, w = nextWaiter(queue, below)
  if not token then
    return false
  end
  local ok, left = pcall(quarantine, w.guard) --mutant:record-guard
  if not ok or left > 0 then --mutant:release-quarantined
    return false
  end
  if not redis.pcall('SET', key, token, 'PX', w.grant).ok then
    return false
  end
  removeWaiter(queue, token)
  local fence = '0'
  if fencing and w.retention > 0 and proposal ~= '' then --mutant:hand-on-fence
    local ok, isNew = pcall(propose, keyBeside(queue, ':fence'), proposal, w.retention, w.guard)
    if ok and isNew then --mutant:hand-on-anew
      fence = proposal
    end
  end
  local age = string.format('%.0f', math.max(micros - w.asked, 0))
  redis.pcall('PUBLISH', w.channel, token .. ' ' .. w.question .. ' ' .. age .. ' ' .. fence) --mutant:release-publishes
  return true
end
