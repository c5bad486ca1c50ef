package transcript

// Check runs one transcript.
var Check = check
