package redisconn

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// parseURL parses the URL of a master. problem says what is wrong with it, in words that continue
// "the URL of master 1", or is "". It never shows a part of the URL, except for the name of a
// setting that go-redis knows. go-redis' own errors repeat the URL, password and all, and some
// mistakes it does not notice.
func parseURL(raw string) (o *redis.Options, query url.Values, problem string) {
	if problem := spelling(raw); problem != "" {
		return nil, nil, problem
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, nil, authorityProblem(raw)
	}
	query = u.Query()
	for _, check := range []func(*url.URL) string{hostProblem, pathProblem, queryProblem} {
		if problem := check(u); problem != "" {
			return nil, nil, problem
		}
	}
	if o, err = redis.ParseURL(raw); err != nil { // each setting alone is right; see queryProblem
		return nil, nil, "has settings in its query that exclude each other"
	}
	return o, query, settingProblem(o, query)
}

const schemes = "it must begin with redis://, rediss:// or unix://"

// spelling returns what can be told without parsing a URL.
func spelling(raw string) string {
	scheme, _, found := strings.Cut(raw, "://")
	switch {
	case raw == "":
		return "is empty"
	case strings.ContainsFunc(raw, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "contains a line break or another control character"
	case strings.TrimSpace(raw) != raw:
		return "begins or ends with a space"
	case !found || scheme == "":
		return "has no scheme; " + schemes
	case !isScheme(scheme, "redis", "rediss", "unix"):
		return "has an unknown scheme; " + schemes
	case strings.Contains(raw, "#"):
		return "contains a #, which must be written as %23"
	case badEscape(raw):
		return "contains a % that does not begin an escape; it must be written as %25"
	}
	return ""
}

// isScheme reports whether a scheme is one of those given.
func isScheme(scheme string, known ...string) bool {
	for _, k := range known {
		if strings.EqualFold(scheme, k) {
			return true
		}
	}
	return false
}

// badEscape reports whether some % is not followed by two hexadecimal digits.
func badEscape(raw string) bool {
	for i := range len(raw) {
		if raw[i] != '%' {
			continue
		}
		if i+3 > len(raw) {
			return true
		}
		if _, err := strconv.ParseUint(raw[i+1:i+3], 16, 8); err != nil {
			return true
		}
	}
	return false
}

const misplacedAt = "has a / or ? before an @; in a user or password they must be written as %2F and %3F"

// authorityProblem returns what is wrong with a URL that does not parse: with the part between ://
// and the path.
func authorityProblem(raw string) string {
	_, rest, _ := strings.Cut(raw, "://")
	authority, behind := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, behind = rest[:i], rest[i:]
	}
	host, user := authority, ""
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, host = authority[:i], authority[i+1:]
	}
	switch {
	case user == "" && strings.Contains(behind, "@"):
		return misplacedAt
	case !isPort(host[strings.LastIndexByte(host, ':')+1:]) && !strings.HasSuffix(host, "]") && strings.Contains(host, ":"):
		return "has a port that is not a number"
	case !parses("redis://" + host):
		return "has a malformed host; an IPv6 address must be in brackets"
	case !parses("redis://" + user + "@"):
		return "has a user or password with a character that must be escaped"
	}
	return "does not parse"
}

// isPort reports whether s is a number, or empty.
func isPort(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

func parses(raw string) bool {
	_, err := url.Parse(raw)
	return err == nil
}

// hostProblem returns what is wrong with the host and port of a URL.
func hostProblem(u *url.URL) string {
	if u.Scheme == "unix" {
		if u.Host != "" { // go-redis ignores it, and uses another path than the one that was meant
			return "has a host; the path of a socket follows a third slash, as in unix:///run/redis.sock"
		}
		return ""
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "has a port out of range"
		}
	}
	return ""
}

// pathProblem returns what is wrong with the path of a URL: the number of a database, or the path
// of a socket.
func pathProblem(u *url.URL) string {
	if u.Scheme == "unix" {
		if strings.TrimSpace(u.Path) == "" {
			return "has no path; it must name a socket, as in unix:///run/redis.sock"
		}
		return ""
	}
	segments := strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' })
	if len(segments) == 0 {
		return ""
	}
	_, err := strconv.Atoi(segments[0])
	switch {
	case strings.Contains(u.Path, "@"):
		return misplacedAt
	case len(segments) > 1:
		return "has more than a database number in its path"
	case err != nil:
		return "has a database that is not a number"
	}
	return ""
}
