package sim

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strconv"
	"sync"
)

// word is a command's argument as it goes over the wire. (A profile of the
// simulator is why this is not fmt.Sprint: that takes a bigger stack than most of
// the goroutines here have grown.)
func argString(arg any) string {
	switch arg := arg.(type) {
	case string:
		return arg
	case int:
		return strconv.Itoa(arg)
	case int64:
		return strconv.FormatInt(arg, 10)
	}
	return fmt.Sprint(arg)
}

// identity is a script's name, and the digest of its source.
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
