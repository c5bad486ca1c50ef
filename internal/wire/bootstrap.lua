-- bootstrap declares that this master has nothing to remember. Then the restart guard does not
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
-- KEYS    the permit
-- ARGV    the name, for the first step: a word that was never used before; '' for the second, and
--         the permits that the masters gave, one per line
-- Result  {HELD, the permit, 0} it may be declared empty; {HELD, '', 0} it is
--         {TAKEN, '', milliseconds left of the guard}
local function bootstrap(k, a)
  local word, given = ARGV[a + 1], '\n' .. ARGV[a + 2] .. '\n'
  local own, marker, seen, since, longest, first = identity(), marked()
  longest = math.max(longest or 0, guard)
  if seen == own and since == 0 and word == '' then
    return {HELD, '', 0}
  end
  if marker then --mutant:bootstrap-marker
    local out = seen == own and math.max(since + longest - now, 0) or longest
    if seen ~= own or first ~= ' first' or out == 0 then --mutant:bootstrap-seen
      return {TAKEN, '', out}
    end
  end
  if word ~= '' then
    local permit = word .. ' ' .. own .. ' ' .. string.format('%.0f', micros)
    redis.call('SET', KEYS[k], permit, 'PX', 60000) --mutant:bootstrap-first-step
    return {HELD, permit, 0}
  end
  local permit = redis.call('GET', KEYS[k])
  if permit and string.find(given, '\n' .. permit .. '\n', 1, true) and --mutant:bootstrap-permit
      string.find(permit, ' ' .. own .. ' ', 1, true) then --mutant:/bootstrap-permit
    redis.call('SET', MARKER, string.format('%s 0 %.0f', own, longest))
    redis.call('DEL', KEYS[k])
    return {HELD, '', 0}
  end
  return {TAKEN, '', 0}
end
