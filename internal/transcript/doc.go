// Package transcript tests state machines with transcripts: text files that contain commands and
// their expected output. It follows cockroachdb/datadriven and is for tests only.
//
//	# A queue of length one. Lines like this are comments.
//	push a
//	pop max=2
//	----
//	a, and nothing more
//
// A command is a line of words. The first word is its name, words of the form key=value are
// options, and the other words are arguments. One or more commands are followed by a line of four
// dashes and their expected output. A blank line ends the output, so the output cannot contain one.
// The test decides what the commands mean.
//
// To replace the expected outputs by the current ones, run the package's tests with -rewrite, and
// read the diff:
//
//	go test ./internal/queue -rewrite
package transcript
