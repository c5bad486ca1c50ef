local reply, k, a, refused, general = {0}, guard > 0 and 2 or 1, 5, nil, nil
if ARGV[4] ~= '' then
  if redis.call('PTTL', KEYS[k]) < need then --mutant:lease-needed
    refused, general = rest().refusal(KEYS[k], ARGV[4])
    if general then
      return general
    end
    lease = not refused and KEYS[k]
  end
  k, a = k + 1, 6
end
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
  local ok, result = true, refused and rest().refuse(name, KEYS[k], refused)
  if not result then
    ok, result = pcall(run, k, a, how) --mutant:errors-apart
  end
  if not ok then
    result, general = rest().failed(result)
    if general then
      return general
    end
  end
  reply[#reply + 1] = result
  k, a = k + keys, a + args
end
if lease then
  rest().lengthen(lease, string.format('%.0f', need + 10000)) --mutant:lease-lengthened
end
reply[1] = micros
return reply
