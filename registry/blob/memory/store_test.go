package memory_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry/blob"
	"github.com/hallmarkhub/hallmark/registry/blob/blobtest"
	"github.com/hallmarkhub/hallmark/registry/blob/memory"
)

func TestContract(t *testing.T) {
	for name, opt := range map[string]memory.Options{"as a disk": {}, "as an object store": {Buffered: true}} {
		t.Run(name, func(t *testing.T) {
			blobtest.Run(t, func(*testing.T) func() blob.Store {
				s := memory.New(opt)
				return func() blob.Store { return s.Again() }
			})
		})
	}
}

var errBroken = errors.New("broken")

func commit(t *testing.T, s *memory.Store, id, text string) (string, error) {
	t.Helper()
	w, err := s.Create(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	return w.Commit(t.Context(), digest.FromString(text))
}

func TestFailBeforeHitsOneCallOnly(t *testing.T) {
	s := memory.New(memory.Options{})
	s.Faults().FailBefore(memory.Commit, 2, errBroken)
	for i, want := range []error{nil, errBroken, nil} {
		if _, err := commit(t, s, "u"+string(rune('a'+i)), "text"); !errors.Is(err, want) {
			t.Errorf("commit %d: %v, want %v", i, err, want)
		}
	}
	if _, err := s.Open(t.Context(), s.Key("ub", digest.FromString("text"))); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("the failed commit is readable: %v", err)
	}
}

func TestFailAfterHasDoneItsWork(t *testing.T) {
	s := memory.New(memory.Options{})
	s.Faults().FailAfter(memory.Commit, 1, errBroken)
	if _, err := commit(t, s, "u", "text"); !errors.Is(err, errBroken) {
		t.Fatalf("commit: %v", err)
	}
	key := s.Key("u", digest.FromString("text"))
	if _, err := s.Open(t.Context(), key); err != nil {
		t.Fatalf("the content is not there: %v", err)
	}
	s.Faults().FailAfter(memory.Delete, 0, errBroken)
	if err := s.Delete(t.Context(), key); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
		t.Fatalf("the content is still there: %v", err)
	}
}

func TestShortWrite(t *testing.T) {
	s := memory.New(memory.Options{})
	s.Faults().ShortWrite(2, 3, blob.ErrFull)
	w, err := s.Create(t.Context(), "u")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{4, 3, 0} {
		if n, err := w.Write([]byte("abcd")); n != want || errors.Is(err, blob.ErrFull) != (i > 0) {
			t.Errorf("write %d: %d, %v", i, n, err)
		}
	}
	if w.Size() != 7 {
		t.Errorf("size %d, want 7", w.Size())
	}
}

func TestBlockUntilReleased(t *testing.T) {
	s := memory.New(memory.Options{})
	reached, release := s.Faults().Block(memory.Open, 1)
	done := make(chan error, 1)
	go func() { _, err := s.Open(t.Context(), "a/b"); done <- err }()
	<-reached
	select {
	case err := <-done:
		t.Fatalf("Open returned before its release: %v", err)
	default:
	}
	release()
	if err := <-done; !errors.Is(err, blob.ErrNotFound) {
		t.Fatal(err)
	}

	reached, _ = s.Faults().Block(memory.Open, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _, err := s.Open(ctx, "a/b"); done <- err }()
	<-reached
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestCrashKeepsWhatWasCommitted(t *testing.T) {
	s := memory.New(memory.Options{})
	key, err := commit(t, s, "u1", "kept")
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Create(t.Context(), "u2")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "lost"); err != nil {
		t.Fatal(err)
	}
	s.Crash()
	if _, err := io.WriteString(w, "more"); err == nil {
		t.Error("a Writer survived the crash")
	}
	if _, err := w.Commit(t.Context(), digest.FromString("lost")); err == nil {
		t.Error("a Writer committed after the crash")
	}
	if _, err := s.Resume(t.Context(), "u2"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Resume: %v", err)
	}
	c, err := s.Again().Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(c); !bytes.Equal(got, []byte("kept")) {
		t.Errorf("content %q", got)
	}
}
