-- identity identifies this master's memory: the server's run and the history of its data. A server
-- that was restarted has another run ID. A server that was replaced by a replica and then took its
-- place back is the same run with another replication ID. It has the replica's data, which may lack
-- the last grants.
local function identity()
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  local data = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  return assert(run, 'no run id') .. '.' .. assert(data, 'no replication id') --mutant:identity
end

-- marked reads the marker. It names an identity, since when that has been known in milliseconds,
-- the longest restart guard that any client asked for, and whether there was no marker before.
local function marked()
  local marker = redis.call('GET', MARKER)
  local seen, since, longest, first = string.match(marker or '', '^(%x+%.%x+) (%d+) (%d+)(.*)$')
  return marker, seen, tonumber(since), tonumber(longest), first
end

-- quarantine returns how many more milliseconds this master grants nothing new because it may have
-- forgotten some grants. It returns 0 if the master may grant.
--
-- guard is how long a quarantine lasts, in milliseconds; 0 for no guard. A longer one that another
-- client asked for prevails, because its locks can be older. lease is for how long the lock is
-- asked for; nil if it is for no longer than the guard. A period of Once may be longer. As all
-- clients of its name ask for as much, the master may have forgotten one that is that old.
--
-- If the marker has another identity, or there is none, the server was restarted (with its old keys
-- or with none), flushed, or replaced. Its quarantine begins now. It never begins before an earlier
-- marker's time, even if the clock was set back.
local considered, left, age = 0, 0, 0
local function quarantine(guard, lease)
  if guard == 0 then
    return 0
  elseif guard <= considered then
    return math.max(left, (lease or 0) - age)
  end
  local marker, seen, since, longest, first = marked()
  local own, before = identity(), longest
  longest = math.max(longest or 0, guard) --mutant:longest-guard
  if seen ~= own then --mutant:other-identity
    since = math.max(now, since or 0) --mutant:quarantine-since
    first = marker and '' or ' first'
    before = nil
  end
  if longest ~= before then
    redis.call('SET', MARKER, string.format('%s %.0f %.0f%s', own, since, longest, first))
  end
  considered, age = guard, now - since
  left = math.max(longest - age, 0) --mutant:quarantine-left
  return math.max(left, (lease or 0) - age) --mutant:quarantine-of-period
end
