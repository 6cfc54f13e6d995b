package blob

import (
	"fmt"
	"strings"
)

// Two names, never to be confused: an upload id names an unfinished upload (Create, Resume, Delete), a key names
// committed content (Open, URL, Delete). An id has no slash and a key has at least one, so Delete can take both.
const (
	maxUpload    = 100 // "<128 hex digits of sha512>.<upload>" must fit into a file name of 255 bytes
	maxKey       = 1024
	maxComponent = 255
)

// CheckUpload refuses an upload id that is not 1 to 100 bytes of A-Z, a-z, 0-9, '.', '_' and '-', or that starts with
// a dot. The error wraps ErrBadKey.
func CheckUpload(upload string) error {
	if upload == "" || len(upload) > maxUpload || upload[0] == '.' {
		return fmt.Errorf("%w: upload id %.40q", ErrBadKey, upload)
	}
	for i := range len(upload) {
		if !plain(upload[i]) {
			return fmt.Errorf("%w: upload id %.40q", ErrBadKey, upload)
		}
	}
	return nil
}

// CheckKey refuses a key that is not a clean relative slash path of at least two components, each of which would
// pass as a file name everywhere: no "..", no empty component, no control characters, no backslash, no colon. The
// error wraps ErrBadKey. What passes may be joined to a directory without leaving it, links aside.
func CheckKey(key string) error {
	if len(key) == 0 || len(key) > maxKey {
		return badKey(key)
	}
	start, slashes := 0, 0
	for i := 0; i <= len(key); i++ {
		if i < len(key) && key[i] != '/' {
			if !plain(key[i]) {
				return badKey(key)
			}
			continue
		}
		part := key[start:i]
		if part == "" || len(part) > maxComponent || part == "." || part == ".." {
			return badKey(key)
		}
		if i < len(key) {
			slashes++
		}
		start = i + 1
	}
	if slashes == 0 {
		return badKey(key)
	}
	return nil
}

// IsUpload says whether a name given to Delete, or reported by List, is an upload id and not a key.
func IsUpload(name string) bool { return !strings.Contains(name, "/") }

func badKey(key string) error { return fmt.Errorf("%w: %.80q", ErrBadKey, key) }

// plain says whether c may stand in a name. It is what distribution's storage drivers accept.
func plain(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return c == '.' || c == '_' || c == '-'
}
