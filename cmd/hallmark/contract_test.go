package main

import (
	"context"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"os"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/registrytest"
	"github.com/hallmarkhub/hallmark/registry/remote"
	"github.com/hallmarkhub/hallmark/tests/s3test"
)

const password = "four words make sense"

// TestContractOverHTTP runs the contract of a registry through everything a request goes through: HTTP, token service,
// rights, the store. The client is registry/remote, which knows nothing of what it talks to.
func TestContractOverHTTP(t *testing.T) {
	t.Run("sqlite and disk", func(t *testing.T) { contractOverHTTP(t, func(testing.TB) []string { return nil }) })
	t.Run("postgres and s3", func(t *testing.T) {
		contractOverHTTP(t, func(t testing.TB) []string {
			return []string{"HALLMARK_DB=" + dbtest.PostgresURL(t), "HALLMARK_BLOBS=" + s3test.Start(t),
				"HALLMARK_MASTER_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}
		})
	})
}

func contractOverHTTP(t *testing.T, environ func(testing.TB) []string) {
	registrytest.Run(t, registrytest.Subject{
		Open: func(t *testing.T) registry.Registry {
			h := startHub(t, environ(t)...)
			srv := httptest.NewServer(h.public)
			t.Cleanup(srv.Close)
			makePeople(t, h)
			return clients(t, srv.URL, "alice", "bob")
		},
		Ctx: func(ctx context.Context, name string) context.Context {
			return core.WithPrincipal(ctx, &core.Principal{Kind: core.KindUser, Name: name})
		},
		// The client cannot ask Allowed about a source that the other side picks.
		Refuses: registrytest.Refusals{AutomaticMount: registry.CodeBlobUnknown},
	})
}

// startHub wires a hub as `hallmark serve` does, without its listeners.
func startHub(t *testing.T, environ ...string) *hub {
	t.Helper()
	cfg, err := loadConfig("", append(environ, "HALLMARK_DATA="+t.TempDir(), "HALLMARK_ADMIN_PASSWORD="+password,
		"HALLMARK_ACCESS_LOG=none", "HALLMARK_BASELINE=off"), nil)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o := &opened{cfg: cfg, log: log, access: log}
	t.Cleanup(o.close)
	if err := o.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	h, err := wire(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var all sync.WaitGroup
		all.Go(func() { h.background(ctx) })
		all.Go(func() { h.work(ctx) })
		all.Wait()
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return h
}

// makePeople makes alice and bob, maintainers of the projects p1 and p2.
func makePeople(t *testing.T, h *hub) {
	t.Helper()
	ctx := core.WithPrincipal(t.Context(), core.System())
	hash, err := h.auth.Passwords().Hash(ctx, password)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "bob"} {
		if _, err := h.store.CreateAccount(ctx, store.NewAccount{Username: name, PasswordHash: hash}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"p1", "p2"} {
		p, err := h.store.CreateProject(ctx, store.NewProject{Name: name, Visibility: core.Private, Baseline: core.BaselineOff})
		if err != nil {
			t.Fatal(err)
		}
		for _, member := range []string{"alice", "bob"} {
			if _, _, err := h.store.PutMember(ctx, p, member, core.RoleMaintainer, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// byPrincipal is a client for each principal: tokens are not shared.
type byPrincipal map[string]registry.Registry

func clients(t *testing.T, address string, names ...string) registry.Registry {
	t.Helper()
	base, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	all := byPrincipal{}
	for _, name := range names {
		c, err := remote.New(base, remote.Options{PlainHTTP: true, Credentials: func(context.Context, string) (remote.Credentials, error) {
			return remote.Credentials{Username: name, Password: password}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		all[name] = c
	}
	return all
}

func (b byPrincipal) of(ctx context.Context) registry.Registry {
	return b[core.PrincipalFrom(ctx).Name]
}

func (b byPrincipal) Manifest(ctx context.Context, repo string, ref registry.Reference, keep bool) (*registry.Manifest, error) {
	return b.of(ctx).Manifest(ctx, repo, ref, keep)
}

func (b byPrincipal) Blob(ctx context.Context, repo string, d digest.Digest) (*registry.Blob, error) {
	return b.of(ctx).Blob(ctx, repo, d)
}

func (b byPrincipal) StatBlob(ctx context.Context, repo string, d digest.Digest, keep bool) (int64, error) {
	return b.of(ctx).StatBlob(ctx, repo, d, keep)
}

func (b byPrincipal) MayPush(ctx context.Context, repo string) error {
	return b.of(ctx).MayPush(ctx, repo)
}

func (b byPrincipal) PutManifest(ctx context.Context, repo string, put registry.ManifestPut) (*registry.Manifest, error) {
	return b.of(ctx).PutManifest(ctx, repo, put)
}

func (b byPrincipal) MountBlob(ctx context.Context, repo string, d digest.Digest, from registry.MountSource) (int64, error) {
	return b.of(ctx).MountBlob(ctx, repo, d, from)
}

func (b byPrincipal) StartUpload(ctx context.Context, repo string, alg digest.Algorithm) (registry.Upload, error) {
	return b.of(ctx).StartUpload(ctx, repo, alg)
}

func (b byPrincipal) Upload(ctx context.Context, repo, id string) (registry.Upload, error) {
	return b.of(ctx).Upload(ctx, repo, id)
}

func (b byPrincipal) AppendUpload(ctx context.Context, repo, id string, at int64, r io.Reader) (registry.Upload, error) {
	return b.of(ctx).AppendUpload(ctx, repo, id, at, r)
}

func (b byPrincipal) FinishUpload(ctx context.Context, repo, id string, at int64, r io.Reader, d digest.Digest) (int64, error) {
	return b.of(ctx).FinishUpload(ctx, repo, id, at, r, d)
}

func (b byPrincipal) CancelUpload(ctx context.Context, repo, id string) error {
	return b.of(ctx).CancelUpload(ctx, repo, id)
}

func (b byPrincipal) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	return b.of(ctx).DeleteManifest(ctx, repo, d)
}

func (b byPrincipal) DeleteTag(ctx context.Context, repo, tag string) error {
	return b.of(ctx).DeleteTag(ctx, repo, tag)
}

func (b byPrincipal) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	return b.of(ctx).DeleteBlob(ctx, repo, d)
}

func (b byPrincipal) Repositories(ctx context.Context, q registry.RepositoryQuery) (registry.Page, error) {
	return b.of(ctx).Repositories(ctx, q)
}

func (b byPrincipal) Tags(ctx context.Context, repo, after string, n int) (registry.Page, error) {
	return b.of(ctx).Tags(ctx, repo, after, n)
}

func (b byPrincipal) Referrers(ctx context.Context, repo string, d digest.Digest, q registry.ReferrerQuery) (registry.ReferrerPage, error) {
	return b.of(ctx).Referrers(ctx, repo, d, q)
}
