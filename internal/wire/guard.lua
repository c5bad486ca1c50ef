-- identity names what this master remembers: a run of the server, and a history of its data. A
-- server that was restarted has another run id. One that was replaced by a replica and took its
-- place back is the same run with another replication id: it has the replica's data, which may
-- lack the last grants.
local function identity()
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  local data = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  return assert(run, 'no run id') .. '.' .. assert(data, 'no replication id') --mutant:identity
end

-- quarantine returns for how many more milliseconds this master casts no vote for new locks,
-- because it may have forgotten some, and nil if it may cast one.
--
-- key    the marker: which identity was seen first, when, and whether there was no marker before
-- guard  how long a quarantine lasts, in milliseconds
-- now    the server's time in milliseconds
--
-- A marker of another identity, or none, means that the server was restarted, with the keys that
-- it once had or with none, was flushed, or was replaced. Its quarantine begins now, and never at
-- an earlier time, even if its clock was set back.
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
