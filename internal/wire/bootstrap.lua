-- bootstrap: declare that this master has nothing to remember. Then the restart guard does not
-- quarantine it.
--
-- It takes two steps. With one step, a request that is delivered late or twice could declare a
-- master empty that has forgotten something in the meantime. The first step leaves a permit that
-- names the master's time and identity. The second step uses up the permit. If a replica that has
-- the permit takes the master's place, it has another identity.
--
-- A marker forbids the bootstrap, because the master was in use before. There is one exception: a
-- marker that was made when there was none, while it still quarantines the master. Such a master
-- has granted nothing since the marker was made, so it is as if no client had come before.
--
-- KEYS[1]    the marker; see guard.lua
-- KEYS[2]    the permit
-- ARGV[1]    the restart guard in milliseconds
-- ARGV[2]    for the first step: a word that was never used before; '' for the second
-- ARGV[3..]  for the second step: the permits that the masters gave
-- Reply      {HELD, the permit, 0} it may be declared empty; {HELD, '', 0} it is
--            {TAKEN, '', milliseconds left of the guard}
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local own, marker = identity(), redis.call('GET', KEYS[1])
local declared = own .. ' 0'
if marker == declared and ARGV[2] == '' then
  return {HELD, '', 0}
end
if marker then --mutant:bootstrap-marker
  local seen, since, first = string.match(marker, '^(%x+%.%x+) (%d+)(.*)$')
  local left = tonumber(ARGV[1])
  if seen == own then
    left = math.max(since + left - now, 0)
  end
  if seen ~= own or first ~= ' first' or left == 0 then --mutant:bootstrap-seen
    return {TAKEN, '', left}
  end
end
if ARGV[2] ~= '' then
  local permit = ARGV[2] .. ' ' .. own .. ' ' .. clock[1] .. '.' .. clock[2]
  redis.call('SET', KEYS[2], permit, 'PX', 60000) --mutant:bootstrap-first-step
  return {HELD, permit, 0}
end
local permit = redis.call('GET', KEYS[2])
for i = 3, #ARGV do
  if permit == ARGV[i] and string.find(permit, ' ' .. own .. ' ', 1, true) then --mutant:bootstrap-permit
    redis.call('SET', KEYS[1], declared)
    redis.call('DEL', KEYS[2])
    return {HELD, '', 0}
  end
end
return {TAKEN, '', 0}
