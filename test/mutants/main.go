// Mutants tests the tests. It makes wrong variants of the lock algorithm: each breaks one rule in a
// copy of the source. Then it runs the tests that guard that rule. If they pass, nothing guards the
// rule.
//
//	go run ./test/mutants               # all mutants
//	go run ./test/mutants -run lua -v   # matching names only, with the output of the tests
//	go run ./test/mutants -part 3/16    # the fourth of sixteen parts
//
// An anchor in the source marks where a mutant differs. It is a comment at the end of a line, such
// as //mutant:quorum in Go and --mutant:quorum in Lua. It marks everything that begins with the
// line's first word: a statement with its block, a clause, a declaration, a field or an element of
// a composite literal. If nothing begins there, it marks the line. In Lua it always marks the line,
// or all lines up to --mutant:/quorum. Code may be moved or renamed as long as its anchors stay
// with it.
//
// Mutants fails if the tests miss a mutant. It also fails if it cannot judge a mutant: because it
// does not compile, does not fit the current source, or names a test that does not run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// parallel is how many mutants run at the same time. Each compiles on all cores, and runs on one.
const parallel = 2

func main() {
	pattern := flag.String("run", "", "run only mutants whose name matches this `regexp`")
	verbose := flag.Bool("v", false, "print each mutant's rule and the output of its tests")
	short := flag.Bool("short", false, "skip minor mutants: another one breaks nearly the same rule")
	of := part{0, 1}
	flag.Var(&of, "part", "run only `i/n`: every n-th mutant, from number i on, which is less than n")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *pattern, of, *verbose, *short); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, pattern string, of part, verbose, short bool) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	src, err := readSource(root)
	if err != nil {
		return err
	}
	if err := check(src, table); err != nil {
		return err
	}
	selected, err := choose(pattern, of, short)
	if err != nil {
		return err
	}
	if err := checkUnmutated(ctx, root, selected); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }() // a temporary directory
	start := time.Now()
	verdicts, err := judgeAll(ctx, src, scratch, selected, verbose)
	if err != nil {
		return err
	}
	return report(verdicts, time.Since(start))
}

func moduleRoot(ctx context.Context) (string, error) {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(mod))), nil
}

func choose(pattern string, of part, short bool) (selected []*mutant, err error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	for i := range table {
		if m := &table[i]; re.MatchString(m.name) && (!short || !m.minor) {
			selected = append(selected, m)
		}
	}
	selected = of.choose(selected)
	if len(selected) == 0 {
		return nil, errors.New("no mutant selected")
	}
	return selected, nil
}

// checkUnmutated checks that the tests of the selected mutants pass without any mutation.
func checkUnmutated(ctx context.Context, root string, selected []*mutant) error {
	tests := map[string][]string{}
	for _, m := range selected {
		tests[m.pkg] = append(tests[m.pkg], m.tests...)
	}
	for pkg, names := range tests {
		slices.Sort(names)
		names = slices.Compact(names)
		t, err := goTest(ctx, root, pkg, "", names)
		if err != nil {
			return err
		}
		for _, name := range names {
			if t.results[name] != passed {
				return fmt.Errorf("%s in %s does not pass without a mutation:\n%s", name, pkg, t.output)
			}
		}
		fmt.Printf("%d tests in %s pass without mutations\n", len(names), pkg)
	}
	return nil
}

// judgeAll judges the selected mutants, and prints each verdict as it comes.
func judgeAll(ctx context.Context, src *source, scratch string, selected []*mutant, verbose bool) ([]*verdict, error) {
	verdicts := make([]*verdict, len(selected))
	done := make(chan *verdict)
	var group errgroup.Group
	group.SetLimit(parallel)
	go func() {
		defer close(done)
		for i, m := range selected {
			group.Go(func() error {
				verdicts[i] = m.judge(ctx, src, scratch)
				done <- verdicts[i]
				return nil
			})
		}
		_ = group.Wait() // the functions return no errors
	}()
	for v := range done {
		v.print(verbose)
	}
	return verdicts, ctx.Err()
}

func (v *verdict) print(verbose bool) {
	fmt.Printf("%-6s %5.1fs  %-34s %s\n", v, v.seconds, v.name, strings.Join(v.tests, ", "))
	if verbose || !v.caught() {
		fmt.Println("        rule:", v.rule)
	}
	switch {
	case v.err != nil:
		fmt.Printf("        %v\n", v.err)
	case !v.caught():
		fmt.Println("        passed anyway:", strings.Join(v.passed, ", "))
	}
	if verbose || v.err != nil {
		fmt.Println(indent(v.output))
	}
}

func indent(s string) string {
	return "\t" + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n\t")
}

// report prints a summary, and returns an error unless all mutants were caught.
func report(verdicts []*verdict, took time.Duration) error {
	caught, missed, unjudged := 0, 0, 0
	for _, v := range verdicts {
		switch {
		case v.err != nil:
			unjudged++
		case v.caught():
			caught++
		default:
			missed++
		}
	}
	fmt.Printf("in %.0f s\n", took.Seconds())
	if unjudged > 0 {
		fmt.Printf("%d mutants: %d caught, %d missed, %d not judged\n", len(verdicts), caught, missed, unjudged)
		return fmt.Errorf("%d missed, %d not judged", missed, unjudged)
	}
	fmt.Printf("%d mutants: %d caught, %d missed\n", len(verdicts), caught, missed)
	if missed > 0 {
		return fmt.Errorf("%d missed", missed)
	}
	return nil
}
