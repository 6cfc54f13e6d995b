package gatekeeper_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/ledger"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
	"github.com/hallmarkhub/hallmark/core/upstream"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/server"
)

// front is a hub whose project front stands in front of another one's storage, spoken to over HTTP. there is that
// storage, without a gate: what is pushed to team/app there is front/team/app here.
type front struct {
	*hub
	there *hub
	// answer, if set, stands between the two.
	answer  atomic.Pointer[func(w http.ResponseWriter, r *http.Request, next http.Handler)]
	address string
}

func eachFront(t *testing.T, f func(h *front)) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) { f(newFront(t, open(t))) })
}

func newFront(t *testing.T, d *db.DB) *front {
	f := &front{there: newHub(t, dbtest.SQLite(t)(t))}
	f.there.reg = f.there.own
	admin := func(_ http.ResponseWriter, r *http.Request) (context.Context, error) {
		return core.WithPrincipal(r.Context(), core.System()), nil
	}
	plain := server.New(access.Wrap(f.there.reg, store.NewDirectory(f.there.store)), server.Options{Authenticate: admin})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer := f.answer.Load(); answer != nil {
			(*answer)(w, r, plain)
			return
		}
		plain.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	f.address = s.URL
	f.hub = newHubOn(t, d, func(h *hub, dir *store.Directory, own registry.Registry) registry.Registry {
		ring, err := seal.New(make([]byte, seal.KeySize))
		h.must(err)
		endpoints := upstream.NewEndpoints(h.store, ring)
		_, _, err = endpoints.Save(h.system, "old", store.RegistryPut{URL: f.address, PlainHTTP: true}, store.AnyRevision)
		h.must(err)
		return upstream.New(own, upstream.Options{Store: h.store, Directory: dir, Endpoints: endpoints, Record: ledger.Audit, Log: slog.New(slog.DiscardHandler)})
	})
	p, err := f.store.CreateProject(f.system, store.NewProject{Name: "front", Visibility: core.Public, Registry: "old"})
	f.must(err)
	f.team = p // keys are registered there
	return f
}

// between puts something between hub and registry.
func (f *front) between(answer func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	f.answer.Store(&answer)
}

// here is an image there as it is called here.
func here(i image) image { i.repo = "front/" + i.repo; return i }

// Signed there, behind the hub's back, or through the hub: pulled; revoked: refused at once.
func TestLiveSignedOrRefused(t *testing.T) {
	eachFront(t, func(h *front) {
		i, s := here(h.there.image(repo, "1", "one")), signertest.New()
		if got := h.code(h.guest, i.repo, "1", i.digest); got != registry.CodeDenied {
			t.Errorf("unsigned: %q", got)
		}
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		h.readable(h.guest, i, "1", false)
		h.there.sign(repo, i.digest, s)
		h.readable(h.guest, i, "1", true)
		h.readable(h.guest, i, "1", true) // from memory
		now := time.Now()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM, RevokedAt: &now}, 1)
		h.readable(h.guest, i, "1", false)
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 2)
		h.readable(h.guest, i, "1", true)

		through := here(h.there.image(repo, "2", "two"))
		h.readable(h.guest, through, "2", false)
		push := core.WithPrincipal(h.Context(), core.System())
		h.owner = push
		signature := h.sign(through.repo, through.digest, s)
		h.readable(h.guest, through, "2", true)
		h.must(h.reg.DeleteManifest(push, through.repo, signature)) // through the hub: at once
		h.readable(h.guest, through, "2", false)
		x, err := h.keeper.Explain(h.guest, through.repo, registry.Reference{Tag: "2"})
		if err != nil || x.Allowed {
			t.Errorf("%+v %v", x, err)
		}
	})
}

// A signature that lies in another repository of the registry says nothing in this one.
func TestLiveSignatureElsewhere(t *testing.T) {
	h := newFront(t, dbtest.SQLite(t)(t))
	i, s := h.there.image(repo, "1", "one"), signertest.New()
	h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
	h.there.image("team/other", "1", "one")
	h.there.sign("team/other", i.digest, s)
	h.readable(h.guest, here(i), "1", false)
}

// Of what lists or uses a digest a registry cannot be asked: what was not read through the hub refers to nothing.
func TestLiveUnseen(t *testing.T) {
	eachFront(t, func(h *front) {
		s := signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		i, other := h.there.image(repo, "", "one"), h.there.image(repo, "", "two")
		index := h.there.index(repo, "1", i.digest)
		h.there.sign(repo, index, s)
		got, want := here(i), "pull that first, by its tag"
		_, err := h.reg.Blob(h.guest, got.repo, i.layer)
		if registry.CodeOf(err) != registry.CodeDenied || !strings.Contains(err.Error(), "pull the image") {
			t.Errorf("a blob unseen: %v", err)
		}
		_, err = h.reg.Manifest(h.guest, got.repo, registry.Reference{Digest: i.digest}, false)
		if registry.CodeOf(err) != registry.CodeDenied || !strings.Contains(err.Error(), want) {
			t.Errorf("a child unseen: %v", err)
		}
		if _, err = h.reg.Manifest(h.guest, got.repo, registry.Reference{Tag: "1"}, false); err != nil {
			t.Fatal(err)
		}
		h.readable(h.guest, got, "", true)
		h.readable(h.guest, here(other), "", false) // that one is signed vouches for no other
		// The index gone, it covers nothing any more: not at once behind the hub's back, and at once through it.
		h.must(h.reg.DeleteManifest(core.WithPrincipal(h.Context(), core.System()), got.repo, index))
		h.readable(h.guest, got, "", false)
	})
}

