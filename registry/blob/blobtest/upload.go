package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry/blob"
)

func resume(t *testing.T, open func() blob.Store) {
	data := random(20, 50_000)
	w := create(t, open(), "u1")
	write(t, w, data[:10_000])
	finish(t, w)
	w = reopen(t, open(), "u1", 10_000)
	write(t, w, data[10_000:])
	finish(t, w)
	w = reopen(t, open(), "u1", int64(len(data)))
	key := commit(t, w, data)
	holds(t, open(), key, data)
	if _, err := open().Resume(t.Context(), "u1"); !errors.Is(err, blob.ErrNotFound) {
		t.Fatalf("Resume after Commit: %v, want ErrNotFound", err)
	}
}

func resumeBytes(t *testing.T, open func() blob.Store) {
	data := random(21, 7)
	finish(t, create(t, open(), "u1"))
	for i := range data {
		w := reopen(t, open(), "u1", int64(i))
		write(t, w, data[i:i+1])
		finish(t, w)
	}
	holds(t, open(), commit(t, reopen(t, open(), "u1", int64(len(data))), data), data)
}

// resumeParts sends chunks whose borders lie on, before and after those an object store would choose: 5 MiB is the
// smallest part of S3, 10 MiB the usual size.
func resumeParts(t *testing.T, open func() blob.Store) {
	const part = 5 << 20
	for i, sizes := range [][]int{
		{part - 1, 1, 1, part},
		{part, part, 1},
		{part + 1, part - 1, 2*part + 1},
		{1, 2*part - 1, 1},
		{1, 4*part + 3, 1, part, 1},
	} {
		id := fmt.Sprintf("u%d", i)
		var want []byte
		finish(t, create(t, open(), id))
		for j, n := range sizes {
			w := reopen(t, open(), id, int64(len(want)))
			chunk := random(uint64(100*i+j), n)
			write(t, w, chunk)
			finish(t, w)
			want = append(want, chunk...)
		}
		s := open()
		holds(t, s, commit(t, reopen(t, s, id, int64(len(want))), want), want)
	}
}

func resumeNothing(t *testing.T, open func() blob.Store) {
	s := open()
	if _, err := s.Resume(t.Context(), "never"); !errors.Is(err, blob.ErrNotFound) {
		t.Fatalf("Resume: %v, want ErrNotFound", err)
	}
	if all := listing(t, s); len(all) != 0 {
		t.Fatalf("Resume of nothing left %v", all)
	}
}

func busy(t *testing.T, open func() blob.Store) {
	s := open()
	data := random(22, 3000)
	w := create(t, s, "u1")
	write(t, w, data[:1000])
	finish(t, w)
	w = reopen(t, s, "u1", 1000)
	if _, err := s.Resume(t.Context(), "u1"); !errors.Is(err, blob.ErrBusy) {
		t.Fatalf("Resume under another Writer: %v, want ErrBusy", err)
	}
	write(t, w, data[1000:])
	finish(t, w)
	w = reopen(t, s, "u1", 3000)
	key := commit(t, w, data)
	if _, err := s.Resume(t.Context(), "u1"); !errors.Is(err, blob.ErrNotFound) {
		t.Fatalf("Resume after Commit: %v, want ErrNotFound", err)
	}
	holds(t, s, key, data)
}

func unfinishedReader(t *testing.T, open func() blob.Store) {
	s := open()
	data := random(23, 2000)
	w := create(t, s, "u1")
	for _, upTo := range []int{0, 1000, 2000} {
		write(t, w, data[w.Size():upTo])
		reads(t, w, data[:upTo])
	}
	finish(t, w)
	w = reopen(t, open(), "u1", 2000)
	r, err := w.Reader(t.Context())
	if errors.Is(err, errors.ErrUnsupported) && !s.Persistent() {
		finish(t, w)
		return
	}
	if err != nil {
		t.Fatalf("Reader: %v", err)
	}
	r.Close()
	reads(t, w, data)
	write(t, w, data)
	reads(t, w, append(bytes.Clone(data), data...))
	finish(t, w)
	if _, err := w.Reader(t.Context()); err == nil {
		t.Fatal("Reader after Close succeeded")
	}
}

