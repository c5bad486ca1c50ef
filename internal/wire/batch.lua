local reply, k, a = {0}, guard > 0 and 2 or 1, 4
while ARGV[a] do
  local name, run, how, keys, args = ARGV[a], acquire, false, 1 + more, 4 + 2 * more -- see operation
  if name == 'release' then
    run, how, keys, args = release, KEYS[k + 1], 2, 4
  elseif name == 'drop' then
    run, how, keys, args = release, nil, 1, 2
  elseif name == 'confirm' then
    how, keys = true, keys + 1
  elseif name == 'admit' or name == 'remain' or name == 'renew' or name == 'readmit' then
    run, how, keys, args = lone().admit, name, 2, 10 + more
  elseif name == 'depart' then
    run, keys, args = lone().depart, 2, 3
  elseif name ~= 'acquire' then
    run, how, keys, args = rest().operation(name, k)
  end
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
