package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/jobservice/queue/redistest"
)

// A hub that has lost its queue is degraded, not down: it says so and serves.
func TestQueueDown(t *testing.T) {
	s := redistest.Start(t)
	h := startHub(t, "HALLMARK_QUEUE=redis://"+s.Addr)
	srv := httptest.NewServer(h.internal)
	defer srv.Close()
	ready := func() (int, string) {
		r, err := http.Get(srv.URL + "/readyz?verbose")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		return r.StatusCode, string(b)
	}
	if status, text := ready(); status != 200 || !strings.Contains(text, "job queue: ok\n") {
		t.Errorf("%d, %s", status, text)
	}
	s.Kill()
	if status, text := ready(); status != 200 || !strings.Contains(text, "job queue: not ok, and the hub serves without it\n") {
		t.Errorf("%d, %s", status, text)
	}
	for _, p := range h.health(t.Context()) {
		if (p.Name == "job queue") != (p.Status == "degraded") {
			t.Errorf("%+v", p)
		}
	}
}

// A Redis that does not answer keeps a hub from starting, in one sentence without the password, and before the schema is
// changed.
func TestQueueUnreachable(t *testing.T) {
	cfg, err := loadConfig("", []string{"HALLMARK_DATA=" + t.TempDir(),
		"HALLMARK_QUEUE=redis://:s3cret@127.0.0.1:" + redistest.FreePort(t) + "/0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := &opened{cfg: cfg, log: slog.New(slog.DiscardHandler)}
	defer o.close()
	err = o.open(t.Context())
	if err == nil || !strings.Contains(err.Error(), "HALLMARK_QUEUE says where it is") || strings.Contains(err.Error(), "s3cret") {
		t.Fatalf("got %v", err)
	}
	var n int
	if err := o.db.QueryRow(t.Context(), `SELECT count(*) FROM sqlite_master WHERE name = 'job'`).Scan(&n); err != nil || n != 0 {
		t.Errorf("the schema was made: %d, %v", n, err)
	}
}

// Metrics are for operators: on the internal listener, and nowhere else.
func TestMetricsAreInternal(t *testing.T) {
	h := startHub(t)
	ask := func(handler http.Handler) (int, string) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return w.Code, w.Body.String()
	}
	status, text := ask(h.internal)
	for _, name := range []string{`hallmark_jobs_depth{kind="purge"} `, `hallmark_jobs_queue_up 1`, "go_goroutines ", "process_open_fds "} {
		if status != 200 || !strings.Contains(text, name) {
			t.Errorf("%d, no %s in %.300s", status, name, text)
		}
	}
	if status, text := ask(h.public); status != http.StatusNotFound {
		t.Errorf("outside: %d, %.200s", status, text)
	}
}
