package wire

import (
	"strconv"
	"strings"
	"time"
)

// Grant is a message in which a master tells a waiter that it has handed the lock on to it.
type Grant struct {
	Token    string
	Question int64         // the latest question of the waiter that had reached the master
	Age      time.Duration // how long before the grant that question reached the master
	Fence    int64         // the fence that the master stored with the grant; 0 if it stored none
}

// ParseGrant parses a message's payload; see handOn in queue.lua.
func ParseGrant(payload string) (g Grant, ok bool) {
	parts := strings.Split(payload, " ")
	if len(parts) != 4 {
		return Grant{}, false
	}
	question, err1 := strconv.ParseInt(parts[1], 10, 64)
	age, err2 := strconv.ParseInt(parts[2], 10, 64)
	fence, ok := parseFence(parts[3])
	if err1 != nil || err2 != nil || !ok || question < 0 || age < 0 || age > maxAge.Microseconds() {
		return Grant{}, false
	}
	return Grant{Token: parts[0], Question: question, Age: time.Duration(age) * time.Microsecond, Fence: fence}, true
}

// maxAge is the highest age of a question that is believed. A place in a queue that is not renewed
// lasts for seconds only.
const maxAge = time.Hour
