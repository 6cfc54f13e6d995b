package gatekeeper

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gate"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/registry"
)

// Wrap returns the registry behind k as those may read it whom the policies let.
func (k *Keeper) Wrap() registry.Registry { return &gated{Keeper: k} }

// gated embeds the registry that refuses everything, so that a verb that is added later is refused until it is written here.
type gated struct {
	registry.Unsupported
	*Keeper
}

var _ registry.Registry = (*gated)(nil)

// Manifest is decided by digest, whatever was asked for: what a tag was resolved to is what is judged and what is served.
func (g *gated) Manifest(ctx context.Context, repo string, ref registry.Reference, keep bool) (*registry.Manifest, error) {
	m, err := g.next.Manifest(ctx, repo, ref, keep)
	if err != nil {
		return nil, err
	}
	q, err := g.question(ctx, repo, ref.Tag, m)
	if err != nil {
		return nil, err
	}
	if q.material.open {
		return m, nil
	}
	v, err := g.manifest(ctx, q)
	if err != nil {
		return nil, err
	}
	if !v.Allowed() {
		m, err := g.excused(ctx, repo, m, v)
		return m, q.material.explained(ref, err)
	}
	g.noteServed(ctx, &v.Decision)
	if !q.material.warns {
		return m, nil
	}
	return warned(m, v.Warnings(g.link(repo, string(m.Digest)))), nil
}

// excused serves a refused manifest to those who must see it all the same: who pushes and who signs.
func (g *gated) excused(ctx context.Context, repo string, m *registry.Manifest, v *verdict) (*registry.Manifest, error) {
	who, err := g.who(ctx, repo)
	if err != nil {
		return nil, err
	}
	d := v.For(who, gate.AccessManifest)
	if d.Allowed() {
		g.noteServed(ctx, &d)
		return m, nil
	}
	return nil, g.refuse(ctx, &d)
}

// warned is m with what would have refused it. Manifests are shared, so it is a copy.
func warned(m *registry.Manifest, texts []string) *registry.Manifest {
	if len(texts) == 0 {
		return m
	}
	out := *m
	out.Warnings = texts
	return &out
}

func (g *gated) refuse(ctx context.Context, d *gate.Decision) error {
	g.noteRefused(ctx, d)
	type reason struct {
		Policy  string        `json:"policy"`
		Reasons []gate.Reason `json:"reasons"`
	}
	detail := struct {
		Repository string   `json:"repository"`
		Digest     string   `json:"digest"`
		Policies   []reason `json:"policies"`
	}{d.Repository, d.Digest, []reason{}}
	for _, r := range d.Results() {
		if r.Outcome != gate.OutcomeDenied {
			continue
		}
		name := ""
		if r.Policy != nil {
			name = r.Policy.Name()
		}
		detail.Policies = append(detail.Policies, reason{name, r.Reasons})
	}
	return &registry.Error{Code: registry.CodeDenied, Message: d.Message(g.link(d.Repository, d.Digest)), Detail: detail}
}

// who is what exemptions depend on: what the party itself may, whatever its token is good for.
func (k *Keeper) who(ctx context.Context, repo string) (gate.Who, error) {
	p := core.PrincipalFrom(ctx)
	if p.Owner != nil {
		p = p.Owner
	}
	var w gate.Who
	if p.Image != nil && p.Image.Repository == repo { // core/access lets it come no further than its one image
		w.Job = p.Image.Kind
		return w, nil
	}
	if p.Kind == core.KindAnonymous {
		return w, nil
	}
	if p.Kind == core.KindSystem && p.Grants != nil { // the hub's own scanner, which reads its databases: nobody signs those
		w.Job = "scan"
		return w, nil
	}
	var err error
	if w.Push, _, err = k.guard.May(ctx, p, core.ActionPush, repo); err != nil {
		return w, err
	}
	if w.Sign, _, err = k.guard.May(ctx, p, core.ActionSign, repo); err != nil {
		return w, err
	}
	if p.Kind == core.KindRobot {
		w.Robot = p.Name
	}
	return w, nil
}

