package main

import (
	"bytes"
	"strconv"
)

// A respCounter counts the commands in what a client sends, whatever pieces it
// arrives in. It is an io.Writer that never fails; one goroutine at a time writes.
//
// A command is an array of bulk strings, or a line (an inline command).
type respCounter struct {
	commands func() // called for each that is complete

	line      []byte // what has arrived of a header
	pending   int    // bulk strings that are to come
	remaining int    // bytes of the present one that are to come, its line end included
}

// Write takes in what the client sent next.
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

// body passes over a bulk string.
func (c *respCounter) body(p []byte) (rest []byte) {
	n := min(c.remaining, len(p))
	if c.remaining -= n; c.remaining == 0 {
		c.bulkDone()
	}
	return p[n:]
}

// header collects a line and acts on it once it is complete.
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

// number returns what stands after a header's first byte. What is no number, or
// negative, no client sends.
func number(line []byte) int {
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil {
		return 0
	}
	return max(n, 0)
}
