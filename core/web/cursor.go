package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/hallmarkhub/hallmark/core"
)

// Cursors signs where the next page of a list begins, so that a client can neither make nor change one. A cursor holds
// for the list, the filters and the principal that it was made for.
type Cursors struct{ key []byte }

// NewCursors makes one with a key of at least 32 bytes, the same on every replica.
func NewCursors(key []byte) Cursors { return Cursors{key: key} }

// cursorMAC is how many bytes of the MAC go into a cursor.
const cursorMAC = 16

// Seal makes a cursor of position parts. scope is what the cursor is bound to.
func (c Cursors) Seal(scope string, position ...string) string {
	body, err := json.Marshal(position)
	if err != nil {
		return "" // strings alone: does not happen
	}
	return base64.RawURLEncoding.EncodeToString(append(c.mac(scope, body), body...))
}

// Open reads a cursor of n parts; "" gives none.
func (c Cursors) Open(scope, cursor string, n int) ([]string, error) {
	if cursor == "" {
		return make([]string, n), nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	var position []string
	if err != nil || len(raw) < cursorMAC || !hmac.Equal(raw[:cursorMAC], c.mac(scope, raw[cursorMAC:])) ||
		json.Unmarshal(raw[cursorMAC:], &position) != nil || len(position) != n {
		return nil, core.Invalid("cursor", "This cursor does not belong to this list. Take it from the Link header of the page before, with the same filters, or leave it out to begin anew.")
	}
	return position, nil
}

func (c Cursors) mac(scope string, body []byte) []byte {
	m := hmac.New(sha256.New, c.key)
	m.Write([]byte(scope))
	m.Write([]byte{0})
	m.Write(body)
	return m.Sum(nil)[:cursorMAC]
}

// CursorScope is what the cursors of a request are bound to: path, filters and principal, but not limit.
func CursorScope(r *http.Request, p *core.Principal) string {
	q := r.URL.Query()
	q.Del("cursor")
	q.Del("limit")
	return p.Actor() + " " + r.URL.EscapedPath() + "?" + q.Encode()
}

// NextLink is the Link header for the page that begins at cursor: a reference relative to the host.
func NextLink(r *http.Request, cursor string) string {
	q := r.URL.Query()
	q.Set("cursor", cursor)
	return "<" + (&url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: q.Encode()}).String() + `>; rel="next"`
}
