//go:build crash && linux

package crash

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// tries is how often a client begins again after the hub was killed under it.
const tries = 8

// putBlob makes sure that a repository has a blob, in one of the ways the specification has, and reports whether it was
// told so.
func (w *worker) putBlob(ctx context.Context, repo string, b blob) bool {
	ways := []func(context.Context, string, blob) answer{w.putInOne, w.client.putBlob, w.putInChunks}
	way := w.rng.IntN(len(ways))
	op := w.history.begin(w.id, fmt.Sprintf("put blob %s@%s, %d bytes, way %d", repo, b.digest, b.size, way), effect{blobOf(repo, b.digest), here, ""})
	e, _ := w.hub.up()
	a := ways[way](ctx, repo, b)
	op.end(a)
	w.expect(e, op.what, a, http.StatusCreated)
	return a.status == http.StatusCreated
}

// putInOne is a single POST.
func (w *worker) putInOne(ctx context.Context, repo string, b blob) answer {
	return w.client.do(ctx, http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+b.digest, b.bytes())
}

// putInChunks sends a blob in pieces and, whenever the hub was killed meanwhile, asks where it stands and goes on there.
func (w *worker) putInChunks(ctx context.Context, repo string, b blob) answer {
	location, a := w.client.startUpload(ctx, repo)
	if location == "" {
		return a
	}
	u := &upload{worker: w, repo: repo, blob: b, data: b.bytes(), location: location}
	for range tries {
		a = u.advance(ctx)
		if u.over || !w.revived(ctx) {
			break
		}
	}
	return a
}

// upload is one upload in chunks, across restarts of the hub.
type upload struct {
	*worker
	repo     string
	blob     blob
	data     []byte
	location string
	acked    int  // bytes the hub has said it has
	sent     int  // bytes it may have
	closing  bool // the last request has been sent, so the upload may be over
	over     bool // there is an answer to it
}

// advance goes on until the blob is there or something breaks.
func (u *upload) advance(ctx context.Context) answer {
	if u.sent > 0 || u.closing {
		if a := u.resume(ctx); a.status != http.StatusNoContent {
			return a
		}
	}
	for u.acked < len(u.data) {
		end := min(len(u.data), u.acked+2+u.rng.IntN(1+len(u.data)/2))
		u.sent = max(u.sent, end)
		e, _ := u.hub.up()
		a := u.client.do(ctx, http.MethodPatch, u.location, u.data[u.acked:end],
			header("Content-Range", fmt.Sprintf("%d-%d", u.acked, end-1)))
		if a.status != http.StatusAccepted {
			u.over = a.status != 0
			u.expect(e, "PATCH "+u.location, a, http.StatusAccepted)
			return a
		}
		if got := offset(a); got != end {
			u.violation("I1: %s has %d bytes after chunk %d-%d was acknowledged", u.location, got, u.acked, end-1)
		}
		u.acked = end
	}
	u.closing = true
	a := u.client.finishUpload(ctx, u.location, nil, u.blob.digest)
	u.over = a.status != 0
	return a
}

// resume asks where the upload stands. What was acknowledged is still there after kill -9, unless the upload is over.
func (u *upload) resume(ctx context.Context) answer {
	e, _ := u.hub.up()
	a := u.client.do(ctx, http.MethodGet, u.location, nil)
	switch {
	case a.status == http.StatusNoContent:
		got := offset(a)
		if got > u.sent || (got < u.acked && !u.closing) {
			u.violation("I1: %s of %s stands at %d: %d bytes were acknowledged, %d sent", u.location, u.repo, got, u.acked, u.sent)
		}
		u.acked = got
	case a.status == http.StatusNotFound && u.closing:
		// Over, so the blob has to be there, unless somebody has deleted it.
		u.over = true
		found := u.client.do(ctx, http.MethodHead, "/v2/"+u.repo+"/blobs/"+u.blob.digest, nil)
		register := blobOf(u.repo, u.blob.digest)
		switch {
		case found.status == http.StatusOK:
			return answer{status: http.StatusCreated}
		case found.status == http.StatusNotFound && !u.deletable(register):
			u.violation("I1: upload %s is over, but %s does not have blob %s\n%s", u.location, u.repo, u.blob.digest, u.history.tell(register))
		}
		return answer{err: fmt.Errorf("after the upload had ended: %v", found)}
	default:
		u.expect(e, "GET "+u.location, a, http.StatusNoContent)
	}
	return a
}

// deletable reports whether somebody has tried to delete what a register stands for, however that ended.
func (r *run) deletable(register string) bool {
	r.history.mu.Lock()
	defer r.history.mu.Unlock()
	for _, w := range r.history.regs[register] {
		if w.value == absent && w.verdict != refused {
			return true
		}
	}
	return false
}

// offset reads how many bytes an upload has. "0-0" is how an empty one is told; no chunk here is of one byte.
func offset(a answer) int {
	_, last, _ := strings.Cut(a.header.Get("Range"), "-")
	n, err := strconv.Atoi(last)
	if err != nil || n == 0 {
		return 0
	}
	return n + 1
}

// revived waits until a hub is up again. It is false when none will be.
func (r *run) revived(ctx context.Context) bool {
	return poll(ctx, startTime+time.Minute, func() bool { _, up := r.hub.up(); return up })
}
