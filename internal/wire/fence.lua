-- fenceOf converts what is stored as a fencing token to a number. Anything that is not a fencing
-- token is an error. Treating it as 0 would start the fences over.
local function fenceOf(text)
  local stored = string.match(text, '^%d+$') and #text <= 16 and tonumber(text)
  assert(stored and stored <= 9007199254740991, 'no fencing token is stored, but something else') --mutant:no-fence
  return stored
end

-- storeFence stores a fencing token if it is higher than the stored one. It returns the highest,
-- and whether that is the new one. Either way, what is stored is kept for retention milliseconds.
--
-- Fences are passed as decimal strings, because tostring would turn them into 1.7e+15.
local function storeFence(key, fence, retention)
  local old = exchange(key, fence, retention) --mutant:fence-retention
  local ok, stored = pcall(fenceOf, old or '0')
  if ok and stored < tonumber(fence) then --mutant:higher-fence
    return fence, true
  end
  redis.call('SET', key, old, 'PX', retention) --mutant:fence-restore
  assert(ok, stored)
  return old, false
end

-- isNear reports whether a proposed fence is within a minute of this master's time. One far ahead
-- would push the name's fences toward the largest number that can be stored. One far behind could
-- be lower than a fence that was stored and has expired. With a restart guard, the proposal must
-- also be within a quarter of the guard. Then, after a master forgot and was quarantined, every
-- proposal is above the earlier ones.
local function isNear(fence, guard)
  local near = 60000000
  if guard > 0 then --mutant:guarded-proposal
    near = math.min(near, guard * 250)
  end --mutant:/guarded-proposal
  return math.abs(fence - micros) <= near --mutant:near-proposal
end

-- propose stores a proposed fencing token if it is near and higher than the stored one. It returns
-- the highest, and whether that is the proposed one.
local function propose(key, fence, retention, guard)
  if isNear(fence, guard) then
    return storeFence(key, fence, retention)
  end
  local old = redis.call('GET', key)
  if not old then
    return '0', false
  end
  fenceOf(old)
  redis.call('PEXPIRE', key, retention) --mutant:fence-refresh
  return old, false
end
