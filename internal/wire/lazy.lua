-- rest returns the functions that not every call needs. To define them costs more than to acquire a
-- vacant key or to release a lock for which nobody waits. The files from here to rest.lua are its
-- body.
local defined
local function rest()
  if defined then
    return defined
  end
  readTime()
