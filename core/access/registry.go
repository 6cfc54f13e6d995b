package access

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
)

// Wrap returns a registry that does of next what the principal of the context may do, and refuses the rest before next
// hears of it. Refusals are CodeUnauthorized where another token could help, else CodeDenied, and are the same for what
// is private and for what does not exist.
func Wrap(next registry.Registry, dir *store.Directory) registry.Registry {
	return &wrapper{next: next, guard: NewGuard(dir), dir: dir}
}

// wrapper embeds the registry that refuses everything, so that a verb that is added later is refused until it is
// written here.
type wrapper struct {
	registry.Unsupported
	next  registry.Registry
	guard *Guard
	dir   *store.Directory
}

var _ registry.Registry = (*wrapper)(nil)

func (w *wrapper) may(ctx context.Context, a core.Action, repo string) error {
	p := core.PrincipalFrom(ctx)
	ok, st, err := w.guard.May(ctx, p, a, repo)
	if err == nil && !ok {
		err = refuse(p, a, repo, st)
	}
	return err
}

// mayRead is may for a pull that the caller wishes to keep content for a push with: only who may push something can.
func (w *wrapper) mayRead(ctx context.Context, repo string, keep bool) (keeps bool, err error) {
	p := core.PrincipalFrom(ctx)
	ok, st, err := w.guard.May(ctx, p, core.ActionPull, repo)
	if err != nil {
		return false, err
	}
	if !ok {
		return false, refuse(p, core.ActionPull, repo, st)
	}
	return keep && Stands(p, core.ActionSign, repo, st), nil
}

func (w *wrapper) Manifest(ctx context.Context, repo string, ref registry.Reference, keep bool) (*registry.Manifest, error) {
	if image := core.PrincipalFrom(ctx).Image; image != nil {
		return w.oneManifest(ctx, image, repo, ref)
	}
	keep, err := w.mayRead(ctx, repo, keep)
	if err != nil {
		return nil, err
	}
	return w.next.Manifest(ctx, repo, ref, keep)
}

func (w *wrapper) Blob(ctx context.Context, repo string, d digest.Digest) (*registry.Blob, error) {
	if image := core.PrincipalFrom(ctx).Image; image != nil {
		if err := w.oneBlob(ctx, image, repo, d); err != nil {
			return nil, err
		}
		return w.next.Blob(ctx, repo, d)
	}
	if err := w.may(ctx, core.ActionPull, repo); err != nil {
		return nil, err
	}
	return w.next.Blob(ctx, repo, d)
}

func (w *wrapper) StatBlob(ctx context.Context, repo string, d digest.Digest, keep bool) (int64, error) {
	if image := core.PrincipalFrom(ctx).Image; image != nil {
		if err := w.oneBlob(ctx, image, repo, d); err != nil {
			return 0, err
		}
		return w.next.StatBlob(ctx, repo, d, false)
	}
	keep, err := w.mayRead(ctx, repo, keep)
	if err != nil {
		return 0, err
	}
	return w.next.StatBlob(ctx, repo, d, keep)
}

func (w *wrapper) Tags(ctx context.Context, repo, after string, n int) (registry.Page, error) {
	if err := w.may(ctx, core.ActionPull, repo); err != nil {
		return registry.Page{}, err
	}
	return w.next.Tags(ctx, repo, after, n)
}

func (w *wrapper) Referrers(ctx context.Context, repo string, d digest.Digest, q registry.ReferrerQuery) (registry.ReferrerPage, error) {
	if err := w.may(ctx, core.ActionPull, repo); err != nil {
		return registry.ReferrerPage{}, err
	}
	return w.next.Referrers(ctx, repo, d, q)
}

func (w *wrapper) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	if err := w.may(ctx, core.ActionDelete, repo); err != nil {
		return err
	}
	return w.next.DeleteManifest(ctx, repo, d)
}

func (w *wrapper) DeleteTag(ctx context.Context, repo, tag string) error {
	if err := w.may(ctx, core.ActionDelete, repo); err != nil {
		return err
	}
	return w.next.DeleteTag(ctx, repo, tag)
}

func (w *wrapper) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	if err := w.may(ctx, core.ActionDelete, repo); err != nil {
		return err
	}
	return w.next.DeleteBlob(ctx, repo, d)
}

func (w *wrapper) MayPush(ctx context.Context, repo string) error {
	if _, err := w.mayWrite(ctx, repo); err != nil {
		return err
	}
	return w.next.MayPush(ctx, repo)
}

func (w *wrapper) PutManifest(ctx context.Context, repo string, put registry.ManifestPut) (*registry.Manifest, error) {
	signOnly, err := w.mayWrite(ctx, repo)
	if err != nil {
		return nil, err
	}
	if signOnly {
		if err := checkTrustArtifact(repo, put); err != nil {
			return nil, err
		}
	}
	return w.next.PutManifest(ctx, repo, put)
}

func (w *wrapper) StartUpload(ctx context.Context, repo string, alg digest.Algorithm) (registry.Upload, error) {
	if _, err := w.mayWrite(ctx, repo); err != nil {
		return registry.Upload{}, err
	}
	return w.next.StartUpload(ctx, repo, alg)
}

