package wire

import (
	"crypto/sha1" // Redis identifies scripts by it
	"embed"       // the script's parts are separate files, so that they can be read on their own
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// Script is the Lua script that the masters run. It is the only one: each call of it carries out
// many operations.
var Script = strings.Join(scriptParts(), "\n")

// Digest is the digest by which masters identify the script.
var Digest = func() string {
	sum := sha1.Sum([]byte(Script))
	return hex.EncodeToString(sum[:])
}()

//go:embed *.lua
var luaFiles embed.FS

// scriptParts returns the parts of the script in their order.
func scriptParts() []string {
	var parts []string
	for _, name := range []string{
		"head", "fence", "lazy", "common", "guard", "queue", "extend", "wait", "inspect", "tombstone", "break", "bootstrap", "members", "operation",
		"rest", "lone", "ordered", "entries", "admit", "depart", "acquire", "release", "batch",
	} {
		source, err := luaFiles.ReadFile(name + ".lua")
		if err != nil {
			panic(fmt.Sprintf("quorum: %v", err)) // the files are part of the program
		}
		parts = append(parts, codes.Replace(comments.ReplaceAllString(string(source), "")))
	}
	return parts
}

// comments matches comments, which the masters need not read. None of them is inside a string.
var comments = regexp.MustCompile(`(?m)^ *--.*\n| *--.*$`)
