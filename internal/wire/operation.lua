-- operation returns the function that carries out an operation other than the usual ones, its last
-- parameter, and how many keys and arguments it takes, its name included. Its keys begin at
-- KEYS[k].
local function operation(name, k)
  if name == 'extend' then
    return extend, false, 1 + more, 4 + 2 * more
  elseif name == 'repair' then
    return extend, true, 1 + more, 4 + 2 * more
  elseif name == 'dated' then
    return dated, nil, 2 + more, 6 + 2 * more
  elseif name == 'wait' then
    return wait, nil, 3, 9
  elseif name == 'tombstone' then
    return tombstone, nil, 1, 3
  elseif name == 'leave' then
    return tombstone, KEYS[k + 1], 2, 3
  elseif name == 'break' then
    return breakHold, KEYS[k + 1], 3, 5
  elseif name == 'inspect' then
    return inspect, KEYS[k + 1], 2, 2
  elseif name == 'peek' then
    return inspect, nil, 1, 1
  elseif name == 'members' then
    return members, nil, 1, 5
  end
  return bootstrap, nil, 1, 3
end
