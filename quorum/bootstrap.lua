-- bootstrap: declare that this run of the server has nothing to remember, so that
-- the restart guard does not hold it out.
--
-- KEYS[1]  the marker
-- ARGV[1]  '1' to write it, '0' to look whether there is one
-- Reply    1 there is none, or it is as this would write it; -1 there is one
local marker = redis.call('GET', KEYS[1])
if ARGV[1] == '0' then
  return marker and -1 or 1
end
local run = assert(string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'), 'no run id')
if marker and marker ~= run .. ' 0' then
  return -1
end
redis.call('SET', KEYS[1], run .. ' 0')
return 1
