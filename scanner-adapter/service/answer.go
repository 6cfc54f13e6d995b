package service

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
)

// Credential is what callers have to present; the zero one lets everybody in.
type Credential struct {
	Token          string // for Bearer
	User, Password string // for Basic
}

// Set reports whether there is one.
func (c Credential) Set() bool { return c.Token != "" || c.Password != "" }

func (c Credential) admits(r *http.Request) bool {
	if !c.Set() {
		return true
	}
	if c.Password != "" {
		if user, password, ok := r.BasicAuth(); ok {
			// Both, so that the time says nothing about either.
			return same(user, c.User)&same(password, c.Password) == 1
		}
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return c.Token != "" && strings.EqualFold(scheme, "Bearer") && same(token, c.Token) == 1
}

// same compares without telling how far they are the same, or how long they are.
func same(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}

// guarded asks who calls.
func (s *Service) guarded(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.opt.Credential.admits(r) {
			if s.opt.Credential.Password != "" {
				w.Header().Add("WWW-Authenticate", `Basic realm="scanner-adapter"`)
			}
			if s.opt.Credential.Token != "" {
				w.Header().Add("WWW-Authenticate", `Bearer realm="scanner-adapter"`)
			}
			failure(w, http.StatusUnauthorized, "This needs the credential of the adapter (token, or basic).")
			return
		}
		h(w, r)
	})
}

// answer sends a document.
func answer(w http.ResponseWriter, status int, mediaType string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		failure(w, http.StatusInternalServerError, "The answer could not be written.")
		return
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// failure sends an error.
func failure(w http.ResponseWriter, status int, sentence string) {
	answer(w, status, spec.MediaError, spec.Failure{Error: spec.FailureMessage{Message: sentence}})
}
