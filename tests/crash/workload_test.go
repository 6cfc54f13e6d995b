//go:build crash && linux

package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
)

// worker is one client that changes things.
type worker struct {
	*run
	id     int
	rng    *rand.Rand
	client *client
	serial int
	made   []placed
}

// placed is an image or index that this worker has pushed to a repository.
type placed struct {
	repo string
	manifest
}

func (r *run) worker(id int) *worker {
	return &worker{run: r, id: id, rng: rand.New(rand.NewPCG(r.seed, uint64(id))), client: r.client()}
}

// work does random things until running ends. What has begun is finished.
func (w *worker) work(running context.Context) {
	ctx := context.WithoutCancel(running)
	for running.Err() == nil && w.revived(ctx) {
		switch n := w.rng.IntN(100); {
		case n < 40 || len(w.made) < 2:
			w.pushImage(ctx)
		case n < 55:
			w.retag(ctx)
		case n < 65:
			w.mountImage(ctx)
		case n < 73:
			w.pushIndex(ctx)
		case n < 81:
			w.pullOwn(ctx)
		case n < 86:
			w.deleteTag(ctx)
		case n < 91:
			w.deleteManifest(ctx, w.old())
		default:
			w.tug(ctx)
		}
	}
}

func (w *worker) repo() string { return repoName(w.rng.IntN(repositories)) }
func (w *worker) tag() string  { return fmt.Sprintf("t%d", w.rng.IntN(tags)) }
func (w *worker) old() placed  { return w.made[w.rng.IntN(len(w.made))] }

// size is small most of the time: it is the number of system calls that counts, and sometimes there have to be many.
func (w *worker) size() int {
	if w.rng.IntN(10) == 0 {
		return 1<<20 + w.rng.IntN(1<<20)
	}
	return 2 + w.rng.IntN(100<<10)
}

func (w *worker) name(kind string) string {
	w.serial++
	return fmt.Sprintf("seed %d client %d %s %d", w.seed, w.id, kind, w.serial)
}

// pushImage pushes an image of one layer of its own and one that others have, too.
func (w *worker) pushImage(ctx context.Context) {
	repo := w.repo()
	m := newImage(w.name("image"), newBlob(w.name("layer"), w.size()), w.shared[w.rng.IntN(len(w.shared))])
	if w.putBlobs(ctx, repo, m) {
		w.putManifest(ctx, repo, m)
	}
}

// putBlobs pushes what a repository says it does not have, as clients do.
func (w *worker) putBlobs(ctx context.Context, repo string, m manifest) bool {
	for _, b := range m.blobs {
		e, _ := w.hub.up()
		a := w.client.do(ctx, http.MethodHead, "/v2/"+repo+"/blobs/"+b.digest, nil)
		w.expect(e, "HEAD blob "+repo+"@"+b.digest, a, http.StatusOK, http.StatusNotFound)
		for range tries {
			if a.status == http.StatusOK || !w.revived(ctx) {
				break
			}
			if w.putBlob(ctx, repo, b) {
				a.status = http.StatusOK
			}
		}
		if a.status != http.StatusOK {
			return false
		}
	}
	return true
}

// putManifest pushes a manifest by a random tag or by its digest. All it refers to has been pushed, so that it may be
// refused only if somebody has deleted some of that.
func (w *worker) putManifest(ctx context.Context, repo string, m manifest) {
	ref := m.digest
	effects := []effect{{manifestOf(repo, m.digest), here, ""}}
	if w.rng.IntN(4) > 0 {
		ref = w.tag()
		effects = append(effects, effect{tagOf(repo, ref), m.digest, ""})
	}
	op := w.history.begin(w.id, "put manifest "+repo+" "+ref+" = "+m.digest, effects...)
	e, _ := w.hub.up()
	a := w.client.putManifest(ctx, repo, ref, m)
	op.end(a)
	w.expect(e, op.what, a, http.StatusCreated, http.StatusBadRequest)
	switch a.status {
	case http.StatusCreated:
		if got := a.header.Get("Docker-Content-Digest"); got != m.digest {
			w.violation("I2: %s: acknowledged as %s", op.what, got)
		}
		if w.made = append(w.made, placed{repo, m}); len(w.made) > 40 {
			w.made = w.made[1:]
		}
	case http.StatusBadRequest:
		if a.code() != "MANIFEST_BLOB_UNKNOWN" || !w.someDeleted(repo, m) {
			w.violation("I1: %s was refused, though all it refers to was acknowledged: %v", op.what, a)
		}
	}
}

