package local_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
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

// V-30: a byte that flipped on the disk or in the database is never served as what it was, for manifests and small blobs.
func TestFlippedByte(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, openDB dbtest.Open) {
		dir := filepath.Join(t.TempDir(), "blobs")
		store, err := disk.Open(dir, disk.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d := openDB(t)
		h := newHub(t, d, store, local.Options{})
		p := h.image(repo, "latest", "config", "layer")
		file := filepath.Join(dir, h.rows(`SELECT key FROM blob WHERE digest = $1`, digest.FromString("layer").String())[0])
		for _, change := range []string{"Layer", "laye", "layer+"} {
			if err := os.WriteFile(file, []byte(change), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := h.read(repo, digest.FromString("layer"))
			if change == "layer+" {
				if string(got) != "layer" { // what was appended to it is not served
					t.Errorf("%q: %q, %v", change, got, err)
				}
				continue
			}
			if err == nil || registry.CodeOf(err) != registry.CodeUnknown {
				t.Errorf("%q: %q, %v", change, got, err)
			}
		}
		if err := os.WriteFile(file, []byte("layer"), 0o600); err != nil {
			t.Fatal(err)
		}
		h.has(repo, "layer") // the mistake was not remembered

		flipped := bytes.Replace(p.Payload, []byte("schemaVersion"), []byte("SchemaVersion"), 1)
		h.exec(`UPDATE manifest SET payload = $1`, flipped)
		h = h.another(d, store, local.Options{})
		for _, ref := range []registry.Reference{{Tag: "latest"}, {Digest: p.Digest}} {
			if m, err := h.Manifest(h.ctx, repo, ref, false); err == nil || registry.CodeOf(err) != registry.CodeUnknown {
				t.Errorf("%s: %v, %v", ref, m, err)
			}
		}
	})
}

// A cached key that does not open is read once more: the bytes have moved.
func TestKeyMoved(t *testing.T) {
	eachMemory(t, func(t *testing.T, open dbtest.Open, opt memory.Options) {
		store := memory.New(opt)
		h := newHub(t, open(t), store, local.Options{})
		for _, data := range []string{"small", large("large")} {
			d := digest.FromString(data)
			h.blobs(repo, data)
			if _, err := h.StatBlob(h.ctx, repo, d, false); err != nil { // the key is cached, the content is not
				t.Fatal(err)
			}
			old := h.rows(`SELECT key FROM blob WHERE digest = $1`, string(d))[0]
			w, err := store.Create(h.ctx, "copy-of-"+d.Encoded()[:9])
			h.must(err)
			_, err = w.Write([]byte(data))
			h.must(err)
			key, err := w.Commit(h.ctx, d)
			h.must(err)
			h.exec(`UPDATE blob SET key = $1 WHERE digest = $2`, key, string(d))
			h.must(store.Delete(h.ctx, old))
			h.has(repo, data)
			h.has(repo, data)
		}
		// Bytes that are nowhere are an error of ours, not an unknown blob.
		h.blobs(repo, large("gone"))
		h.must(store.Delete(h.ctx, h.rows(`SELECT key FROM blob WHERE digest = $1`, digest.FromString(large("gone")).String())[0]))
		_, err := h.read(repo, digest.FromString(large("gone")))
		h.code(err, registry.CodeUnknown)
	})
}

// redirecting is a store whose content can be read elsewhere.
type redirecting struct{ blob.Store }

func (redirecting) URL(_ context.Context, key string, ttl time.Duration) (string, error) {
	return "https://objects.example/" + key + "?ttl=" + ttl.String(), nil
}

func TestRedirects(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := newHub(t, open(t), redirecting{memory.New(memory.Options{Buffered: true})}, local.Options{})
		edge := strings.Repeat("x", smallBlob)
		h.blobs(repo, "small", edge, edge+"x")
		h.has(repo, "small")
		h.has(repo, edge)
		b, err := h.Blob(h.ctx, repo, digest.FromString(edge+"x"))
		h.must(err)
		if b.Content != nil || !strings.HasPrefix(b.URL, "https://objects.example/sha256/") || !strings.HasSuffix(b.URL, "?ttl=1m0s") || b.Size != smallBlob+1 {
			t.Errorf("%+v", b)
		}
		// It is nobody else's (V-23).
		_, err = h.Blob(h.ctx, "p2/other", digest.FromString(edge+"x"))
		h.code(err, registry.CodeNameUnknown)
	})
}

