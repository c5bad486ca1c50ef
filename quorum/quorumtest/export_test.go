package quorumtest

// ReadCommand exports the parser of client commands.
var ReadCommand = readCommand
