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

// report is the resource that the lock protects. It keeps the highest fence it has seen and rejects
// lower ones.
type report struct {
	mu    sync.Mutex // makes the comparison and the write one step
	text  string
	fence int64
}

// write accepts any number of writes with the same fence, so a holder may write repeatedly.
func (r *report) write(text string, fence int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if fence < r.fence {
		return errors.New("rejected: a later holder has written")
	}
	r.text, r.fence = text, fence
	return nil
}

// A holder that was paused until its lock expired does not notice and still writes. The protected
// resource rejects the write by its fence. The program in examples/fencing does the same with a
// database.
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

	// Here the first holder is paused. Acquire waits until its lock has expired.
	next, err := locks.Acquire(ctx, "report", time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	defer next.Release(ctx)
	fmt.Println("next holder:", shared.write("second draft", next.Fence()))
	fmt.Println("next holder, again:", shared.write("third draft", next.Fence()))

	fmt.Println("first holder, late:", shared.write("late draft", paused.Fence()))
	fmt.Println("the report is the", shared.text)
	// Output:
	// first holder: <nil>
	// next holder: <nil>
	// next holder, again: <nil>
	// first holder, late: rejected: a later holder has written
	// the report is the third draft
}
