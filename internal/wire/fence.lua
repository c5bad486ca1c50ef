-- fenceAt returns the highest fencing token stored under a key, or 0 if there is none. Anything
-- that is not a fencing token is an error. Treating it as 0 would start the fences over.
local function fenceAt(key)
  local text = redis.call('GET', key) or '0'
  local stored = string.match(text, '^%d+$') and #text <= 16 and tonumber(text)
  assert(stored and stored <= 9007199254740991, 'no fencing token is stored, but something else') --mutant:no-fence
  return stored
end

-- storeFence stores a fencing token if it is higher than the stored one, and returns whether it
-- did. Either way, the fence that is then stored is kept for retention milliseconds.
--
-- Fences are passed as decimal strings, because tostring would turn them into 1.7e+15.
local function storeFence(key, stored, fence, retention)
  if tonumber(fence) > stored then --mutant:higher-fence
    redis.call('SET', key, fence, 'PX', retention) --mutant:fence-retention
    return true
  end
  redis.call('PEXPIRE', key, retention) --mutant:fence-refresh
  return false
end
