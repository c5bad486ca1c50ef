package wire

import (
	"crypto/sha1" // it is what Redis knows scripts by
	_ "embed"     // the scripts are files of their own, to be read and run as such
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
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
	//go:embed extend.lua
	extendSource string
	//go:embed release.lua
	releaseSource string
	//go:embed wait.lua
	waitSource string
	//go:embed inspect.lua
	inspectSource string
	//go:embed bootstrap.lua
	bootstrapSource string
)

// Script is a Lua script and the digest by which masters know it.
type Script struct {
	Name   string
	Source string
	digest any // a string, as part of commands
}

func newScript(name string, parts ...string) *Script {
	source := strings.Join(append([]string{codes}, parts...), "\n")
	source = marks.ReplaceAllString(source, "") // they must not change the digest
	sum := sha1.Sum([]byte(source))
	return &Script{Name: name, Source: source, digest: hex.EncodeToString(sum[:])}
}

// marks are where mutants are made; see test/mutants.
var marks = regexp.MustCompile(` *--mutant:\S+`)

var (
	acquireScript   = newScript("acquire", guardSource, fenceSource, acquireSource)
	confirmScript   = newScript("confirm", guardSource, fenceSource, queueSource, acquireSource) // acquire for waiters
	extendScript    = newScript("extend", fenceSource, extendSource)                             //mutant:extend-script
	releaseScript   = newScript("release", guardSource, queueSource, releaseSource)
	waitScript      = newScript("wait", guardSource, queueSource, waitSource)
	inspectScript   = newScript("inspect", guardSource, inspectSource)
	bootstrapScript = newScript("bootstrap", guardSource, bootstrapSource)
)

// Scripts returns every script, for simulated masters and for tests.
func Scripts() []*Script {
	return []*Script{acquireScript, confirmScript, extendScript, releaseScript, waitScript, inspectScript, bootstrapScript}
}

// Digest returns the digest by which masters know the script.
func (s *Script) Digest() string { return s.digest.(string) }

// evalsha returns the command that runs s on a master that has it.
func (s *Script) evalsha(keys []any, args ...any) []any {
	return slices.Concat([]any{"evalsha", s.digest, len(keys)}, keys, args)
}

// eval turns evalsha's command into the one for a master that never had s, or has forgotten it.
// The master has it from then on.
func (s *Script) eval(evalsha []any) []any {
	return slices.Concat([]any{"eval", s.Source}, evalsha[2:])
}
