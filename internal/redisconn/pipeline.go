package redisconn

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// pipeline is the memory of one pipeline: its commands, and the arguments of all of them.
type pipeline struct {
	cmds []redis.Cmd
	args []any
}

// exec sends the commands with the client.
func (p *pipeline) exec(ctx context.Context, client redis.UniversalClient) error {
	pipe := client.Pipeline()
	for i := range p.cmds {
		_ = pipe.Process(ctx, &p.cmds[i]) // only queues
	}
	_, err := pipe.Exec(ctx)
	return err
}

// pipelinePool reuses the memory of pipelines. Without it, that memory would be a third of all
// allocations under load. Only pipelines whose commands were all answered are returned to the pool,
// because nothing refers to those anymore.
type pipelinePool struct{ pool sync.Pool }

// argsPerCommand is the approximate number of arguments of a command.
const argsPerCommand = 8

func (s *pipelinePool) take(n int) *pipeline {
	p, ok := s.pool.Get().(*pipeline)
	if !ok {
		p = &pipeline{}
	}
	p.args = make([]any, 0, n*argsPerCommand)
	if cap(p.cmds) < n {
		p.cmds = make([]redis.Cmd, n, n+n/2)
	}
	p.cmds = p.cmds[:n]
	return p
}

func (s *pipelinePool) giveBack(p *pipeline) {
	clear(p.cmds) // they keep tokens and replies alive
	p.args = nil  // a hook that sends twice may have copied the commands, and the copies share the arguments
	s.pool.Put(p)
}
