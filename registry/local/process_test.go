package local_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob"
	"github.com/hallmarkhub/hallmark/registry/blob/disk"
	"github.com/hallmarkhub/hallmark/registry/blob/memory"
	"github.com/hallmarkhub/hallmark/registry/local"
)

// two are two processes on one Postgres, and the places they may share.
func two(t *testing.T, f func(t *testing.T, a, b *hub)) {
	for name, stores := range map[string]func(t *testing.T) (a, b blob.Store){
		"disk": func(t *testing.T) (a, b blob.Store) {
			dir := t.TempDir() + "/blobs"
			return mustDisk(t, dir), mustDisk(t, dir)
		},
		"memory": func(*testing.T) (a, b blob.Store) { s := memory.New(memory.Options{}); return s, s.Again() },
		"objects": func(*testing.T) (a, b blob.Store) {
			s := memory.New(memory.Options{Buffered: true})
			return s, s.Again()
		},
		"distribution's filesystem": func(t *testing.T) (a, b blob.Store) {
			address := "distfs://" + t.TempDir()
			return openDriver(t, address), openDriver(t, address)
		},
	} {
		t.Run(name, func(t *testing.T) {
			openDB := dbtest.Postgres(t)
			sa, sb := stores(t)
			a := newHub(t, openDB(t), sa, local.Options{GarbageDelay: -1})
			f(t, a, a.another(openDB(t), sb, local.Options{GarbageDelay: -1}))
		})
	}
}

