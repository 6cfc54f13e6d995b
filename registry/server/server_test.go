package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

// hub is a server under test, with real connections.
type hub struct {
	*testing.T
	mem *memory
	srv *httptest.Server
}

func newHub(t *testing.T, opt Options) *hub {
	t.Helper()
	mem := newMemory()
	srv := httptest.NewServer(New(mem, opt))
	srv.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(srv.Close)
	return &hub{t, mem, srv}
}

// answer is a response whose body has been read.
type answer struct {
	*http.Response
	body string
}

// call sends a request; headers are "Name: value". Responses of any kind are checked for what all have in common.
func (h *hub) call(method, path string, body io.Reader, headers ...string) answer {
	h.Helper()
	req, err := http.NewRequest(method, h.srv.URL+path, body)
	if err != nil {
		h.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	res, err := h.srv.Client().Do(req)
	if err != nil {
		h.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		h.Fatal(err)
	}
	if res.Header.Get("X-Content-Type-Options") != "nosniff" {
		h.Errorf("%s %s: no nosniff", method, path)
	}
	if method == http.MethodHead && len(data) > 0 {
		h.Errorf("HEAD %s has a body", path)
	}
	return answer{res, string(data)}
}

func (h *hub) get(path string, headers ...string) answer {
	h.Helper()
	return h.call(http.MethodGet, path, nil, headers...)
}

// want checks the status, and the code of an error.
func (h *hub) want(a answer, status int, code registry.Code) answer {
	h.Helper()
	at := a.Request.Method + " " + a.Request.URL.String()
	if a.StatusCode != status {
		h.Fatalf("%s: %d, want %d: %s", at, a.StatusCode, status, a.body)
	}
	if code == "" || a.Request.Method == http.MethodHead {
		return a
	}
	var e struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || len(e.Errors) != 1 || e.Errors[0].Message == "" {
		h.Fatalf("%s: %v: %s", at, err, a.body)
	}
	if e.Errors[0].Code != string(code) || a.Header.Get("Content-Type") != "application/json" {
		h.Fatalf("%s: %v, %s, want %s", at, e, a.Header.Get("Content-Type"), code)
	}
	return a
}

// header checks headers given as "Name: value"; without value the header must be missing.
func (h *hub) header(a answer, lines ...string) answer {
	h.Helper()
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		if got := a.Header.Get(name); got != strings.TrimSpace(value) {
			h.Errorf("%s %s: %s is %q, want %q", a.Request.Method, a.Request.URL, name, got, strings.TrimSpace(value))
		}
	}
	return a
}

func (h *hub) pushBlob(repo string, data []byte) digest.Digest {
	h.Helper()
	d := digest.FromBytes(data)
	h.want(h.call("POST", "/v2/"+repo+"/blobs/uploads/?digest="+string(d), bytes.NewReader(data)), 201, "")
	return d
}

