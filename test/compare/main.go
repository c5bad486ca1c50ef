// Compare measures this library and others side by side, in one run: Redis libraries against the
// same five masters, and etcd and PostgreSQL, which people use instead, against their own servers.
//
//	go -C test/compare run .                          # everything; takes about 40 minutes
//	go -C test/compare run . -quick -out DIR          # a minute, to see that it works
//	go -C test/compare run . -scenarios '^contention' # some scenarios
//	go -C test/compare run . -scenarios '^(rw|names|lead)/' # beyond a mutex
//
// It prints tables, and writes them to RESULTS.md and a chart to results.svg. It runs on
// Linux, and needs redis-server on PATH and the server of PostgreSQL (Debian's package postgresql).
// The program of etcd's nodes is a tool of this module, so this one must be run in the module's
// directory.
//
// It is a separate module so that users of the library do not depend on the other libraries.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/redis/go-redis/v9"
)

// settings are the command-line flags.
type settings struct {
	scale   scale
	pattern string
	out     string
}

func main() {
	leadIfTold()
	s, err := parse(os.Args[1:])
	if err != nil {
		os.Exit(2) // the flag package has printed the error
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err = run(ctx, s, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func parse(args []string) (settings, error) {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "measure briefly, to see that it works; the values mean little")
	rounds := flags.Int("rounds", 0, "take medians of this many `rounds` (default 3, or 1 with -quick)")
	contention := flags.Duration("contention", 0, "let contenders compete for this long (default 5s, or 300ms with -quick)")
	pattern := flags.String("scenarios", "", "run only scenarios whose name matches this `regexp`")
	out := flags.String("out", ".", "write "+tablesFile+" and "+chartFile+" to this `directory`")
	if err := flags.Parse(args); err != nil {
		return settings{}, err
	}
	s := settings{scale: fullScale, pattern: *pattern, out: *out}
	if *quick {
		s.scale = quickScale
	}
	setIfPositive(&s.scale.rounds, *rounds)
	setIfPositive(&s.scale.contention, *contention)
	return s, nil
}

// setIfPositive sets setting to value if value is positive.
func setIfPositive[T int | time.Duration](setting *T, value T) {
	if value > 0 {
		*setting = value
	}
}

func run(ctx context.Context, s settings, out, progress io.Writer) (err error) {
	matched, err := matching(s.pattern)
	if err != nil {
		return err
	}
	redis.SetLogger(silent{})
	running, err := startSystems(ctx, systemsOf(libraries))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeSystems(running)) }()
	facts, err := describe(ctx, running)
	if err != nil {
		return err
	}
	r := newResults(matched, libraries)
	noise, err := startNoise(ctx, running)
	if err != nil {
		return err
	}
	if err := measure(ctx, &bench{running, s.scale}, r, progress); err != nil {
		return err
	}
	if facts.others, err = noise.level(ctx); err != nil {
		return err
	}
	if _, err := io.WriteString(out, tables(r)); err != nil {
		return err
	}
	return write(s.out, report(r, s.scale, facts), chart(r))
}

// silent discards the log of go-redis, which reports the connections that measurements close.
type silent struct{}

// Printf does nothing.
func (silent) Printf(context.Context, string, ...any) {}
