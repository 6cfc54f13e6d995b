package local_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob"
	"github.com/hallmarkhub/hallmark/registry/blob/memory"
	"github.com/hallmarkhub/hallmark/registry/local"
)

// eachStore runs f on every engine with each kind of store that lives in this process.
func eachStore(t *testing.T, f func(t *testing.T, open dbtest.Open, store blob.Store)) {
	for name, store := range map[string]func(t *testing.T) blob.Store{
		"disk":    func(t *testing.T) blob.Store { return openDisk(t) },
		"memory":  func(*testing.T) blob.Store { return memory.New(memory.Options{}) },
		"objects": func(*testing.T) blob.Store { return memory.New(memory.Options{Buffered: true}) },
		"distfs":  func(t *testing.T) blob.Store { return openDriver(t, "distfs://"+t.TempDir()) },
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, open dbtest.Open) { f(t, open, store(t)) })
		})
	}
}

func TestUploadLimits(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := newHub(t, open(t), memory.New(memory.Options{}), local.Options{UploadsPerPrincipal: 3, UploadsPerRepository: 4})
		bob := as(t.Context(), "bob")
		first := h.start(repo)
		h.start(repo)
		h.start("p1/second")
		_, err := h.StartUpload(h.ctx, "p1/second", "")
		h.code(err, registry.CodeTooManyRequests)
		for range 2 {
			_, err = h.StartUpload(bob, repo, "")
			h.must(err)
		}
		_, err = h.StartUpload(bob, repo, "")
		h.code(err, registry.CodeTooManyRequests)
		_, err = h.StartUpload(bob, "p1/second", "")
		h.must(err)
		h.must(h.CancelUpload(h.ctx, repo, first)) // room for one again
		h.start(repo)
		_, err = h.StartUpload(h.ctx, repo, "")
		h.code(err, registry.CodeTooManyRequests)
	})
}

func TestBlobSizeLimit(t *testing.T) {
	eachStore(t, func(t *testing.T, open dbtest.Open, store blob.Store) {
		const most = 10
		h := newHub(t, open(t), store, local.Options{MaxBlobSize: most})
		exact, over := strings.Repeat("x", most), strings.Repeat("y", most+1)
		h.blobs(repo, exact)
		h.code(pushBlob(h.ctx, h, repo, []byte(over)), registry.CodeTooLarge)
		id := h.start(repo)
		h.add(repo, id, 0, "1234567")
		_, err := h.AppendUpload(h.ctx, repo, id, 7, strings.NewReader("890x"))
		h.code(err, registry.CodeTooLarge)
		u, err := h.Upload(h.ctx, repo, id)
		h.must(err)
		h.add(repo, id, u.Size, "890")
		_, err = h.AppendUpload(h.ctx, repo, id, most, strings.NewReader("x"))
		h.code(err, registry.CodeTooLarge)
		h.must(h.finish(repo, id, "1234567890"))
		h.audit()
	})
}

// V-28: an upload exists for the one who began it, where it was begun.
func TestUploadOfAnother(t *testing.T) {
	eachMemory(t, func(t *testing.T, open dbtest.Open, opt memory.Options) {
		d, store := open(t), memory.New(opt)
		h := newHub(t, d, store, local.Options{})
		id := h.start(repo)
		h.add(repo, id, 0, "mine")
		h.blobs("p1/second", "x")
		fresh := h.another(d, store.Again(), local.Options{}) // which has to read the row first
		for name, try := range map[string]struct {
			ctx      context.Context
			repo, id string
		}{
			"another principal":  {as(t.Context(), "bob"), repo, id},
			"nobody":             {t.Context(), repo, id},
			"another repository": {h.ctx, "p1/second", id},
			"another project":    {h.ctx, "p2/other", id},
			"a path":             {h.ctx, repo, "../uploads/" + id},
			"no id":              {h.ctx, repo, ""},
			"another form":       {h.ctx, repo, strings.ReplaceAll(id, "-", "")},
			"in braces":          {h.ctx, repo, "{" + id + "}"},
			"upper case":         {h.ctx, repo, strings.ToUpper(id)},
		} {
			for _, l := range []*hub{h, fresh} {
				_, err := l.Upload(try.ctx, try.repo, try.id)
				_, err2 := l.AppendUpload(try.ctx, try.repo, try.id, 4, strings.NewReader("x"))
				_, err3 := l.FinishUpload(try.ctx, try.repo, try.id, -1, nil, digest.FromString("mine"))
				err4 := l.CancelUpload(try.ctx, try.repo, try.id)
				for i, err := range []error{err, err2, err3, err4} {
					if registry.CodeOf(err) != registry.CodeBlobUploadUnknown {
						t.Errorf("%s, verb %d: %v", name, i, err)
					}
				}
			}
		}
		h.must(h.finish(repo, id, "mine"))
		h.audit()
	})
}

