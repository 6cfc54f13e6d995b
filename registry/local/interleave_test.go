package local_test

import (
	"context"
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

// stop holds transactions open just before they commit.
type stop struct {
	mu    sync.Mutex
	kinds map[local.EventKind]chan halted
}

// halted is a transaction that stands still.
type halted struct {
	pid     int // of its connection
	release chan struct{}
}

func (s *stop) record(tx *db.Tx, e local.Event) (func(), error) {
	s.mu.Lock()
	c := s.kinds[e.Kind]
	delete(s.kinds, e.Kind)
	s.mu.Unlock()
	if c == nil {
		return nil, nil
	}
	return nil, halt(tx, c)
}

// at makes the next transaction of a kind stand still and hands it out when it does.
func (s *stop) at(k local.EventKind) <-chan halted {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan halted, 1)
	s.kinds[k] = c
	return c
}

func halt(tx *db.Tx, c chan<- halted) error {
	h := halted{release: make(chan struct{})}
	if err := tx.QueryRow(`SELECT pg_backend_pid()`).Scan(&h.pid); err != nil {
		return err
	}
	c <- h
	<-h.release
	return nil
}

// race is a hub on Postgres with a place to stop.
type race struct {
	*hub
	stop *stop
}

func newRace(t *testing.T) *race {
	s := &stop{kinds: map[local.EventKind]chan halted{}}
	return &race{newHub(t, dbtest.Postgres(t)(t), memory.New(memory.Options{}), local.Options{Record: s.record}), s}
}

// session runs statements in a transaction of its own, as another process would, and holds it open.
func (r *race) session(f func(tx *db.Tx) error) (halted, <-chan error) {
	r.Helper()
	at := make(chan halted, 1)
	done := r.begin(func() error {
		first := true
		return r.db.Write(context.Background(), func(tx *db.Tx) error {
			if err := f(tx); err != nil || !first {
				return err
			}
			first = false
			return halt(tx, at)
		})
	})
	return r.wait(at, done), done
}

