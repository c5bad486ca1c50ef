package quorumtest

// ReadCommand is the parser of what clients send.
var ReadCommand = readCommand
