package blobtest

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hallmarkhub/hallmark/registry/blob"
)

func roundTrip(t *testing.T, open func() blob.Store) {
	s := open()
	data := random(1, 100_000)
	key := store(t, s, "u1", data)
	for _, from := range []blob.Store{s, open()} {
		holds(t, from, key, data)
	}
	c, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if end, err := c.Seek(0, io.SeekEnd); err != nil || end != int64(len(data)) {
		t.Fatalf("Seek to the end: %d, %v", end, err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("Read at the end: %d, %v, want EOF", n, err)
	}
	if at, err := c.Seek(-100, io.SeekEnd); err != nil || at != int64(len(data)-100) {
		t.Fatalf("Seek: %d, %v", at, err)
	}
	if tail, err := io.ReadAll(c); err != nil || !bytes.Equal(tail, data[len(data)-100:]) {
		t.Fatalf("the last 100 bytes: %v", err)
	}
	if _, err := c.Seek(-1, io.SeekStart); err == nil {
		t.Fatal("Seek before the start succeeded")
	}
	for _, off := range []int64{0, 1, 65_535, int64(len(data)) - 10} {
		p := make([]byte, 10)
		if n, err := c.ReadAt(p, off); n != 10 || err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(p, data[off:off+10]) {
			t.Fatalf("ReadAt(%d): %d, %v", off, n, err)
		}
	}
	if n, err := c.ReadAt(make([]byte, 20), int64(len(data))-10); n != 10 || !errors.Is(err, io.EOF) {
		t.Fatalf("ReadAt over the end: %d, %v, want 10, EOF", n, err)
	}
	if n, err := c.ReadAt(make([]byte, 1), int64(len(data))+5); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("ReadAt past the end: %d, %v, want 0, EOF", n, err)
	}
	if _, err := c.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(io.NewSectionReader(c, 0, 200), data[:200]); err != nil {
		t.Fatal(err)
	}
	if u, err := s.URL(t.Context(), key, time.Minute); err != nil {
		t.Fatalf("URL: %q, %v", u, err)
	}
}

func empty(t *testing.T, open func() blob.Store) {
	s := open()
	w := create(t, s, "u1")
	direct := commit(t, w, nil)
	holds(t, s, direct, nil)

	finish(t, create(t, s, "u2"))
	later := commit(t, reopen(t, open(), "u2", 0), nil)
	holds(t, s, later, nil)
	if i := listing(t, s)[later]; !i.Committed || i.Size != 0 {
		t.Fatalf("List shows the empty blob as %+v", i)
	}
}

func large(t *testing.T, open func() blob.Store) {
	s := open()
	data := random(2, 23<<20+17)
	key := store(t, s, "u1", data)
	holds(t, open(), key, data)
	if i := listing(t, s)[key]; i.Size != int64(len(data)) {
		t.Fatalf("List shows %+v", i)
	}
}

func smallWrites(t *testing.T, open func() blob.Store) {
	s := open()
	data := random(3, 2000)
	w := create(t, s, "u1")
	for i := range data {
		write(t, w, data[i:i+1])
	}
	write(t, w, nil)
	holds(t, s, commit(t, w, data), data)
}

func unreadable(t *testing.T, open func() blob.Store) {
	s := open()
	data := random(4, 6<<20) // more than the smallest part of an object store
	// Where the content will be is known from a first upload whose id differs in its last letter only.
	probe := store(t, s, "ua", data)
	key := probe[:len(probe)-1] + "b"
	w := create(t, s, "ub")
	write(t, w, data)
	absent(t, s, key)
	finish(t, w)
	absent(t, s, key)
	absent(t, open(), key)
	if _, err := s.Open(t.Context(), "ub"); err == nil {
		t.Fatal("the upload is readable by its id")
	}
	w = reopen(t, s, "ub", int64(len(data)))
	if got := commit(t, w, data); got != key {
		t.Fatalf("committed under %s, expected %s: the key follows from digest and upload id", got, key)
	}
	holds(t, s, key, data)
}