func (w *wrapper) Upload(ctx context.Context, repo, id string) (registry.Upload, error) {
	if _, err := w.mayWrite(ctx, repo); err != nil {
		return registry.Upload{}, err
	}
	return w.next.Upload(ctx, repo, id)
}

func (w *wrapper) AppendUpload(ctx context.Context, repo, id string, at int64, r io.Reader) (registry.Upload, error) {
	r, err := w.uploadBody(ctx, repo, id, at, r)
	if err != nil {
		return registry.Upload{}, err
	}
	return w.next.AppendUpload(ctx, repo, id, at, r)
}

func (w *wrapper) FinishUpload(ctx context.Context, repo, id string, at int64, r io.Reader, d digest.Digest) (int64, error) {
	r, err := w.uploadBody(ctx, repo, id, at, r)
	if err != nil {
		return 0, err
	}
	return w.next.FinishUpload(ctx, repo, id, at, r, d)
}

func (w *wrapper) CancelUpload(ctx context.Context, repo, id string) error {
	if _, err := w.mayWrite(ctx, repo); err != nil {
		return err
	}
	return w.next.CancelUpload(ctx, repo, id)
}

// mayWrite is for the verbs that somebody who may only sign needs as well.
func (w *wrapper) mayWrite(ctx context.Context, repo string) (signOnly bool, err error) {
	p := core.PrincipalFrom(ctx)
	ok, st, err := w.guard.May(ctx, p, core.ActionPush, repo)
	if err != nil {
		return false, err
	}
	if !ok && Stands(p, core.ActionSign, repo, st) {
		ok, signOnly = true, true
	}
	switch {
	case !ok:
		return false, refuse(p, core.ActionPush, repo, st)
	case st.Project == nil:
		return false, noSuchProject(repo)
	}
	return signOnly, nil
}

func (w *wrapper) uploadBody(ctx context.Context, repo, id string, at int64, r io.Reader) (io.Reader, error) {
	signOnly, err := w.mayWrite(ctx, repo)
	if err != nil || !signOnly || r == nil {
		return r, err
	}
	if at < 0 {
		u, err := w.next.Upload(ctx, repo, id)
		if err != nil {
			return nil, err
		}
		at = u.Size
	}
	return &boundedReader{r: r, left: maxTrustArtifact - at}, nil
}

// MountBlob: a repository that may not be pulled from is one without the blob, for next and so for the client (V-23).
func (w *wrapper) MountBlob(ctx context.Context, repo string, d digest.Digest, from registry.MountSource) (int64, error) {
	p := core.PrincipalFrom(ctx)
	signOnly, err := w.mayWrite(ctx, repo)
	if err != nil {
		return 0, err
	}
	if signOnly {
		// What is mounted cannot be looked at for its size; the client uploads it instead.
		return 0, registry.NewError(registry.CodeBlobUnknown, "the blob cannot be mounted: upload it")
	}
	var failed error
	from.Allowed = func(ctx context.Context, source string) bool {
		ok, _, err := w.guard.May(ctx, p, core.ActionPull, source)
		if err == nil && !ok && p.Kind != core.KindAnonymous {
			// What everybody may pull needs no scope: clients ask for none when they name no source.
			ok, _, err = w.guard.May(ctx, core.Anonymous(), core.ActionPull, source)
		}
		if err != nil {
			failed = err
		}
		return ok && err == nil
	}
	size, err := w.next.MountBlob(ctx, repo, d, from)
	if err != nil && failed != nil {
		err = failed // that the rights could not be read is not the same as having none
	}
	return size, err
}

func (w *wrapper) Repositories(ctx context.Context, q registry.RepositoryQuery) (registry.Page, error) {
	p := core.PrincipalFrom(ctx)
	if !mayList(p) {
		return registry.Page{}, refuseCatalog(p)
	}
	st, err := w.dir.Self(ctx, p)
	if err != nil {
		return registry.Page{}, err
	}
	if !st.Alive {
		return registry.Page{}, refuseCatalog(p)
	}
	q = registry.RepositoryQuery{After: q.After, N: q.N, Match: both(q.Match, listed(p, st)), All: p.Admin && st.Admin}
	if !q.All {
		q.Public = st.Robot == nil
		if q.Projects, err = w.dir.VisibleProjects(ctx, p); err != nil {
			return registry.Page{}, err
		}
	}
	return w.next.Repositories(ctx, q)
}

// listed says which repositories a credential's grants leave; nil is all of them.
func listed(p *core.Principal, st store.Standing) func(name string) bool {
	switch {
	case st.Robot != nil:
		return func(name string) bool { return covers(st.Robot, core.ActionPull, name) }
	case p.Grants != nil && !p.RegistryToken:
		return func(name string) bool { return covers(p, core.ActionPull, name) }
	}
	return nil
}

func both(a, b func(string) bool) func(string) bool {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(name string) bool { return a(name) && b(name) }
}
