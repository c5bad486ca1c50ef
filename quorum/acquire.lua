-- acquire: give the key to the token if it is vacant.
--
-- For masters before Redis 7, which cannot combine NX and GET. It replies as
-- SET key token NX GET PX ttl does: nil if the token has the key now, otherwise
-- the token that has it, which is this one if a client repeated the request.
--
-- KEYS[1]  the lock's key
-- ARGV[1]  the token
-- ARGV[2]  the TTL in milliseconds
local standing = redis.call('GET', KEYS[1])
if not standing then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return standing