// someDeleted reports whether anything that m refers to may be gone.
func (w *worker) someDeleted(repo string, m manifest) bool {
	refs, err := references(m.body)
	if err != nil {
		return false
	}
	for _, b := range refs.blobs {
		if w.deletable(blobOf(repo, b.Digest)) {
			return true
		}
	}
	for _, c := range refs.children {
		if w.deletable(manifestOf(repo, c.Digest)) {
			return true
		}
	}
	return false
}

// retag puts an old image under some tag of its repository, or overwrites one.
func (w *worker) retag(ctx context.Context) {
	p := w.old()
	w.putManifest(ctx, p.repo, p.manifest)
}

// mountImage brings an image to another repository without sending its bytes.
func (w *worker) mountImage(ctx context.Context) {
	p, repo := w.old(), w.repo()
	if p.mediaType != mediaManifest || repo == p.repo {
		return
	}
	for _, b := range p.blobs {
		op := w.history.begin(w.id, "mount "+repo+"@"+b.digest+" from "+p.repo, effect{blobOf(repo, b.digest), here, ""})
		e, _ := w.hub.up()
		a := w.client.do(ctx, http.MethodPost, "/v2/"+repo+"/blobs/uploads/?mount="+b.digest+"&from="+p.repo, nil)
		v := a.verdict()
		if a.status == http.StatusAccepted {
			v = refused // it is an upload instead
		}
		op.endAs(v, a)
		w.expect(e, op.what, a, http.StatusCreated, http.StatusAccepted)
		if a.status == http.StatusAccepted {
			if !w.deletable(blobOf(p.repo, b.digest)) {
				w.violation("I1: %s: the blob is not there any more, though nobody has deleted it", op.what)
			}
			w.client.do(ctx, http.MethodDelete, a.header.Get("Location"), nil)
		}
	}
	if w.putBlobs(ctx, repo, p.manifest) {
		w.putManifest(ctx, repo, p.manifest)
	}
}

// pushIndex pushes an index of two images that are already there.
func (w *worker) pushIndex(ctx context.Context) {
	a, b := w.old(), w.old()
	if a.repo == b.repo && a.mediaType == mediaManifest && b.mediaType == mediaManifest {
		w.putManifest(ctx, a.repo, newIndex(w.name("index"), a.manifest, b.manifest))
	}
}

func (w *worker) pullOwn(ctx context.Context) {
	p := w.old()
	w.readDigest(ctx, w.client, p.repo, p.digest)
	w.readTag(ctx, w.client, p.repo, w.tag())
}

func (w *worker) deleteTag(ctx context.Context) {
	repo, tag := w.repo(), w.tag()
	w.remove(ctx, "/v2/"+repo+"/manifests/"+tag, effect{tagOf(repo, tag), absent, ""})
}

// tug pushes an image of a blob that others are deleting at the same moment, or deletes all images of such blobs and the
// blobs. Either the blob is deleted or the image is there, with the blob.
func (w *worker) tug(ctx context.Context) {
	repo, b := repoName(0), w.loose[w.rng.IntN(len(w.loose))]
	if m := newImage(w.name("loose"), b); w.rng.IntN(3) > 0 {
		if w.putBlobs(ctx, repo, m) {
			w.putManifest(ctx, repo, m)
			w.made = slices.DeleteFunc(w.made, func(p placed) bool { return p.digest == m.digest }) // or it would be tagged again
			w.mu.Lock()
			w.tugged = append(w.tugged, placed{repo, m})
			w.mu.Unlock()
		}
		return
	}
	w.mu.Lock()
	all := w.tugged
	w.tugged = nil
	w.mu.Unlock()
	for _, p := range all {
		w.deleteManifest(ctx, p)
	}
	for _, b := range w.loose {
		w.remove(ctx, "/v2/"+repo+"/blobs/"+b.digest, effect{blobOf(repo, b.digest), absent, ""})
	}
}

// deleteManifest deletes a manifest, which takes its tags with it.
func (w *worker) deleteManifest(ctx context.Context, p placed) {
	effects := []effect{{manifestOf(p.repo, p.digest), absent, ""}}
	for n := range tags {
		effects = append(effects, effect{tagOf(p.repo, fmt.Sprintf("t%d", n)), absent, p.digest})
	}
	w.remove(ctx, "/v2/"+p.repo+"/manifests/"+p.digest, effects...)
}

func (w *worker) remove(ctx context.Context, path string, effects ...effect) {
	op := w.history.begin(w.id, "delete "+path, effects...)
	e, _ := w.hub.up()
	a := w.client.do(ctx, http.MethodDelete, path, nil)
	op.end(a)
	w.expect(e, op.what, a, http.StatusAccepted, http.StatusNotFound, http.StatusForbidden)
}
