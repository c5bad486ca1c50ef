-- Next to each queue is a hash of records, "lease grant channel" by token. lease is when the lease
-- ends, in milliseconds of this master's time. grant is how many milliseconds the key is granted
-- for. The hash's key is derived from the queue's key, which is in the same slot. So releases,
-- which hardly ever find a waiter, need not carry it.
local function recordsOf(queue)
  return (string.gsub(queue, ':queue', ':waiters', 1))
end

-- Nothing here raises an error: a release must not fail because of what somebody stored under these
-- keys.
local function removeWaiter(queue, token)
  redis.pcall('ZREM', queue, token)
  redis.pcall('HDEL', recordsOf(queue), token)
end

-- nextWaiter returns the token of the waiter with the lowest ticket, how many milliseconds to grant
-- it the key for, and its channel. It returns nil if there is none. On the way it removes waiters
-- whose leases are over.
--
-- below   only a waiter whose ticket is lower than this, '' for any
-- now     the server's time in milliseconds
local function nextWaiter(queue, below, now)
  for _ = 1, 1000 do
    local first = redis.pcall('ZRANGE', queue, 0, 0, 'WITHSCORES') --mutant:queue-first
    local token, ticket = first[1], first[2]
    if not token or below ~= '' and tonumber(ticket) >= tonumber(below) then
      return nil
    end
    local record = redis.pcall('HGET', recordsOf(queue), token)
    local lease, grant, channel = string.match(type(record) == 'string' and record or '', '^(%d+) (%d+) (.*)$')
    if lease and tonumber(lease) > now then --mutant:queue-lease
      return token, grant, channel
    end
    removeWaiter(queue, token)
  end
end
