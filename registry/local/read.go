package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/maypok86/otter/v2"
	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob"
)

// manifestLink is a manifest as one repository has it.
type manifestLink struct {
	manifest registry.Manifest
	lease    atomic.Int64 // microseconds
}

// blobLink is a blob as one repository has it.
type blobLink struct {
	key   string
	size  int64
	lease atomic.Int64 // microseconds
}

// cached reads through a cache, and past it when it may not be believed. load's errors are never kept. It is a method
// expression, because a method value would be allocated for every warm read.
func cached[V any](ctx context.Context, l *Registry, c *otter.Cache[linkKey, V], k linkKey, load func(*Registry, context.Context, linkKey) (V, error)) (V, error) {
	if c == nil || !l.db.Fresh() {
		return load(l, ctx, k)
	}
	if v, ok := c.GetIfPresent(k); ok {
		return v, nil
	}
	return c.Get(ctx, k, otter.LoaderFunc[linkKey, V](func(ctx context.Context, k linkKey) (V, error) { return load(l, ctx, k) }))
}

// Manifest implements registry.Reader.
func (l *Registry) Manifest(ctx context.Context, repo string, ref registry.Reference, keep bool) (*registry.Manifest, error) {
	m, err := l.manifest(ctx, repo, ref, keep)
	if err != nil {
		return nil, l.missing(ctx, repo, err, manifestUnknown(repo, ref))
	}
	return &m.manifest, nil
}

// movingTag is how often a tag is followed whose manifest is deleted while it is looked at.
const movingTag = 4

func (l *Registry) manifest(ctx context.Context, repo string, ref registry.Reference, keep bool) (*manifestLink, error) {
	d := ref.Digest
	var m *manifestLink
	var err error
	if d == "" {
		if d, m, err = l.tagged(ctx, l.key(repo, ref.Tag)); err != nil {
			return nil, err
		}
	}
	k := l.key(repo, string(d))
	if m == nil {
		m, err = cached(ctx, l, l.manifests, k, (*Registry).loadManifest)
	}
	if err == nil && keep {
		if err = l.renew(ctx, "manifest_link", repo, d, &m.lease); errors.Is(err, db.ErrNoRows) {
			l.manifests.Invalidate(k)
		}
	}
	// Between the two reads the tag may have moved on, and what it pointed at may be gone: then both are read at once.
	for try := 0; ref.Digest == "" && errors.Is(err, db.ErrNoRows) && try < movingTag; try++ {
		if m, err = l.readManifest(ctx, `l.digest = (SELECT digest FROM tag WHERE repository_id = r.id AND name = $2)`, repo, ref.Tag); err != nil {
			break
		}
		if keep {
			err = l.renew(ctx, "manifest_link", repo, m.manifest.Digest, &m.lease)
		}
	}
	return m, err
}

// missing turns "no row" into what the client is told.
func (l *Registry) missing(ctx context.Context, repo string, err, unknown error) error {
	if errors.Is(err, db.ErrNoRows) {
		return l.exists(ctx, repo, unknown)
	}
	return err
}

// tagged follows a tag. The manifest comes with it if it had to be read for that.
func (l *Registry) tagged(ctx context.Context, k linkKey) (digest.Digest, *manifestLink, error) {
	if l.tags != nil {
		d, err := cached(ctx, l, l.tags, k, (*Registry).loadTag)
		return d, nil, err
	}
	have, _ := l.pointed.GetIfPresent(k)
	if _, ok := l.manifests.GetIfPresent(l.key(k.repo, string(have))); !ok || !l.db.Fresh() {
		have = ""
	}
	d, m, err := l.readTag(ctx, k, have)
	if m != nil {
		l.pointed.Set(k, d)
	}
	return d, m, err
}

func (l *Registry) loadTag(ctx context.Context, k linkKey) (digest.Digest, error) {
	d, _, err := l.readTag(ctx, k, "")
	return d, err
}