// Blob is readable if a manifest of the repository refers to it that is.
func (g *gated) Blob(ctx context.Context, repo string, d digest.Digest) (*registry.Blob, error) {
	refused, err := g.judgeBlob(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	if refused != nil {
		return nil, g.refuse(ctx, refused)
	}
	return g.next.Blob(ctx, repo, d)
}

// StatBlob tells those who may push whether a blob is there: their clients ask before each upload.
func (g *gated) StatBlob(ctx context.Context, repo string, d digest.Digest, keep bool) (int64, error) {
	size, err := g.next.StatBlob(ctx, repo, d, keep)
	if err != nil {
		return 0, err
	}
	refused, err := g.judgeBlob(ctx, repo, d)
	if err != nil {
		return 0, err
	}
	if refused == nil {
		return size, nil
	}
	who, err := g.who(ctx, repo)
	if err != nil {
		return 0, err
	}
	if who.Push || who.Sign {
		return size, nil
	}
	return 0, g.refuse(ctx, refused)
}

// judgeBlob returns why a blob may not be read by whoever asks; nil: it may.
func (g *gated) judgeBlob(ctx context.Context, repo string, d digest.Digest) (refused *gate.Decision, err error) {
	now, err := g.material(ctx, projectOf(repo))
	if err != nil || now.open {
		return nil, err
	}
	v, err := g.blob(ctx, now, repo, d)
	if err != nil {
		return nil, err
	}
	if v.Allowed() {
		g.noteServed(ctx, &v.Decision)
		return nil, nil
	}
	who, err := g.who(ctx, repo)
	if err != nil {
		return nil, err
	}
	x := v.For(who, gate.AccessBlob)
	if !x.Allowed() {
		return &x, nil
	}
	g.noteServed(ctx, &x)
	return nil, nil
}

// Referrers lists what whoever asks may read: trust artifacts, and what is trusted.
func (g *gated) Referrers(ctx context.Context, repo string, d digest.Digest, q registry.ReferrerQuery) (registry.ReferrerPage, error) {
	page, err := g.next.Referrers(ctx, repo, d, q)
	if err != nil {
		return page, err
	}
	now, err := g.material(ctx, projectOf(repo))
	if err != nil || now.open {
		return page, err
	}
	who, err := g.who(ctx, repo)
	if err != nil || who.Push || who.Sign {
		return page, err
	}
	var failed error
	page.Manifests = slices.DeleteFunc(slices.Clone(page.Manifests), func(r ocispec.Descriptor) bool {
		m, err := g.next.Manifest(ctx, repo, registry.Reference{Digest: r.Digest}, false)
		if err == nil {
			var v *verdict
			if v, err = g.manifest(ctx, question{material: now, repository: repo, manifest: m}); err == nil {
				return !v.Allowed()
			}
		}
		if registry.CodeOf(err) != registry.CodeManifestUnknown {
			failed = err
		}
		return true
	})
	return page, failed
}

// PutManifest takes whatever may be pushed: it is reading that is decided on. Evidence is read at once, so that who signs
// and pulls finds the signature counted.
func (g *gated) PutManifest(ctx context.Context, repo string, put registry.ManifestPut) (*registry.Manifest, error) {
	parsed, err := registry.ParseManifest(put.MediaType, put.Payload, g.opt.Manifest)
	if err != nil || !trust.Classify(parsed).Evidential() {
		return g.next.PutManifest(ctx, repo, put) // which says what is wrong with it
	}
	if now, err := g.material(ctx, projectOf(repo)); err == nil && now.facts.hold() > 0 {
		return g.next.PutManifest(ctx, repo, put) // what it says is found where it was pushed to
	}
	carrier := put.Digest
	if carrier == "" {
		carrier = digest.FromBytes(put.Payload)
	}
	if err := g.complete(ctx, repo, parsed); err != nil {
		return nil, err
	}
	reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), inlinePatience)
	defer cancel()
	unseen := g.notOurs(reading, repo, carrier, parsed)
	if registry.CodeOf(unseen) == registry.CodeDenied {
		return nil, unseen
	}
	m, err := g.next.PutManifest(ctx, repo, put)
	if err != nil {
		return nil, err
	}
	if err = unseen; err == nil {
		err = g.readEvidence(reading, repo, m.Digest, parsed)
	}
	if err != nil {
		// It stands in the list of what is owed.
		g.opt.Log.WarnContext(ctx, "evidence was pushed and could not be read yet", "repository", repo, "digest", m.Digest, "error", err)
	}
	return m, nil
}

// MountBlob: what may not be read where it lies may not be had by mounting it into a repository where it may.
func (g *gated) MountBlob(ctx context.Context, repo string, d digest.Digest, from registry.MountSource) (int64, error) {
	allowed := from.Allowed
	from.Allowed = func(ctx context.Context, source string) bool {
		if allowed == nil || !allowed(ctx, source) {
			return false
		}
		if source == repo {
			return true
		}
		refused, err := g.judgeBlob(ctx, source, d)
		return err == nil && refused == nil
	}
	return g.next.MountBlob(ctx, repo, d, from)
}

// The rest is not read: rights are core/access's.

func (g *gated) MayPush(ctx context.Context, repo string) error { return g.next.MayPush(ctx, repo) }

func (g *gated) StartUpload(ctx context.Context, repo string, alg digest.Algorithm) (registry.Upload, error) {
	return g.next.StartUpload(ctx, repo, alg)
}

func (g *gated) Upload(ctx context.Context, repo, id string) (registry.Upload, error) {
	return g.next.Upload(ctx, repo, id)
}

func (g *gated) AppendUpload(ctx context.Context, repo, id string, at int64, r io.Reader) (registry.Upload, error) {
	return g.next.AppendUpload(ctx, repo, id, at, r)
}

func (g *gated) FinishUpload(ctx context.Context, repo, id string, at int64, r io.Reader, d digest.Digest) (int64, error) {
	return g.next.FinishUpload(ctx, repo, id, at, r, d)
}

func (g *gated) CancelUpload(ctx context.Context, repo, id string) error {
	return g.next.CancelUpload(ctx, repo, id)
}

func (g *gated) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	return g.next.DeleteManifest(ctx, repo, d)
}

func (g *gated) DeleteTag(ctx context.Context, repo, tag string) error {
	return g.next.DeleteTag(ctx, repo, tag)
}

func (g *gated) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	return g.next.DeleteBlob(ctx, repo, d)
}

func (g *gated) Repositories(ctx context.Context, q registry.RepositoryQuery) (registry.Page, error) {
	return g.next.Repositories(ctx, q)
}

func (g *gated) Tags(ctx context.Context, repo, after string, n int) (registry.Page, error) {
	return g.next.Tags(ctx, repo, after, n)
}

// Explain says why a manifest may be read or not, for people.
func (k *Keeper) Explain(ctx context.Context, repo string, ref registry.Reference) (*gate.Explanation, error) {
	m, err := k.next.Manifest(ctx, repo, ref, false)
	if err != nil {
		return nil, err
	}
	q, err := k.question(ctx, repo, ref.Tag, m)
	if err != nil {
		return nil, err
	}
	in, _, err := k.input(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("explain %s@%s: %w", repo, m.Digest, err)
	}
	x := gate.Explain(in, k.store.Now(), k.link(repo, string(m.Digest)))
	return &x, nil
}
