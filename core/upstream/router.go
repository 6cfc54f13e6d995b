package upstream

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/local"
)

// Options are what a Router needs besides the hub's own storage.
type Options struct {
	Store     *store.Store
	Directory *store.Directory
	Endpoints *Endpoints
	// Record writes down a change that was made in a registry behind.
	Record func(tx *db.Tx, e local.Event) error
	Log    *slog.Logger
	// Patience is how long a registry behind may take for anything but the bytes of a blob, Silence how long it may send or
	// take none of those; 0: the defaults.
	Patience, Silence time.Duration
}

// The defaults.
const (
	patience = 20 * time.Second
	silence  = time.Minute
)

// Router is the hub's own storage and the registries behind projects, as one. It embeds the registry that refuses
// everything, so that a verb that is added later is refused until it is written here.
type Router struct {
	registry.Unsupported
	opt   Options
	own   registry.Registry
	key   []byte // of the ids of uploads
	noted *otter.Cache[notedKey, time.Time]
}

var _ registry.Registry = (*Router)(nil)

// New makes a Router in front of the hub's own storage.
func New(own registry.Registry, opt Options) *Router {
	opt.Patience, opt.Silence = cmp.Or(opt.Patience, patience), cmp.Or(opt.Silence, silence)
	r := &Router{opt: opt, own: own, key: make([]byte, 32),
		noted: otter.Must(&otter.Options[notedKey, time.Time]{MaximumSize: notedKept})}
	rand.Read(r.key)
	return r
}

// place is a repository of a registry behind, for one request.
type place struct {
	opt        *Options
	asked      context.Context // of the request
	project    string
	projectID  string
	repository string // here
	there      string // what it is called behind
	to         *endpoint
}

// patient is a context for one request there that is over soon.
func (p *place) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.opt.Patience)
}

// find returns where a repository is; nil: in the hub.
func (r *Router) find(ctx context.Context, repository string) (*place, error) {
	name, there, mapped := behind(repository)
	p, err := r.opt.Directory.Project(ctx, name)
	switch {
	case core.CodeOf(err) == core.CodeNotFound:
		return nil, nil // the hub's own storage knows what to say
	case err != nil:
		return nil, err
	case p.Registry == "":
		return nil, nil
	case mapped != nil:
		return nil, mapped
	}
	to, err := r.opt.Endpoints.get(ctx, p.Registry)
	if err != nil {
		return nil, err
	}
	return &place{opt: &r.opt, asked: ctx, project: p.Name, projectID: p.ID, repository: repository, there: there, to: to}, nil
}

// Manifest is registry.Reader's. What a manifest refers to is noted.
func (r *Router) Manifest(ctx context.Context, repo string, ref registry.Reference, keep bool) (*registry.Manifest, error) {
	p, err := r.find(ctx, repo)
	switch {
	case err != nil:
		return nil, err
	case p == nil:
		return r.own.Manifest(ctx, repo, ref, keep)
	case ref.Digest != "":
		if _, err := registry.ParseDigest(string(ref.Digest)); err != nil {
			return nil, err
		}
	}
	short, cancel := p.patient(ctx)
	defer cancel()
	m, err := p.to.Manifest(short, p.there, ref, keep)
	if err != nil {
		return nil, p.reading(short, err)
	}
	r.note(ctx, p, m)
	return m, nil
}

// Blob is registry.Reader's.
func (r *Router) Blob(ctx context.Context, repo string, d digest.Digest) (*registry.Blob, error) {
	p, err := r.find(ctx, repo)
	switch {
	case err != nil:
		return nil, err
	case p == nil:
		return r.own.Blob(ctx, repo, d)
	}
	if _, err := registry.ParseDigest(string(d)); err != nil {
		return nil, err
	}
	return p.blob(d)
}