// readTag reads what a tag points at, and that manifest in the same statement unless it is the one that the caller has.
func (l *Registry) readTag(ctx context.Context, k linkKey, have digest.Digest) (digest.Digest, *manifestLink, error) {
	seen := l.deletions.Load()
	v := &manifestLink{}
	var d, mediaType, subject *string
	var payload []byte
	var lease *int64
	err := l.db.QueryRow(ctx, `SELECT t.digest, m.media_type, m.payload, m.subject, l.leased_until FROM repository r
		LEFT JOIN tag t ON t.repository_id = r.id AND t.name = $2
		LEFT JOIN manifest_link l ON l.repository_id = r.id AND l.digest = t.digest AND t.digest <> $3
		LEFT JOIN manifest m ON m.digest = l.digest WHERE r.name = $1`, k.repo, k.ref, string(have)).Scan(&d, &mediaType, &payload, &subject, &lease)
	if err != nil {
		return "", nil, err // no row: no repository, or a tag that no row can hold
	}
	if d == nil {
		return "", nil, manifestUnknown(k.repo, registry.Reference{Tag: k.ref})
	}
	at := digest.Digest(*d)
	if mediaType == nil {
		return at, nil, nil
	}
	v.manifest = registry.Manifest{Digest: at, MediaType: *mediaType, Payload: payload}
	if err := v.settle(subject, *lease); err != nil {
		return "", nil, err
	}
	l.keepManifest(linkKey{k.repo, *d, k.epoch}, v, seen)
	return at, v, nil
}

// keepManifest caches a manifest that was read, unless one was deleted since deletions was read: it could be this one.
func (l *Registry) keepManifest(k linkKey, m *manifestLink, seen uint64) {
	if !l.db.Fresh() {
		return
	}
	l.keeping.Lock()
	defer l.keeping.Unlock()
	if l.deletions.Load() == seen {
		l.manifests.Set(k, m)
	}
}

func (l *Registry) loadManifest(ctx context.Context, k linkKey) (*manifestLink, error) {
	return l.readManifest(ctx, `l.digest = $2`, k.repo, k.ref)
}

func (l *Registry) readManifest(ctx context.Context, which, repo, ref string) (*manifestLink, error) {
	v := &manifestLink{}
	var lease int64
	var subject *string
	err := l.db.QueryRow(ctx, `SELECT m.digest, m.media_type, m.payload, m.subject, l.leased_until
		FROM repository r JOIN manifest_link l ON l.repository_id = r.id JOIN manifest m ON m.digest = l.digest
		WHERE r.name = $1 AND `+which, repo, ref).
		Scan(&v.manifest.Digest, &v.manifest.MediaType, &v.manifest.Payload, &subject, &lease)
	if err != nil {
		return nil, err
	}
	return v, v.settle(subject, lease)
}

// settle completes what was read. A manifest is small and read rarely: its bytes are checked whenever they come from the
// database, so that a page gone bad is never served.
func (m *manifestLink) settle(subject *string, lease int64) error {
	if subject != nil {
		m.manifest.Subject = digest.Digest(*subject)
	}
	if got := m.manifest.Digest.Algorithm().FromBytes(m.manifest.Payload); got != m.manifest.Digest {
		return fmt.Errorf("manifest %s in the database has the bytes of %s", m.manifest.Digest, got)
	}
	m.lease.Store(lease)
	return nil
}

// renew gives what a pusher looked at a new lease when more than half of the old one is over.
func (l *Registry) renew(ctx context.Context, table, repo string, d digest.Digest, lease *atomic.Int64) error {
	now := l.db.Micros()
	if lease.Load()-now > l.opt.Lease.Microseconds()/2 {
		return nil
	}
	until := now + l.opt.Lease.Microseconds()
	err := l.db.Write(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(`UPDATE `+table+` SET leased_until = $3 WHERE digest = $2
			AND repository_id = (SELECT id FROM repository WHERE name = $1)`, repo, string(d), until)
		if err == nil && n == 0 {
			err = db.ErrNoRows
		}
		return err
	})
	if err == nil {
		lease.Store(until)
	}
	return err
}

