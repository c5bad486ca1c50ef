// Package transcript tests a state machine by transcripts: text files of commands and of what came
// of them, in the manner of cockroachdb/datadriven. It is for tests only.
//
//	# A queue of one. Lines like this are comments.
//	push a
//	pop max=2
//	----
//	a, and nothing more
//
// A command is a line of words, the first of which is its name. Some of the others may be options:
// key=value. After one or more commands, a line of four dashes begins their expected output. It
// ends with a blank line, and so has none in it. What the commands mean is up to the test.
//
// To have the outputs rewritten by what comes out now, run the tests of the package with -rewrite,
// and read the diff:
//
//	go test ./internal/queue -rewrite
package transcript
