package web_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/auth"
	"github.com/hallmarkhub/hallmark/core/web"
)

func proxies(t *testing.T, trusted, public string) *auth.Proxies {
	t.Helper()
	p, err := auth.NewProxies(trusted, public)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestW02Headers(t *testing.T) {
	h := web.Headers(proxies(t, "", ""), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	get := func(r *http.Request) http.Header {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Header()
	}
	got := get(httptest.NewRequest("GET", "/", nil))
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Strict-Transport-Security": "", "Server": ""} {
		if got.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Get(name), want)
		}
	}
	if csp := got.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("Content-Security-Policy: %s", csp)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.TLS = &tls.ConnectionState{}
	if get(r).Get("Strict-Transport-Security") == "" {
		t.Error("no HSTS over TLS")
	}
}

// V-50: what a browser sends from elsewhere is refused where a cookie would act.
func TestV50CrossOrigin(t *testing.T) {
	c, err := web.NewCrossOrigin("https://hub.example.org")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		method, origin, site string
		strict, loose        bool // is it let through
	}{
		{"POST", "", "", false, true}, // no browser
		{"POST", "http://hub.test", "", true, true},
		{"POST", "https://hub.example.org", "", true, true}, // PUBLIC_URL behind a proxy
		{"POST", "", "same-origin", true, true},
		{"POST", "", "none", true, true},
		{"POST", "null", "", false, false},
		{"POST", "http://hub.test.evil.example", "", false, false},
		{"POST", "http://evil.example", "cross-site", false, false},
		{"POST", "http://sub.hub.test", "same-site", false, false},
		{"DELETE", "http://evil.example", "", false, false},
		{"PATCH", "http://evil.example", "", false, false},
		{"PUT", "http://evil.example", "", false, false},
		{"GET", "http://evil.example", "cross-site", true, true}, // changes nothing
		{"HEAD", "", "", true, true},
	} {
		r := httptest.NewRequest(row.method, "http://hub.test/api/v1/projects", nil)
		if row.origin != "" {
			r.Header.Set("Origin", row.origin)
		}
		if row.site != "" {
			r.Header.Set("Sec-Fetch-Site", row.site)
		}
		for strict, want := range map[bool]bool{true: row.strict, false: row.loose} {
			err := c.Check(r, strict)
			if (err == nil) != want || err != nil && core.CodeOf(err) != core.CodeForbidden {
				t.Errorf("%+v strict=%v: %v", row, strict, err)
			}
		}
	}
	if _, err := web.NewCrossOrigin("not an origin"); err == nil {
		t.Error("an origin that is none was taken")
	}
}

// W-10: nothing a client sends makes a second line or an escape sequence in the log, and its request id is not taken over.
func TestW10LogInjection(t *testing.T) {
	var log bytes.Buffer
	var inside core.Origin
	h := web.Origin(proxies(t, "", ""), web.AccessLog(slog.New(slog.NewJSONHandler(&log, nil)), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inside = core.OriginFrom(r.Context())
		web.NotePrincipal(w, &core.Principal{Name: "alice"})
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "hello")
	})))
	r := httptest.NewRequest("GET", "/x%0d%0a%1b[31m?token=hmp_secret", nil)
	r.Header.Set("X-Request-Id", "forged\r\nx: y")
	r.Header.Set("User-Agent", "a\x1b[31m\nb"+strings.Repeat("y", 5000))
	r.Header.Set("Authorization", "Bearer hmp_secret")
	r.Header.Set("X-Forwarded-For", "203.0.113.9")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	line := log.String()
	if strings.Count(line, "\n") != 1 || strings.Contains(line, "\x1b") || strings.Contains(line, "forged") || strings.Contains(line, "hmp_secret") || len(line) > 1500 {
		t.Errorf("log: %q", line)
	}
	for _, want := range []string{`"status":418`, `"bytes":5`, `"who":"alice"`, `"ip":"192.0.2.1"`, `"request_id":"` + inside.RequestID + `"`} {
		if !strings.Contains(line, want) {
			t.Errorf("%s is not in %s", want, line)
		}
	}
	if id := w.Header().Get("X-Request-Id"); id != inside.RequestID || len(id) != 24 {
		t.Errorf("request id %q, inside %q", id, inside.RequestID)
	}
}

// The recorder of the access log must hide neither flushing nor deadlines.
func TestAccessLogKeepsController(t *testing.T) {
	s := httptest.NewServer(web.AccessLog(slog.New(slog.DiscardHandler), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		if _, ok := w.(io.ReaderFrom); !ok {
			t.Error("no ReadFrom")
		}
	})))
	defer s.Close()
	res, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

func TestBounds(t *testing.T) {
	h := web.Bounds(web.Errors{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	status := func(path string, headers int) int {
		r := httptest.NewRequest("GET", path, nil)
		for range headers {
			r.Header.Add("X-Many", "x")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for _, c := range []struct{ url, headers, want int }{{8192, 0, 200}, {8193, 0, 413}, {10, 100, 200}, {10, 101, 413}} {
		for _, path := range []string{"/" + strings.Repeat("x", c.url-1), "/?" + strings.Repeat("x", c.url-2)} {
			if got := status(path, c.headers); got != c.want {
				t.Errorf("%d bytes, %d headers: %d", c.url, c.headers, got)
			}
		}
	}
}

// A client that asks again and again and takes nothing is cut off, also while all that is left of an answer is in the
// buffers of the server: by either bound.
func TestSlowReaders(t *testing.T) {
	small := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 1000)) })
	large := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 64<<20)) })
	for name, h := range map[string]http.Handler{
		"WriteWithin, small": web.WriteWithin(50*time.Millisecond, small), "WriteWithin, large": web.WriteWithin(50*time.Millisecond, large),
		"Timeout, small": web.Timeout(50*time.Millisecond, small), "Timeout, large": web.Timeout(50*time.Millisecond, large),
	} {
		closed := make(chan struct{})
		s := httptest.NewUnstartedServer(h)
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				close(closed)
			}
		}
		s.Start()
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		go func() { // until the server cuts the line
			for err := error(nil); err == nil; {
				_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: hub\r\n\r\n")
			}
		}()
		select {
		case <-closed:
		case <-time.After(20 * time.Second):
			t.Errorf("%s: the connection is still there", name)
		}
		c.Close()
		s.Close()
	}
}
