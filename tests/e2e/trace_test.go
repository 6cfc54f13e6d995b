//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// startTrace puts a recording proxy before the hub and returns its address. It is for
// finding out what a client did; by default clients talk to the hub directly, because
// a proxy changes how connections and aborted uploads behave.
func startTrace(t testing.TB, addr, file string) string {
	t.Helper()
	log, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	proxy := &httputil.ReverseProxy{
		// The Host header stays the client's, as the hub builds addresses from it.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: addr})
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(res *http.Response) error {
			var body []byte
			// Not the token service's answer: it is a credential.
			if res.Request.URL.Path != "/service/token" && readable(res.Header.Get("Content-Type")) && res.ContentLength < 64<<10 {
				raw, err := io.ReadAll(res.Body)
				if err != nil {
					return err
				}
				body = raw
				res.Body = io.NopCloser(bytes.NewReader(body))
			}
			req := res.Request
			mu.Lock()
			defer mu.Unlock()
			_, err := fmt.Fprintf(log, "%s %s %s (%s; %s; %d bytes; auth %s; accept %q)\n  -> %s %v\n     %s\n",
				time.Now().Format("15:04:05.000"), req.Method, req.URL.RequestURI(), req.UserAgent(),
				req.Header.Get("Content-Type"), req.ContentLength, scheme(req.Header.Get("Authorization")), req.Header["Accept"],
				res.Status, res.Header, bytes.TrimSpace(body))
			return err
		},
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(func() {
		server.Close()
		_ = log.Close()
	})
	return server.Listener.Addr().String()
}

func readable(contentType string) bool {
	return strings.Contains(contentType, "json") || strings.HasPrefix(contentType, "text/")
}

// scheme keeps passwords and tokens out of the log.
func scheme(authorization string) string {
	name, _, _ := strings.Cut(authorization, " ")
	return name
}
