package quorumtest_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func Example() {
	cluster, err := quorumtest.Start(3)
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()
	ctx := context.Background()

	cluster.Master(1).Full()
	for i, client := range cluster.Clients() {
		fmt.Println(i, client.SetNX(ctx, "job", "replica-a", time.Minute).Err())
	}
	cluster.Master(1).Heal()

	cluster.Advance(time.Minute)
	fmt.Println(cluster.Master(0).Keys())
	// Output:
	// 0 <nil>
	// 1 OOM command not allowed when used memory > 'maxmemory'.
	// 2 <nil>
	// []
}

// A broken connection leaves the client in doubt. Here the request was executed.
func ExampleMaster_CutReplies() {
	cluster, err := quorumtest.Start(1)
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()
	master := cluster.Master(0)

	master.CutReplies(1)
	ctx := context.Background()
	fmt.Println(master.Client().Set(ctx, "job", "replica-a", time.Minute).Err())
	fmt.Println(master.Get("job"))
	fmt.Println(master.Client().Set(ctx, "job", "replica-b", time.Minute).Err())
	fmt.Println(master.Get("job"))
	// Output:
	// EOF
	// replica-a true
	// <nil>
	// replica-b true
}

// A master may come back without the keys that it had.
func ExampleMaster_Restart() {
	cluster, err := quorumtest.Start(1)
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()
	master := cluster.Master(0)
	master.Set("job", "replica-a", time.Minute)

	for _, memory := range []quorumtest.Memory{quorumtest.KeepMemory, quorumtest.LoseMemory} {
		master.Stop()
		if err := master.Restart(memory); err != nil {
			log.Fatal(err)
		}
		fmt.Println(master.Keys())
	}
	// Output:
	// [job]
	// []
}
