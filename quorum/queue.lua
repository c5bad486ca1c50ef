-- What belongs to a queue besides it: a hash of "lease grant inbox" by token, where
-- the lease ends at that time of this master's, in milliseconds, and the lock is to
-- be granted for so many. Its key is made of the queue's, which is in the same slot,
-- so that releases, of which hardly any find somebody waiting, need not carry it.
local function waitersOf(queue)
  return (string.gsub(queue, ':queue', ':waiters', 1))
end

-- Nothing here raises an error: a release must not fail for what somebody put
-- under these keys.
local function removeWaiter(queue, token)
  redis.pcall('ZREM', queue, token)
  redis.pcall('HDEL', waitersOf(queue), token)
end

-- nextWaiter returns the token of the waiter with the lowest ticket, with what it
-- left to be told by: for how many milliseconds it is to be granted the key, and
-- its inbox. Waiters whose lease is over are taken out on the way. It returns nil
-- if there is none.
--
-- below   only a waiter whose ticket is lower than this, '' for any
-- now     the server's time in milliseconds
local function nextWaiter(queue, below, now)
  for _ = 1, 1000 do
    local first = redis.pcall('ZRANGE', queue, 0, 0, 'WITHSCORES')
    local token, ticket = first[1], first[2]
    if not token or below ~= '' and tonumber(ticket) >= tonumber(below) then
      return nil
    end
    local record = redis.pcall('HGET', waitersOf(queue), token)
    local lease, grant, inbox = string.match(type(record) == 'string' and record or '', '^(%d+) (%d+) (.*)$')
    if lease and tonumber(lease) > now then
      return token, grant, inbox
    end
    removeWaiter(queue, token)
  end
end