func (r *race) begin(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

func (r *race) wait(at <-chan halted, done <-chan error) halted {
	r.Helper()
	select {
	case h := <-at:
		return h
	case err := <-done:
		r.Fatalf("ended before it stood still: %v", err)
		return halted{}
	}
}

// behind runs f, waits until it stands behind first, and lets first go on. It returns what both said.
func (r *race) behind(first halted, firstDone <-chan error, f func() error) (err1, err2 error) {
	r.Helper()
	second := r.begin(f)
	for r.count(`SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))`, first.pid) == 0 {
		select {
		case err := <-second:
			second = r.begin(func() error { return err }) // it did not have to wait
			close(first.release)
			return <-firstDone, <-second
		default:
		}
	}
	close(first.release)
	return <-firstDone, <-second
}

func (r *race) put(p registry.ManifestPut) func() error {
	return func() error { _, err := r.PutManifest(r.ctx, repo, p); return err }
}

// collect is how garbage collection takes links (architecture.md, decision 4).
func collect(tx *db.Tx) error {
	_, err := tx.Exec(`DELETE FROM blob_link WHERE leased_until < $1 AND NOT EXISTS (SELECT 1 FROM manifest_reference f
		JOIN manifest_link l ON l.digest = f.manifest AND l.repository_id = blob_link.repository_id WHERE f.target = blob_link.digest AND f.kind = 'blob')`, tx.Now())
	return err
}

func (r *race) collect() error { return r.db.Write(context.Background(), collect) }

func (r *race) expire() { r.Helper(); r.exec(`UPDATE blob_link SET leased_until = 1`) }

func TestPushAgainstDeletionOfItsLayer(t *testing.T) {
	layer := digest.FromString("layer")
	t.Run("push first", func(t *testing.T) {
		r := newRace(t)
		r.blobs(repo, "config", "layer")
		at := r.stop.at(local.ManifestPushed)
		done := r.begin(r.put(tagged(manifest("config", "layer"), "latest")))
		pushed, deleted := r.behind(r.wait(at, done), done, func() error { return r.DeleteBlob(r.ctx, repo, layer) })
		r.must(pushed)
		r.code(deleted, registry.CodeDenied)
		r.has(repo, "layer")
		r.audit()
	})
	t.Run("deletion first", func(t *testing.T) {
		r := newRace(t)
		r.blobs(repo, "config", "layer")
		at := r.stop.at(local.BlobDeleted)
		done := r.begin(func() error { return r.DeleteBlob(r.ctx, repo, layer) })
		deleted, pushed := r.behind(r.wait(at, done), done, r.put(tagged(manifest("config", "layer"), "latest")))
		r.must(deleted)
		r.code(pushed, registry.CodeManifestBlobUnknown)
		r.audit()
	})
}

// I4: what a push refers to, or looked at, is not collected under its hands.
func TestPushAgainstCollection(t *testing.T) {
	t.Run("push first", func(t *testing.T) {
		r := newRace(t)
		r.blobs(repo, "config", "layer")
		r.expire()
		at := r.stop.at(local.ManifestPushed)
		done := r.begin(r.put(tagged(manifest("config", "layer"), "latest")))
		pushed, collected := r.behind(r.wait(at, done), done, r.collect)
		r.must(pushed)
		r.must(collected)
		r.has(repo, "layer")
		r.auditRows()
	})
	t.Run("collection first", func(t *testing.T) {
		r := newRace(t)
		r.blobs(repo, "config", "layer")
		r.expire()
		s, done := r.session(collect)
		collected, pushed := r.behind(s, done, r.put(tagged(manifest("config", "layer"), "latest")))
		r.must(collected)
		r.code(pushed, registry.CodeManifestBlobUnknown)
	})
	t.Run("HEAD behind the collection", func(t *testing.T) {
		r := newRace(t)
		r.blobs(repo, "layer")
		r.expire()
		s, done := r.session(collect)
		collected, seen := r.behind(s, done, func() error {
			_, err := r.StatBlob(r.ctx, repo, digest.FromString("layer"), true)
			return err
		})
		r.must(collected)
		r.code(seen, registry.CodeBlobUnknown)
		_, err := r.StatBlob(r.ctx, repo, digest.FromString("layer"), false)
		r.code(err, registry.CodeBlobUnknown) // nor is it remembered
	})
	t.Run("HEAD first", func(t *testing.T) {
		r := newRace(t)
		r.blobs(repo, "layer")
		r.expire()
		s, done := r.session(func(tx *db.Tx) error { // what StatBlob runs
			_, err := tx.Exec(`UPDATE blob_link SET leased_until = $1`, tx.Now()+1e9)
			return err
		})
		_, collected := r.behind(s, done, r.collect)
		r.must(collected)
		r.has(repo, "layer")
	})
}

func TestMountAgainstDeletionOfItsSource(t *testing.T) {
	layer := digest.FromString("layer")
	const other = "p2/other"
	anywhere := registry.MountSource{Repository: repo, Allowed: func(context.Context, string) bool { return true }}
	mount := func(r *race) func() error {
		return func() error { _, err := r.MountBlob(r.ctx, other, layer, anywhere); return err }
	}
	t.Run("deletion first", func(t *testing.T) {
		r := newRace(t)
		r.blobs(repo, "layer")
		at := r.stop.at(local.BlobDeleted)
		done := r.begin(func() error { return r.DeleteBlob(r.ctx, repo, layer) })
		deleted, mounted := r.behind(r.wait(at, done), done, mount(r))
		r.must(deleted)
		r.code(mounted, registry.CodeBlobUnknown)
		r.audit()
	})
	t.Run("mount first", func(t *testing.T) {
		r := newRace(t)
		r.blobs(repo, "layer")
		// The mount has the source's row and waits for the account of its project.
		s, done := r.session(func(tx *db.Tx) error {
			_, err := tx.Exec(`INSERT INTO project_blob (project_id, digest, size) VALUES ('p2', $1, 5)`, string(layer))
			return err
		})
		mounted := r.begin(mount(r))
		mounting, deleted := r.behind(halted{r.blockedBy(s.pid), s.release}, mounted, func() error { return r.DeleteBlob(r.ctx, repo, layer) })
		r.must(<-done)
		r.must(mounting)
		r.must(deleted)
		r.has(other, "layer")
		r.audit()
	})
}

func TestSameManifestTwice(t *testing.T) {
	r := newRace(t)
	r.blobs(repo, "config", "layer")
	p := manifest("config", "layer")
	at := r.stop.at(local.ManifestPushed)
	done := r.begin(r.put(tagged(p, "a")))
	first, second := r.behind(r.wait(at, done), done, r.put(tagged(p, "b")))
	r.must(first)
	r.must(second)
	if r.hasTag(repo, "a") != r.hasTag(repo, "b") {
		t.Error("the tags differ")
	}
	r.audit()
}

// Two push the same blob at once: one key is kept and the other given up, whoever of them has to wait.
func TestSameBlobTwice(t *testing.T) {
	d := digest.FromString("layer")
	for name, first := range map[string]error{"kept": nil, "taken back": errBoom} {
		t.Run(name, func(t *testing.T) {
			r := newRace(t)
			id := r.start(repo)
			// As a push to another repository does, which has not committed yet.
			s, done := r.session(func(tx *db.Tx) error {
				_, err := tx.Exec(`INSERT INTO blob (digest, key, size, created_at, leased_until) VALUES ($1, 'theirs', 5, 1, 1)`, string(d))
				return err
			})
			if first != nil { // who holds it loses its connection
				r.exec(`SELECT pg_terminate_backend($1)`, s.pid)
			}
			err1, err2 := r.behind(s, done, func() error {
				_, err := r.FinishUpload(r.ctx, repo, id, 0, &reader{rest: []byte("layer"), chunks: closed()}, d)
				return err
			})
			r.must(err2)
			kept := r.rows(`SELECT key FROM blob`)
			given := r.rows(`SELECT key FROM garbage_key`)
			if first == nil {
				r.must(err1)
				if len(kept) != 1 || kept[0] != "theirs" || len(given) != 1 {
					t.Errorf("kept %q, given up %q", kept, given)
				}
				r.exec(`UPDATE blob SET key = $1`, given[0]) // for the rest to be as after a push
				r.exec(`DELETE FROM garbage_key`)
			} else if err1 == nil || len(kept) != 1 || kept[0] == "theirs" || len(given) != 0 {
				t.Errorf("%v; kept %q, given up %q", err1, kept, given)
			}
			if n := r.count(`SELECT count(*) FROM blob WHERE leased_until > $1`, r.db.Micros()); n != 1 {
				t.Error("the blob has no lease")
			}
			r.audit()
		})
	}
}

// Somebody takes an upload over while its end waits for the row: nothing of that end happens.
func TestEndOfAnUploadTakenOver(t *testing.T) {
	for name, take := range map[string]string{
		"by another writer": `UPDATE upload SET writer = 'another'`,
		"by the sweeper":    `DELETE FROM upload`,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRace(t)
			id := r.start(repo)
			chunks := make(chan string)
			finished := r.begin(func() error {
				_, err := r.FinishUpload(r.ctx, repo, id, 0, &reader{chunks: chunks}, digest.FromString("layer"))
				return err
			})
			chunks <- "layer" // it has the upload now
			s, done := r.session(func(tx *db.Tx) error { _, err := tx.Exec(take); return err })
			taken, ended := r.behind(s, done, func() error { close(chunks); return <-finished })
			r.must(taken)
			r.code(ended, registry.CodeBlobUploadUnknown)
			for _, table := range []string{"blob", "blob_link", "project_blob"} {
				if n := r.count(`SELECT count(*) FROM ` + table); n != 0 {
					t.Errorf("%d rows in %s", n, table)
				}
			}
			r.audit()
		})
	}
}

