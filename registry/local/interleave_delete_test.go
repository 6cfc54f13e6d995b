package local_test

import (
	"context"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob/memory"
	"github.com/hallmarkhub/hallmark/registry/local"
)

func (r *race) deleteRepository(name string) func() error {
	return func() error {
		return r.db.Write(context.Background(), func(tx *db.Tx) error { return r.DeleteRepository(tx, name) })
	}
}

// TestRepositoryDeletionAgainstPush: a push ends up in a repository that is there, never in between.
func TestRepositoryDeletionAgainstPush(t *testing.T) {
	t.Run("push first", func(t *testing.T) {
		r := newRace(t)
		r.blobs(repo, "config", "layer")
		at := r.stop.at(local.ManifestPushed)
		done := r.begin(r.put(tagged(manifest("config", "layer"), "latest")))
		pushed, deleted := r.behind(r.wait(at, done), done, r.deleteRepository(repo))
		r.must(pushed)
		r.must(deleted)
		_, err := r.Manifest(r.ctx, repo, registry.Reference{Tag: "latest"}, false)
		r.code(err, registry.CodeNameUnknown)
		r.audit()
	})
	for name, push := range map[string]func(r *race, id string) error{
		"a manifest": func(r *race, _ string) error { return r.put(tagged(manifest("config", "layer"), "latest"))() },
		"an upload":  func(r *race, _ string) error { _, err := r.StartUpload(r.ctx, repo, ""); return err },
		"the end of an upload": func(r *race, id string) error {
			_, err := r.FinishUpload(r.ctx, repo, id, 0, &reader{rest: []byte("more"), chunks: closed()}, digest.FromString("more"))
			return err
		},
		"a mount": func(r *race, _ string) error {
			_, err := r.MountBlob(r.ctx, repo, digest.FromString("elsewhere"), registry.MountSource{Repository: "p2/other", Allowed: func(context.Context, string) bool { return true }})
			return err
		},
	} {
		t.Run("deletion before "+name, func(t *testing.T) {
			r := newRace(t)
			r.blobs(repo, "config", "layer")
			r.blobs("p2/other", "elsewhere")
			id := r.start(repo)
			s, done := r.session(func(tx *db.Tx) error { return r.DeleteRepository(tx, repo) })
			deleted, pushed := r.behind(s, done, func() error { return push(r, id) })
			r.must(deleted)
			switch name {
			case "a manifest":
				r.code(pushed, registry.CodeManifestBlobUnknown)
			case "the end of an upload":
				r.code(pushed, registry.CodeBlobUploadUnknown)
			default:
				r.must(pushed)
			}
			r.audit()
		})
	}
}

// TestRepositoryDeletionMidway: who comes while a repository is being deleted waits for that before it locks anything,
// so that the two never stand in a circle. Nobody here looks for circles: one of them would be told of an error.
func TestRepositoryDeletionMidway(t *testing.T) {
	same := tagged(manifest("config", "layer"), "a", "b")
	for name, c := range map[string]struct {
		run  func(r *race, upload string) error
		want registry.Code
	}{
		"the deletion of a manifest": {func(r *race, _ string) error { return r.DeleteManifest(r.ctx, repo, same.Digest) }, registry.CodeNameUnknown},
		"the deletion of a tag":      {func(r *race, _ string) error { return r.DeleteTag(r.ctx, repo, "a") }, registry.CodeNameUnknown},
		"the same push again":        {func(r *race, _ string) error { return r.put(same)() }, registry.CodeManifestBlobUnknown},
		"the end of an upload of what is there": {func(r *race, upload string) error {
			_, err := r.FinishUpload(r.ctx, repo, upload, 0, &reader{rest: []byte("layer"), chunks: closed()}, digest.FromString("layer"))
			return err
		}, registry.CodeBlobUploadUnknown},
		"the end of an upload": {func(r *race, upload string) error {
			_, err := r.FinishUpload(r.ctx, repo, upload, 0, &reader{rest: []byte("more"), chunks: closed()}, digest.FromString("more"))
			return err
		}, registry.CodeBlobUploadUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := db.Open(t.Context(), dbtest.PostgresURL(t)+"&deadlock_timeout=1h", db.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.Close() })
			r := &race{newHub(t, d, memory.New(memory.Options{}), local.Options{}), nil}
			r.blobs(repo, "config", "layer")
			r.push(repo, same)
			id := r.start(repo)
			// The deletion has the repository and the first tag, and waits for the second.
			s, done := r.session(func(tx *db.Tx) error { _, err := tx.Exec(`UPDATE tag SET updated_at = 1 WHERE name = 'b'`); return err })
			deleted := r.begin(r.deleteRepository(repo))
			deletion := halted{r.blockedBy(s.pid), s.release}
			err1, err2 := r.behind(deletion, deleted, func() error { return c.run(r, id) })
			r.must(<-done)
			r.must(err1)
			r.code(err2, c.want)
			r.audit()
		})
	}
}

// blockedBy waits until a connection waits for the one with pid, and returns its pid.
func (r *race) blockedBy(pid int) (waiting int) {
	r.Helper()
	for r.db.QueryRow(r.ctx, `SELECT pid FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))`, pid).Scan(&waiting) != nil {
	}
	return waiting
}

func closed() <-chan string {
	c := make(chan string)
	close(c)
	return c
}
