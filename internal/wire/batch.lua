-- operation returns the function that carries out an operation, its last parameter, and how many
-- keys and arguments it takes, its name included. Its keys begin at KEYS[k].
local more = fencing and 1 or 0 -- keys, and half as many arguments
local function operation(name, k)
  if name == 'acquire' then
    return acquire, false, 1 + more, 4 + 2 * more
  elseif name == 'release' then
    return release, KEYS[k + 1], 2, 4
  elseif name == 'confirm' then
    return acquire, true, 2 + more, 4 + 2 * more
  elseif name == 'drop' then
    return release, nil, 1, 2
  elseif name == 'extend' then
    return rest().extend, false, 1 + more, 4 + 2 * more
  elseif name == 'repair' then
    return rest().extend, true, 1 + more, 4 + 2 * more
  elseif name == 'wait' then
    return rest().wait, nil, 3, 9
  elseif name == 'inspect' then
    return rest().inspect, KEYS[k + 1], 2, 1
  elseif name == 'peek' then
    return rest().inspect, nil, 1, 1
  end
  return rest().bootstrap, nil, 1, 3
end

local reply, k, a = {0}, guard > 0 and 2 or 1, 4
while ARGV[a] do
  local run, how, keys, args = operation(ARGV[a], k)
  local ok, result = pcall(run, k, a, how) --mutant:errors-apart
  if not ok then
    local general
    result, general = rest().failed(result)
    if general then
      return general
    end
  end
  reply[#reply + 1] = result
  k, a = k + keys, a + args
end
reply[1] = micros
return reply