// Whatever is wrong with the registry behind, nothing is allowed, and what was allowed is not for longer than it may be.
func TestLiveBroken(t *testing.T) {
	h := newFront(t, dbtest.SQLite(t)(t))
	i, s := here(h.there.image(repo, "1", "one")), signertest.New()
	h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
	h.there.sign(repo, i.digest, s)
	status := func(part string, code int, body string) {
		h.between(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.Contains(r.URL.Path, part) {
				w.WriteHeader(code)
				io.WriteString(w, body)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	for _, c := range []struct {
		part string
		code int
		body string
	}{{"/referrers/", 500, ""}, {"/referrers/", 401, ""}, {"/referrers/", 403, ""}, {"/manifests/", 502, "<html>"}, {".sig", 500, ""}, {"/blobs/", 500, ""}} {
		status(c.part, c.code, c.body)
		if got := h.code(h.guest, i.repo, "1", i.digest); got != registry.CodeUnavailable {
			t.Errorf("%s answers %d: %q", c.part, c.code, got)
		}
	}
	// Garbage is no signature.
	h.between(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, "/referrers/") {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
			fmt.Fprintf(w, `{"manifests":[{"digest":"nonsense"},{"digest":%q}]}`, i.digest)
			return
		}
		next.ServeHTTP(w, r)
	})
	if got := h.code(h.guest, i.repo, "1", i.digest); got != registry.CodeDenied {
		t.Errorf("garbage referrers: %q", got)
	}
	// A manifest whose bytes are others is not served.
	h.between(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasSuffix(r.URL.Path, string(i.digest)) {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
			io.WriteString(w, `{"schemaVersion":2}`)
			return
		}
		next.ServeHTTP(w, r)
	})
	if _, err := h.reg.Manifest(h.guest, i.repo, registry.Reference{Digest: i.digest}, false); registry.CodeOf(err) != registry.CodeUnavailable {
		t.Errorf("other bytes: %v", err)
	}
	h.answer.Store(nil)
	h.readable(h.guest, i, "1", true)
}

// However many refer to a digest, a bounded number of them is read; what says it is a signature comes first.
func TestLiveManyReferrers(t *testing.T) {
	h := newFront(t, dbtest.SQLite(t)(t))
	i, s := here(h.there.image(repo, "1", "one")), signertest.New()
	h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
	signature := h.there.sign(repo, i.digest, s)
	var mu sync.Mutex
	read := map[string]bool{}
	type list struct {
		specs.Versioned
		Manifests []ocispec.Descriptor `json:"manifests"`
	}
	all := list{}
	for n := range 10_000 {
		all.Manifests = append(all.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/x", Size: 1, Digest: digest.FromString(fmt.Sprint(n))})
	}
	all.Manifests[1_500] = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: typeBundle, Digest: signature, Size: 1}
	body, err := json.Marshal(all)
	h.must(err)
	h.between(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		mu.Lock()
		read[r.URL.Path] = true
		mu.Unlock()
		if strings.Contains(r.URL.Path, "/referrers/"+string(i.digest)) {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
			w.Write(body)
			return
		}
		next.ServeHTTP(w, r)
	})
	if got := h.code(h.guest, i.repo, "1", i.digest); got != "" {
		t.Errorf("a signature among 10,000 referrers: %q", got)
	}
	mu.Lock()
	if n := len(read); n > 64+10 {
		t.Errorf("%d requests", n)
	}
	mu.Unlock()
	all.Manifests[1_500].ArtifactType = "application/x" // one that hides is not found, and refused
	all.Manifests[1_500], all.Manifests[9_999] = all.Manifests[9_999], all.Manifests[1_500]
	body, err = json.Marshal(all)
	h.must(err)
	h.must(h.store.DB().Write(h.system, func(tx *db.Tx) error { tx.Changed(store.ChangeEvidence, i.repo); return nil }))
	if got := h.code(h.guest, i.repo, "1", i.digest); got != registry.CodeDenied {
		t.Errorf("a signature beyond what is read: %q", got)
	}
}

// Who may push reads what nobody vouches for, as in the hub's own projects, and pushing writes no evidence down here.
func TestLivePushers(t *testing.T) {
	h := newFront(t, dbtest.SQLite(t)(t))
	i, s := here(h.there.image(repo, "1", "one")), signertest.New()
	push := core.WithPrincipal(h.Context(), core.System())
	if got := h.code(push, i.repo, "1", i.digest); got != "" {
		t.Errorf("who may push: %q", got)
	}
	h.owner = push
	h.sign(i.repo, i.digest, s)
	var n int64
	h.must(h.db.QueryRow(h.Context(), `SELECT (SELECT COUNT(*) FROM evidence) + (SELECT COUNT(*) FROM evidence_owed)`).Scan(&n))
	if n != 0 {
		t.Errorf("%d rows of evidence", n)
	}
	var e *registry.Error
	if _, err := h.reg.Manifest(h.guest, i.repo, registry.Reference{Tag: "1"}, false); !errors.As(err, &e) || e.Code != registry.CodeDenied {
		t.Errorf("a guest: %v", err)
	}
}
