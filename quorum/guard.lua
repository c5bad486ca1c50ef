-- identity names what this master remembers: a run of the server, and the history
-- of data that it is in. A server that came back has another run id. One that was
-- replaced by a replica, and has its place again, is the same run with another
-- replication id: it has what the replica had, which may lack the last grants.
local function identity()
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  local data = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  return assert(run, 'no run id') .. '.' .. assert(data, 'no replication id')
end

-- heldOut returns for how many milliseconds yet this master casts no vote for
-- new locks, because it may have forgotten some, and nil if it may cast one.
--
-- key    the marker: which identity was seen first, when, and whether there was no
--        marker before
-- guard  how long a master is held out from then on, in milliseconds
-- now    the server's time in milliseconds
--
-- A marker of another identity, or none, means that the server came back, with keys
-- as they once were or with none, was flushed or replaced. It is held out from now
-- on, and never from an earlier time, though its clock were set back.
local function heldOut(key, guard, now)
  local marker = redis.call('GET', key)
  local seen, since = string.match(marker or '', '^(%x+%.%x+) (%d+)')
  local own = identity()
  if seen ~= own then
    since = math.max(now, tonumber(since) or 0)
    redis.call('SET', key, own .. ' ' .. string.format('%.0f', since) .. (marker and '' or ' first'))
    return since + guard - now
  end
  local left = since + guard - now
  if left > 0 then
    return left
  end
end