func sameDigest(t *testing.T, open func() blob.Store) {
	s := open()
	data := random(5, 5000)
	w1, w2 := create(t, s, "u1"), create(t, s, "u2")
	write(t, w1, data)
	write(t, w2, data)
	k1, k2 := commit(t, w1, data), commit(t, w2, data)
	if k1 == k2 {
		t.Fatalf("both uploads are under %s", k1)
	}
	holds(t, s, k1, data)
	holds(t, s, k2, data)
	// A collector that is late with the older key does not reach the newer.
	if err := s.Delete(t.Context(), k1); err != nil {
		t.Fatal(err)
	}
	absent(t, s, k1)
	holds(t, s, k2, data)
	if err := s.Delete(t.Context(), k1); err != nil {
		t.Fatal(err)
	}
	holds(t, s, k2, data)
}

func remove(t *testing.T, open func() blob.Store) {
	s := open()
	data := random(6, 1000)
	key := store(t, s, "u1", data)
	other := store(t, s, "u11", data) // a longer id with the same beginning
	if err := s.Delete(t.Context(), "u1"); err != nil {
		t.Fatalf("Delete of an upload that was committed: %v", err)
	}
	holds(t, s, key, data)
	// What only leads to content is not content.
	for i := range key {
		if key[i] == '/' && blob.CheckKey(key[:i]) == nil {
			_ = s.Delete(t.Context(), key[:i])
			absent(t, s, key[:i])
		}
	}
	holds(t, s, key, data)
	for range 2 {
		if err := s.Delete(t.Context(), key); err != nil {
			t.Fatalf("Delete: %v", err)
		}
		absent(t, open(), key)
	}
	holds(t, s, other, data)
	if err := s.Delete(t.Context(), key+"/below"); err != nil {
		t.Fatalf("Delete of what never was: %v", err)
	}
}

func notFound(t *testing.T, open func() blob.Store) {
	s := open()
	absent(t, s, "sha256/ab/nothing.here")
	key := store(t, s, "u1", random(7, 10))
	absent(t, s, key+"/below")
	absent(t, s, key+"x")
	if err := s.Delete(t.Context(), "sha256/ab/nothing.here"); err != nil {
		t.Fatalf("Delete of what is not there: %v", err)
	}
	if err := s.Delete(t.Context(), "nothing-here"); err != nil {
		t.Fatalf("Delete of an upload that is not there: %v", err)
	}
}

func list(t *testing.T, open func() blob.Store) {
	s := open()
	if all := listing(t, s); len(all) != 0 {
		t.Fatalf("a new store lists %v", all)
	}
	key := store(t, s, "u1", random(8, 1000))
	w := create(t, s, "u2")
	write(t, w, random(9, 333))
	finish(t, w)
	all := listing(t, open())
	if len(all) != 2 {
		t.Fatalf("List shows %v, want two", all)
	}
	if i := all[key]; i.Size != 1000 || !i.Committed || i.Modified.IsZero() {
		t.Errorf("committed: %+v", i)
	}
	if i := all["u2"]; i.Size != 333 || i.Committed || i.Modified.IsZero() {
		t.Errorf("unfinished: %+v", i)
	}
	// Names of List lead back.
	w = reopen(t, s, all["u2"].Key, 333)
	finish(t, w)
	for name := range all {
		if err := s.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if all := listing(t, s); len(all) != 0 {
		t.Fatalf("after deleting all: %v", all)
	}
}

func listStops(t *testing.T, open func() blob.Store) {
	s := open()
	store(t, s, "u1", random(8, 10))
	store(t, s, "u2", random(8, 20))
	stop, calls := errors.New("enough"), 0
	err := s.List(t.Context(), func(blob.Info) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Fatalf("List: %d calls, %v, want 1 and the callback's error", calls, err)
	}
}