func TestTagMovedByTwo(t *testing.T) {
	r := newRace(t)
	r.blobs(repo, "config", "one", "two")
	one, two := tagged(manifest("config", "one"), "latest"), tagged(manifest("config", "two"), "latest")
	at := r.stop.at(local.ManifestPushed)
	done := r.begin(r.put(one))
	first, second := r.behind(r.wait(at, done), done, r.put(two))
	r.must(first)
	r.must(second)
	if got := r.hasTag(repo, "latest"); got != two.Digest {
		t.Errorf("the tag points at %s, but the last push was %s", got, two.Digest)
	}
	r.audit()
}

// A manifest is deleted while somebody pushes it once more with another tag.
func TestDeletionAgainstPushOfTheSame(t *testing.T) {
	r := newRace(t)
	p := r.image(repo, "a", "config", "layer")
	at := r.stop.at(local.ManifestPushed)
	done := r.begin(r.put(tagged(p, "b")))
	pushed, deleted := r.behind(r.wait(at, done), done, func() error { return r.DeleteManifest(r.ctx, repo, p.Digest) })
	r.must(pushed)
	r.must(deleted)
	_, err := r.Manifest(r.ctx, repo, registry.Reference{Tag: "b"}, false)
	r.code(err, registry.CodeManifestUnknown)
	r.audit()
}

