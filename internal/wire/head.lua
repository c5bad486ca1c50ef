-- One call of this script carries out many operations. To call a script costs a master more than
-- most operations do, so a whole pipeline becomes one call. An operation that fails does not affect
-- the others.
--
-- KEYS      with the restart guard: the marker; with a tag: the lease; then the keys of each
--           operation
-- ARGV[1]   the restart guard in milliseconds, '0' without it
-- ARGV[2]   '1' with fencing, '0' without
-- ARGV[3]   by how many microseconds this master's clock is ahead of the client's; '' if unknown
-- ARGV[4]   the tag of the record that the client accepts, '' if none is compared; see members.lua
-- ARGV[5]   with a tag: for how many milliseconds the lease must last
-- ARGV[..]  the name and the arguments of each operation; see batch.lua
-- Reply     {this master's time in microseconds, 0 if no operation needed it; the result of each
--           operation}
local guard, fencing, ahead, need = tonumber(ARGV[1]), ARGV[2] == '1', tonumber(ARGV[3]), tonumber(ARGV[5])
local more = fencing and 1 or 0 -- keys, and half as many arguments, of most operations

local release, ordered -- functions; see release.lua and ordered.lua
local lease -- the key of the lease, if it has to be lengthened at the end of the call

-- readTime reads this master's time, in microseconds and in milliseconds. Releases hardly ever need
-- it.
local micros, now = 0, 0
local function readTime()
  if micros == 0 then
    local time = redis.call('TIME')
    micros = time[1] * 1000000 + time[2]
    now = math.floor(micros / 1000) --mutant:master-millis
  end
end

-- isLate reports whether a deadline, in microseconds of the client's clock, has passed. By then the
-- client has given up on the operation, and may have released the lock. The network can deliver a
-- first try after everything else. An operation that is late gives the token nothing.
local function isLate(deadline)
  return ahead and deadline ~= '' and micros > ahead + deadline --mutant:late-operation
end

-- exchange stores a value, with nx only if nothing is stored. It returns what was stored before, or
-- nil.
--
-- One SET does it on a server since Redis 7. Before that, SET does not combine NX and GET, and
-- before Redis 6.2 it has no GET.
local setGets = true
local function exchange(key, value, ttl, nx)
  if setGets then
    local old
    if nx then
      old = redis.pcall('SET', key, value, 'PX', ttl, 'NX', 'GET')
    else
      old = redis.pcall('SET', key, value, 'PX', ttl, 'GET')
    end
    if type(old) ~= 'table' then
      return old or nil
    elseif not string.find(old.err, 'syntax error', 1, true) then
      error(old)
    end
    setGets = false
  end
  local old = redis.call('GET', key)
  if not (old and nx) then --mutant:exchange-vacant
    redis.call('SET', key, value, 'PX', ttl)
  end
  return old or nil
end
