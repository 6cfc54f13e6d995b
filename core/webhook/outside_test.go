package webhook_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/event"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/webhook"
	"github.com/hallmarkhub/hallmark/migrations"
)

// outside is a hub that tells others, and the jobs that it has made for it.
type outside struct {
	*testing.T
	ctx    context.Context
	db     *db.DB
	store  *store.Store
	opt    webhook.Options
	sender *webhook.Sender
	jobs   []webhook.Job
	team   *core.Project
	log    bytes.Buffer
}

func eachOutside(t *testing.T, f func(h *outside)) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) { f(newOutside(t, open)) })
}

func newOutside(t *testing.T, open dbtest.Open) *outside {
	h := &outside{T: t, db: open(t), ctx: core.WithPrincipal(t.Context(), core.System())}
	h.ok(migrations.Up(h.ctx, h.db))
	h.store = store.New(h.db)
	ring, err := seal.New(make([]byte, seal.KeySize))
	h.ok(err)
	h.opt = webhook.Options{Store: h.store, Keyring: ring, Source: "https://hub.test", Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		Log:     slog.New(slog.NewTextHandler(&h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Enqueue: func(_ *db.Tx, j webhook.Job) error { h.jobs = append(h.jobs, j); return nil }}
	h.sender = webhook.New(h.opt)
	h.team, err = h.store.CreateProject(h.ctx, store.NewProject{Name: "team"})
	h.ok(err)
	return h
}

func (h *outside) ok(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// put makes or changes a webhook by HTTP, of the hub if p is nil.
func (h *outside) put(p *core.Project, name, url string, change func(n *store.WebhookPut)) error {
	h.Helper()
	n := store.WebhookPut{Channel: store.ChannelHTTP, URL: &url, Events: []string{"*"}}
	if change != nil {
		change(&n)
	}
	_, _, err := h.sender.Save(h.ctx, p, name, n, store.AnyRevision)
	return err
}

// make is put of a new one.
func (h *outside) make(p *core.Project, name, url string, change func(n *store.WebhookPut)) {
	h.Helper()
	n := store.WebhookPut{Channel: store.ChannelHTTP, URL: &url, Events: []string{"*"}}
	if change != nil {
		change(&n)
	}
	_, _, err := h.sender.Save(h.ctx, p, name, n, 0)
	h.ok(err)
}

func (h *outside) happen(project string, t event.Type, subject string, data any) {
	h.Helper()
	h.ok(h.db.Write(h.ctx, func(tx *db.Tx) error {
		return event.Write(tx, event.Event{Type: t, Project: project, Subject: subject, Data: data})
	}))
}

// pushed is a push to the repository team/app.
func (h *outside) pushed() {
	h.Helper()
	h.happen(h.team.ID, event.ArtifactPushed, "team/app@sha256:1", event.Artifact{Repository: "team/app"})
}

// dispatch finds receivers and returns the jobs made.
func (h *outside) dispatch() []webhook.Job {
	h.Helper()
	_, err := h.sender.Dispatch(h.ctx)
	h.ok(err)
	return h.made()
}

// made are the jobs made since it was last asked.
func (h *outside) made() []webhook.Job {
	out := h.jobs
	h.jobs = nil
	return out
}

func (h *outside) finish(ctx context.Context, f func(tx *db.Tx) error) error {
	if f == nil {
		return nil
	}
	return h.db.Write(ctx, f)
}

func (h *outside) run(jobs ...webhook.Job) {
	h.Helper()
	for _, j := range jobs {
		h.ok(h.sender.Deliver(h.ctx, j, h.finish))
	}
}

func (h *outside) hook(p *core.Project, name string) *store.Webhook {
	h.Helper()
	w, err := h.store.Webhook(h.ctx, p, name)
	h.ok(err)
	return w
}

// told is what stands in the log of a webhook, newest first.
func (h *outside) told(p *core.Project, name string) []*store.Delivery {
	h.Helper()
	all, _, err := h.store.Deliveries(h.ctx, h.hook(p, name), "", 1000)
	h.ok(err)
	return all
}

func (h *outside) exec(sql string, args ...any) {
	h.Helper()
	h.ok(h.db.Write(h.ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(sql, args...)
		return err
	}))
}

// due lets the time come for whatever waits.
func (h *outside) due() { h.Helper(); h.exec(`UPDATE delivery SET due_at = 0 WHERE state = 'waiting'`) }

// receiver is a server that notes what it was sent, and answers with its handler.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	got []http.Header
}

func (h *outside) receiver(answer http.HandlerFunc) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			h.Error(err)
		}
		r.mu.Lock()
		r.got = append(r.got, req.Header.Clone())
		r.mu.Unlock()
		if answer != nil {
			answer(w, req)
		}
	}))
	h.Cleanup(r.Close)
	return r
}

func (r *receiver) headers() []http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got
}

func (r *receiver) port() string { return r.URL[strings.LastIndexByte(r.URL, ':')+1:] }

// secretOf is a secret to sign with.
func secretOf(c byte) *string {
	s := "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{c}, 32))
	return &s
}

func (h *outside) count(sql string, args ...any) (n int64) {
	h.Helper()
	h.ok(h.db.QueryRow(h.ctx, sql, args...).Scan(&n))
	return n
}

func between(t *testing.T, what string, got, least, most time.Duration) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s: %s, and not %s to %s", what, got, least, most)
	}
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		fmt.Fprintf(w, "answer %d", code)
	}
}
