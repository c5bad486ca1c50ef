package sim

import (
	"crypto/sha1"
	"encoding/hex"
	"regexp"
	"sync"
)

// scriptID is a script's name and the digest of its source.
type scriptID struct{ name, digest string }

var scriptIDs sync.Map // by source

func identifyScript(source string) scriptID {
	if known, ok := scriptIDs.Load(source); ok {
		return known.(scriptID)
	}
	sum := sha1.Sum([]byte(source))
	id := scriptID{name: scriptName(source), digest: hex.EncodeToString(sum[:])}
	scriptIDs.Store(source, id)
	return id
}

// scriptName returns the name at the start of the script's own comment. Comments of shared
// functions do not match.
func scriptName(source string) string {
	return scriptNames.FindStringSubmatch(source)[1]
}

var scriptNames = regexp.MustCompile(`(?m)^-- (\w+): `)
