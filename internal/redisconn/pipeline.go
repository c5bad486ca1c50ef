package redisconn

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// pipeline is the memory of one pipeline: its commands, and the arguments of all.
type pipeline struct {
	cmds []redis.Cmd
	args []any
}

// exec has the client carry the commands out.
func (p *pipeline) exec(ctx context.Context, client redis.UniversalClient) error {
	pipe := client.Pipeline()
	for i := range p.cmds {
		_ = pipe.Process(ctx, &p.cmds[i]) // only queues
	}
	_, err := pipe.Exec(ctx)
	return err
}

// pipelinePool keeps the memory of pipelines for the next ones. Under load it would be a third of
// all that is allocated. Only pipelines whose every command was answered come back, because nothing
// refers to them anymore.
type pipelinePool struct{ pool sync.Pool }

// argsPerCommand is about how many arguments a command has.
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
	clear(p.cmds) // they hold on to tokens and replies
	p.args = nil  // a hook that asks twice may have copied the commands, but shares these
	s.pool.Put(p)
}
