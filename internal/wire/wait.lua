-- wait: keep a waiter's place in the key's queue, and report the state of the lock.
--
-- It never grants. If it did, waiters would collect masters that restart empty, one after another,
-- and take the lock from a live holder.
--
-- Without a ticket it only reports. That is for clients that do not know the masters' time yet.
--
-- KEYS[1]  the lock's key
-- KEYS[2]  the queue: a sorted set of tokens, by ticket
-- KEYS[3]  the waiters' records; see queue.lua
-- KEYS[4]  with the restart guard: the marker
-- ARGV[1]  the waiter's token
-- ARGV[2]  its ticket, '' for none
-- ARGV[3]  how many milliseconds its place is kept
-- ARGV[4]  how many milliseconds to grant it the key for
-- ARGV[5]  the channel that notifies it
-- ARGV[6]  the restart guard in milliseconds, '0' without it
-- Reply    {HELD the waiter has the key, ABSENT nobody has it, TAKEN another token has it,
--           QUARANTINED nobody has it and the master is quarantined,
--           milliseconds that the key has left, as PTTL reports them, or the quarantine,
--           how many waiters are ahead of it, time in microseconds,
--           how many listen on the channel, -1 if unknown}
local function listeners()
  local told = ARGV[5] ~= '' and redis.pcall('PUBSUB', 'NUMSUB', ARGV[5])
  return told and told[2] or -1
end
local clock = redis.call('TIME')
local micros = clock[1] * 1000000 + clock[2]
local now = math.floor(micros / 1000)
local current = redis.call('GET', KEYS[1]) --mutant:wait-current
local left = redis.call('PTTL', KEYS[1])
if current == ARGV[1] then
  return {HELD, left, 0, micros, listeners()} --mutant:wait-held
end
local rank = 0
if ARGV[2] ~= '' then
  nextWaiter(KEYS[2], '', now)
  redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
  redis.call('HSET', KEYS[3], ARGV[1], string.format('%.0f', now + ARGV[3]) .. ' ' .. ARGV[4] .. ' ' .. ARGV[5])
  for _, key in ipairs({KEYS[2], KEYS[3]}) do
    if redis.call('PTTL', key) < tonumber(ARGV[3]) then
      redis.call('PEXPIRE', key, ARGV[3]) --mutant:queue-expires
    end
  end
  rank = redis.call('ZRANK', KEYS[2], ARGV[1])
end
-- A waiter starts the quarantine even if the key is not vacant yet.
local guarded = ARGV[6] ~= '0' and quarantine(KEYS[4], tonumber(ARGV[6]), now) --mutant:wait-quarantine
if guarded and not current then
  return {QUARANTINED, guarded, rank, micros, listeners()}
end
return {current and TAKEN or ABSENT, left, rank, micros, listeners()}
