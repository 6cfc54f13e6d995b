package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/registry"
)

func TestStatusOfCodes(t *testing.T) {
	h := newHub(t, Options{})
	for code, status := range map[registry.Code]int{
		registry.CodeBlobUnknown: 404, registry.CodeBlobUploadInvalid: 400, registry.CodeBlobUploadUnknown: 404,
		registry.CodeDigestInvalid: 400, registry.CodeManifestBlobUnknown: 400, registry.CodeManifestInvalid: 400,
		registry.CodeManifestUnknown: 404, registry.CodeNameInvalid: 400, registry.CodeNameUnknown: 404,
		registry.CodeSizeInvalid: 400, registry.CodeUnauthorized: 401, registry.CodeDenied: 403,
		registry.CodeUnsupported: 405, registry.CodeTooManyRequests: 429, registry.CodeTagInvalid: 400,
		registry.CodeQueryInvalid: 400, registry.CodeRangeInvalid: 416, registry.CodeTooLarge: 413,
		registry.CodeUnavailable: 503, registry.CodeNoSpace: 507, registry.CodeUnknown: 500, "SOMETHING_ELSE": 500,
	} {
		h.mem.fail = registry.NewError(code, "A sentence.")
		h.want(h.get("/v2/p/app/manifests/latest"), status, code)
		head := h.want(h.call("HEAD", "/v2/p/app/manifests/latest", nil), status, code)
		h.header(head, "Etag:", "Docker-Content-Digest:")
		h.mem.fail = fmt.Errorf("wrapped: %w", h.mem.fail)
		h.want(h.get("/v2/p/app/manifests/latest"), status, code)
	}
}

func TestErrorHeaders(t *testing.T) {
	h := newHub(t, Options{
		ServiceName: `a"b`, Realm: func(*http.Request) string { return "https://hub/token" },
	})
	path := "/v2/p/app/manifests/latest"
	fail := func(e registry.Error) answer {
		h.mem.fail = &e
		return h.get(path)
	}
	h.header(fail(registry.Error{Code: registry.CodeTooManyRequests, RetryAfter: 1500 * time.Millisecond}), "Retry-After: 2")
	h.header(fail(registry.Error{Code: registry.CodeTooManyRequests}), "Retry-After: 1")
	h.header(fail(registry.Error{Code: registry.CodeUnavailable, RetryAfter: time.Minute}), "Retry-After: 60")
	h.header(fail(registry.Error{Code: registry.CodeUnavailable}), "Retry-After: 1")
	h.header(fail(registry.Error{Code: registry.CodeDenied}), "Retry-After:", "Www-Authenticate:")
	h.header(fail(registry.Error{Code: registry.CodeUnsupported}), "Allow: HEAD, PUT, DELETE")
	h.header(fail(registry.Error{Code: registry.CodeUnauthorized, Scope: "repository:p/app:pull"}),
		`Www-Authenticate: Bearer realm="https://hub/token",service="a\"b",scope="repository:p/app:pull"`)
	h.header(fail(registry.Error{Code: registry.CodeUnauthorized, Scope: "x", InsufficientScope: true}),
		`Www-Authenticate: Bearer realm="https://hub/token",service="a\"b",scope="x",error="insufficient_scope"`)
	h.header(fail(registry.Error{Code: registry.CodeRangeInvalid, Upload: &registry.Upload{ID: "u", Size: 7}}),
		"Location: /v2/p/app/blobs/uploads/u", "Range: 0-6")

	basic := newHub(t, Options{ServiceName: "hub"})
	basic.mem.fail = registry.NewError(registry.CodeUnauthorized, "Log in.")
	basic.header(basic.get(path), `Www-Authenticate: Basic realm="hub"`)
}

// W-10, W-09: control characters never come back, and internal errors not at all.
func TestErrorBodies(t *testing.T) {
	var log bytes.Buffer
	h := newHub(t, Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	h.mem.fail = &registry.Error{
		Code: registry.CodeDenied, Message: "No \x1b[31m\"red\"\r\n\u009b <here>.", Detail: map[string]string{"policy": "p"},
	}
	a := h.want(h.get("/v2/p/app/manifests/latest"), 403, registry.CodeDenied)
	if !strings.Contains(a.body, `"detail":{"policy":"p"}`) || !strings.Contains(a.body, `No ?[31m\"red\"???`) {
		t.Errorf("%s", a.body)
	}
	h.mem.fail = &registry.Error{Code: registry.CodeDenied, Message: "No.", Detail: func() {}}
	h.want(h.get("/v2/p/app/manifests/latest"), 403, registry.CodeDenied)
	if log.Len() > 0 {
		t.Errorf("errors that the client is told are logged: %s", &log)
	}

	h.mem.fail = errInternal
	a = h.want(h.get("/v2/p/app/manifests/latest"), 500, registry.CodeUnknown)
	if strings.Contains(a.body, "SELECT") || strings.Contains(a.body, "host") {
		t.Errorf("%s", a.body)
	}
	if n := strings.Count(log.String(), "SELECT"); n != 1 || strings.Contains(log.String(), "\x1b") {
		t.Errorf("logged %d times: %s", n, &log)
	}
	_, after, _ := strings.Cut(log.String(), `"request_id":"`)
	if id, _, _ := strings.Cut(after, `"`); id == "" || !strings.Contains(a.body, id) {
		t.Errorf("%q is not in %s", id, a.body)
	}
	h.want(h.call("HEAD", "/v2/p/app/manifests/latest", nil), 500, "")
}

// A client that has gone is nobody's error.
func TestCancelledRequestsAreNotLogged(t *testing.T) {
	var log bytes.Buffer
	mem := newMemory()
	mem.fail = fmt.Errorf("select: %w", context.Canceled)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", "/v2/p/app/manifests/latest", nil)
	w := httptest.NewRecorder()
	New(mem, Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))}).ServeHTTP(w, r)
	if log.Len() > 0 || w.Code != statusClientGone {
		t.Errorf("%d: %s", w.Code, &log)
	}
	mem.fail = errors.New("something else")
	New(mem, Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))}).ServeHTTP(httptest.NewRecorder(), r)
	if log.Len() == 0 {
		t.Error("not logged")
	}
}
