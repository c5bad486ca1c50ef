package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A candidate is a client that can lead.
type candidate interface {
	client
	// lead campaigns, and calls term with the number of its term once it leads. It resigns when
	// term returns.
	lead(ctx context.Context, name string, ttl time.Duration, term func(number int64)) error
}

const (
	leadGroup = "Leadership"
	// leadTTL is the TTL of leaders. etcd rounds up what is below two seconds.
	leadTTL = 3 * time.Second
)

// leadLibraries have elections with terms.
var leadLibraries = []library{
	quorumLeadLibrary(),
	etcdLeadLibrary("etcd Election", etcdSystem, "with default settings"),
	etcdLeadLibrary("etcd Election, no fsync", etcdNoFsyncSystem, "with `UnsafeNoFsync`"),
}

// A campaign is one call of lead.
type campaign struct {
	began  chan time.Time // receives when its term begins
	number int64          // of the term; set before that
	resign chan struct{}  // close it to end the term
	done   chan error     // receives what lead returned
}

func startCampaign(ctx context.Context, c client) *campaign {
	p := &campaign{began: make(chan time.Time, 1), resign: make(chan struct{}), done: make(chan error, 1)}
	go func() {
		p.done <- c.(candidate).lead(ctx, "leader", leadTTL, func(number int64) {
			p.number = number
			p.began <- time.Now()
			<-p.resign
		})
	}()
	return p
}

var errNeverLed = errors.New("a candidate returned without a term")

// wait waits until the term begins.
func (p *campaign) wait() (time.Time, error) {
	select {
	case at := <-p.began:
		return at, nil
	case err := <-p.done:
		return time.Time{}, errors.Join(errNeverLed, err)
	}
}

// end ends the term, and waits until lead has returned.
func (p *campaign) end() error {
	close(p.resign)
	return <-p.done
}

// resigned times how soon the next candidate leads after a leader began to resign.
func resigned() scenario {
	return scenario{
		name:      "lead/resigned",
		group:     leadGroup,
		label:     "from a leader's resignation to the next leader",
		libraries: leadLibraries,
		metrics:   append(nextHolderMetrics[:2:2], metric{name: "terms out of order", unit: count, hideZeros: true}),
		measure: func(ctx context.Context, b *bench, p library) (values []float64, err error) {
			clients, err := openMany(ctx, p, b.servers(p).addresses(), 2)
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, closeMany(clients)) }()
			times, disorder, err := successions(ctx, clients, b.scale.handOff)
			return []float64{median(times), percentile(times, 99), float64(disorder)}, err
		},
	}
}

// successions lets two candidates take turns for d, at least once.
func successions(ctx context.Context, clients []client, d time.Duration) (times []float64, disorder int, err error) {
	leader := startCampaign(ctx, clients[0])
	if _, err := leader.wait(); err != nil {
		return nil, 0, err
	}
	for start := time.Now(); len(times) == 0 || time.Since(start) < d; {
		next := startCampaign(ctx, clients[(len(times)+1)%2])
		time.Sleep(20*time.Millisecond + rand.N(50*time.Millisecond)) // as in handOff
		begun := time.Now()
		if err := leader.end(); err != nil {
			return nil, 0, err
		}
		at, err := next.wait()
		if err != nil {
			return nil, 0, err
		}
		if next.number <= leader.number {
			disorder++
		}
		times = append(times, at.Sub(begun).Seconds())
		leader = next
	}
	return times, disorder, leader.end()
}

// killed times how soon the next candidate leads after the process of the leader was killed.
func killed() scenario {
	return scenario{
		name:      "lead/killed",
		group:     leadGroup,
		label:     fmt.Sprintf("from a leader's SIGKILL to the next leader, TTL of %v", leadTTL),
		libraries: leadLibraries,
		metrics: []metric{
			{name: "median", unit: duration},
			{name: "longest", unit: duration},
			{name: "terms out of order", unit: count, hideZeros: true},
		},
		measure: func(ctx context.Context, b *bench, p library) (values []float64, err error) {
			addresses := b.servers(p).addresses()
			clients, err := openMany(ctx, p, addresses, 1)
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, closeMany(clients)) }()
			var times []float64
			disorder := 0
			for range b.scale.kills {
				took, ordered, err := killLeader(ctx, p, addresses, clients[0])
				if err != nil {
					return nil, err
				}
				if !ordered {
					disorder++
				}
				times = append(times, took.Seconds())
			}
			return []float64{median(times), percentile(times, 100), float64(disorder)}, nil
		},
	}
}

// killLeader lets a process of its own lead and c wait, and kills the process. It does so at any
// time between two renewals, because the rest of the TTL decides how long it takes.
func killLeader(ctx context.Context, p library, addresses []string, c client) (took time.Duration, ordered bool, err error) {
	leader, number, err := startLeader(p, addresses)
	if err != nil {
		return 0, false, err
	}
	next := startCampaign(ctx, c)
	time.Sleep(leadTTL/3 + rand.N(leadTTL/3))
	begun := time.Now()
	if err := leader.kill(); err != nil {
		return 0, false, err
	}
	at, err := next.wait()
	if err != nil {
		return 0, false, err
	}
	return at.Sub(begun), next.number > number, next.end()
}

// leaderVariable tells this program to be the leader that gets killed: the library's name and the
// servers' addresses, separated by commas.
const leaderVariable = "COMPARE_LEADER"

// startLeader starts this program as a leader, and returns the number of its term.
func startLeader(p library, addresses []string) (leader *process, number int64, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, 0, err
	}
	output, input := io.Pipe()
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), leaderVariable+"="+strings.Join(append([]string{p.name}, addresses...), ";"))
	cmd.Stdout = input
	leader, err = startProcess(cmd)
	if err != nil {
		return nil, 0, err
	}
	go func() {
		<-leader.done
		_ = input.CloseWithError(errors.New(strings.TrimSpace(leader.output.String()))) // always nil
	}()
	if _, err := fmt.Fscan(output, &number); err != nil {
		return nil, 0, fmt.Errorf("%s: the leader's process: %w", p.name, errors.Join(err, leader.kill()))
	}
	return leader, number, nil
}

// leadIfTold leads until it is killed, if this process was started for that.
func leadIfTold() {
	task := os.Getenv(leaderVariable)
	if task == "" {
		return
	}
	err := leadForever(strings.Split(task, ";"))
	fmt.Fprintln(os.Stderr, "leader:", err)
	os.Exit(1)
}

func leadForever(task []string) error {
	for _, p := range leadLibraries {
		if p.name != task[0] {
			continue
		}
		c, err := p.open(task[1:])
		if err != nil {
			return err
		}
		return c.(candidate).lead(context.Background(), "leader", leadTTL, func(number int64) {
			fmt.Println(number)
			select {}
		})
	}
	return fmt.Errorf("no library %q", task[0])
}
