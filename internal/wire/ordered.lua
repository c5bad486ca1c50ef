-- ordered returns the functions of ordered admission: of shared, exclusive and permit locks. The
-- files from here to entries.lua are its body. Other calls do not pay for their definition.
--
-- A master never refuses an entry because it conflicts with others. It has the entries in the order
-- of their fences, admits none before one that has room, and tells each which others are before it.
-- The client decides: it holds the lock if there is a majority of masters before whose entries
-- there is room for its own; see package admission. So votes are never split.
--
-- Each entry is a member of a sorted set, by its fence. The member is the entry's mode and its
-- token: 'x token' exclusive, 's token' shared, 'p10 token' one of ten permits. All keys are in the
-- lock's Cluster slot, and derived from the first:
--
--   redlock:aux:order{key}    sorted set: exclusive entries, or permits
--   redlock:aux:shared{key}   sorted set: shared entries
--   redlock:aux:leases{key}   sorted set: all entries, by when their leases end, in milliseconds
--   redlock:aux:records{key}  hash by token, of those who wait: their latest question, for how many
--                             milliseconds their fence is kept, 0 without fencing, their restart
--                             guard, and the channel that notifies them; 'held' for a permit that
--                             was admitted again, and until when it does not count, in ms
--   redlock:aux:readers{key}  with fencing: the highest fence of a shared entry ever admitted. The
--                             others' is where plain locks have theirs.
--
-- While there are entries, the lock's own key holds ORDERED, for as long as the longest lease. So
-- plain locks and ordered ones exclude each other. Without it, the entries are void. A lone entry
-- is part of the key's value; see lone.lua.
local orderedFunctions
function ordered()
  if orderedFunctions then
    return orderedFunctions
  end
  readTime()
  local budget = 1000 -- entries that one call of the script removes or notifies; nothing else runs meanwhile

  local beside = lone().beside

  -- setOf returns the sorted set for entries of a mode.
  local function setOf(order, mode)
    return mode == 's' and beside(order, 'shared') or order
  end

  local function modeOf(member)
    return string.match(member, '^%S+')
  end

  -- permitsOf returns how many permits a mode is one of, or nil if it is no permit's.
  local function permitsOf(mode)
    local digits = string.match(mode, '^p(%d+)')
    return digits and tonumber(digits)
  end

