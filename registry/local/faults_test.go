package local_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob"
	"github.com/hallmarkhub/hallmark/registry/blob/memory"
	"github.com/hallmarkhub/hallmark/registry/local"
)

// eachMemory runs f on every engine with a store that behaves like a disk and with one like an object store.
func eachMemory(t *testing.T, f func(t *testing.T, open dbtest.Open, opt memory.Options)) {
	for name, opt := range map[string]memory.Options{"disk": {}, "objects": {Buffered: true}} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, open dbtest.Open) { f(t, open, opt) })
		})
	}
}

// TestStoreFaults lets each operation of a push in two chunks fail, before and after it took effect (F-05, F-19). What
// was acknowledged before stays, nothing of the push is half there, and it can be begun again.
func TestStoreFaults(t *testing.T) {
	ops := map[string]memory.Op{"create": memory.Create, "resume": memory.Resume, "write": memory.Write, "commit": memory.Commit}
	eachMemory(t, func(t *testing.T, open dbtest.Open, opt memory.Options) {
		store := memory.New(opt)
		h := newHub(t, open(t), store, local.Options{})
		safe := h.image(repo, "safe", "config", "safe layer")
		n := 0
		for name, op := range ops {
			for how, inject := range map[string]func(f *memory.Faults, nth int, err error){
				"before": func(f *memory.Faults, nth int, err error) { f.FailBefore(op, nth, err) },
				"after":  func(f *memory.Faults, nth int, err error) { f.FailAfter(op, nth, err) },
				"short":  func(f *memory.Faults, nth int, err error) { f.ShortWrite(nth, 3, err) },
			} {
				for nth := 1; nth <= 2; nth++ {
					for what, fault := range map[string]error{"full": blob.ErrFull, "boom": errBoom} {
						n++
						t.Run(fmt.Sprintf("%s/%s/%d/%s", name, how, nth, what), func(t *testing.T) {
							h.TB = t
							inject(store.Faults(), nth, fault)
							data := fmt.Sprintf("layer %d", n)
							err := h.twoChunks(data)
							if err != nil && fault == blob.ErrFull {
								h.code(err, registry.CodeNoSpace)
							}
							store.Faults().Clear()
							h.audit()
							if err != nil {
								h.blobs(repo, data)
							}
							h.has(repo, data)
							h.has(repo, "safe layer")
							if h.hasTag(repo, "safe") != safe.Digest {
								t.Error("the tag moved")
							}
							h.audit()
						})
					}
				}
			}
		}
	})
}

// twoChunks pushes data in a PATCH and a PUT, asking after a failed PATCH where to go on, as clients do.
func (h *hub) twoChunks(data string) error {
	h.Helper()
	d := digest.FromString(data)
	id := h.start(repo)
	if u, err := h.AppendUpload(h.ctx, repo, id, 0, strings.NewReader(data[:4])); err != nil {
		state, serr := h.Upload(h.ctx, repo, id)
		if serr != nil {
			h.code(serr, registry.CodeBlobUploadUnknown)
			return err
		}
		if state != u {
			h.Errorf("the append ended at %d, the state is %d", u.Size, state.Size)
		}
		_, err := h.FinishUpload(h.ctx, repo, id, state.Size, strings.NewReader(data[state.Size:]), d)
		return err
	}
	_, err := h.FinishUpload(h.ctx, repo, id, 4, strings.NewReader(data[4:]), d)
	return err
}

// A client goes on after any failed write, on both kinds of store, without sending a byte twice.
func TestUploadGoesOnAfterAFault(t *testing.T) {
	eachMemory(t, func(t *testing.T, open dbtest.Open, opt memory.Options) {
		store := memory.New(opt)
		h := newHub(t, open(t), store, local.Options{})
		for i, fault := range []func(f *memory.Faults){
			func(f *memory.Faults) { f.ShortWrite(1, 2, blob.ErrFull) },
			func(f *memory.Faults) { f.FailBefore(memory.Write, 1, blob.ErrFull) },
			func(f *memory.Faults) { f.FailAfter(memory.Write, 1, blob.ErrFull) },
			func(f *memory.Faults) { f.FailBefore(memory.Create, 1, blob.ErrFull) },
			func(f *memory.Faults) { f.FailAfter(memory.Create, 1, blob.ErrFull) },
			func(f *memory.Faults) { f.FailBefore(memory.Resume, 1, blob.ErrFull) },
		} {
			data := fmt.Sprintf("content %d", i)
			id := h.start(repo)
			fault(store.Faults())
			u, err := h.AppendUpload(h.ctx, repo, id, 0, strings.NewReader(data[:5]))
			if err == nil { // the fault is for the next one
				u, err = h.AppendUpload(h.ctx, repo, id, 5, strings.NewReader(data[5:]))
			}
			h.code(err, registry.CodeNoSpace)
			store.Faults().Clear()
			state, err := h.Upload(h.ctx, repo, id)
			h.must(err)
			if state != u {
				t.Errorf("%d: the append ended at %d, the state is %d", i, u.Size, state.Size)
			}
			_, err = h.AppendUpload(h.ctx, repo, id, state.Size+1, strings.NewReader("x"))
			h.code(err, registry.CodeRangeInvalid)
			h.add(repo, id, state.Size, data[state.Size:])
			h.must(h.finish(repo, id, data))
			h.has(repo, data)
		}
		h.audit()
	})
}