// A new process goes on where the old one was: it reads the bytes, or where it cannot the saved state of their hash.
func TestUploadAfterRestart(t *testing.T) {
	eachStore(t, func(t *testing.T, open dbtest.Open, store blob.Store) {
		d := open(t)
		h := newHub(t, d, store, local.Options{})
		id := h.start(repo)
		size := int64(0)
		data := ""
		for i := range 3 {
			chunk := fmt.Sprintf("chunk %d, ", i)
			size, data = h.add(repo, id, size, chunk), data+chunk
			h = h.another(d, store, local.Options{})
			if u, err := h.Upload(h.ctx, repo, id); err != nil || u.Size != size {
				t.Fatalf("after %d chunks there are %d bytes, %v", i+1, u.Size, err)
			}
			_, err := h.AppendUpload(h.ctx, repo, id, size-1, strings.NewReader("x"))
			h.code(err, registry.CodeRangeInvalid)
		}
		h.must(h.finish(repo, id, data))
		h.has(repo, data)
		h.audit()
	})
}

// An upload that was begun for sha256 may be finished with sha512, and that is checked as well.
func TestAnotherAlgorithm(t *testing.T) {
	eachStore(t, func(t *testing.T, open dbtest.Open, store blob.Store) {
		h := newHub(t, open(t), store, local.Options{GarbageDelay: -1})
		for _, right := range []bool{true, false} {
			for _, chunks := range [][]string{{"one", "two"}, {"onetwo"}} {
				id := h.start(repo)
				for _, c := range chunks {
					_, err := h.AppendUpload(h.ctx, repo, id, -1, strings.NewReader(c))
					h.must(err)
				}
				d := digest.SHA512.FromString("onetwo")
				if !right {
					d = digest.SHA512.FromString("another")
				}
				_, err := h.FinishUpload(h.ctx, repo, id, -1, nil, d)
				if right {
					h.must(err)
					if got, err := h.read(repo, d); err != nil || string(got) != "onetwo" {
						t.Errorf("%q, %v", got, err)
					}
				} else {
					h.code(err, registry.CodeDigestInvalid)
					_, err = h.Upload(h.ctx, repo, id)
					h.code(err, registry.CodeBlobUploadUnknown)
				}
				h.audit()
			}
		}
		_, err := h.SweepKeys(h.ctx)
		h.must(err)
		if n := h.count(`SELECT count(*) FROM garbage_key`); n != 0 {
			t.Errorf("%d keys are left", n)
		}
		h.audit()
	})
}

// inDays runs f in a bubble where days pass in no time, on SQLite, whose clock is the machine's.
func inDays(t *testing.T, opt memory.Options, f func(h *hub, store *memory.Store)) {
	open := dbtest.SQLite(t)
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(opt)
		d := open(t)
		defer d.Close()
		f(newHub(t, d, store, local.Options{}), store)
	})
}

const day = 24 * time.Hour

func (h *hub) sweep(uploads, keys int) {
	h.Helper()
	n, err := h.SweepUploads(h.ctx, day, 7*day)
	h.must(err)
	k, err := h.SweepKeys(h.ctx)
	h.must(err)
	if n != uploads || k != keys {
		h.Errorf("%d uploads and %d keys were swept, want %d and %d", n, k, uploads, keys)
	}
}

