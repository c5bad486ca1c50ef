package leaktest_test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// leak is what the process that TestLeaks starts leaves behind.
const leak = "REDLOCK_TEST_LEAK"

func TestLeaks(t *testing.T) {
	run := func(what string) error {
		child := exec.Command(os.Args[0], "-test.run=^TestLeakingChild$")
		child.Env = append(os.Environ(), leak+"="+what)
		return child.Run()
	}
	assert.Error(t, run("1h"), "a goroutine that stays")
	assert.NoError(t, run("1500ms"), "one that is about to end")
}

// TestLeakingChild is nothing to run by itself.
func TestLeakingChild(*testing.T) {
	lasting, err := time.ParseDuration(os.Getenv(leak))
	if err != nil {
		return // started by go test with the others
	}
	go time.Sleep(lasting)
}