// What a cancelled upload leaves is known until it is removed, also if the store refuses to remove it at first.
func TestCancelLeavesNothing(t *testing.T) {
	eachMemory(t, func(t *testing.T, open dbtest.Open, opt memory.Options) {
		store := memory.New(opt)
		h := newHub(t, open(t), store, local.Options{GarbageDelay: -1})
		for given, fail := range []func(){func() {}, func() { store.Faults().FailBefore(memory.Delete, 1, errBoom) }} {
			id := h.start(repo)
			h.add(repo, id, 0, "abandoned")
			fail()
			h.must(h.CancelUpload(h.ctx, repo, id))
			h.audit()
			_, err := h.Upload(h.ctx, repo, id)
			h.code(err, registry.CodeBlobUploadUnknown)
			h.code(h.CancelUpload(h.ctx, repo, id), registry.CodeBlobUploadUnknown)
			// The sweeper is left nothing to look for, unless there is something.
			if n := h.count(`SELECT count(*) FROM garbage_key WHERE key = $1`, id); n != given && h.db.Engine() == db.SQLite {
				h.Errorf("%d keys are given up, want %d", n, given)
			}
		}
		_, err := h.SweepKeys(h.ctx)
		h.must(err)
		h.empty()
	})
}

// empty checks that the store has nothing at all.
func (h *hub) empty() {
	h.Helper()
	h.must(h.store.List(context.Background(), func(i blob.Info) error {
		h.Errorf("%d bytes are left under %s", i.Size, i.Key)
		return nil
	}))
}

// A power loss in the middle of an upload, and a new process over what is left.
func TestCrash(t *testing.T) {
	eachMemory(t, func(t *testing.T, open dbtest.Open, opt memory.Options) {
		store := memory.New(opt)
		d := open(t)
		h := newHub(t, d, store, local.Options{})
		h.image(repo, "safe", "config", "safe layer")
		id := h.start(repo)
		h.add(repo, id, 0, "half of ")
		store.Crash()
		again := h.another(d, store.Again(), local.Options{})
		state, err := again.Upload(h.ctx, repo, id)
		if err == nil && state.Size == 0 {
			again.add(repo, id, 0, "half of it")
			again.must(again.finish(repo, id, "half of it"))
		} else {
			_, err = again.AppendUpload(h.ctx, repo, id, state.Size, strings.NewReader("it"))
			again.code(err, registry.CodeBlobUploadUnknown)
			again.blobs(repo, "half of it")
		}
		again.has(repo, "half of it")
		again.has(repo, "safe layer")
		again.audit()
	})
}

// A store that committed and lost its answer has kept the bytes: their key is given up, and the sweeper removes them.
func TestCommitWithoutAnswerIsSwept(t *testing.T) {
	eachMemory(t, func(t *testing.T, open dbtest.Open, opt memory.Options) {
		store := memory.New(opt)
		h := newHub(t, open(t), store, local.Options{GarbageDelay: -1})
		store.Faults().FailAfter(memory.Commit, 1, errBoom)
		if err := pushBlob(h.ctx, h, repo, []byte("lost")); err == nil {
			t.Fatal("a failed commit was acknowledged")
		}
		h.audit()
		if n := h.count(`SELECT count(*) FROM upload`); n != 0 {
			t.Errorf("%d uploads are left", n)
		}
		_, err := h.SweepKeys(h.ctx)
		h.must(err)
		h.empty()
	})
}

// Committed bytes that cannot be read are an error of ours, once; those of an upload whose digest they were to tell are
// given up.
func TestOpenFaults(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		store := memory.New(memory.Options{Buffered: true})
		h := newHub(t, open(t), store, local.Options{})
		for _, data := range []string{"small", large("large")} {
			h.blobs(repo, data)
			for _, fault := range []func(memory.Op, int, error){store.Faults().FailBefore, store.Faults().FailAfter} {
				fault(memory.Open, 1, errBoom)
				_, err := h.read(repo, digest.FromString(data))
				h.code(err, registry.CodeUnknown)
			}
			h.has(repo, data)
		}
		id := h.start(repo)
		h.add(repo, id, 0, "data")
		store.Faults().FailBefore(memory.Open, 1, errBoom)
		_, err := h.FinishUpload(h.ctx, repo, id, -1, nil, digest.SHA512.FromString("data"))
		h.code(err, registry.CodeUnknown)
		_, err = h.Upload(h.ctx, repo, id)
		h.code(err, registry.CodeBlobUploadUnknown)
		h.audit()
	})
}