func mustDisk(t testing.TB, dir string) blob.Store {
	t.Helper()
	s, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// within checks that f stops answering within a second of now (V-24). A request that began later must not see the past.
func (h *hub) within(what string, f func() error) {
	h.Helper()
	began := time.Now()
	for {
		asked := time.Since(began)
		switch err := f(); {
		case err != nil:
			if c := registry.CodeOf(err); c == registry.CodeUnknown {
				h.Fatalf("%s: %v", what, err)
			}
			return
		case asked > time.Second:
			h.Fatalf("%s: still there %s after it was removed", what, asked)
		}
	}
}

func TestCachesOfAnotherProcess(t *testing.T) {
	openDB := dbtest.Postgres(t)
	store := memory.New(memory.Options{})
	a := newHub(t, openDB(t), store, local.Options{})
	b := a.another(openDB(t), store.Again(), local.Options{})
	p := a.image(repo, "latest", "config", "layer")
	a.image("p1/second", "latest", "config", "other layer")
	manifest := func(h *hub, repo string) func() error {
		return func() error {
			_, err := h.Manifest(h.ctx, repo, registry.Reference{Digest: p.Digest}, false)
			return err
		}
	}
	blob := func(h *hub, repo string) func() error {
		return func() error { _, err := h.read(repo, digest.FromString("layer")); return err }
	}
	for _, f := range []func() error{manifest(b, repo), blob(b, repo)} { // b has it in its caches
		b.must(f())
	}
	if b.hasTag(repo, "latest") != p.Digest {
		t.Error("b sees another manifest")
	}
	moved := a.image(repo, "latest", "config", "new layer")
	if b.hasTag(repo, "latest") != moved.Digest {
		t.Error("b does not see at once that the tag moved")
	}
	a.must(a.DeleteManifest(a.ctx, repo, p.Digest))
	b.within("the manifest", manifest(b, repo))
	a.blobs("p1/second", "layer")
	a.must(a.DeleteBlob(a.ctx, repo, digest.FromString("layer")))
	b.within("the blob", blob(b, repo))
	a.code(blob(a, repo)(), registry.CodeBlobUnknown)
	// Reading it where it still is brings it back nowhere else (V-24).
	b.must(blob(b, "p1/second")())
	a.must(blob(a, "p1/second")())
	b.code(blob(b, repo)(), registry.CodeBlobUnknown)
	a.code(blob(a, repo)(), registry.CodeBlobUnknown)

	a.must(a.db.Write(context.Background(), func(tx *db.Tx) error { return a.DeleteRepository(tx, "p1/second") }))
	a.code(blob(a, "p1/second")(), registry.CodeNameUnknown)
	b.within("the repository", blob(b, "p1/second"))
	a.audit()
}

func TestUploadAcrossProcesses(t *testing.T) {
	two(t, func(t *testing.T, a, b *hub) {
		id := a.start(repo)
		a.add(repo, id, 0, "one ")
		b.add(repo, id, 4, "two ")
		if u, err := a.Upload(a.ctx, repo, id); err != nil || u.Size != 8 {
			t.Fatalf("a sees %v, %v", u, err)
		}
		_, err := a.AppendUpload(a.ctx, repo, id, 4, strings.NewReader("x"))
		a.code(err, registry.CodeRangeInvalid)
		a.add(repo, id, 8, "three ")
		_, err = b.FinishUpload(b.ctx, repo, id, 14, strings.NewReader("four"), digest.FromString("one two three four"))
		b.must(err)
		for _, h := range []*hub{a, b} {
			h.has(repo, "one two three four")
			_, err := h.Upload(h.ctx, repo, id)
			h.code(err, registry.CodeBlobUploadUnknown)
		}
		a.audit()
	})
}

// One process appends, the other is told so, and goes on when it has ended.
func TestBusyElsewhere(t *testing.T) {
	two(t, func(t *testing.T, a, b *hub) {
		id := a.start(repo)
		chunks := make(chan string)
		done := make(chan error, 1)
		go func() {
			_, err := a.AppendUpload(a.ctx, repo, id, 0, &reader{chunks: chunks})
			done <- err
		}()
		chunks <- "one " // it has the upload now
		for _, h := range []*hub{a, b} {
			ctx, cancel := context.WithCancel(h.ctx)
			if h == a { // it waits for itself for a moment, unless nobody wants to know any more
				time.AfterFunc(20*time.Millisecond, cancel)
			}
			_, err := h.Upload(ctx, repo, id)
			cancel()
			h.code(err, registry.CodeRangeInvalid)
			_, err = h.AppendUpload(h.ctx, repo, id, -1, strings.NewReader("x"))
			h.code(err, registry.CodeRangeInvalid)
			h.code(h.finish(repo, id, "x"), registry.CodeRangeInvalid)
			h.code(h.CancelUpload(h.ctx, repo, id), registry.CodeRangeInvalid)
		}
		close(chunks)
		a.must(<-done)
		b.add(repo, id, 4, "two")
		b.must(b.finish(repo, id, "one two"))
		b.has(repo, "one two")
		b.audit()
	})
}

// Who asks how far an upload has come while its appender is about to end waits for him.
func TestLookWaitsForTheAppender(t *testing.T) {
	h := newHub(t, dbtest.SQLite(t)(t), memory.New(memory.Options{}), local.Options{})
	id := h.start(repo)
	chunks := make(chan string)
	done, size := make(chan error, 1), make(chan int64, 1)
	go func() {
		_, err := h.AppendUpload(h.ctx, repo, id, 0, &reader{chunks: chunks})
		done <- err
	}()
	chunks <- "one "
	go func() {
		u, err := h.Upload(h.ctx, repo, id)
		if err != nil {
			t.Error(err)
		}
		size <- u.Size
	}()
	chunks <- "two"
	close(chunks)
	h.must(<-done)
	if n := <-size; n != 7 {
		t.Errorf("%d bytes, want 7", n)
	}
}

// V-59: however many ask how far an upload has come, nobody who writes to it is refused for that, also by a process that
// has to ask the store first.
func TestAskingIsNotWriting(t *testing.T) {
	eachStore(t, func(t *testing.T, open dbtest.Open, store blob.Store) {
		d := open(t)
		first := newHub(t, d, store, local.Options{})
		id := first.start(repo)
		size := first.add(repo, id, 0, "begun, ")
		h := first.another(d, store, local.Options{})
		defer h.ask(repo, id)()
		for range 20 {
			size = h.add(repo, id, size, "x")
		}
		_, err := h.FinishUpload(h.ctx, repo, id, -1, strings.NewReader("y"), digest.FromString("begun, "+strings.Repeat("x", 20)+"y"))
		h.must(err)
	})
}

func TestAskingElsewhereIsNotWriting(t *testing.T) {
	two(t, func(t *testing.T, a, b *hub) {
		for range 10 { // what the other process does first with an upload is different
			func() {
				id := a.start(repo)
				defer b.ask(repo, id)()
				for at := range int64(10) {
					a.add(repo, id, at, "x")
				}
				a.must(a.finish(repo, id, strings.Repeat("x", 10)))
			}()
		}
	})
}

// ask has four ask for an upload's state again and again until it is stopped.
func (h *hub) ask(repo, id string) (stop func()) {
	var asking sync.WaitGroup
	over := make(chan struct{})
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if _, err := h.Upload(h.ctx, repo, id); err != nil && registry.CodeOf(err) == registry.CodeUnknown {
					h.Error(err)
				}
			}
		})
	}
	return func() {
		close(over)
		asking.Wait()
	}
}

