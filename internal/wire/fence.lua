-- Only calls with fencing need these functions.
local fenceOf, storeFence, propose
if fencing then
  -- fenceOf converts what is stored as a fencing token to a number. Anything that is not a fencing
  -- token is an error. Treating it as 0 would start the fences over.
  function fenceOf(text)
    local stored = #text <= 16 and not string.find(text, '%D') and tonumber(text)
    assert(stored and stored <= 9007199254740991, 'no fencing token is stored, but something else') --mutant:no-fence
    return stored
  end

  -- storeFence stores a fencing token if it is higher than the stored one. It returns whether it
  -- did, and if not, the stored one. Either way, what is stored is kept for retention milliseconds.
  --
  -- Fences are passed as decimal strings, because tostring would turn them into 1.7e+15.
  function storeFence(key, fence, retention)
    local old = exchange(key, fence, retention) --mutant:fence-retention
    if not old or #old == #fence and old < fence and not string.find(old, '%D') then --mutant:fast-fence
      return true -- strings compare faster than numbers, and alike if they have the same length
    end
    local ok, stored = pcall(fenceOf, old)
    if ok and stored < tonumber(fence) then --mutant:higher-fence
      return true
    end
    redis.call('SET', key, old, 'PX', retention) --mutant:fence-restore
    assert(ok, stored)
    return false, old
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

  -- propose stores a proposed fencing token if it is near and higher than the stored one. It
  -- returns whether it did, and if not, the stored one, '0' for none.
  function propose(key, fence, retention, guard)
    if isNear(fence, guard) then
      return storeFence(key, fence, retention)
    end
    local old = redis.call('GET', key)
    if not old then
      return false, '0'
    end
    fenceOf(old)
    redis.call('PEXPIRE', key, retention) --mutant:fence-refresh
    return false, old
  end
end