// A project's account is charged by one push and refunded by a deletion at the same moment (I6).
func TestChargeAgainstRefund(t *testing.T) {
	const second = "p1/second"
	for name, remove := range map[string]func(r *race, p registry.ManifestPut) error{
		"manifest":   func(r *race, p registry.ManifestPut) error { return r.DeleteManifest(r.ctx, repo, p.Digest) },
		"repository": func(r *race, _ registry.ManifestPut) error { return r.deleteRepository(repo)() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRace(t)
			p := r.image(repo, "latest", "config", "layer")
			r.blobs(second, "config", "layer")
			at := r.stop.at(local.ManifestPushed)
			done := r.begin(func() error { _, err := r.PutManifest(r.ctx, second, p); return err })
			pushed, removed := r.behind(r.wait(at, done), done, func() error { return remove(r, p) })
			r.must(pushed)
			r.must(removed)
			r.audit()
		})
	}
}

// The sweeper takes no upload that somebody went on with while it waited.
func TestSweepAgainstUpload(t *testing.T) {
	r := newRace(t)
	id := r.start(repo)
	r.add(repo, id, 0, "data")
	r.exec(`UPDATE upload SET updated_at = 1`)
	s, done := r.session(func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE upload SET updated_at = $1`, tx.Now())
		return err
	})
	resumed, swept := r.behind(s, done, func() error { _, err := r.SweepUploads(r.ctx, 1e9, 1e12); return err })
	r.must(resumed)
	r.must(swept)
	r.must(r.finish(repo, id, "data"))
	r.audit()
}

// Many first pushes make one repository.
func TestFirstPushes(t *testing.T) {
	r := newRace(t)
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			if err := pushBlob(r.ctx, r, repo, fmt.Appendf(nil, "layer %d", i%3)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := r.count(`SELECT count(*) FROM repository`); n != 1 {
		t.Errorf("%d repositories", n)
	}
	r.audit()
}

// Pushes, mounts and deletions of images with the same layers in different order: they wait for each other, and where
// that makes a circle one is run again. Nobody sees it.
func TestOverlappingPushes(t *testing.T) {
	r := newRace(t)
	var layers []string
	for i := range 24 {
		layers = append(layers, fmt.Sprintf("layer %d", i))
	}
	r.blobs(repo, layers...)
	r.expire()
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(w)))
			for i := range 12 {
				mine := append([]string(nil), layers...)
				random.Shuffle(len(mine), func(a, b int) { mine[a], mine[b] = mine[b], mine[a] })
				p := tagged(manifest(mine[:20]...), fmt.Sprintf("t%d", i%3), fmt.Sprintf("w%d", w))
				if err := r.put(p)(); err != nil {
					t.Error(err)
				}
				if i%4 == 3 {
					if err := r.DeleteManifest(r.ctx, repo, p.Digest); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	r.audit()
}
