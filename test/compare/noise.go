package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// noise tells how much CPU time other processes used since it started: those that are neither this
// one, nor its children, nor its servers.
type noise struct {
	running map[system]servers
	start   time.Time
	before  time.Duration
}

func startNoise(ctx context.Context, running map[system]servers) (n *noise, err error) {
	n = &noise{running: running, start: time.Now()}
	n.before, err = n.used(ctx)
	return n, err
}

// level returns how many cores others used on average.
func (n *noise) level(ctx context.Context) (float64, error) {
	used, err := n.used(ctx)
	return max(0, (used-n.before).Seconds()/time.Since(n.start).Seconds()), err
}

// used returns the CPU time of others so far. Only differences of it mean something: the machine
// has been up for longer than this program.
func (n *noise) used(ctx context.Context) (time.Duration, error) {
	sum, err := totalBusy()
	if err != nil {
		return 0, err
	}
	own, err := cpuTime()
	if err != nil {
		return 0, err
	}
	var children syscall.Rusage // those that ended, such as killed leaders
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &children); err != nil {
		return 0, os.NewSyscallError("getrusage", err)
	}
	sum -= own + time.Duration(children.Utime.Nano()+children.Stime.Nano())
	for _, s := range n.running {
		theirs, err := s.cpu(ctx)
		if err != nil {
			return 0, err
		}
		sum -= theirs
	}
	return sum, nil
}

// totalBusy returns the time that all CPUs together were busy since the machine started.
func totalBusy() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return busyTime(string(stat))
}

// busyTime returns the time that all CPUs together were busy, from the text of /proc/stat. Time
// that the machine's host took away counts too.
func busyTime(stat string) (sum time.Duration, err error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line) // cpu user nice system idle iowait irq softirq steal …
	const idle, iowait, steal = 4, 5, 8
	if len(fields) <= steal || fields[0] != "cpu" {
		return 0, fmt.Errorf("not the first line of /proc/stat: %q", line)
	}
	for i := 1; i <= steal; i++ {
		if i == idle || i == iowait {
			continue
		}
		ticks, err := strconv.Atoi(fields[i])
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		sum += time.Duration(ticks) * tick
	}
	return sum, nil
}