// imageOf is the payload of an image without layers; more goes before its end.
func imageOf(more string) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[]%s}`,
		ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, digest.FromString("{}"), more)
}

func (h *hub) pushImage(repo, ref, more string) digest.Digest {
	h.Helper()
	h.pushBlob(repo, []byte("{}"))
	payload := imageOf(more)
	h.want(h.putManifest(repo, ref, payload), 201, "")
	return digest.FromBytes(payload)
}

func (h *hub) putManifest(repo, ref string, payload []byte, headers ...string) answer {
	h.Helper()
	headers = append(headers, "Content-Type: "+ocispec.MediaTypeImageManifest)
	return h.call("PUT", "/v2/"+repo+"/manifests/"+ref, bytes.NewReader(payload), headers...)
}

func TestPing(t *testing.T) {
	h := newHub(t, Options{})
	for _, path := range []string{"/v2/", "/v2"} {
		a := h.want(h.get(path), 200, "")
		h.header(a, "Docker-Distribution-Api-Version: registry/2.0", "Content-Type: application/json", "Content-Length: 2")
		if a.body != "{}" {
			t.Errorf("%q", a.body)
		}
		h.header(h.want(h.call("HEAD", path, nil), 200, ""), "Content-Length: 2")
	}
	h.header(h.want(h.call("POST", "/v2/", nil), 405, registry.CodeUnsupported), "Allow: GET, HEAD")
}

func TestPingAsksForLogin(t *testing.T) {
	type principal struct{}
	h := newHub(t, Options{
		ServiceName: "hub.example",
		Realm:       func(*http.Request) string { return "https://hub.example/service/token" },
		Authenticate: func(_ http.ResponseWriter, r *http.Request) (context.Context, error) {
			switch r.Header.Get("Authorization") {
			case "":
				return r.Context(), nil
			case "Bearer good":
				return context.WithValue(r.Context(), principal{}, "me"), nil
			}
			return nil, registry.NewError(registry.CodeUnauthorized, "The token is not valid. Log in again.")
		},
		Ping: func(ctx context.Context) error {
			if ctx.Value(principal{}) == nil {
				return registry.NewError(registry.CodeUnauthorized, "Log in.")
			}
			return nil
		},
	})
	const bearer = `Www-Authenticate: Bearer realm="https://hub.example/service/token",service="hub.example"`
	h.header(h.want(h.get("/v2/"), 401, registry.CodeUnauthorized), bearer, "Docker-Distribution-Api-Version: registry/2.0")
	h.header(h.want(h.call("HEAD", "/v2/", nil), 401, ""), bearer)
	h.want(h.get("/v2/", "Authorization: Bearer good"), 200, "")
	// A token that is no good any more: the challenge says what for another is needed, on any path that exists.
	bad := "Authorization: Bearer bad"
	h.header(h.want(h.get("/v2/p/app/manifests/x", bad), 401, registry.CodeUnauthorized), bearer+`,scope="repository:p/app:pull"`)
	h.header(h.want(h.get("/v2/p/app/manifests/%2e", bad), 401, registry.CodeUnauthorized), bearer)
}

// W-10, V-17: what is not canonical is not found, and nothing of it comes back.
func TestV17Normalisation(t *testing.T) {
	h := newHub(t, Options{})
	h.pushImage("p/app", "latest", "")
	for _, target := range []string{
		"/v2/p/app/manifests/latest/", "/v2/p/app//manifests/latest", "/v2//p/app/manifests/latest", "//v2/p/app/manifests/latest",
		"/v2/p/./app/manifests/latest", "/v2/p/x/../app/manifests/latest", "/v2/p%2fapp/manifests/latest",
		"/v2/p/app/manifests/l%61test", "/v2/%2e%2e/v2/p/app/manifests/latest", "/v2/p/app/manifests/latest;x", "/V2/p/app/manifests/latest",
		"/v2/p/app/tags/list/", "/v2/_catalog/", "/v2//_catalog", "/v2/_catalog%2f", "/v2/_catalog/.", "/v2/p/app/tags/%6cist",
		"/v2/p/app/manifests/%0d%0aSet-Cookie:%20a=b", "/v2/p/app/manifests/%1b%5b31m", "http://evil.example/v2/_catalog", "/v2/p\\app/tags/list",
	} {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "POST", "OPTIONS"} {
			res := h.raw(method + " " + target + " HTTP/1.1\r\nHost: x\r\nX-HTTP-Method-Override: GET\r\nConnection: close\r\n\r\n")
			if !strings.HasPrefix(res, "HTTP/1.1 404 ") || method != "HEAD" && !strings.Contains(res, "NAME_UNKNOWN") {
				t.Errorf("%s %s: %s", method, target, res)
			}
			if strings.ContainsAny(res, "\x1b") || strings.Contains(res, "Set-Cookie") || strings.Contains(res, "evil") {
				t.Errorf("%s %s comes back: %q", method, target, res)
			}
		}
	}
	h.want(h.get("/v2/p/App/manifests/latest"), 400, registry.CodeNameInvalid)
	h.want(h.get("/v2/p/app/manifests/.x"), 400, registry.CodeTagInvalid)
}

// Address and number of headers, at the limit and one above, before anything else is looked at.
func TestRequestBounds(t *testing.T) {
	h := newHub(t, Options{Limits: Limits{URL: 100, Headers: 10}})
	ask := func(method string, size, headers int) string {
		target := "/v2/_catalog?ns="
		return h.raw(method + " " + target + strings.Repeat("x", size-len(target)) + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" +
			strings.Repeat("X-Many: y\r\n", headers-1) + "\r\n")
	}
	for _, c := range []struct {
		size, headers int
		status, code  string
	}{
		{100, 10, "200 ", ""}, {101, 10, "414 ", "TOO_LARGE"}, {100, 11, "431 ", "TOO_LARGE"},
	} {
		if got := ask("GET", c.size, c.headers); !strings.HasPrefix(got, "HTTP/1.1 "+c.status) || !strings.Contains(got, c.code) {
			t.Errorf("%d bytes, %d headers: %s", c.size, c.headers, got)
		}
		if got := ask("HEAD", c.size, c.headers); !strings.HasPrefix(got, "HTTP/1.1 "+c.status) {
			t.Errorf("HEAD, %d bytes, %d headers: %s", c.size, c.headers, got)
		}
	}
}

// raw writes a request to the connection as it is.
func (h *hub) raw(request string) string {
	h.Helper()
	conn, err := net.Dial("tcp", h.srv.Listener.Addr().String())
	if err != nil {
		h.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		h.Fatal(err)
	}
	data, err := io.ReadAll(bufio.NewReader(conn))
	if err != nil {
		h.Fatal(err)
	}
	return string(data)
}

func TestOnResponse(t *testing.T) {
	seen := make(chan Response, 1)
	h := newHub(t, Options{OnResponse: func(r Response) { seen <- r }})
	next := func(a answer, status int, bytes int64) Response {
		t.Helper()
		got := <-seen
		if a.StatusCode != status || got.Status != status || got.Bytes != bytes || got.Duration <= 0 || got.Context == nil {
			t.Errorf("%d: %+v", a.StatusCode, got)
		}
		return got
	}
	next(h.get("/v2/"), 200, 2)
	a := h.get("/v2/p/app/tags/list")
	if got := next(a, 404, int64(len(a.body))); registry.CodeOf(got.Err) != registry.CodeNameUnknown || got.RequestID != "" {
		t.Errorf("%+v", got)
	}
	data := bytes.Repeat([]byte("x"), 1<<20)
	h.mem.repos["p/app"] = &repo{blobs: map[digest.Digest][]byte{digest.FromBytes(data): data}}
	next(h.get("/v2/p/app/blobs/"+string(digest.FromBytes(data))), 200, 1<<20)
	next(h.call("HEAD", "/v2/p/app/blobs/"+string(digest.FromBytes(data)), nil), 200, 0)
	h.mem.fail = errInternal
	a = h.get("/v2/p/app/tags/list")
	if got := next(a, 500, int64(len(a.body))); got.RequestID == "" || !strings.Contains(a.body, got.RequestID) {
		t.Errorf("%+v: %s", got, a.body)
	}
}
