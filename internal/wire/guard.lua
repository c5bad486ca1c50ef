-- identity identifies this master's memory: the server's run and the history of its data. A server
-- that was restarted has another run ID. A server that was replaced by a replica and then took its
-- place back is the same run with another replication ID. It has the replica's data, which may lack
-- the last grants.
local function identity()
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  local data = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  return assert(run, 'no run id') .. '.' .. assert(data, 'no replication id') --mutant:identity
end

-- quarantine returns how many more milliseconds this master casts no vote for new locks because it
-- may have forgotten some. It returns nil if the master may vote.
--
-- key    the marker: which identity was seen first, when, and whether there was no marker before
-- guard  how long a quarantine lasts, in milliseconds
-- now    the server's time in milliseconds
--
-- If the marker has another identity, or there is none, the server was restarted (with its old keys
-- or with none), flushed, or replaced. Its quarantine begins now. It never begins before an earlier
-- marker's time, even if the clock was set back.
local function quarantine(key, guard, now)
  local marker = redis.call('GET', key)
  local seen, since = string.match(marker or '', '^(%x+%.%x+) (%d+)')
  local own = identity()
  if seen ~= own then --mutant:other-identity
    since = math.max(now, tonumber(since) or 0) --mutant:quarantine-since
    redis.call('SET', key, own .. ' ' .. string.format('%.0f', since) .. (marker and '' or ' first'))
    return since + guard - now
  end
  local left = since + guard - now
  if left > 0 then --mutant:quarantine-left
    return left
  end
end