func reads(t *testing.T, w blob.Writer, want []byte) {
	t.Helper()
	r, err := w.Reader(t.Context())
	if err != nil {
		t.Fatalf("Reader: %v", err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("Reader: %d bytes, want %d, %v", len(got), len(want), err)
	}
}

func removeUpload(t *testing.T, open func() blob.Store) {
	for i, size := range []int{0, 100, 21 << 20} {
		s, id := open(), fmt.Sprintf("u%d", i)
		w := create(t, s, id)
		write(t, w, random(24, size))
		finish(t, w)
		keep := create(t, s, id+"0")
		finish(t, keep)
		for range 2 {
			if err := open().Delete(t.Context(), id); err != nil {
				t.Fatalf("Delete(%s): %v", id, err)
			}
		}
		if _, err := s.Resume(t.Context(), id); !errors.Is(err, blob.ErrNotFound) {
			t.Fatalf("Resume after Delete: %v, want ErrNotFound", err)
		}
		if err := reopen(t, s, id+"0", 0).Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(t.Context(), id+"0"); err != nil {
			t.Fatal(err)
		}
		if all := listing(t, s); len(all) != 0 {
			t.Fatalf("Delete of an upload of %d bytes left %v", size, all)
		}
	}
}

func deletedUnder(t *testing.T, open func() blob.Store) {
	s := open()
	data := random(25, 100)
	w := create(t, s, "u1")
	write(t, w, data)
	finish(t, w)
	w = reopen(t, s, "u1", 100)
	if err := s.Delete(t.Context(), "u1"); err != nil {
		t.Fatal(err)
	}
	key, err := w.Commit(t.Context(), digest.FromBytes(data))
	if err == nil {
		// An object store that holds the bytes in memory may still commit them; then they must be there.
		holds(t, s, key, data)
	}
	if err := w.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func hostile(t *testing.T, open func() blob.Store) {
	s, ctx := open(), t.Context()
	names := []string{
		"", ".", "..", "/", "../x", "../../x", "/etc/passwd", "a/../../x", "a/..", "a//b", "a\x00b", "a/b\x00c", `..\x`,
		"a/\n", "~/x y/z", strings.Repeat("x", 4096), "a/" + strings.Repeat("x", 300), strings.Repeat("a/", 3000) + "a",
	}
	for _, name := range names {
		if w, err := s.Create(ctx, name); err == nil {
			_ = w.Close()
			t.Errorf("Create(%.30q) succeeded", name)
		}
		if w, err := s.Resume(ctx, name); err == nil {
			_ = w.Close()
			t.Errorf("Resume(%.30q) succeeded", name)
		}
		if c, err := s.Open(ctx, name); err == nil {
			_ = c.Close()
			t.Errorf("Open(%.30q) succeeded", name)
		}
		if err := s.Delete(ctx, name); !errors.Is(err, blob.ErrBadKey) && name != strings.Repeat("x", 4096) {
			t.Errorf("Delete(%.30q): %v, want ErrBadKey", name, err)
		}
	}
	for _, id := range []string{"a/b", "../../uploads/x", ".x", strings.Repeat("x", 101)} {
		if _, err := s.Create(ctx, id); !errors.Is(err, blob.ErrBadKey) {
			t.Errorf("Create(%.30q): %v, want ErrBadKey", id, err)
		}
	}
	if all := listing(t, s); len(all) != 0 {
		t.Errorf("hostile names left %v", all)
	}
}

func concurrent(t *testing.T, open func() blob.Store) {
	s := open()
	const writers = 64
	keys := make([]string, writers)
	errs := make([]error, writers)
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() { keys[i], errs[i] = push(t.Context(), s, i) })
	}
	group.Wait()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("writer %d: %v", i, err)
		}
		holds(t, s, keys[i], random(uint64(i/2), 3000))
	}
	if all := listing(t, s); len(all) != writers {
		t.Fatalf("List shows %d, want %d", len(all), writers)
	}
}