func TestSweep(t *testing.T) {
	for name, opt := range map[string]memory.Options{"disk": {}, "objects": {Buffered: true}} {
		t.Run(name, func(t *testing.T) {
			inDays(t, opt, func(h *hub, store *memory.Store) {
				idle, busy := h.start(repo), h.start(repo)
				h.add(repo, idle, 0, "idle")
				h.blobs(repo, "kept")
				chunks, done := make(chan string), make(chan error, 1)
				go func() {
					_, err := h.AppendUpload(h.ctx, repo, busy, 0, &reader{chunks: chunks})
					done <- err
				}()
				data := ""
				for i := range 25 {
					c := fmt.Sprintf("hour %d, ", i)
					chunks <- c
					data += c
					<-time.After(time.Hour)
				}
				h.sweep(1, 0) // the idle one; its bytes stay a while
				_, err := h.Upload(h.ctx, repo, idle)
				h.code(err, registry.CodeBlobUploadUnknown)
				h.audit()
				<-time.After(9 * time.Minute)
				h.sweep(0, 0)
				<-time.After(2 * time.Minute)
				h.sweep(0, 1)
				h.sweep(0, 0)
				close(chunks)
				h.must(<-done)
				h.must(h.finish(repo, busy, data))
				h.has(repo, data)
				h.has(repo, "kept")
				h.audit()
				if n := h.bytes(); n != 2 {
					t.Errorf("the store has %d things, want 2", n)
				}
			})
		})
	}
}

// bytes counts what lies in the store.
func (h *hub) bytes() (n int) {
	h.Helper()
	h.must(h.store.List(context.Background(), func(blob.Info) error { n++; return nil }))
	return n
}

// However busy it is, an upload ends after a week.
func TestSweepOfOldUploads(t *testing.T) {
	inDays(t, memory.Options{}, func(h *hub, _ *memory.Store) {
		id := h.start(repo)
		size := int64(0)
		for range 7 {
			h.sweep(0, 0)
			size = h.add(repo, id, size, "a day's work. ")
			<-time.After(day)
		}
		<-time.After(time.Minute)
		_, err := h.AppendUpload(h.ctx, repo, id, size, strings.NewReader("more"))
		h.must(err)
		<-time.After(time.Minute)
		h.sweep(1, 0)
		_, err = h.AppendUpload(h.ctx, repo, id, -1, strings.NewReader("x"))
		h.code(err, registry.CodeBlobUploadUnknown)
		<-time.After(time.Hour)
		h.sweep(0, 1)
		if n := h.bytes(); n != 0 {
			h.Errorf("%d things are left", n)
		}
	})
}

// The sweeper takes an upload away while somebody appends to it, or finishes it: he is told, and nothing is left.
func TestSweptWhileWriting(t *testing.T) {
	eachStore(t, func(t *testing.T, open dbtest.Open, store blob.Store) {
		h := newHub(t, open(t), store, local.Options{GarbageDelay: -1})
		for _, keys := range []bool{false, true} {
			for _, finish := range []bool{false, true} {
				id := h.start(repo)
				h.add(repo, id, 0, "one ")
				chunks, done := make(chan string), make(chan error, 1)
				go func() {
					var err error
					if r := (&reader{chunks: chunks}); finish {
						_, err = h.FinishUpload(h.ctx, repo, id, 4, r, digest.FromString("one two"))
					} else {
						_, err = h.AppendUpload(h.ctx, repo, id, 4, r)
					}
					done <- err
				}()
				chunks <- ""
				h.exec(`UPDATE upload SET updated_at = 1, writer_until = 1`)
				n, err := h.SweepUploads(h.ctx, time.Hour, day)
				if err != nil || n != 1 {
					t.Fatal(n, err)
				}
				if keys {
					_, err := h.SweepKeys(h.ctx)
					h.must(err)
				}
				chunks <- "two"
				close(chunks)
				h.code(<-done, registry.CodeBlobUploadUnknown)
				h.audit()
				_, err = h.SweepKeys(h.ctx)
				h.must(err)
				if n := h.bytes(); n != 0 {
					t.Errorf("keys swept %v, finish %v: %d things are left", keys, finish, n)
				}
			}
		}
	})
}

