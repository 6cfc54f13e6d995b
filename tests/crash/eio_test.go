//go:build crash && linux

package crash

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
)

// TestF03SyncFails lets one fsync fail, as it does on a disk that is about to die. After that the kernel may have thrown
// away what it could not write and says so only once: a second fsync succeeds and proves nothing. So the request fails,
// nothing of it is to be seen, the hub says that it is not ready and takes nothing more until it is restarted.
func TestF03SyncFails(t *testing.T) {
	for name, paths := range map[string]func(data, location, digest string) []string{
		"of the upload": func(data, location, _ string) []string {
			return []string{filepath.Join(data, "blobs", "uploads", filepath.Base(location))}
		},
		"of the directory": func(data, _, digest string) []string {
			return []string{filepath.Join(data, "blobs", "sha256", digest[7:9])}
		},
		"of the new directory": func(data, _, digest string) []string {
			return []string{filepath.Join(data, "blobs", "sha256")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newSick(t)
			location, a := f.client.startUpload(f.ctx, f.repo)
			if location == "" {
				t.Fatal(a)
			}
			b := f.fresh("lost", filepath.Join(f.hub.data, "blobs", "sha256"))
			detach := f.hub.attach("fsync:error=EIO:when=1", paths(f.hub.data, location, b.digest)...)
			a = f.client.finishUpload(f.ctx, location, b.bytes(), b.digest)
			detach()
			if a.status/100 != 5 {
				t.Errorf("F-03: the sync failed, the answer is %v", a)
			}
			f.notReady()
			for range 3 { // the disk is well again, but the hub cannot know what is lost
				if a := f.client.putBlob(f.ctx, f.repo, newBlob("after", 1000)); a.status/100 != 5 {
					t.Errorf("F-03: the next push: %v", a)
				}
			}
			if a := f.client.getBlob(f.ctx, f.repo, b.digest); a.status != http.StatusNotFound {
				t.Errorf("F-03: the blob that was not stored: %v", a)
			}
			f.notReady()
			f.well(b)
		})
	}
}

// TestF03DatabaseSyncFails is the same for the database's log. SQLite writes the same frames once more in its next
// transaction, so that the hub may go on; but what failed was not acknowledged, and what was is there.
func TestF03DatabaseSyncFails(t *testing.T) {
	f := newSick(t)
	wal := filepath.Join(f.hub.data, "hallmark.db-wal")
	lost := newArtifact(newBlob("healthy", 5000))
	for i := range 5 {
		detach := f.hub.attach("fsync:error=EIO", wal)
		a := f.client.putManifest(f.ctx, f.repo, fmt.Sprint("lost-", i), lost)
		blob := f.client.putBlob(f.ctx, f.repo, newBlob(fmt.Sprint("lost", i), 1000))
		detach()
		for what, a := range map[string]answer{"PUT manifest": a, "PUT blob": blob} {
			if a.status/100 != 5 {
				t.Errorf("F-03: the database's sync failed, the answer to %s is %v", what, a)
			}
		}
		if got := f.client.getManifest(f.ctx, f.repo, fmt.Sprint("lost-", i)); got.status != http.StatusNotFound {
			t.Errorf("F-03: the tag that was not stored: %v", got)
		}
		if a := f.client.putManifest(f.ctx, f.repo, fmt.Sprint("kept-", i), lost); a.status == http.StatusCreated {
			f.kept = append(f.kept, fmt.Sprint("kept-", i))
		} else if a.status/100 != 5 {
			t.Errorf("F-03: after the database's sync failed: %v", a)
		}
	}
	t.Logf("after a failed sync of the database %d of 5 pushes were taken, /readyz says %d", len(f.kept)-1, f.hub.ready())
	f.well(newBlob("lost0", 1000))
}

// sick is a hub with an image that has to survive what is done to its disk.
type sick struct {
	*testing.T
	ctx    context.Context
	hub    *hub
	client *client
	repo   string
	kept   []string // tags that were acknowledged
}

func newSick(t *testing.T) *sick {
	t.Helper()
	strace(t)
	h := newHub(t)
	h.start()
	f := &sick{T: t, ctx: context.Background(), hub: h, client: newClient(h), repo: "library/sick", kept: []string{"healthy"}}
	if a := f.client.putImage(f.ctx, f.repo, "healthy", newArtifact(newBlob("healthy", 5000))); a.status != http.StatusCreated {
		t.Fatal(a)
	}
	return f
}

// fresh makes a blob whose directory in the store is not there yet.
func (f *sick) fresh(name, root string) blob {
	f.Helper()
	for i := range 1000 {
		b := newBlob(fmt.Sprint(name, i), 100_000)
		if found, err := filepath.Glob(filepath.Join(root, b.digest[7:9])); err == nil && len(found) == 0 {
			return b
		}
	}
	f.Fatal("all directories are there")
	return blob{}
}

func (f *sick) notReady() {
	f.Helper()
	if got := f.hub.ready(); got != http.StatusServiceUnavailable {
		f.Errorf("F-03: /readyz says %d after a failed sync", got)
	}
}

// well restarts the hub: what was acknowledged is there, and what failed can be pushed.
func (f *sick) well(lost blob) {
	f.Helper()
	f.hub.kill()
	f.hub.start()
	for _, tag := range f.kept {
		if err := f.client.pull(f.ctx, f.repo, tag); err != nil {
			f.Errorf("I1: %v", err)
		}
	}
	if a := f.client.putImage(f.ctx, f.repo, "again", newArtifact(lost)); a.status != http.StatusCreated {
		f.Errorf("F-03: after a restart: %v", a)
	}
	if err := f.client.pull(f.ctx, f.repo, "again"); err != nil {
		f.Errorf("I1: %v", err)
	}
	f.hub.stop()
	f.hub.auditStore(f.Errorf)
	f.hub.auditAged(f.Errorf)
}
