package quorumtest

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
)

// The limits of Redis for the number of arguments and the size of each.
const (
	maxArgs     = 1 << 20
	maxArgBytes = 512 << 20
)

var errProtocol = errors.New("quorumtest: malformed command")

// readCommand reads a command in the form that clients send, an array of bulk strings. An empty
// array, which servers ignore, has no arguments. After any error except io.EOF, the stream is
// unusable.
func readCommand(r *bufio.Reader) ([]string, error) {
	n, err := readLength(r, '*', maxArgs)
	if err != nil {
		return nil, err
	}
	var args []string
	for range n {
		arg, err := readBulk(r)
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
	}
	return args, nil
}

func readBulk(r *bufio.Reader) (string, error) {
	n, err := readLength(r, '$', maxArgBytes)
	if err != nil {
		return "", err
	}
	// Copy the bytes as they arrive, so that a false length allocates no memory.
	var b strings.Builder
	if _, err := io.CopyN(&b, r, int64(n)); err != nil {
		return "", err
	}
	end := make([]byte, 2)
	if _, err := io.ReadFull(r, end); err != nil {
		return "", err
	}
	if string(end) != "\r\n" {
		return "", errProtocol
	}
	return b.String(), nil
}

// readLength reads a line of kind and a number from 0 to limit.
func readLength(r *bufio.Reader, kind byte, limit int) (int, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return 0, errProtocol
	}
	if err != nil {
		return 0, err
	}
	if len(line) < 4 || line[0] != kind || line[len(line)-2] != '\r' {
		return 0, errProtocol
	}
	n, err := strconv.Atoi(string(line[1 : len(line)-2]))
	if err != nil || n < 0 || n > limit {
		return 0, errProtocol
	}
	return n, nil
}