// StatBlob is registry.Reader's.
func (r *Router) StatBlob(ctx context.Context, repo string, d digest.Digest, keep bool) (int64, error) {
	p, err := r.find(ctx, repo)
	switch {
	case err != nil:
		return 0, err
	case p == nil:
		return r.own.StatBlob(ctx, repo, d, keep)
	}
	if _, err := registry.ParseDigest(string(d)); err != nil {
		return 0, err
	}
	short, cancel := p.patient(ctx)
	defer cancel()
	size, err := p.to.StatBlob(short, p.there, d, keep)
	return size, p.reading(short, err)
}

// Repositories is registry.Lister's: of the hub alone. A registry behind lists its own to those who may see them there.
func (r *Router) Repositories(ctx context.Context, q registry.RepositoryQuery) (registry.Page, error) {
	return r.own.Repositories(ctx, q)
}

// Tags is registry.Lister's.
func (r *Router) Tags(ctx context.Context, repo, after string, n int) (registry.Page, error) {
	p, err := r.find(ctx, repo)
	switch {
	case err != nil:
		return registry.Page{}, err
	case p == nil:
		return r.own.Tags(ctx, repo, after, n)
	}
	short, cancel := p.patient(ctx)
	defer cancel()
	page, err := p.to.Tags(short, p.there, after, n)
	return page, p.reading(short, err)
}

// Referrers is registry.Lister's.
func (r *Router) Referrers(ctx context.Context, repo string, d digest.Digest, q registry.ReferrerQuery) (registry.ReferrerPage, error) {
	p, err := r.find(ctx, repo)
	switch {
	case err != nil:
		return registry.ReferrerPage{}, err
	case p == nil:
		return r.own.Referrers(ctx, repo, d, q)
	}
	if _, err := registry.ParseDigest(string(d)); err != nil {
		return registry.ReferrerPage{}, err
	}
	short, cancel := p.patient(ctx)
	defer cancel()
	page, err := p.to.Referrers(short, p.there, d, q)
	return page, p.reading(short, err)
}

// DeleteManifest is registry.Deleter's.
func (r *Router) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	p, err := r.find(ctx, repo)
	switch {
	case err != nil:
		return err
	case p == nil:
		return r.own.DeleteManifest(ctx, repo, d)
	}
	return r.change(p, &local.Event{Kind: local.ManifestDeleted, Digest: d}, func(ctx context.Context) error {
		return p.to.DeleteManifest(ctx, p.there, d)
	})
}

// DeleteTag is registry.Deleter's.
func (r *Router) DeleteTag(ctx context.Context, repo, tag string) error {
	p, err := r.find(ctx, repo)
	switch {
	case err != nil:
		return err
	case p == nil:
		return r.own.DeleteTag(ctx, repo, tag)
	}
	return r.change(p, &local.Event{Kind: local.TagDeleted, Tags: []string{tag}}, func(ctx context.Context) error {
		return p.to.DeleteTag(ctx, p.there, tag)
	})
}

// DeleteBlob is registry.Deleter's.
func (r *Router) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	p, err := r.find(ctx, repo)
	switch {
	case err != nil:
		return err
	case p == nil:
		return r.own.DeleteBlob(ctx, repo, d)
	}
	return r.change(p, &local.Event{Kind: local.BlobDeleted, Digest: d}, func(ctx context.Context) error {
		return p.to.DeleteBlob(ctx, p.there, d)
	})
}

// change makes a change behind and writes it down. That drops what was decided about the repository, here and in other
// processes, before who made the change is answered. Who goes away meanwhile does not keep it from being written.
func (r *Router) change(p *place, e *local.Event, do func(ctx context.Context) error) error {
	short, cancel := p.patient(p.asked)
	defer cancel()
	if err := do(short); err != nil {
		return p.writing(short, err)
	}
	e.ProjectID, e.Repository = p.projectID, p.repository
	return r.opt.Store.DB().Write(context.WithoutCancel(p.asked), func(tx *db.Tx) error { return r.opt.Record(tx, *e) })
}
