-- fenceAt returns the highest fencing token stored under a key, 0 for none. Anything that is not
-- a fencing token is an error. Taking it for 0 would start the fences anew.
local function fenceAt(key)
  local text = redis.call('GET', key) or '0'
  local stored = string.match(text, '^%d+$') and #text <= 16 and tonumber(text)
  assert(stored and stored <= 9007199254740991, 'no fencing token is stored, but something else') --mutant:no-fence
  return stored
end

-- storeFence stores a fencing token if it is higher than the stored one, and returns whether it
-- did. Either way the stored one is kept for retention milliseconds.
--
-- Fences travel as decimal strings: tostring would turn them into 1.7e+15.
local function storeFence(key, stored, fence, retention)
  if tonumber(fence) > stored then --mutant:higher-fence
    redis.call('SET', key, fence, 'PX', retention) --mutant:fence-retention
    return true
  end
  redis.call('PEXPIRE', key, retention) --mutant:fence-refresh
  return false
end