// push is what one of the concurrent writers does; two of them share each content.
func push(ctx context.Context, s blob.Store, i int) (string, error) {
	data := random(uint64(i/2), 3000)
	w, err := s.Create(ctx, fmt.Sprintf("u%d", i))
	if err != nil {
		return "", err
	}
	defer w.Close()
	for len(data) > 0 {
		n := min(len(data), 1000)
		if _, err := w.Write(data[:n]); err != nil {
			return "", err
		}
		data = data[n:]
	}
	return w.Commit(ctx, digest.FromBytes(random(uint64(i/2), 3000)))
}

func writeAfterCommit(t *testing.T, open func() blob.Store) {
	s := open()
	data := random(26, 100)
	w := create(t, s, "u1")
	write(t, w, data)
	key, err := w.Commit(t.Context(), digest.FromBytes(data))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := w.Write([]byte("late")); n != 0 || err == nil {
		t.Fatalf("Write after Commit: %d, %v", n, err)
	}
	if _, err := w.Commit(t.Context(), digest.FromBytes(data)); err == nil {
		t.Fatal("a second Commit succeeded")
	}
	finish(t, w)
	holds(t, s, key, data)
}

func closeTwice(t *testing.T, open func() blob.Store) {
	s := open()
	w := create(t, s, "u1")
	write(t, w, []byte("abc"))
	finish(t, w)
	finish(t, w)
	if n, err := w.Write([]byte("late")); n != 0 || err == nil {
		t.Fatalf("Write after Close: %d, %v", n, err)
	}
	if _, err := w.Commit(t.Context(), digest.FromString("abc")); err == nil {
		t.Fatal("Commit after Close succeeded")
	}
	finish(t, reopen(t, s, "u1", 3))
}

func badDigest(t *testing.T, open func() blob.Store) {
	s := open()
	for i, d := range []digest.Digest{
		"", "sha256:", "sha256:abc", "sha256:../../../../etc/passwd", "md5:d41d8cd98f00b204e9800998ecf8427e",
		digest.Digest("sha256:" + strings.Repeat("A", 64)), digest.Digest("../x:" + strings.Repeat("a", 64)),
	} {
		w := create(t, s, fmt.Sprintf("u%d", i))
		write(t, w, []byte("abc"))
		if key, err := w.Commit(t.Context(), d); err == nil {
			t.Errorf("Commit(%q) = %s", d, key)
		}
		if err := w.Close(); err != nil {
			t.Errorf("Close after a failed Commit: %v", err)
		}
	}
	for name, i := range listing(t, s) {
		if i.Committed {
			t.Errorf("%s is committed", name)
		}
	}
}

func cancelled(t *testing.T, open func() blob.Store) {
	s := open()
	data := random(27, 100)
	key := store(t, s, "u1", data)
	finish(t, create(t, s, "u2"))
	w := create(t, s, "u3")
	write(t, w, data)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	calls := map[string]func() error{
		"Create": func() error { _, err := s.Create(ctx, "u4"); return err },
		"Resume": func() error { _, err := s.Resume(ctx, "u2"); return err },
		"Open":   func() error { _, err := s.Open(ctx, key); return err },
		"Delete": func() error { return s.Delete(ctx, key) },
		"List":   func() error { return s.List(ctx, func(blob.Info) error { return nil }) },
		"Reader": func() error { _, err := w.Reader(ctx); return err },
		"Commit": func() error { _, err := w.Commit(ctx, digest.FromBytes(data)); return err },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v, want context.Canceled", name, err)
		}
	}
	finish(t, w)
	holds(t, s, key, data)
	finish(t, reopen(t, s, "u2", 0))
}

// cancelledWriter is the client that goes away in the middle of a PATCH: what came before is kept.
func cancelledWriter(t *testing.T, open func() blob.Store) {
	s := open()
	data := random(28, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	w, err := s.Create(ctx, "u1")
	if err != nil {
		t.Fatal(err)
	}
	write(t, w, data[:600])
	cancel()
	if _, err := w.Write(data[600:]); !errors.Is(err, context.Canceled) {
		t.Fatalf("Write with a cancelled context: %v", err)
	}
	finish(t, w)
	w = reopen(t, open(), "u1", 600)
	write(t, w, data[600:])
	holds(t, s, commit(t, w, data), data)
}
