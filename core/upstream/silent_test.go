package upstream_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/upstream"
	"github.com/hallmarkhub/hallmark/registry"
)

// A registry behind that falls silent, before an answer or in the middle of one, keeps nobody waiting.
func TestSilentBehind(t *testing.T) {
	d := digest.FromString("content")
	hang := func(_ http.ResponseWriter, r *http.Request, ended chan struct{}) {
		select {
		case <-ended: // a server does not notice that a client has gone while it reads nothing
		case <-r.Context().Done():
		}
	}
	half := func(w http.ResponseWriter, r *http.Request, ended chan struct{}) {
		w.Header().Set("Content-Length", "7")
		io.WriteString(w, "con")
		w.(http.Flusher).Flush()
		hang(w, r, ended)
	}
	begin := func(w http.ResponseWriter, r *http.Request, ended chan struct{}) {
		if r.Method == http.MethodPost {
			w.Header().Set("Location", "/v2/app/blobs/uploads/1")
			w.WriteHeader(http.StatusAccepted)
			return
		}
		hang(w, r, ended)
	}
	hub := func(t *testing.T, answer func(http.ResponseWriter, *http.Request, chan struct{})) *hub {
		ended := make(chan struct{})
		h := newHub(t, dbtest.SQLite(t)(t))
		h.registry("old", store.RegistryPut{URL: plays(t, func(w http.ResponseWriter, r *http.Request) { answer(w, r, ended) }), PlainHTTP: true})
		h.project("front", "old")
		t.Cleanup(func() { close(ended) }) // before the server is closed
		opt := h.options()
		opt.Patience, opt.Silence = 300*time.Millisecond, 300*time.Millisecond
		h.router = upstream.New(h.own, opt)
		return h
	}
	slow := func(t *testing.T, err error) {
		t.Helper()
		if registry.CodeOf(err) != registry.CodeUnavailable || !strings.Contains(message(err), "takes too long") {
			t.Error(err)
		}
	}
	ctx := as(t.Context(), "alice")
	t.Run("no answer", func(t *testing.T) {
		h := hub(t, hang)
		slow(t, second(h.router.Manifest(ctx, "front/app", registry.Reference{Tag: "1"}, false)))
		slow(t, second(h.router.Blob(ctx, "front/app", d)))
		slow(t, second(h.router.StatBlob(ctx, "front/app", d, false)))
		slow(t, second(h.router.Tags(ctx, "front/app", "", 10)))
		slow(t, second(h.router.Referrers(ctx, "front/app", d, registry.ReferrerQuery{})))
		slow(t, h.router.DeleteManifest(ctx, "front/app", d))
		slow(t, second(h.router.StartUpload(ctx, "front/app", "")))
	})
	t.Run("half a blob", func(t *testing.T) {
		h := hub(t, half)
		b, err := h.router.Blob(ctx, "front/app", d)
		h.must(err)
		defer b.Content.Close()
		slow(t, second(io.ReadAll(b.Content)))
	})
	t.Run("half an upload", func(t *testing.T) {
		h := hub(t, begin)
		u, err := h.router.StartUpload(ctx, "front/app", "")
		h.must(err)
		slow(t, second(h.router.AppendUpload(ctx, "front/app", u.ID, 0, endless{})))
	})
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }
