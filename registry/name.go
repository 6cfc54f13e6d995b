package registry

import (
	"strings"

	"github.com/opencontainers/go-digest"
)

const (
	// MaxNameLength is the length in bytes of the longest repository name. The specification ("Pulling manifests")
	// warns of clients that allow 255 for registry host and name together.
	MaxNameLength = 255
	// MaxTagLength is the length in bytes of the longest tag (OCI distribution specification, "Pulling manifests").
	MaxTagLength = 128
)

// ValidName says whether s is a repository name: components of
// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* joined by "/", at most MaxNameLength bytes in total.
func ValidName(s string) bool {
	if len(s) > MaxNameLength {
		return false
	}
	for {
		component, rest, more := strings.Cut(s, "/")
		if !validComponent(component) {
			return false
		}
		if !more {
			return true
		}
		s = rest
	}
}

// validComponent checks one path component: runs of letters and digits with one separator between each two.
func validComponent(s string) bool {
	for i := 0; ; {
		start := i
		for i < len(s) && isLowerAlnum(s[i]) {
			i++
		}
		if i == start {
			return false // begins or ends with a separator, has two of them, a foreign character, or is empty
		}
		if i == len(s) {
			return true
		}
		i += separator(s[i:])
	}
}

// separator returns the length of the separator that s begins with: ".", "_", "__" or any number of "-". It returns 0
// if there is none.
func separator(s string) int {
	switch {
	case s[0] == '.':
		return 1
	case strings.HasPrefix(s, "__"):
		return 2
	case s[0] == '_':
		return 1
	}
	return len(s) - len(strings.TrimLeft(s, "-"))
}

func isLowerAlnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// ValidTag says whether s is a tag: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}.
func ValidTag(s string) bool {
	if s == "" || len(s) > MaxTagLength || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		if !isTagByte(s[i]) {
			return false
		}
	}
	return true
}

func isTagByte(c byte) bool {
	return isLowerAlnum(c) || 'A' <= c && c <= 'Z' || c == '_' || c == '.' || c == '-'
}

// hexLength is the number of hex digits of a digest of that algorithm, 0 for those that this registry does not take.
func hexLength(a digest.Algorithm) int {
	switch a {
	case digest.SHA256:
		return 64
	case digest.SHA512:
		return 128
	}
	return 0
}

// ValidAlgorithm says whether this registry takes digests of that algorithm: sha256 and sha512, the two that the OCI
// image specification registers and that every client knows.
func ValidAlgorithm(a digest.Algorithm) bool { return hexLength(a) > 0 }

// ParseDigest reads a digest: "sha256:" and 64, or "sha512:" and 128 lower-case hex digits. Nothing else is one; the
// error is an *Error with CodeDigestInvalid. It does not allocate when s is valid.
func ParseDigest(s string) (digest.Digest, error) {
	algorithm, encoded, ok := strings.Cut(s, ":")
	want := hexLength(digest.Algorithm(algorithm))
	switch {
	case !ok:
		return "", NewError(CodeDigestInvalid, "A digest has the form sha256:<64 hex digits>.")
	case want == 0:
		return "", NewError(CodeDigestInvalid, "This digest algorithm is not supported. Use sha256 or sha512.")
	case len(encoded) != want || !isLowerHex(encoded):
		return "", NewError(CodeDigestInvalid, "This is not a "+algorithm+" digest: lower-case hex digits of the "+
			"exact length must follow \""+algorithm+":\".")
	}
	return digest.Digest(s), nil
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; ('0' > c || c > '9') && ('a' > c || c > 'f') {
			return false
		}
	}
	return true
}

// fallbackHex is where the referrers tag schema cuts the encoded part of a digest.
const fallbackHex = 64

// FallbackTag is the tag under which clients that do not know the referrers API keep the referrers of d
// (OCI distribution specification, "Referrers Tag Schema"): the algorithm cut to 32 bytes, "-", and the encoded part cut
// to 64. d must be valid by ParseDigest.
func FallbackTag(d digest.Digest) string {
	algorithm, encoded, _ := strings.Cut(string(d), ":")
	return algorithm + "-" + encoded[:min(len(encoded), fallbackHex)]
}

// ParseFallbackTag reads a tag of the referrers tag schema. encoded is the whole encoded part of the subject's digest
// for sha256 and its first 64 digits for sha512, where the tag does not say the rest.
func ParseFallbackTag(tag string) (algorithm digest.Algorithm, encoded string, ok bool) {
	a, encoded, ok := strings.Cut(tag, "-")
	if !ok || !ValidAlgorithm(digest.Algorithm(a)) || len(encoded) != fallbackHex || !isLowerHex(encoded) {
		return "", "", false
	}
	return digest.Algorithm(a), encoded, true
}
