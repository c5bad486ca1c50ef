package quorum

import (
	_ "embed" // the scripts are files of their own, so that they can be read and run as such
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// What several scripts share comes before each of them.
var (
	//go:embed guard.lua
	guardSource string
	//go:embed fence.lua
	fenceSource string
	//go:embed queue.lua
	queueSource string
)

var (
	//go:embed acquire.lua
	acquireSource string
	//go:embed keep.lua
	keepSource string
	//go:embed leave.lua
	leaveSource string
	//go:embed wait.lua
	waitSource string
	//go:embed inspect.lua
	inspectSource string
	//go:embed bootstrap.lua
	bootstrapSource string
)

// script is a Lua script and the digest that masters know it by.
type script struct {
	source string
	digest any // a string, as part of commands
}

func newScript(parts ...string) *script {
	source := strings.Join(parts, "\n")
	return &script{source: source, digest: redis.NewScript(source).Hash()}
}

var (
	acquireScript   = newScript(guardSource, fenceSource, acquireSource)
	claimScript     = newScript(guardSource, fenceSource, queueSource, acquireSource) // acquire for waiters
	keepScript      = newScript(fenceSource, keepSource)
	leaveScript     = newScript(guardSource, queueSource, leaveSource)
	waitScript      = newScript(guardSource, queueSource, waitSource)
	inspectScript   = newScript(guardSource, inspectSource)
	bootstrapScript = newScript(guardSource, bootstrapSource)
)

// byDigest returns the command that runs s on a master that has it.
func (s *script) byDigest(keys []any, args ...any) []any {
	return slices.Concat([]any{"evalsha", s.digest, len(keys)}, keys, args)
}

// bySource returns byDigest's command for a master that has forgotten s, or
// never had it; it has it from then on.
func (s *script) bySource(byDigest []any) []any {
	return slices.Concat([]any{"eval", s.source}, byDigest[2:])
}
