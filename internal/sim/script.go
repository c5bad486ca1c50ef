package sim

import "github.com/quorumlock/redlock/internal/wire"

// scripts has the library's scripts by their source.
var scripts = func() map[string]*wire.Script {
	bySource := map[string]*wire.Script{}
	for _, s := range wire.Scripts() {
		bySource[s.Source] = s
	}
	return bySource
}()
