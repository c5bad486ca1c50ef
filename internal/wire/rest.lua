return {lengthen = lengthen, failed = failed, quarantine = quarantine, propose = propose,
  removeWaiter = removeWaiter, handOn = handOn,
  extend = extend, wait = wait, inspect = inspect, bootstrap = bootstrap}
end

-- rest returns the functions that not every call needs.
local defined
local function rest()
  if not defined then
    readTime()
    defined = define()
  end
  return defined
end
