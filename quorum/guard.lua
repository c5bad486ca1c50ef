-- heldOut returns for how many milliseconds yet this master casts no vote for
-- new locks, because it may have forgotten some, and nil if it may cast one.
--
-- key    the marker: which run of the server was seen first, and when
-- guard  how long a run is held out from then on, in milliseconds
-- now    the server's time in milliseconds
--
-- A marker of another run, or none, means that the server came back, with keys as
-- they once were or with none, or was flushed. It is held out from now on: never
-- from an earlier time, though its clock were set back.
local function heldOut(key, guard, now)
  local run = assert(string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'), 'no run id')
  local seen, since = string.match(redis.call('GET', key) or '', '^(%x+) (%d+)$')
  if seen ~= run then
    since = math.max(now, tonumber(since) or 0)
    redis.call('SET', key, run .. ' ' .. string.format('%.0f', since))
    return since + guard - now
  end
  local left = since + guard - now
  if left > 0 then
    return left
  end
end