// A process died while it appended: another one goes on when its lease is over, and ends the upload if it was finishing.
func TestTakeOver(t *testing.T) {
	two(t, func(t *testing.T, a, b *hub) {
		for _, last := range []string{"append", "finish"} {
			id := a.start(repo)
			a.add(repo, id, 0, last+" one ")
			a.exec(`UPDATE upload SET writer = 'dead `+last+`', writer_until = $1 WHERE id = $2`, a.db.Micros()+30e6, id)
			_, err := b.Upload(b.ctx, repo, id)
			b.code(err, registry.CodeRangeInvalid)
			_, err = b.AppendUpload(b.ctx, repo, id, -1, strings.NewReader("two"))
			b.code(err, registry.CodeRangeInvalid)
			a.exec(`UPDATE upload SET writer_until = 1 WHERE id = $1`, id)
			u, err := b.AppendUpload(b.ctx, repo, id, -1, strings.NewReader("two"))
			if last == "finish" {
				b.code(err, registry.CodeBlobUploadUnknown)
				continue
			}
			b.must(err)
			if u.Size != int64(len("append one two")) {
				t.Errorf("the upload has %d bytes", u.Size)
			}
			b.must(b.finish(repo, id, "append one two"))
		}
		b.audit()
	})
}

// V-59: a process that fell silent for longer than its lease comes back after another one finished the upload, or while
// it is at it. Whatever it does, what is stored under a digest has that digest.
func TestLateWriter(t *testing.T) {
	two(t, func(t *testing.T, a, b *hub) {
		for _, finished := range []bool{true, false} {
			for _, late := range []string{"append", "finish"} {
				id := a.start(repo)
				first := late + " one "
				a.add(repo, id, 0, first)
				chunks := make(chan string)
				done := make(chan error, 1)
				go func() {
					r := &reader{chunks: chunks}
					var err error
					if late == "append" {
						_, err = a.AppendUpload(a.ctx, repo, id, -1, r)
					} else {
						_, err = a.FinishUpload(a.ctx, repo, id, -1, r, digest.FromString(first+"late"))
					}
					done <- err
				}()
				chunks <- "" // it has the upload now
				a.exec(`UPDATE upload SET writer_until = 1 WHERE id = $1`, id)
				a.Silence(id)
				data := first + "two"
				_, berr := b.AppendUpload(b.ctx, repo, id, int64(len(first)), strings.NewReader("two"))
				if berr == nil && finished {
					berr = b.finish(repo, id, data)
				}
				chunks <- "late"
				close(chunks)
				aerr := <-done
				if berr == nil && !finished {
					berr = b.finish(repo, id, data)
				}
				t.Logf("finished first: %v; a: %v; b: %v", finished, aerr, berr)
				if aerr == nil && berr == nil {
					t.Error("both were acknowledged")
				}
				for _, err := range []error{aerr, berr} {
					if c := registry.CodeOf(err); err != nil && c != registry.CodeBlobUploadUnknown && c != registry.CodeRangeInvalid {
						t.Errorf("want unknown or busy: %v", err)
					}
				}
				if berr == nil {
					b.has(repo, data)
				}
				b.audit()
			}
		}
		_, err := b.SweepKeys(b.ctx)
		b.must(err)
		b.audit()
	})
}

// A session that only another process ended is let go of by the sweeper.
func TestForgottenSessions(t *testing.T) {
	two(t, func(t *testing.T, a, b *hub) {
		id := a.start(repo)
		b.add(repo, id, 0, "data")
		a.must(a.finish(repo, id, "data"))
		if b.Sessions() != 1 {
			t.Fatalf("%d sessions", b.Sessions())
		}
		if _, err := b.SweepUploads(b.ctx, -time.Hour, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		if b.Sessions() != 0 {
			t.Errorf("%d sessions are still held", b.Sessions())
		}
	})
}