// loadBlob reads a blob and why there is none in one statement, because a push asks first for each blob that it has.
func (l *Registry) loadBlob(ctx context.Context, k linkKey) (*blobLink, error) {
	var key *string
	var size, lease *int64
	err := l.db.QueryRow(ctx, `SELECT b.key, b.size, l.leased_until FROM repository r
		LEFT JOIN blob_link l ON l.repository_id = r.id AND l.digest = $2 LEFT JOIN blob b ON b.digest = l.digest
		WHERE r.name = $1`, k.repo, k.ref).Scan(&key, &size, &lease)
	switch {
	case errors.Is(err, db.ErrNoRows):
		return nil, nameUnknown(k.repo)
	case err != nil:
		return nil, err
	case key == nil:
		return nil, blobUnknown(k.repo, digest.Digest(k.ref))
	}
	v := &blobLink{key: *key, size: *size}
	v.lease.Store(*lease)
	return v, nil
}

func (l *Registry) blob(ctx context.Context, repo string, d digest.Digest) (*blobLink, error) {
	return cached(ctx, l, l.blobs, l.key(repo, string(d)), (*Registry).loadBlob)
}

// StatBlob implements registry.Reader.
func (l *Registry) StatBlob(ctx context.Context, repo string, d digest.Digest, keep bool) (int64, error) {
	b, err := l.blob(ctx, repo, d)
	if err != nil {
		return 0, err
	}
	if keep {
		if err := l.renew(ctx, "blob_link", repo, d, &b.lease); err != nil {
			if errors.Is(err, db.ErrNoRows) {
				l.blobs.Invalidate(l.key(repo, string(d)))
			}
			return 0, l.missing(ctx, repo, err, blobUnknown(repo, d))
		}
	}
	return b.size, nil
}

// Blob implements registry.Reader.
func (l *Registry) Blob(ctx context.Context, repo string, d digest.Digest) (*registry.Blob, error) {
	b, err := l.blob(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	out, err := l.open(ctx, d, b)
	if errors.Is(err, blob.ErrNotFound) {
		// The bytes may have moved to another key since the row was cached: read it once more.
		k := l.key(repo, string(d))
		l.blobs.Invalidate(k)
		if b, err = l.loadBlob(ctx, k); err != nil {
			return nil, err
		}
		out, err = l.open(ctx, d, b)
	}
	if err != nil {
		return nil, fmt.Errorf("blob %s, key %s: %w", d, b.key, err)
	}
	return out, nil
}

func (l *Registry) open(ctx context.Context, d digest.Digest, b *blobLink) (*registry.Blob, error) {
	out := &registry.Blob{Digest: d, Size: b.size}
	if b.size <= smallBlob {
		c, err := l.small(ctx, d, b)
		if err != nil {
			return nil, err
		}
		out.Content = &memoryContent{*bytes.NewReader(c)}
		return out, nil
	}
	var err error
	if registry.MayRedirect(ctx) {
		if out.URL, err = l.store.URL(ctx, b.key, l.opt.RedirectTTL); err != nil || out.URL != "" {
			return out, err
		}
	}
	out.Content, err = l.store.Open(ctx, b.key)
	return out, err
}

// memoryContent is content that needs no closing.
type memoryContent struct{ bytes.Reader }

func (*memoryContent) Close() error { return nil }

// small reads a small blob as a whole, from memory when it was read before. Its bytes are checked on the way in.
func (l *Registry) small(ctx context.Context, d digest.Digest, b *blobLink) ([]byte, error) {
	if c, ok := l.contents.GetIfPresent(b.key); ok {
		return c, nil
	}
	return l.contents.Get(ctx, b.key, otter.LoaderFunc[string, []byte](func(ctx context.Context, key string) ([]byte, error) {
		f, err := l.store.Open(ctx, key)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		c := make([]byte, b.size)
		if _, err := io.ReadFull(f, c); err != nil {
			return nil, err
		}
		if got := d.Algorithm().FromBytes(c); got != d {
			return nil, fmt.Errorf("the store has the bytes of %s there", got)
		}
		return c, nil
	}))
}
