package transcript

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Command is one command of a transcript.
//
// If a method cannot return its result, it stops the command, and the test fails. The test also
// fails if the command has an option that nothing asked for. That catches misspelled options.
type Command struct {
	// Name is the first word.
	Name string
	// Args are the other words, without options.
	Args []string

	options map[string]string
	asked   map[string]bool
}

func parseCommand(line string) (*Command, error) {
	words := strings.Fields(line)
	c := &Command{Name: words[0], options: map[string]string{}, asked: map[string]bool{}}
	for _, word := range words[1:] {
		key, value, isOption := strings.Cut(word, "=")
		if !isOption {
			c.Args = append(c.Args, word)
			continue
		}
		if _, twice := c.options[key]; twice {
			return nil, fmt.Errorf("duplicate option %s", key)
		}
		c.options[key] = value
	}
	return c, nil
}

// failure is the value that Fatalf panics with.
type failure struct{ err error }

// Fatalf stops the command and fails the test.
func (c *Command) Fatalf(format string, args ...any) {
	panic(failure{fmt.Errorf("%s: %w", c.Name, fmt.Errorf(format, args...))})
}

// Arg returns Args[i].
func (c *Command) Arg(i int) string {
	if i >= len(c.Args) {
		c.Fatalf("missing argument %d", i+1)
	}
	return c.Args[i]
}

// IntArg returns Args[i] as an integer.
func (c *Command) IntArg(i int) int { return convert(c, c.Arg(i), strconv.Atoi) }

// DurationArg returns Args[i] as a duration, as in 1.5s.
func (c *Command) DurationArg(i int) time.Duration {
	return convert(c, c.Arg(i), time.ParseDuration)
}

// Option returns the value of an option, or def if the command does not have it.
func (c *Command) Option(key, def string) string {
	c.asked[key] = true
	if value, ok := c.options[key]; ok {
		return value
	}
	return def
}

// Int returns the value of an option as an integer, or def if the command does not have it.
func (c *Command) Int(key string, def int) int {
	return convert(c, c.Option(key, strconv.Itoa(def)), strconv.Atoi)
}

// Duration returns the value of an option as a duration, or def if the command does not have it.
func (c *Command) Duration(key string, def time.Duration) time.Duration {
	return convert(c, c.Option(key, def.String()), time.ParseDuration)
}

func convert[T any](c *Command, text string, parse func(string) (T, error)) T {
	value, err := parse(text)
	if err != nil {
		c.Fatalf("%w", err)
	}
	return value
}

// run executes the command.
func (c *Command) run(execute func(*Command) string) (output string, err error) {
	defer func() {
		if r := recover(); r != nil {
			failed, ok := r.(failure)
			if !ok {
				panic(r)
			}
			err = failed.err
		}
	}()
	output = strings.TrimSuffix(execute(c), "\n")
	for key := range c.options {
		if !c.asked[key] {
			c.Fatalf("unknown option %s", key)
		}
	}
	if output != "" && strings.Contains("\n"+output+"\n", "\n\n") {
		c.Fatalf("output contains a blank line")
	}
	return output, nil
}
