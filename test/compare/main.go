// Peers measures this library and others side by side, on the same five Redis
// masters in one run.
//
//	go -C test/peers run .                          # all of it, about a quarter of an hour
//	go -C test/peers run . -quick -out DIR          # half a minute, to see that it works
//	go -C test/peers run . -scenarios '^contention' # some of it
//
// It prints tables, and writes them to RESULTS.md and a chart to results.svg. It
// needs a redis-server on the PATH.
//
// It is a module of its own so that what it compares with is no dependency of a user
// of the library.
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

// settings are what the command line says.
type settings struct {
	scale   scale
	pattern string
	out     string
}

func main() {
	s, err := parse(os.Args[1:])
	if err != nil {
		os.Exit(2) // it has been said why
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err = run(ctx, s, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func parse(args []string) (settings, error) {
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "measure briefly, to see that it works: the values mean little")
	rounds := flags.Int("rounds", 0, "how many `rounds` the medians are of (default: 3, with -quick 1)")
	contention := flags.Duration("contention", 0, "how long contenders compete (default: 5s, with -quick 300ms)")
	pattern := flags.String("scenarios", "", "only scenarios whose name matches this `regexp`")
	out := flags.String("out", ".", "the `directory` for "+tablesFile+" and "+chartFile)
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

// override sets what was asked for.
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
	m, err := startMasters()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	redis.SetLogger(silent{})
	version, err := m.version(ctx)
	if err != nil {
		return err
	}
	r := newResults(matched, libraries)
	if err := measure(ctx, &bench{m, s.scale}, r, progress); err != nil {
		return err
	}
	if _, err := io.WriteString(out, tables(r)); err != nil {
		return err
	}
	return write(s.out, report(r, s.scale, version), chart(r))
}

// silent keeps go-redis from writing to standard error about connections that were
// closed, which is what measurements end with.
type silent struct{}

// Printf drops what it is given.
func (silent) Printf(context.Context, string, ...any) {}
