package quorum

import (
	_ "embed" // the scripts are files of their own, so that they can be read and run as such
	"slices"

	"github.com/redis/go-redis/v9"
)

//go:embed acquire.lua
var acquireSource string

//go:embed keep.lua
var keepSource string

//go:embed leave.lua
var leaveSource string

//go:embed inspect.lua
var inspectSource string

// script is a Lua script and the digest that masters know it by.
type script struct{ source, digest string }

func newScript(source string) *script {
	return &script{source: source, digest: redis.NewScript(source).Hash()}
}

var (
	acquireScript = newScript(acquireSource)
	keepScript    = newScript(keepSource)
	leaveScript   = newScript(leaveSource)
	inspectScript = newScript(inspectSource)
)

// byDigest returns the command that runs s on a master that has it.
func (s *script) byDigest(key string, args ...any) []any {
	return slices.Concat([]any{"evalsha", s.digest, 1, key}, args)
}

// bySource returns byDigest's command for a master that has forgotten s, or
// never had it; it has it from then on.
func (s *script) bySource(byDigest []any) []any {
	return slices.Concat([]any{"eval", s.source}, byDigest[2:])
}
