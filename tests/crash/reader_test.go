//go:build crash && linux

package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
)

// read pulls at random until running ends and holds each answer against the history.
func (r *run) read(running context.Context, id int) {
	ctx := context.WithoutCancel(running)
	rng := rand.New(rand.NewPCG(r.seed, uint64(1000+id)))
	c := r.client()
	for running.Err() == nil && r.revived(ctx) {
		if known := r.history.registers("manifest"); len(known) > 0 && rng.IntN(3) == 0 {
			_, repo, d := split(known[rng.IntN(len(known))])
			r.readDigest(ctx, c, repo, d)
			continue
		}
		r.readTag(ctx, c, repoName(rng.IntN(repositories)), fmt.Sprintf("t%d", rng.IntN(tags)))
	}
}

// readTag is I2: a tag leads to one whole digest that it may have had during the request, or to nothing if it may have
// been absent.
func (r *run) readTag(ctx context.Context, c *client, repo, tag string) {
	a, d, from, to, ok := r.get(ctx, c, repo, tag)
	if !ok {
		return
	}
	if register := tagOf(repo, tag); !r.history.possible(register, d, from, to) {
		r.violation("I2: %s answered %q between ticks %d and %d, which it could not be\n%s", register, d, from, to, r.history.tell(register))
	}
	if d != absent {
		r.readClosure(ctx, c, repo, d, a.body)
	}
}

// readDigest is I1 seen from outside: a manifest is there, or may have been deleted.
func (r *run) readDigest(ctx context.Context, c *client, repo, digest string) {
	a, d, from, to, ok := r.get(ctx, c, repo, digest)
	if !ok {
		return
	}
	value := here
	if d == absent {
		value = absent
	}
	if register := manifestOf(repo, digest); !r.history.possible(register, value, from, to) {
		r.violation("I1: %s was %q between ticks %d and %d, which it could not be\n%s", register, value, from, to, r.history.tell(register))
	}
	if d != absent {
		r.readClosure(ctx, c, repo, d, a.body)
	}
}

// get reads a manifest and its digest, which is empty if there is none. It is not ok if the answer says nothing: the hub
// was killed, or the answer has been reported already.
func (r *run) get(ctx context.Context, c *client, repo, ref string) (a answer, digest string, from, to int64, ok bool) {
	from = r.history.now()
	before, up := r.hub.up()
	a = c.getManifest(ctx, repo, ref)
	after, _ := r.hub.up()
	to = r.history.now()
	d := a.header.Get("Docker-Content-Digest")
	switch {
	case a.err != nil:
		if up && before == after {
			r.violation("I2: %s/%s: %v, though the hub was up", repo, ref, a)
		}
		return a, "", from, to, false
	case a.status == http.StatusNotFound:
		return a, absent, from, to, true
	case a.status == http.StatusTooManyRequests:
		return a, "", from, to, false
	case a.status != http.StatusOK:
		r.violation("I2: %s/%s: %v", repo, ref, a)
		return a, "", from, to, false
	case !a.is(d):
		r.violation("I2: %s/%s: the header says %s, the body has %s", repo, ref, d, digestOf(a.body))
		return a, "", from, to, false
	}
	return a, d, from, to, true
}

// readClosure is I3: who gets a manifest gets its blobs. They can only go after the manifest has gone.
func (r *run) readClosure(ctx context.Context, c *client, repo, digest string, body []byte) {
	refs, err := references(body)
	if err != nil {
		r.violation("I2: %s@%s: %v", repo, digest, err)
		return
	}
	for _, b := range refs.blobs {
		before, up := r.hub.up()
		a := c.getBlob(ctx, repo, b.Digest)
		after, _ := r.hub.up()
		switch {
		case a.err != nil:
			if up && before == after {
				r.violation("I3: blob %s@%s: %v, though the hub was up", repo, b.Digest, a)
			}
			return
		case a.status == http.StatusOK && a.is(b.Digest) && len(a.body) == b.Size:
		case a.status == http.StatusTooManyRequests:
			return
		case a.status == http.StatusNotFound && r.deletable(manifestOf(repo, digest)) && r.deletable(blobOf(repo, b.Digest)):
			return
		default:
			r.violation("I3: manifest %s@%s is there, its blob %s is not: %v, %d bytes of %d", repo, digest, b.Digest, a, len(a.body), b.Size)
			return
		}
	}
}
