package transcript

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Command is one command of a transcript.
//
// A method that cannot return what it promises ends the command, and the transcript's test fails.
// It fails too if an option is given that was not asked for, lest a misspelled one go unnoticed.
type Command struct {
	// Name is the first word.
	Name string
	// Args are the words after it that are no options.
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
			return nil, fmt.Errorf("option %s is given twice", key)
		}
		c.options[key] = value
	}
	return c, nil
}

// failure is what Fatalf panics with.
type failure struct{ err error }

// Fatalf ends the command and fails the transcript's test.
func (c *Command) Fatalf(format string, args ...any) {
	panic(failure{fmt.Errorf("%s: %w", c.Name, fmt.Errorf(format, args...))})
}

// Arg returns the i-th of Args, from 0.
func (c *Command) Arg(i int) string {
	if i >= len(c.Args) {
		c.Fatalf("argument %d is missing", i+1)
	}
	return c.Args[i]
}

// IntArg returns the i-th of Args as a number.
func (c *Command) IntArg(i int) int { return convert(c, c.Arg(i), strconv.Atoi) }

// DurationArg returns the i-th of Args as a duration, as in 1.5s.
func (c *Command) DurationArg(i int) time.Duration {
	return convert(c, c.Arg(i), time.ParseDuration)
}

// Option returns an option's value, or missing if it is not given.
func (c *Command) Option(key, missing string) string {
	c.asked[key] = true
	if value, ok := c.options[key]; ok {
		return value
	}
	return missing
}

// Int returns an option as a number, or missing if it is not given.
func (c *Command) Int(key string, missing int) int {
	return convert(c, c.Option(key, strconv.Itoa(missing)), strconv.Atoi)
}

// Duration returns an option as a duration, or missing if it is not given.
func (c *Command) Duration(key string, missing time.Duration) time.Duration {
	return convert(c, c.Option(key, missing.String()), time.ParseDuration)
}

func convert[T any](c *Command, text string, parse func(string) (T, error)) T {
	value, err := parse(text)
	if err != nil {
		c.Fatalf("%w", err)
	}
	return value
}

// run carries the command out.
func (c *Command) run(carryOut func(*Command) string) (output string, err error) {
	defer func() {
		if r := recover(); r != nil {
			failed, ok := r.(failure)
			if !ok {
				panic(r)
			}
			err = failed.err
		}
	}()
	output = strings.TrimSuffix(carryOut(c), "\n")
	for key := range c.options {
		if !c.asked[key] {
			c.Fatalf("it has no option %s", key)
		}
	}
	if output != "" && strings.Contains("\n"+output+"\n", "\n\n") {
		c.Fatalf("its output has a blank line")
	}
	return output, nil
}
