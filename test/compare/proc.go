package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A procStat is what /proc/PID/stat says about a process.
type procStat struct {
	pid, parent int
	cpu         time.Duration // its own CPU time and that of its children that ended
}

// tick is the unit of CPU times in /proc on all common architectures.
const tick = 10 * time.Millisecond

// parseStat parses a line of /proc/PID/stat. The second field is the name of the program in
// parentheses, which may contain anything.
func parseStat(line string) (s procStat, err error) {
	bad := fmt.Errorf("not a line of /proc/PID/stat: %q", line)
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return s, bad
	}
	fields := strings.Fields(line[end+1:]) // from the third field on: state, parent, …
	const utime, cstime = 11, 14
	if len(fields) <= cstime {
		return s, bad
	}
	var errs []error
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		errs = append(errs, err)
		return n
	}
	s.pid = number(strings.TrimSpace(line[:open]))
	s.parent = number(fields[1])
	for _, field := range fields[utime : cstime+1] {
		s.cpu += time.Duration(number(field)) * tick
	}
	return s, errors.Join(errs...)
}

// family returns a process and its children. It works on Linux only.
func family(pid int) (members []procStat, err error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		s, err := parseStat(string(line))
		if err != nil {
			return nil, err
		}
		if s.pid == pid || s.parent == pid {
			members = append(members, s)
		}
	}
	if len(members) == 0 {
		return nil, fmt.Errorf("no process %d in /proc", pid)
	}
	return members, nil
}

// familyCPU returns the CPU time of a process and its children, also of those that ended.
func familyCPU(pid int) (sum time.Duration, err error) {
	members, err := family(pid)
	for _, s := range members {
		sum += s.cpu
	}
	return sum, err
}
