package web

import (
	"net/http"

	"github.com/hallmarkhub/hallmark/core"
)

// Bounds of a request's head (security.md, e). The server bounds the bytes of all headers together.
const (
	maxURL     = 8 << 10
	maxHeaders = 100
)

// Bounds refuses a request whose address is longer, or that has more headers, than anybody needs.
func Bounds(e Errors, next http.Handler) http.Handler {
	next = BoundHeaders(e, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.URL.Path)+len(r.URL.RawQuery) > maxURL || len(r.RequestURI) > maxURL {
			e.Write(w, r, core.Errorf(core.CodeTooLarge, "an address may have at most %d bytes", maxURL))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// BoundHeaders is Bounds for what bounds its address itself.
func BoundHeaders(e Errors, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := 0
		for _, values := range r.Header {
			n += len(values)
		}
		if n > maxHeaders {
			e.Write(w, r, core.Errorf(core.CodeTooLarge, "a request may have at most %d headers", maxHeaders))
			return
		}
		next.ServeHTTP(w, r)
	})
}
