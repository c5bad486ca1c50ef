defined = {lengthen = lengthen, failed = failed, quarantine = quarantine, propose = propose,
  removeWaiter = removeWaiter, handOn = handOn, operation = operation}
return defined
end
