package web

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/auth"
)

// Recover turns a panic into an internal error, logged with where it happened.
func Recover(e Errors, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch v := recover(); v {
			case nil:
			case http.ErrAbortHandler:
				panic(v)
			default:
				e.Write(w, r, fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// Headers sets the security headers of everything outside /v2. Pages replace the policy with PagePolicy.
func Headers(p *auth.Proxies, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if p.Secure(r) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// PagePolicy sets the content security policy of a page and returns the nonce of its style element.
func PagePolicy(w http.ResponseWriter) string {
	var b [16]byte
	rand.Read(b[:])
	nonce := base64.RawURLEncoding.EncodeToString(b[:])
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-"+nonce+"'; img-src 'self' data:; "+
		"connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
	return nonce
}

const overGrace = 5 * time.Second

// Timeout bounds reading, working and writing of one request, as WriteWithin does. Not for streams.
func Timeout(d time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		end := time.Now().Add(d)
		// There is time left to say that it is over.
		_ = rc.SetWriteDeadline(end.Add(min(d, overGrace)))
		// An error means that there is no connection below, as in tests of handlers.
		if rc.SetReadDeadline(end) == nil {
			defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
		}
		ctx, cancel := context.WithDeadline(r.Context(), end)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// WriteWithin gives a client this long to take its answer. The deadline stays when next returns, because net/http sends the
// last of an answer, and all of a small one, after that, and only then takes the deadline off: else a client that asks again
// and again and takes nothing would hold its connection for ever. next may set another one.
func WriteWithin(d time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
		next.ServeHTTP(w, r)
	})
}

// CrossOrigin refuses what a foreign page makes a browser send.
type CrossOrigin struct{ check *http.CrossOriginProtection }

// NewCrossOrigin makes one. publicURL is the origin that browsers see if a proxy changes the Host header; "" if none does.
func NewCrossOrigin(publicURL string) (CrossOrigin, error) {
	c := http.NewCrossOriginProtection()
	if publicURL != "" {
		if err := c.AddTrustedOrigin(publicURL); err != nil {
			return CrossOrigin{}, fmt.Errorf("%q is not an origin such as https://hub.example.org: %w", publicURL, err)
		}
	}
	return CrossOrigin{check: c}, nil
}

// Check is asked before a request that changes something acts with a cookie, and before one that sets it. strict also
// refuses a request that says nothing of its origin: only a client that is no browser sends that, and it has no use for a cookie.
func (c CrossOrigin) Check(r *http.Request, strict bool) error {
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	silent := r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == ""
	if err := c.check.Check(r); err != nil || strict && !safe && silent {
		return core.Errorf(core.CodeForbidden, "A request with the session cookie must come from the hub's own pages. Use a personal token in scripts.")
	}
	return nil
}
