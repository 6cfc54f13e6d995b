package gatekeeper_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
)

// Two who work off the same and a client who signs and takes back: in the end there is one statement of each, and nothing else.
func TestTwoAttach(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		d := open(t)
		h := newHub(t, d)
		keepers := []*gatekeeper.Keeper{h.keeper, h.keeper}
		if d.Engine() == db.Postgres { // where there can be another process
			beside := open(t)
			s := store.New(beside)
			_, keepers[1] = h.process(beside, s, store.NewDirectory(s))
			h.must(beside.Follow(h.Context()))
		}
		s := signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		h.attaches(true)
		var images []image
		for n := range 4 {
			images = append(images, h.image(repo, "", fmt.Sprint(n)))
		}
		done := make(chan struct{})
		var all sync.WaitGroup
		for _, k := range keepers {
			all.Go(func() {
				for {
					if _, err := k.AttachVerdicts(h.Context()); err != nil && !errors.Is(err, db.ErrUnavailable) {
						t.Error(err)
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		for range 3 {
			for _, i := range images {
				signature := h.sign(repo, i.digest, s)
				h.sign(repo, i.digest, s)
				h.must(h.reg.DeleteManifest(h.owner, repo, signature))
			}
		}
		close(done)
		all.Wait()
		h.must(d.Write(h.system, func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE attached_verdict SET due_at = 0 WHERE due_at IS NOT NULL`)
			return err
		}))
		h.work()
		for _, i := range images {
			if n := len(h.one(repo, i.digest).Predicate.InputAttestations); n != 3 {
				t.Errorf("it rests on %d signatures, want 3", n)
			}
		}
		var made int
		h.must(d.QueryRow(h.system, `SELECT COUNT(*) FROM manifest_link WHERE pushed_by = 'system'`).Scan(&made))
		if made != len(images) {
			t.Errorf("%d manifests of the hub's own, want %d", made, len(images))
		}
	})
}
