package local_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob/memory"
	"github.com/hallmarkhub/hallmark/registry/local"
)

// TestUsage lets several clients do anything at once and compares the accounts with the links afterwards (I6), and the
// bytes with the rows.
func TestUsage(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		for seed := range uint64(4) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				h := newHubAgain(t, open(t), seed)
				var all sync.WaitGroup
				for w := range uint64(4) {
					all.Go(func() {
						random := rand.New(rand.NewPCG(seed, w))
						for range 60 {
							// Whoever stood in a circle too long is told to try again.
							if err := h.anything(random); registry.CodeOf(err) == registry.CodeUnknown && !errors.Is(err, db.ErrUnavailable) {
								t.Error(err)
							}
						}
					})
				}
				all.Wait()
				h.audit()
			})
		}
	})
}

// newHubAgain opens the database, which the first seed fills.
func newHubAgain(t *testing.T, d *db.DB, seed uint64) *hub {
	t.Helper()
	store := memory.New(memory.Options{})
	if seed == 0 {
		return newHub(t, d, store, local.Options{})
	}
	h := &hub{TB: t, db: d, store: store, ctx: as(t.Context(), "alice")}
	for _, table := range []string{"tag", "manifest_link", "blob_link", "upload", "project_blob", "manifest_reference", "manifest", "blob", "garbage_key", "repository"} {
		h.exec(`DELETE FROM ` + table)
	}
	l, err := local.New(d, store, local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Follow(context.Background()); err != nil {
		t.Fatal(err)
	}
	h.Registry = l
	return h
}

// anything does one thing of a client, in a small world, so that clients meet.
func (h *hub) anything(random *rand.Rand) error {
	repos := []string{"p1/a", "p1/b", "p2/a"}
	contents := []string{"a", "bb", "ccc"}
	r, c, other := repos[random.IntN(3)], contents[random.IntN(3)], repos[random.IntN(3)]
	image := manifest(c, contents[random.IntN(3)])
	if random.IntN(8) == 0 { // a manifest that is a blob as well
		return pushBlob(h.ctx, h, r, image.Payload)
	}
	switch random.IntN(9) {
	case 0, 1:
		return pushBlob(h.ctx, h, r, []byte(c))
	case 2, 3, 4:
		_, err := h.PutManifest(h.ctx, r, tagged(image, fmt.Sprint(random.IntN(2))))
		return err
	case 5:
		return h.DeleteManifest(h.ctx, r, image.Digest)
	case 6:
		return h.DeleteBlob(h.ctx, r, digest.FromString(c))
	case 7:
		_, err := h.MountBlob(h.ctx, r, digest.FromString(c), registry.MountSource{Repository: other, Allowed: func(context.Context, string) bool { return true }})
		return err
	}
	if random.IntN(4) > 0 {
		return h.DeleteTag(h.ctx, r, "0")
	}
	return h.db.Write(context.Background(), func(tx *db.Tx) error { return h.DeleteRepository(tx, r) })
}
