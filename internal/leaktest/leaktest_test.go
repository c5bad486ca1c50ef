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

// leak is the environment variable that says how long the goroutine of TestLeakingChild lives.
const leak = "REDLOCK_TEST_LEAK"

func TestMainFailsOnlyIfGoroutineStays(t *testing.T) {
	run := func(lifetime string) error {
		child := exec.Command(os.Args[0], "-test.run=^TestLeakingChild$")
		child.Env = append(os.Environ(), leak+"="+lifetime)
		return child.Run()
	}
	assert.Error(t, run("1h"), "a goroutine that stays is a leak")
	assert.NoError(t, run("1500ms"), "a goroutine that is about to end is no leak")
}

// TestLeakingChild is the child process of TestMainFailsOnlyIfGoroutineStays. It does nothing
// otherwise.
func TestLeakingChild(*testing.T) {
	lasting, err := time.ParseDuration(os.Getenv(leak))
	if err != nil {
		return // this is not the child process
	}
	go time.Sleep(lasting)
}
