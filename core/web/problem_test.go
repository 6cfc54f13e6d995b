package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/web"
)

func answer(t *testing.T, err error) (*http.Response, web.Problem, string) {
	t.Helper()
	var log bytes.Buffer
	e := web.Errors{Log: slog.New(slog.NewJSONHandler(&log, nil)), Challenge: `Bearer realm="x"`}
	r := httptest.NewRequest("GET", "/api/v1/projects/a%2Fb", nil)
	r = r.WithContext(core.WithOrigin(r.Context(), core.Origin{RequestID: "id1"}))
	w := httptest.NewRecorder()
	w.Header().Set("ETag", `"1"`)
	e.Write(w, r, err)
	var p web.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	return w.Result(), p, log.String()
}

func TestProblemOfKnownErrors(t *testing.T) {
	for code, status := range map[core.ErrorCode]int{
		core.CodeInvalid: 400, core.CodeUnauthenticated: 401, core.CodeReauthenticate: 401, core.CodeForbidden: 403, core.CodeNotFound: 404,
		core.CodeNotAllowed: 405, core.CodeConflict: 409, core.CodeStale: 412, core.CodeTooLarge: 413, core.CodeMediaType: 415,
		core.CodeLimit: 422, core.CodeIfMatchRequired: 428, core.CodeTooMany: 429, core.CodeUnavailable: 503,
	} {
		res, p, log := answer(t, fmt.Errorf("wrapped: %w", core.Errorf(code, "do this")))
		if res.StatusCode != status || p.Status != status || p.Code != code || p.Detail != "Do this." || p.RequestID != "id1" ||
			p.Instance != "/api/v1/projects/a%2Fb" || res.Header.Get("Content-Type") != "application/problem+json" || res.Header.Get("ETag") != "" {
			t.Errorf("%s: %d %+v %v", code, res.StatusCode, p, res.Header)
		}
		if (res.Header.Get("WWW-Authenticate") != "") != (status == 401) {
			t.Errorf("%s: WWW-Authenticate %q", code, res.Header.Get("WWW-Authenticate"))
		}
		if log != "" {
			t.Errorf("%s was logged: %s", code, log)
		}
	}
}

// W-09: an internal error shows nothing of itself, and is logged once under the id that the client gets.
func TestW09InternalErrorsAreNotShown(t *testing.T) {
	secret := errors.New("SELECT password FROM account at /srv/hub.go:12")
	for _, err := range []error{secret, &core.Error{Code: core.CodeInternal, Message: secret.Error()}, fmt.Errorf("x: %w", secret)} {
		res, p, log := answer(t, err)
		if res.StatusCode != 500 || p.Code != core.CodeInternal || strings.Contains(p.Detail, "SELECT") || !strings.Contains(p.Detail, "id1") {
			t.Errorf("%d %+v", res.StatusCode, p)
		}
		if strings.Count(log, "SELECT password") != 1 || !strings.Contains(log, `"request_id":"id1"`) {
			t.Errorf("log: %s", log)
		}
	}
}

func TestUnavailable(t *testing.T) {
	for _, err := range []error{fmt.Errorf("x: %w", db.ErrUnavailable), db.ErrFull, core.Errorf(core.CodeUnavailable, "later")} {
		res, _, _ := answer(t, err)
		if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Errorf("%v: %d, Retry-After %q", err, res.StatusCode, res.Header.Get("Retry-After"))
		}
	}
	res, _, _ := answer(t, &core.Error{Code: core.CodeTooMany, Message: "wait", RetryAfter: 1500 * time.Millisecond})
	if res.Header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After %q", res.Header.Get("Retry-After"))
	}
}

func TestRecover(t *testing.T) {
	var log bytes.Buffer
	e := web.Errors{Log: slog.New(slog.NewJSONHandler(&log, nil))}
	h := web.Recover(e, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret thing") }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 500 || strings.Contains(w.Body.String(), "secret thing") || !strings.Contains(log.String(), "secret thing") {
		t.Fatalf("%d %s\n%s", w.Code, w.Body, &log)
	}
}

func TestTimeoutEndsTheContext(t *testing.T) {
	h := web.Timeout(time.Nanosecond, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		web.Errors{}.Write(w, r, fmt.Errorf("query: %w", context.Cause(r.Context())))
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 503 {
		t.Fatalf("status %d", w.Code)
	}
}
