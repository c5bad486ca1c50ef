-- lengthen makes a key live for at least ttl milliseconds from now, also if it had no expiry.
local function lengthen(key, ttl)
  if redis.call('PTTL', key) < tonumber(ttl) then --mutant:lengthens
    redis.call('PEXPIRE', key, ttl)
  end
end

-- barOf returns the key that bars a token from a lock's key. It is in the lock's Cluster slot, as
-- all auxiliary keys are.
local function barOf(key, token)
  if string.find(key, '}', 1, true) then
    return BROKEN .. ':' .. key .. ':' .. token
  end
  return BROKEN .. '{' .. key .. '}:' .. token
end

-- isGeneral reports whether an error says that this server is no master now. It must be the reply
-- itself, because the client has to see it: it then looks for the master elsewhere. Nothing was
-- written before such an error, for no write was allowed.
local function isGeneral(text)
  local code = string.match(text, '^%-?(%u+)')
  return code == 'READONLY' or code == 'MASTERDOWN' or code == 'LOADING' or code == 'CLUSTERDOWN' or
    code == 'MOVED' or code == 'ASK' or code == 'TRYAGAIN' or code == 'CROSSSLOT'
end

-- failed converts what an operation raised to the operation's result. general is the error that
-- must be the reply itself, or nil. Servers before Redis 7 give some errors as they are sent: with
-- a dash before them and the end of the line.
local function failed(err)
  local text = type(err) == 'table' and err.err or tostring(err)
  text = string.gsub(text, '@?user_script: ?%d+: ?', '')
  text = string.match(text, '^%-?(.-)%s*$')
  return {FAILED, text}, isGeneral(text) and redis.error_reply(text)
end
