package upstream

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
)

const (
	// noteAgain is how long a note of a manifest is not renewed when it is read again.
	noteAgain = 10 * time.Minute
	// notedKept is how many manifests of which that is known are kept in mind.
	notedKept = 20_000
	// maxReferences is how many references of one manifest are noted, the first ones.
	maxReferences = 1000
)

type notedKey struct {
	project, repository string
	manifest            digest.Digest
}

// note writes down what a manifest refers to. It is written before who asked has the manifest, because another process may
// be asked for what is in it. Where it cannot be written, what only this manifest would let be read is refused for now.
func (r *Router) note(ctx context.Context, p *place, m *registry.Manifest) {
	key := notedKey{p.projectID, p.repository, m.Digest}
	now := r.opt.Store.Now()
	if at, ok := r.noted.GetIfPresent(key); ok && now.Sub(at) < noteAgain {
		return
	}
	parsed, err := registry.ParseManifest(m.MediaType, m.Payload, registry.ManifestLimits{Payload: len(m.Payload) + 1, Layers: len(m.Payload), Children: len(m.Payload)})
	if err != nil {
		return // remote has parsed it; who decides will as well
	}
	var all []store.Reference
	seen := map[store.Reference]bool{}
	add := func(kind string, d digest.Digest) {
		one := store.Reference{Kind: kind, Target: string(d)}
		if !seen[one] && len(all) < maxReferences {
			seen[one] = true
			all = append(all, one)
		}
	}
	for _, b := range parsed.Blobs() {
		add(store.ReferenceBlob, b.Digest)
	}
	for _, c := range parsed.Children() {
		add(store.ReferenceManifest, c.Digest)
	}
	if err := r.opt.Store.NoteReferences(context.WithoutCancel(ctx), p.projectID, p.repository, string(m.Digest), all); err != nil {
		r.opt.Log.WarnContext(ctx, "what a manifest refers to could not be noted", "repository", p.repository, "digest", m.Digest, "error", err)
		return
	}
	r.noted.Set(key, now)
}
