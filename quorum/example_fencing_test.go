package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// report is what the lock protects. It knows the highest fence that it has seen,
// and refuses lower ones.
type report struct {
	mu    sync.Mutex // makes one step of comparing and writing
	text  string
	fence int64
}

// write lets a holder write as often as it likes, because its fence is not lower
// than itself.
func (r *report) write(text string, fence int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if fence < r.fence {
		return errors.New("refused, a later holder has been here")
	}
	r.text, r.fence = text, fence
	return nil
}

// A holder that was paused for longer than its lock was good for does not know it,
// and writes. What it protects knows, by the fence. The same with a database is in
// examples/fencing.
func ExampleLock_Fence() {
	masters, err := quorumtest.Start(5)
	if err != nil {
		log.Fatal(err)
	}
	defer masters.Close()
	locks, err := quorum.Open(masters.URLs(), &quorum.Options{Fencing: true})
	if err != nil {
		log.Fatal(err)
	}
	defer locks.Close()
	ctx := context.Background()
	var shared report

	paused, err := locks.TryAcquire(ctx, "report", time.Second)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("first holder:", shared.write("first draft", paused.Fence()))

	// The first holder is paused here, and its lock expires: Acquire waits for that.
	next, err := locks.Acquire(ctx, "report", time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	defer next.Release(ctx)
	fmt.Println("next holder:", shared.write("by the next", next.Fence()))
	fmt.Println("again:", shared.write("by the next, finished", next.Fence()))

	fmt.Println("first holder, late:", shared.write("by the first, finished", paused.Fence()))
	fmt.Println("the report is", shared.text)
	// Output:
	// first holder: <nil>
	// next holder: <nil>
	// again: <nil>
	// first holder, late: refused, a later holder has been here
	// the report is by the next, finished
}