// A key that cannot be removed stays in its table and keeps no other from being removed.
func TestStubbornKey(t *testing.T) {
	eachMemory(t, func(t *testing.T, open dbtest.Open, opt memory.Options) {
		store := memory.New(opt)
		h := newHub(t, open(t), store, local.Options{GarbageDelay: -1})
		for i := range 5 {
			id := h.start(repo)
			store.Faults().FailBefore(memory.Delete, 1, errBoom)
			h.add(repo, id, 0, fmt.Sprint(i))
			h.must(h.CancelUpload(h.ctx, repo, id))
		}
		store.Faults().FailBefore(memory.Delete, 2, errBoom)
		before := h.count(`SELECT count(*) FROM garbage_key`)
		n, err := h.SweepKeys(h.ctx)
		if n != before-1 || !errors.Is(err, errBoom) {
			t.Errorf("%d of %d keys were removed, %v", n, before, err)
		}
		n, err = h.SweepKeys(h.ctx)
		if n != 1 || err != nil {
			t.Errorf("then %d, %v", n, err)
		}
		h.empty()
	})
}

// A key that a blob has is not removed, whoever wrote it into the table; and what was pushed anew has a new key.
func TestLateSweepHarmsNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, open dbtest.Open, store blob.Store) {
		h := newHub(t, open(t), store, local.Options{GarbageDelay: -1})
		h.blobs(repo, "content")
		first := h.rows(`SELECT key FROM blob`)[0]
		h.exec(`INSERT INTO garbage_key (key, delete_after) VALUES ($1, 1)`, first)
		n, err := h.SweepKeys(h.ctx)
		if n != 0 || err != nil {
			t.Fatalf("%d keys, %v", n, err)
		}
		// The collector takes the blob, somebody pushes it again, and only then are the keys swept.
		h.must(h.DeleteBlob(h.ctx, repo, digest.FromString("content")))
		h.exec(`DELETE FROM blob`)
		h.blobs(repo, "content")
		_, err = h.SweepKeys(h.ctx)
		h.must(err)
		h.has(repo, "content")
		if second := h.rows(`SELECT key FROM blob`)[0]; second == first {
			t.Error("a key was used twice")
		}
		if c, err := store.Open(t.Context(), first); err == nil {
			c.Close()
			t.Error("the first key is still there")
		}
		h.audit()
	})
}

// The loser of two uploads of the same content gives his bytes up.
func TestSameContentTwice(t *testing.T) {
	eachStore(t, func(t *testing.T, open dbtest.Open, store blob.Store) {
		h := newHub(t, open(t), store, local.Options{GarbageDelay: -1})
		h.blobs(repo, "content", "content")
		h.blobs("p2/other", "content")
		h.audit()
		n, err := h.SweepKeys(h.ctx)
		if n != 2 || err != nil {
			t.Errorf("%d keys, %v", n, err)
		}
		h.has(repo, "content")
		h.has("p2/other", "content")
		if n := h.bytes(); n != 1 {
			t.Errorf("the store has %d things", n)
		}
	})
}

// A process that dies between the commit in the store and the row leaves an upload whose bytes are committed. Where the
// key follows from the upload's id, the sweeper gives them up with it.
func TestCrashBetweenCommitAndRow(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		store := openDriver(t, "distfs://"+t.TempDir())
		h := newHub(t, open(t), store, local.Options{GarbageDelay: -1})
		id := h.start(repo)
		w, err := store.Create(h.ctx, id)
		h.must(err)
		_, err = w.Write([]byte("lost"))
		h.must(err)
		_, err = w.Commit(h.ctx, digest.FromString("lost"))
		h.must(err)
		h.exec(`UPDATE upload SET updated_at = 1`)
		_, err = h.SweepUploads(h.ctx, time.Hour, day)
		h.must(err)
		h.audit()
		_, err = h.SweepKeys(h.ctx)
		h.must(err)
		h.empty()
	})
}
