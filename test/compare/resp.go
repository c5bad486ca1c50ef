package main

import (
	"bytes"
	"strconv"
)

// A respCounter counts the commands that a client sends. It is an io.Writer that never fails, and
// takes the stream in pieces of any size. It is not safe for concurrent use.
//
// A command is an array of bulk strings, or a single line (an inline command).
type respCounter struct {
	commands func() // called after each complete command

	line      []byte // the part of a header that has arrived
	pending   int    // number of bulk strings to come
	remaining int    // bytes to come of the current bulk string, including its CRLF
}

// Write implements io.Writer.
func (c *respCounter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if c.remaining > 0 {
			p = c.body(p)
		} else {
			p = c.header(p)
		}
	}
	return n, nil
}

// body skips the bytes of a bulk string.
func (c *respCounter) body(p []byte) (rest []byte) {
	n := min(c.remaining, len(p))
	if c.remaining -= n; c.remaining == 0 {
		c.bulkDone()
	}
	return p[n:]
}

// header collects a line, and handles it once it is complete.
func (c *respCounter) header(p []byte) (rest []byte) {
	end := bytes.IndexByte(p, '\n')
	if end < 0 {
		c.line = append(c.line, p...)
		return nil
	}
	c.line = append(c.line, p[:end]...)
	c.handleLine(bytes.TrimSuffix(c.line, []byte{'\r'}))
	c.line = c.line[:0]
	return p[end+1:]
}

func (c *respCounter) handleLine(line []byte) {
	switch {
	case len(line) == 0: // servers ignore an empty line
	case c.pending > 0: // $length
		c.remaining = number(line) + len("\r\n")
	case line[0] == '*':
		c.pending = number(line)
	default:
		c.commands()
	}
}

func (c *respCounter) bulkDone() {
	if c.pending--; c.pending == 0 {
		c.commands()
	}
}

// number returns the number after the first byte of a header. It returns 0 for anything that a
// client would not send: text or a negative number.
func number(line []byte) int {
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil {
		return 0
	}
	return max(n, 0)
}
