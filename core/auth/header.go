package auth

import (
	"encoding/base64"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/hallmarkhub/hallmark/core"
)

// maxUser is the longest name in a Basic header, in bytes: "robot$", a project, "+" and a name need 135.
const maxUser = 255

// credentials is what a request carries in Authorization.
type credentials struct {
	scheme scheme
	user   string // Basic
	secret string // password or token
}

type scheme int

const (
	schemeNone scheme = iota
	schemeBasic
	schemeBearer
)

// parseAuthorization reads the Authorization header. What is not exactly one well-formed Basic (RFC 7617) or Bearer
// (RFC 6750) is refused rather than taken for anonymous: somebody meant to be somebody.
func parseAuthorization(h http.Header) (credentials, error) {
	values := h["Authorization"]
	switch {
	case len(values) == 0:
		return credentials{}, nil
	case len(values) > 1:
		return credentials{}, malformed("there is more than one Authorization header")
	}
	name, rest, _ := strings.Cut(values[0], " ")
	switch {
	case strings.EqualFold(name, "Bearer"):
		if rest == "" {
			return credentials{}, malformed("the Bearer token is empty")
		}
		return credentials{scheme: schemeBearer, secret: rest}, nil
	case strings.EqualFold(name, "Basic"):
		return parseBasic(rest)
	}
	return credentials{}, malformed("the Authorization header is neither Basic nor Bearer")
}

func parseBasic(s string) (credentials, error) {
	if len(s) > base64.StdEncoding.EncodedLen(maxUser+1+maxPasswordBytes) {
		return credentials{}, malformed("the Basic credentials are longer than any that are valid")
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return credentials{}, malformed("the Basic credentials are not base64")
	}
	user, secret, ok := strings.Cut(string(b), ":")
	if !ok || len(user) > maxUser || !utf8.Valid(b) || strings.IndexByte(string(b), 0) >= 0 {
		return credentials{}, malformed("the Basic credentials are not a user name, a colon and a password")
	}
	return credentials{scheme: schemeBasic, user: user, secret: secret}, nil
}

func malformed(sentence string) *core.Error {
	return core.Errorf(core.CodeUnauthenticated, "%s", sentence)
}
