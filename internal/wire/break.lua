-- breakHold releases another client's token, and bars it from the key: a holder that has not heard
-- of it yet must not repair its lock.
--
-- The token is barred first. If there is no memory for that, there is none for a repair either.
--
-- KEYS    those of release; the bar
-- ARGV    those of release, with the other client's token; for how many milliseconds it is barred
-- Result  that of release
local function breakHold(k, a, queue)
  local barred = redis.pcall('SET', KEYS[k + 2], '1', 'PX', ARGV[a + 4])
  if not barred.ok and not string.find(barred.err, 'OOM', 1, true) then
    error(barred)
  end
  if ordered().isEntry(redis.pcall('GET', KEYS[k])) then
    return ordered().expel(KEYS[k], keyBeside(queue, ':order'), ARGV[a + 1])
  end
  return release(k, a, queue)
end
