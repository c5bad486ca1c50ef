package wire

import (
	"crypto/sha1" // Redis identifies scripts by it
	_ "embed"     // the scripts are separate files, so that they can be read and run on their own
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
)

// Code that several scripts share is put in front of each of them.
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

// Script is a Lua script with the digest by which masters identify it.
type Script struct {
	Name   string
	Source string
	digest any // a string, as part of commands
}

func newScript(name string, parts ...string) *Script {
	source := strings.Join(append([]string{codes}, parts...), "\n")
	source = marks.ReplaceAllString(source, "") // marks must not change the digest
	sum := sha1.Sum([]byte(source))
	return &Script{Name: name, Source: source, digest: hex.EncodeToString(sum[:])}
}

// marks matches the anchors of mutants; see test/mutants.
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

// Digest returns the digest by which masters identify the script.
func (s *Script) Digest() string { return s.digest.(string) }

// evalsha returns the command that runs s on a master that has s loaded.
func (s *Script) evalsha(keys []any, args ...any) []any {
	return slices.Concat([]any{"evalsha", s.digest, len(keys)}, keys, args)
}

// eval converts evalsha's command to one for a master that never had s, or has forgotten it. That
// command also loads s.
func (s *Script) eval(evalsha []any) []any {
	return slices.Concat([]any{"eval", s.Source}, evalsha[2:])
}
