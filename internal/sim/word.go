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
func word(arg any) string {
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
type identity struct{ name, digest string }

var identities sync.Map // by source

func identify(source string) identity {
	if known, ok := identities.Load(source); ok {
		return known.(identity)
	}
	sum := sha1.Sum([]byte(source))
	id := identity{name: scriptName(source), digest: hex.EncodeToString(sum[:])}
	identities.Store(source, id)
	return id
}
