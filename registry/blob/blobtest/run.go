package blobtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry/blob"
)

// Place makes a new, empty place for content, and returns a function that opens one more store over it, as another
// process would.
type Place func(t *testing.T) (open func() blob.Store)

// Run runs the contract on the stores that place opens.
func Run(t *testing.T, place Place) {
	tests := []struct {
		name string
		run  func(t *testing.T, open func() blob.Store)
	}{
		{"round trip", roundTrip},
		{"empty", empty},
		{"large", large},
		{"many small writes", smallWrites},
		{"unreadable before commit", unreadable},
		{"resume in another store", resume},
		{"resume byte by byte", resumeBytes},
		{"resume around a part", resumeParts},
		{"resume what is not there", resumeNothing},
		{"one writer at a time", busy},
		{"reader of an unfinished upload", unfinishedReader},
		{"same digest twice", sameDigest},
		{"delete", remove},
		{"delete an upload", removeUpload},
		{"not found", notFound},
		{"hostile names", hostile},
		{"list", list},
		{"list stops", listStops},
		{"concurrent writers", concurrent},
		{"write after commit", writeAfterCommit},
		{"close twice", closeTwice},
		{"bad digest", badDigest},
		{"upload deleted under its writer", deletedUnder},
		{"cancelled context", cancelled},
		{"context ends before close", cancelledWriter},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, place(t)) })
	}
}

// random returns n bytes that depend on seed only.
func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1})
	_, _ = r.Read(b)
	return b
}

func create(t *testing.T, s blob.Store, id string) blob.Writer {
	t.Helper()
	w, err := s.Create(t.Context(), id)
	if err != nil {
		t.Fatalf("Create(%s): %v", id, err)
	}
	return w
}

func reopen(t *testing.T, s blob.Store, id string, size int64) blob.Writer {
	t.Helper()
	w, err := s.Resume(t.Context(), id)
	if err != nil {
		t.Fatalf("Resume(%s): %v", id, err)
	}
	if w.Size() != size {
		t.Fatalf("Resume(%s): size %d, want %d", id, w.Size(), size)
	}
	return w
}

func write(t *testing.T, w blob.Writer, data []byte) {
	t.Helper()
	before := w.Size()
	n, err := io.Copy(struct{ io.Writer }{w}, bytes.NewReader(data))
	if err != nil || n != int64(len(data)) {
		t.Fatalf("Write: %d of %d bytes, %v", n, len(data), err)
	}
	if got := w.Size(); got != before+n {
		t.Fatalf("Size after Write: %d, want %d", got, before+n)
	}
}

func finish(t *testing.T, w blob.Writer) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func commit(t *testing.T, w blob.Writer, data []byte) string {
	t.Helper()
	key, err := w.Commit(t.Context(), digest.FromBytes(data))
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	if err := blob.CheckKey(key); err != nil {
		t.Fatalf("Commit returned a malformed key: %v", err)
	}
	finish(t, w)
	return key
}

func store(t *testing.T, s blob.Store, id string, data []byte) string {
	t.Helper()
	w := create(t, s, id)
	write(t, w, data)
	return commit(t, w, data)
}

func holds(t *testing.T, s blob.Store, key string, data []byte) {
	t.Helper()
	c, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("Open(%s): %v", key, err)
	}
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("content of %s: %d bytes, want %d; equal: %v; %v", key, len(got), len(data), bytes.Equal(got, data), err)
	}
	if err := c.Close(); err != nil {
		t.Fatalf("Close of content: %v", err)
	}
}

func absent(t *testing.T, s blob.Store, key string) {
	t.Helper()
	c, err := s.Open(t.Context(), key)
	if err == nil {
		// A store may find out late, but then it has nothing to give.
		_ = c.Close()
		t.Fatalf("Open(%s) succeeded, want ErrNotFound", key)
	}
	if !errors.Is(err, blob.ErrNotFound) {
		t.Fatalf("Open(%s): %v, want ErrNotFound", key, err)
	}
}

func listing(t *testing.T, s blob.Store) map[string]blob.Info {
	t.Helper()
	all := map[string]blob.Info{}
	err := s.List(context.WithoutCancel(t.Context()), func(i blob.Info) error {
		if _, twice := all[i.Key]; twice {
			t.Errorf("List shows %s twice", i.Key)
		}
		all[i.Key] = i
		return nil
	})
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	return all
}
