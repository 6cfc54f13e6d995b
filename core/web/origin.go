package web

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/auth"
)

// Origin gives every request an id of our making and notes where it came from. The id is answered as X-Request-Id.
// Nothing of the client's goes into it, so that nobody can write into the log or pose as another request.
func Origin(p *auth.Proxies, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := newRequestID()
		w.Header()["X-Request-Id"] = []string{id}
		ip := "local"
		if a := p.Client(r); a.IsValid() {
			ip = a.String()
		}
		next.ServeHTTP(w, r.WithContext(core.WithOrigin(r.Context(), core.Origin{IP: ip, RequestID: id})))
	})
}

func newRequestID() string {
	var b [12]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
