package integration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ory/dockertest/v3"
	dc "github.com/ory/dockertest/v3/docker"
)

// engine returns the Docker engine, with the image of the masters. Without an engine it skips the
// test, or fails it if REQUIRE_DOCKER=1.
func engine(tb testing.TB) *dockertest.Pool {
	tb.Helper()
	pool, err := connect()
	switch {
	case err == nil:
		return pool
	case os.Getenv("REQUIRE_DOCKER") == "1":
		tb.Fatalf("REQUIRE_DOCKER=1, but %v", err)
	default:
		tb.Skipf("%v (set REQUIRE_DOCKER=1 to fail instead)", err)
	}
	return nil
}

// connect runs once for all tests, because a pull takes a while.
var connect = sync.OnceValues(func() (*dockertest.Pool, error) {
	pool, err := dockertest.NewPool("")
	if err != nil {
		return nil, fmt.Errorf("no Docker engine: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := pool.Client.PingWithContext(ctx); err != nil {
		return nil, fmt.Errorf("no Docker engine: %w", err)
	}
	if err := provideImage(pool); err != nil {
		return nil, err
	}
	sweep(pool)
	return pool, nil
})

// imageName returns the repository and tag of the image of the masters, from REDIS_IMAGE.
func imageName() (repository, tag string) {
	name := cmp.Or(os.Getenv("REDIS_IMAGE"), "redis:8-alpine")
	// A colon before the last slash belongs to the port of a registry.
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i], name[i+1:]
	}
	return name, "latest"
}

func provideImage(pool *dockertest.Pool) error {
	repository, tag := imageName()
	name := repository + ":" + tag
	_, err := pool.Client.InspectImage(name)
	if !errors.Is(err, dc.ErrNoSuchImage) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	pull := dc.PullImageOptions{Repository: repository, Tag: tag, Context: ctx}
	if err := pool.Client.PullImage(pull, dc.AuthConfiguration{}); err != nil {
		return fmt.Errorf("no local image %s, and cannot pull it (set REDIS_IMAGE to use another): %w", name, err)
	}
	return nil
}

// sweep removes what crashed runs left behind. It ignores errors, because another run may be
// sweeping too, and leftovers are harmless.
func sweep(pool *dockertest.Pool) {
	containers, _ := pool.Client.ListContainers(dc.ListContainersOptions{
		All:     true,
		Filters: map[string][]string{"label": {staleAfterLabel}},
	})
	for _, c := range containers {
		if isStale(c.Labels) {
			_ = removeContainer(pool, c.ID)
		}
	}
	networks, _ := pool.Client.ListNetworks()
	for _, n := range networks {
		if isStale(n.Labels) {
			_ = pool.Client.RemoveNetwork(n.ID)
		}
	}
}

func isStale(labels map[string]string) bool {
	until, err := strconv.ParseInt(labels[staleAfterLabel], 10, 64)
	return err == nil && time.Now().Unix() > until
}
