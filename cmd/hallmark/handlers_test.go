package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/web"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/server"
)

// lines is an access log that can be read.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// line is one of an access log.
type line struct {
	Method, Path, IP, Who string
	Status                int
	RequestID             string `json:"request_id"`
}

// of is the last line of a path.
func (l *lines) of(t *testing.T, path string) (last line) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for text := range strings.Lines(l.text.String()) {
		var one line
		if err := json.Unmarshal([]byte(text), &one); err != nil {
			t.Fatal(err)
		}
		if one.Path == path {
			last = one
		}
	}
	return last
}

// startLogged is startHub with an access log.
func startLogged(t *testing.T) (*hub, *lines) {
	t.Helper()
	cfg, err := loadConfig("", []string{"HALLMARK_DATA=" + t.TempDir(), "HALLMARK_ADMIN_PASSWORD=" + password, "HALLMARK_ACCESS_LOG=all"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := &lines{}
	o := &opened{cfg: cfg, log: slog.New(slog.DiscardHandler), access: slog.New(slog.NewJSONHandler(l, nil))}
	t.Cleanup(o.close)
	if err := o.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	h, err := wire(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return h, l
}

// do sends a request as admin, from an address of its own.
func do(t *testing.T, h *hub, method, path, contentType, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = "203.0.113.7:1"
	r.SetBasicAuth("admin", password)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	h.public.ServeHTTP(w, r)
	return w
}

// W-12, I12: the audit row of a push and of a delete under /v2 says from where it came and by which request, and so do
// the access log and the answer.
func TestW12OriginOfPushesAndDeletes(t *testing.T) {
	h, log := startLogged(t)
	const config = "{}"
	blob := digest.FromString(config)
	if w := do(t, h, "POST", "/v2/library/app/blobs/uploads/?digest="+blob.String(), "application/octet-stream", config); w.Code != http.StatusCreated {
		t.Fatalf("blob: %d %s", w.Code, w.Body)
	}
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2},"layers":[]}`, blob)
	ids := map[string]bool{}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"PUT", "/v2/library/app/manifests/v1", manifest, http.StatusCreated},
		{"DELETE", "/v2/library/app/manifests/v1", "", http.StatusAccepted},
		{"DELETE", "/v2/library/app/manifests/" + digest.FromString(manifest).String(), "", http.StatusAccepted},
	} {
		w := do(t, h, c.method, c.path, "application/vnd.oci.image.manifest.v1+json", c.body)
		id := w.Header().Get("X-Request-Id")
		if w.Code != c.status || id == "" || ids[id] {
			t.Fatalf("%s %s: %d %s, request %q", c.method, c.path, w.Code, w.Body, id)
		}
		ids[id] = true
		if got := log.of(t, c.path); got.RequestID != id || got.IP != "203.0.113.7" || got.Who != "admin" {
			t.Errorf("%s %s: log %+v, request %s", c.method, c.path, got, id)
		}
		rows, _, err := h.store.AuditEntries(t.Context(), store.AuditQuery{N: 1})
		if err != nil || len(rows) != 1 || rows[0].RequestID != id || rows[0].IP != "203.0.113.7" || rows[0].ActorName != "admin" {
			t.Errorf("%s %s: audit %+v, %v, request %s", c.method, c.path, rows, err, id)
		}
	}
}

// broken fails in a way that nobody has foreseen.
type broken struct{ registry.Unsupported }

func (broken) Tags(context.Context, string, string, int) (registry.Page, error) {
	return registry.Page{}, errors.New("broken")
}

// What is refused has its id too, and an internal error tells that very id.
func TestRequestIDUnderV2(t *testing.T) {
	h, log := startLogged(t)
	r := httptest.NewRequest("GET", "/v2/", nil)
	w := httptest.NewRecorder()
	h.public.ServeHTTP(w, r)
	if got := log.of(t, "/v2/"); w.Code != http.StatusUnauthorized || got.RequestID == "" || got.RequestID != w.Header().Get("X-Request-Id") {
		t.Errorf("%d: %+v, %v", w.Code, got, w.Header())
	}
	w = httptest.NewRecorder()
	v2 := web.Origin(h.proxies, server.New(broken{}, server.Options{RequestID: requestID}))
	v2.ServeHTTP(w, httptest.NewRequest("GET", "/v2/p/app/tags/list", nil))
	if id := w.Header().Get("X-Request-Id"); w.Code != http.StatusInternalServerError || id == "" || !strings.Contains(w.Body.String(), id) {
		t.Errorf("%d %s, request %q", w.Code, w.Body, id)
	}
}

// A log-in by docker that fails is in the access log, with where it came from.
func TestTokenServiceIsLogged(t *testing.T) {
	h, log := startLogged(t)
	for secret, want := range map[string]line{
		"wrong":  {Status: http.StatusUnauthorized},
		password: {Status: http.StatusOK, Who: "admin"},
	} {
		r := httptest.NewRequest("GET", "/service/token", nil)
		r.RemoteAddr = "203.0.113.7:1"
		r.SetBasicAuth("admin", secret)
		w := httptest.NewRecorder()
		h.public.ServeHTTP(w, r)
		got := log.of(t, "/service/token")
		if w.Code != want.Status || got.Status != want.Status || got.Who != want.Who || got.IP != "203.0.113.7" ||
			got.RequestID == "" || got.RequestID != w.Header().Get("X-Request-Id") {
			t.Errorf("%d: %+v, %v", w.Code, got, w.Header())
		}
	}
	r := httptest.NewRequest("GET", "/service/token", nil)
	for i := range 101 {
		r.Header.Set(fmt.Sprintf("X-%d", i), "x")
	}
	w := httptest.NewRecorder()
	if h.public.ServeHTTP(w, r); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("101 headers: %d", w.Code)
	}
}

// Both access logs have the same word for the local socket.
func TestLocalSocketInTheLog(t *testing.T) {
	h, log := startLogged(t)
	for _, path := range []string{"/v2/", "/api/v1/users/me", "/service/token"} {
		r := httptest.NewRequest("GET", path, nil)
		r.RemoteAddr = "@"
		h.public.ServeHTTP(httptest.NewRecorder(), r.WithContext(core.WithPrincipal(r.Context(), core.Operator())))
		if got := log.of(t, path); got.IP != "local" {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

// An error of the domain keeps its words and when to come again.
func TestRegistryError(t *testing.T) {
	gone := core.Errorf(core.CodeUnavailable, "come again")
	gone.RetryAfter = 2 * time.Second
	for _, c := range []struct {
		err  error
		want registry.Error
	}{
		{fmt.Errorf("reading: %w", gone), registry.Error{Code: registry.CodeUnavailable, Message: "come again", RetryAfter: 2 * time.Second}},
		{core.Errorf(core.CodeUnauthenticated, "who?"), registry.Error{Code: registry.CodeUnauthorized, Message: "who?"}},
		{core.Errorf(core.CodeForbidden, "no"), registry.Error{Code: registry.CodeDenied, Message: "no"}},
	} {
		var e *registry.Error
		if err := registryError(c.err); !errors.As(err, &e) || e.Code != c.want.Code || e.Message != c.want.Message || e.RetryAfter != c.want.RetryAfter {
			t.Errorf("%v: %+v", c.err, err)
		}
	}
}

// pipes is a listener whose connections nothing buffers.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	end   chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), end: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.end:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.end) }); return nil }
func (p *pipes) Addr() net.Addr { return pipeAddr{} }
func (p *pipes) dial() net.Conn { a, b := net.Pipe(); p.conns <- b; return a }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// A client that asks and never reads loses its connection, whatever it asked for; one that reads keeps it, and the
// deadline of one answer is none of the next.
func TestClientThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := startLogged(t)
		l, closed := newPipes(), make(chan struct{}, 1)
		srv := &http.Server{Handler: bounded(h.public), ReadHeaderTimeout: headerTime, IdleTimeout: idleTime,
			ConnState: func(_ net.Conn, s http.ConnState) {
				if s == http.StateClosed {
					closed <- struct{}{}
				}
			}}
		ended := make(chan struct{})
		go func() { defer close(ended); _ = srv.Serve(l) }()
		ask := func(c net.Conn, path string) {
			if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: hub\r\n\r\n", path); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		for _, path := range []string{"/service/token", "/service/token?scope=bad", "/livez", "/", "/api/docs", "/api/v1/openapi.yaml", "/api/v1/users/me", "/nothing", "/v2/"} {
			c := l.dial()
			ask(c, path)
			select {
			case <-closed:
			case <-time.After(3 * time.Minute):
				t.Errorf("%s: the connection is still there after three minutes", path)
				c.Close()
				<-closed
			}
			c.Close()
		}
		c := l.dial()
		answers := bufio.NewReader(c)
		for range 2 {
			for _, path := range []string{"/service/token", "/livez", "/v2/", "/api/v1/users/me"} {
				ask(c, path)
				res, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				if _, err := io.Copy(io.Discard, res.Body); err != nil {
					t.Errorf("%s: %v", path, err)
				}
				<-time.After(answerTime + time.Second)
			}
		}
		// The server asks for this body, long after the deadline of the answer before.
		r := httptest.NewRequest("POST", "/v2/library/app/blobs/uploads/?digest="+digest.FromString("x").String(), nil)
		r.SetBasicAuth("admin", password)
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: hub\r\nAuthorization: %s\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", r.RequestURI, r.Header.Get("Authorization"))
		for _, want := range []int{http.StatusContinue, http.StatusCreated} {
			res, err := http.ReadResponse(answers, r)
			if err != nil || res.StatusCode != want {
				t.Fatalf("upload: %v, %v, want %d", res, err, want)
			}
			if want == http.StatusContinue {
				fmt.Fprint(c, "x")
			}
		}
		c.Close()
		<-closed
		srv.Close()
		<-ended
	})
}
