package local_test

import (
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob/memory"
	"github.com/hallmarkhub/hallmark/registry/local"
)

// What the hub attaches is there, is charged to nobody, replaces what it attached before, and all of it or nothing.
func TestAttach(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		var events []local.EventKind
		h := newHub(t, open(t), memory.New(memory.Options{}), local.Options{Record: func(_ *db.Tx, e local.Event) (func(), error) {
			return func() { events = append(events, e.Kind) }, nil
		}})
		also := func(*db.Tx) error { return nil }
		attach := func(content string, replaces digest.Digest, also func(*db.Tx) error) (digest.Digest, error) {
			p := manifest("{}", content)
			return p.Digest, h.Attach(h.ctx, repo, p, [][]byte{[]byte("{}"), []byte(content)}, replaces, also)
		}
		if _, err := attach("one", "", also); err == nil {
			t.Error("a repository was made for it")
		}
		h.image(repo, "1", "config", "layer")
		h.auditUsage()
		used := h.count(`SELECT COALESCE(SUM(size), 0) FROM project_blob`)
		charged := func(what string) {
			h.Helper()
			if got := h.count(`SELECT COALESCE(SUM(size), 0) FROM project_blob`); got != used {
				t.Errorf("%s: the account says %d bytes, want %d", what, got, used)
			}
		}
		events = nil
		one, err := attach("one", "", also)
		h.must(err)
		charged("attached")
		h.has(repo, "one")

		// What else was to be written was not, so nothing was.
		refused := errors.New("overtaken")
		two, err := attach("two", one, func(*db.Tx) error { return refused })
		if !errors.Is(err, refused) {
			t.Fatal(err)
		}
		_, err = h.Manifest(h.ctx, repo, registry.Reference{Digest: two}, false)
		h.code(err, registry.CodeManifestUnknown)
		_, err = h.Manifest(h.ctx, repo, registry.Reference{Digest: one}, false)
		h.must(err)

		two, err = attach("two", one, also)
		h.must(err)
		_, err = h.Manifest(h.ctx, repo, registry.Reference{Digest: one}, false)
		h.code(err, registry.CodeManifestUnknown)
		_, err = h.StatBlob(h.ctx, repo, digest.FromString("one"), false)
		h.code(err, registry.CodeBlobUnknown)
		h.has(repo, "{}") // somebody may be about to refer to it
		charged("replaced")

		// Whoever pushes the same is charged for it, and is not any more when it goes.
		h.push(repo, tagged(manifest("{}", "two"), "mine"))
		h.must(h.Detach(h.ctx, repo, two, also))
		charged("detached")
		h.must(h.Detach(h.ctx, repo, two, also)) // again
		_, err = h.Manifest(h.ctx, repo, registry.Reference{Tag: "mine"}, false)
		h.code(err, registry.CodeManifestUnknown)
		want := []local.EventKind{local.ManifestAttached, local.ManifestDetached, local.ManifestAttached, local.ManifestPushed, local.ManifestDetached}
		if len(events) != len(want) {
			t.Errorf("told of %v", events)
		}
		for i := range min(len(want), len(events)) {
			if events[i] != want[i] {
				t.Errorf("told of %v, want %v", events, want)
				break
			}
		}
	})
}
