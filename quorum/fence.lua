-- fenceAt returns the highest fencing token stored under a key, 0 for none. What
-- is not one is an error, never taken for 0: fences would start anew.
local function fenceAt(key)
  local text = redis.call('GET', key) or '0'
  local stored = string.match(text, '^%d+$') and #text <= 16 and tonumber(text)
  assert(stored and stored <= 9007199254740991, 'no fencing token is stored, but something else')
  return stored
end

-- storeFence stores a fencing token, if it is higher than the one that is stored.
-- It returns whether it was. Either way what is stored is kept for the time
-- given, in milliseconds.
--
-- Fences travel as decimal strings: tostring would make 1.7e+15 of them.
local function storeFence(key, stored, fence, retention)
  if tonumber(fence) > stored then
    redis.call('SET', key, fence, 'PX', retention)
    return true
  end
  redis.call('PEXPIRE', key, retention)
  return false
end
