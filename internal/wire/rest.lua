-- This is the end of the function that lazy.lua begins.
defined = {lengthen = lengthen, failed = failed, quarantine = quarantine,
  removeWaiter = removeWaiter, handOn = handOn, operation = operation, listeners = listeners, barOf = barOf,
  refusal = refusal, refuse = refuse}
return defined
end
