-- Each master has a record of the set of masters that its clients use, and a lease for it: a key
-- that expires once everything is over that the master has granted to these clients. The package
-- membership says what records mean. This script only compares them.
--
--   redlock:aux:set{prefix}      the record: its tag, its generation, and so on; at its end, when
--                                the lease was over that was noted when the record was written
--   redlock:aux:set{prefix}:tag  the lease, of the record with that tag
--
-- refusal returns the result of all operations that grant or keep something if the client does not
-- know the record, or nil if it does. Then there is a lease, and the script lengthens it at its end
-- to cover what they ask for: a server that has run out of memory refuses to store something only
-- as long as the script has not written. general is the error that must be the reply itself.
--
-- Usually, the lease is long enough, which says that the tag is the right one too. So one command
-- does. Every ten seconds the lease has to be lengthened.
local function refusal(lease, tag)
  local record = redis.pcall('GET', string.sub(lease, 1, -2 - #tag)) or ''
  if type(record) == 'table' then
    return failed(record)
  elseif string.match(record, '^%S+') ~= tag then --mutant:record-compared
    return {FOREIGN, record}
  end
  local left = redis.pcall('PTTL', lease)
  if left == -2 then
    left = redis.pcall('SET', lease, '', 'PX', string.format('%.0f', need + 10000))
  end
  if type(left) == 'table' and left.err then
    return failed(left)
  end
end

-- refuse returns the result of an operation that is refused, or nil if the operation neither grants
-- nor keeps anything. There is nothing to keep if nothing is stored. That is the truth, whatever
-- the record says, and the client may have to know it soon.
local function refuse(name, key, refused)
  name = ' ' .. name .. ' '
  if string.find(' extend dated remain renew ', name, 1, true) then --mutant:binding-extensions
    return redis.pcall('PTTL', key) == -2 and ABSENT or refused
  end
  return string.find(' acquire confirm repair wait admit readmit ', name, 1, true) and refused --mutant:binding
end

-- members reports the master's record, and may replace it before.
--
-- KEYS    the record
-- ARGV    members; a name for the master, if it has none, '' for not asking; the tag and the
--         generation of the record that is replaced, '' for none; the new record, '' for no change;
--         '1' to change nothing while the lease lasts
-- Result  {HELD, the record that there is now, milliseconds left of the lease, milliseconds left of
--          the quarantine, the master's name, 1 if the restart guard knows that the master may have
--          forgotten something, however long ago, otherwise 0}
local function members(k, a)
  if lease then -- of what was granted before in this call
    lengthen(lease, string.format('%.0f', need + 10000))
  end
  local key, id, record = KEYS[k], ARGV[a + 1], ARGV[a + 3]
  local current = redis.call('GET', key) or ''
  local tag, version = string.match(current, '^(%S+)') or '', string.match(current, '^%S+ %d+') or ''
  local left = math.max(redis.call('PTTL', key .. ':' .. tag), 0)
  local isFree = left == 0 or ARGV[a + 4] ~= '1' --mutant:idle-only
  if record ~= '' and version == ARGV[a + 2] and isFree then --mutant:record-version-compared
    local target, over = string.match(current, '^%S+ %d+ %S+ %S+ (%S+) %S+ (%d+)$')
    over = tonumber(over or 0)
    if not target or target == '-' then -- otherwise, nothing was granted since to clients of one set alone
      over = math.max(over, now + left) --mutant:lease-noted
    end
    current = record .. ' ' .. string.format('%.0f', over)
    local done = redis.pcall('SET', key, current)
    if done.err then
      error(done)
    end
    redis.call('DEL', key .. ':' .. tag) --mutant:lease-of-old-record
    if left > 0 then
      redis.call('SET', key .. ':' .. string.match(record, '^(%S+)'), '', 'PX', left) --mutant:lease-moves
    end
  end
  if id ~= '' then
    redis.call('SET', AUX .. 'id', id, 'NX')
    id = redis.call('GET', AUX .. 'id')
  end
  local quarantined, forgot = quarantine(guard), false
  if guard > 0 then
    local _, _, since = marked()
    forgot = since > 0
  end
  return {HELD, current, left, quarantined, id, forgot and 1 or 0}
end
