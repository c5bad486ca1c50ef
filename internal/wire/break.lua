-- breakHold releases another client's token, and bars it from the key: a holder that has not heard
-- of it yet must not repair its lock.
--
-- The token is barred first. Without memory for that, it is released all the same, but that is an
-- error: there may be memory for a repair later.
--
-- KEYS    those of release; the bar
-- ARGV    those of release, with the other client's token; for how many milliseconds it is barred
-- Result  that of release
local function breakHold(k, a, queue)
  local barred, result = redis.pcall('SET', KEYS[k + 2], '1', 'PX', ARGV[a + 4]), nil
  if not barred.ok and not string.find(barred.err, 'OOM', 1, true) then
    error(barred)
  end
  if ordered().isEntry(redis.pcall('GET', KEYS[k])) then
    result = ordered().expel(KEYS[k], keyBeside(queue, ':order'), ARGV[a + 1])
  else
    result = release(k, a, queue)
  end
  if not barred.ok then --mutant:break-without-memory
    error(barred)
  end
  return result
end
