//go:build crash && linux

package crash

import (
	"context"
	"net/http"
	"slices"
)

// audit asks the hub, at rest, for everything that was ever written to and compares it with the history.
func (r *run) audit() {
	ctx := context.Background()
	c := r.client()
	whole := map[string]bool{} // blobs that were read to the end
	blobIs := func(repo string, d descriptor) bool {
		key := blobOf(repo, d.Digest)
		if !whole[key] {
			a := c.getBlob(ctx, repo, d.Digest)
			whole[key] = a.status == http.StatusOK && a.is(d.Digest) && (d.Size == 0 || len(a.body) == d.Size)
		}
		return whole[key]
	}
	now := r.history.now()
	for _, register := range r.sorted("tag") {
		_, repo, tag := split(register)
		a := c.getManifest(ctx, repo, tag)
		d := a.header.Get("Docker-Content-Digest")
		if (a.status != http.StatusNotFound && a.status != http.StatusOK) || (a.status == http.StatusOK && !a.is(d)) {
			r.violation("I2: %s: %v, digest in the header %q, of the body %s", register, a, d, digestOf(a.body))
		}
		if !r.history.possible(register, d, now, now) {
			r.violation("I2: %s is %q in the end, which it cannot be\n%s", register, d, r.history.tell(register))
		}
	}
	for _, register := range r.sorted("manifest") {
		_, repo, d := split(register)
		a := c.getManifest(ctx, repo, d)
		value := here
		if a.status == http.StatusNotFound {
			value = absent
		}
		if !r.history.possible(register, value, now, now) {
			r.violation("I1: %s is %q in the end, which it cannot be\n%s", register, value, r.history.tell(register))
		}
		if value == absent {
			continue
		}
		if a.status != http.StatusOK || !a.is(d) {
			r.violation("I1: %s: %v, the body has %s", register, a, digestOf(a.body))
			continue
		}
		refs, err := references(a.body)
		if err != nil {
			r.violation("I1: %s: %v", register, err)
		}
		for _, b := range refs.blobs {
			if !blobIs(repo, b) {
				r.violation("I3: %s is there, its blob %s is not\n%s", register, b.Digest, r.history.tell(blobOf(repo, b.Digest)))
			}
		}
		for _, child := range refs.children {
			key := manifestOf(repo, child.Digest)
			if a := c.getManifest(ctx, repo, child.Digest); !a.is(child.Digest) && !r.history.possible(key, absent, now, now) {
				r.violation("I3: %s is there, its child %s is not: %v\n%s", register, child.Digest, a, r.history.tell(key))
			}
		}
	}
	for _, register := range r.sorted("blob") {
		_, repo, d := split(register)
		value := absent
		if blobIs(repo, descriptor{Digest: d}) {
			value = here
		} else if a := c.getBlob(ctx, repo, d); a.status != http.StatusNotFound {
			r.violation("I1: %s is neither whole nor absent: %v", register, a)
		}
		if !r.history.possible(register, value, now, now) {
			r.violation("I1: %s is %q in the end, which it cannot be\n%s", register, value, r.history.tell(register))
		}
	}
}

func (r *run) sorted(kind string) []string {
	all := r.history.registers(kind)
	slices.Sort(all)
	return all
}