// V-23: a blob is there where it is linked, and nowhere else.
func TestBlobElsewhere(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := newHub(t, open(t), memory.New(memory.Options{}), local.Options{})
		h.blobs(repo, "secret")
		h.blobs("p2/other", "x")
		d := digest.FromString("secret")
		_, err := h.Blob(h.ctx, "p2/other", d)
		h.code(err, registry.CodeBlobUnknown)
		_, err = h.StatBlob(h.ctx, "p2/other", d, true)
		h.code(err, registry.CodeBlobUnknown)
		for _, from := range []registry.MountSource{
			{}, {Repository: repo},
			{Repository: repo, Allowed: func(context.Context, string) bool { return false }},
			{Allowed: func(context.Context, string) bool { return false }},
			{Repository: "../" + repo, Allowed: func(context.Context, string) bool { return true }},
			{Repository: "p2/other", Allowed: func(context.Context, string) bool { return true }},
		} {
			_, err = h.MountBlob(h.ctx, "p2/other", d, from)
			h.code(err, registry.CodeBlobUnknown)
		}
		// To know the digest is not to have the bytes.
		id := h.start("p2/other")
		h.code(h.finish("p2/other", id, "secret"), registry.CodeDigestInvalid)
		h.audit()
	})
}

// The first of several readers goes away while all of them wait for the same bytes: the others get them.
func TestFirstReaderGoesAway(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		store := memory.New(memory.Options{})
		h := newHub(t, open(t), store, local.Options{})
		h.blobs(repo, "small")
		reached, release := store.Faults().Block(memory.Open, 1)
		ctx, cancel := context.WithCancel(h.ctx)
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { _, err := h.Blob(ctx, repo, digest.FromString("small")); first <- err }()
		<-reached
		go func() { _, err := h.read(repo, digest.FromString("small")); second <- err }()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the first one got %v", err)
		}
		h.must(<-second)
		release()
	})
}

// A repository is deleted while something of it is being loaded: it is not remembered.
func TestDeletedWhileLoading(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		store := memory.New(memory.Options{})
		h := newHub(t, open(t), store, local.Options{})
		h.blobs(repo, "small")
		reached, release := store.Faults().Block(memory.Open, 1)
		done := make(chan error, 1)
		go func() { _, err := h.read(repo, digest.FromString("small")); done <- err }()
		<-reached
		h.must(h.db.Write(h.ctx, func(tx *db.Tx) error { return h.DeleteRepository(tx, repo) }))
		release()
		<-done
		_, err := h.read(repo, digest.FromString("small"))
		h.code(err, registry.CodeNameUnknown)
	})
}

// F-02: whoever reads a tag while it moves, and while what it pointed at is deleted, gets the old manifest or the new.
func TestReadersOfAMovingTag(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := newHub(t, open(t), memory.New(memory.Options{}), local.Options{ManifestCacheBytes: 1})
		h.blobs(repo, "config", "0", "1", "2")
		images := []registry.ManifestPut{manifest("config", "0"), manifest("config", "1"), manifest("config", "2")}
		h.push(repo, tagged(images[0], "latest"))
		stop, done := make(chan struct{}), make(chan error, 2)
		for range 2 {
			go func() {
				for {
					select {
					case <-stop:
						done <- nil
						return
					default:
					}
					m, err := h.Manifest(h.ctx, repo, registry.Reference{Tag: "latest"}, false)
					if err != nil {
						done <- err
						return
					}
					if digest.FromBytes(m.Payload) != m.Digest {
						done <- errors.New("half a manifest")
						return
					}
				}
			}()
		}
		for i := range 60 {
			old := images[i%3]
			h.push(repo, tagged(images[(i+1)%3], "latest"))
			h.must(h.DeleteManifest(h.ctx, repo, old.Digest))
		}
		close(stop)
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestAllocations pins what a warm pull allocates.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates, too: only that it runs is checked")
	}
	h := newHub(t, dbtest.SQLite(t)(t), openDisk(t), local.Options{})
	p := h.image(repo, "latest", "config", large("layer"))
	small, big := digest.FromString("config"), digest.FromString(large("layer"))
	for _, c := range []struct {
		name string
		most float64
		run  func() error
	}{
		{"manifest by tag", 0, func() error {
			_, err := h.Manifest(h.ctx, repo, registry.Reference{Tag: "latest"}, true)
			return err
		}},
		{"manifest by digest", 0, func() error {
			_, err := h.Manifest(h.ctx, repo, registry.Reference{Digest: p.Digest}, true)
			return err
		}},
		{"HEAD blob", 0, func() error { _, err := h.StatBlob(h.ctx, repo, big, true); return err }},
		{"small blob", 2, func() error { return readBlob(h.Blob(h.ctx, repo, small)) }},
		{"large blob", 9, func() error { return readBlob(h.Blob(h.ctx, repo, big)) }},
	} {
		h.must(c.run())
		got := testing.AllocsPerRun(100, func() { h.must(c.run()) })
		t.Logf("%s: %.0f", c.name, got)
		if got > c.most && !raceEnabled {
			t.Errorf("%s: %.0f allocations, want at most %.0f", c.name, got, c.most)
		}
	}
}
