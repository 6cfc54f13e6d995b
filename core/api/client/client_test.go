package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{"hub.example.org": "https://hub.example.org", "127.0.0.1:8080": "http://127.0.0.1:8080", "localhost": "http://localhost",
		"[::1]:80": "http://[::1]:80", "http://hub.example.org/": "http://hub.example.org", "hub.example.org:5000": "https://hub.example.org:5000",
		"localhost.evil.example": "https://localhost.evil.example"} {
		if got, err := Address(in); err != nil || got != want {
			t.Errorf("%s: %s %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "ftp://x", "http://x/y", "http://x?y", "http://u:p@x", "http://", "a b"} {
		if got, err := Address(bad); err == nil {
			t.Errorf("%q: %s", bad, got)
		}
	}
	if !Exposed("http://hub.example.org") || Exposed("https://hub.example.org") || Exposed("http://127.0.0.1:1") {
		t.Error("exposed")
	}
}

func TestCall(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.EscapedPath() {
		case "/api/v1/echo/a%2Fb":
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("ETag", `"3"`)
			fmt.Fprintf(w, `{"method": %q, "body": %q, "match": %q, "type": %q, "who": %q}`, r.Method, body, r.Header.Get("If-Match"), r.Header.Get("Content-Type"), r.Header.Get("Authorization"))
		case "/api/v1/list":
			if r.URL.RawQuery == "" {
				w.Header().Set("Link", `</api/v1/list?cursor=x>; rel="next"`)
				io.WriteString(w, `[1, 2]`)
			} else {
				io.WriteString(w, `[3]`)
			}
		case "/api/v1/refused":
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(400)
			io.WriteString(w, `{"code": "invalid", "detail": "No.", "errors": [{"pointer": "/a", "detail": "x"}, {"pointer": "/b", "detail": "y"}]}`)
		case "/api/v1/moved":
			http.Redirect(w, r, "http://evil.example/", http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	})
	srv := httptest.NewServer(h)
	defer srv.Close()
	remote, err := New(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Client{"network": remote, "local": Local(h)} {
		c.Authorize = func(r *http.Request) { r.Header.Set("Authorization", "Bearer t") }
		a, err := c.Call(t.Context(), "PUT", Path("echo", "a/b"), []int{1}, `"2"`)
		if err != nil || a.ETag() != `"3"` || string(a.Body) != `{"method": "PUT", "body": "[1]", "match": "\"2\"", "type": "application/json", "who": "Bearer t"}` {
			t.Errorf("%s: %s %v", name, a.Body, err)
		}
		var got strings.Builder
		each := func(item []byte) error { got.Write(item); return nil }
		for most, want := range map[int]string{0: "123", 2: "12", 3: "123"} {
			got.Reset()
			if err := c.List(t.Context(), "/list", most, func(i json.RawMessage) error { return each(i) }); err != nil || got.String() != want {
				t.Errorf("%s: %d: %s %v", name, most, got.String(), err)
			}
		}
		_, err = c.Call(t.Context(), "GET", "/refused", nil, "")
		if Code(err) != "invalid" || err.Error() != "No.\n  /a: x\n  /b: y" {
			t.Errorf("%s: %v", name, err)
		}
		for _, path := range []string{"/moved", "/nothing"} {
			var p *Problem
			if _, err = c.Call(t.Context(), "GET", path, nil, ""); err == nil || errors.As(err, &p) || !strings.Contains(err.Error(), "right address") {
				t.Errorf("%s: %s: %v", name, path, err)
			}
		}
	}
}

func TestNextPageStaysOnTheHub(t *testing.T) {
	for link, want := range map[string]string{`</api/v1/x?cursor=1>; rel="next"`: "/x?cursor=1", "": "", `<https://evil.example/api/v1/x>; rel="next"`: "",
		`<//evil.example/api/v1/x>; rel="next"`: "", `</api/v1/x>; rel="prev"`: ""} {
		if got := nextPage(link); got != want {
			t.Errorf("%s: %q", link, got)
		}
	}
}
