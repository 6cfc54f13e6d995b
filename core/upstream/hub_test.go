package upstream_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/ledger"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/upstream"
	"github.com/hallmarkhub/hallmark/migrations"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob/memory"
	"github.com/hallmarkhub/hallmark/registry/local"
	"github.com/hallmarkhub/hallmark/registry/server"
)

// hub is storage with a Router in front of it.
type hub struct {
	*testing.T
	db        *db.DB
	store     *store.Store
	ring      *seal.Keyring
	endpoints *upstream.Endpoints
	router    *upstream.Router
	own       *local.Registry
	dir       *store.Directory
	admin     context.Context
}

func newHub(t *testing.T, d *db.DB) *hub {
	t.Helper()
	h := &hub{T: t, db: d, store: store.New(d), admin: core.WithPrincipal(context.Background(), core.System())}
	h.must(migrations.Up(h.admin, d))
	var err error
	h.ring, err = seal.New(make([]byte, seal.KeySize))
	h.must(err)
	h.dir = store.NewDirectory(h.store)
	h.own, err = local.New(d, memory.New(memory.Options{}), local.Options{Record: ledger.Record})
	h.must(err)
	h.endpoints = upstream.NewEndpoints(h.store, h.ring)
	h.router = upstream.New(h.own, h.options())
	h.must(d.Follow(context.Background()))
	return h
}

func (h *hub) options() upstream.Options {
	return upstream.Options{Store: h.store, Directory: h.dir, Endpoints: h.endpoints, Record: ledger.Audit, Log: slog.New(slog.DiscardHandler)}
}

func (h *hub) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// registry saves an existing registry.
func (h *hub) registry(name string, n store.RegistryPut) {
	h.Helper()
	_, _, err := h.endpoints.Save(h.admin, name, n, store.AnyRevision)
	h.must(err)
}

// project makes a project in front of a registry, or of the hub's own storage if that is "".
func (h *hub) project(name, registry string) {
	h.Helper()
	_, err := h.store.CreateProject(h.admin, store.NewProject{Name: name, Visibility: core.Public, Registry: registry})
	h.must(err)
}

// behind is another registry with real storage, spoken to over HTTP: its address, and the storage.
func behind(t *testing.T, projects ...string) (string, *hub) {
	t.Helper()
	h := newHub(t, dbtest.SQLite(t)(t))
	for _, p := range projects {
		h.project(p, "")
	}
	s := httptest.NewServer(server.New(access.Wrap(h.own, h.dir), server.Options{Authenticate: func(_ http.ResponseWriter, r *http.Request) (context.Context, error) {
		return core.WithPrincipal(r.Context(), core.System()), nil
	}}))
	t.Cleanup(s.Close)
	return s.URL, h
}

// plays is a registry that a test plays: its address.
func plays(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}

// as is a context in which a user asks.
func as(ctx context.Context, name string) context.Context {
	return core.WithPrincipal(ctx, &core.Principal{Kind: core.KindUser, ID: name, Name: name})
}

// message is the sentence of a refusal.
func message(err error) string {
	var e *registry.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return ""
}

func (h *hub) code(err error, want registry.Code) {
	h.Helper()
	if got := registry.CodeOf(err); got != want {
		h.Errorf("%v, want %q", err, want)
	}
}

const none = digest.Digest("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
