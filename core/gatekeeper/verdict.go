package gatekeeper

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gate"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/registry"
)

// verdictsKept is how many verdicts of one repository are kept.
const verdictsKept = 20_000

// verdicts are what was decided of a repository since its evidence last changed. Only what may be read is kept: a refusal
// is decided anew each time, so that a signature counts from the moment on in which it is there.
type verdicts struct {
	manifests, blobs sync.Map // digest -> *verdict
	kept             atomic.Int64
}

// verdict is a decision for nobody in particular, with what it rests on.
type verdict struct {
	gate.Decision
	material *material
	trust    bool      // a trust artifact, or a blob of one
	until    time.Time // when the facts have to be asked for again; zero: when they change
}

// decided decides.
func (k *Keeper) decided(in gate.Input, now *material, trust bool) *verdict {
	return decidedAt(in, now, trust, k.store.Now())
}

func decidedAt(in gate.Input, now *material, trust bool, at time.Time) *verdict {
	v := &verdict{Decision: gate.Decide(in, at), material: now, trust: trust}
	if hold := now.facts.hold(); hold > 0 {
		v.until = at.Add(hold)
	}
	return v
}

// holds reports whether a verdict is the one that would be made now, as far as is told.
func (v *verdict) holds(material *material, now time.Time) bool {
	return v.material == material && v.Holds(now) && (v.until.IsZero() || now.Before(v.until))
}

func (v *verdicts) keep(m *sync.Map, d digest.Digest, x *verdict) {
	if !x.Allowed() {
		return
	}
	if _, known := m.Swap(d, x); known {
		return
	}
	if v.kept.Add(1) > verdictsKept {
		v.kept.Add(-1)
		m.Delete(d)
	}
}

func (v *verdicts) find(m *sync.Map, d digest.Digest, now *material, k *Keeper) *verdict {
	x, ok := m.Load(d)
	if !ok {
		return nil
	}
	if x := x.(*verdict); x.holds(now, k.store.Now()) {
		return x
	}
	if m.CompareAndDelete(d, x) {
		v.kept.Add(-1)
	}
	return nil
}

// verdicts of a repository. While other processes' changes are not known, nothing is remembered.
func (k *Keeper) verdicts(repository string) *verdicts {
	if !k.store.DB().Fresh() {
		return &verdicts{}
	}
	if v, ok := k.repositories.GetIfPresent(repository); ok {
		return v
	}
	v, _ := k.repositories.SetIfAbsent(repository, &verdicts{})
	return v
}

// question is one about a manifest.
type question struct {
	material   *material
	repository string
	tag        string
	manifest   *registry.Manifest

	// If the material had to be read, the evidence came along; kept are the verdicts from before that.
	found *store.Found
	kept  *verdicts
}

// question makes one about a manifest, with what holds in its project. Where that has to be read, the evidence is read in
// the same statement, so that the first pull of all asks no more than any other one.
func (k *Keeper) question(ctx context.Context, repository, tag string, m *registry.Manifest) (q question, err error) {
	q = question{repository: repository, tag: tag, manifest: m, material: k.keptMaterial(projectOf(repository))}
	if q.material != nil {
		return q, nil
	}
	q.kept = k.verdicts(repository)
	q.material, q.found, err = k.readMaterialAndEvidence(ctx, repository, m.Digest)
	return q, err
}

func (k *Keeper) readMaterialAndEvidence(ctx context.Context, repository string, d digest.Digest) (m *material, found *store.Found, err error) {
	m, err = k.readMaterial(ctx, projectOf(repository), func(ctx context.Context, p *core.Project) (docs *store.TrustMaterial, err error) {
		if p.Registry != "" {
			return k.store.TrustMaterial(ctx, p)
		}
		docs, found, err = k.store.TrustMaterialAndEvidence(ctx, p, repository, string(d))
		return docs, err
	})
	return m, found, err
}

// manifest decides whether a manifest may be read by somebody who may pull and no more.
func (k *Keeper) manifest(ctx context.Context, q question) (*verdict, error) {
	kept := q.kept
	if kept == nil {
		kept = k.verdicts(q.repository)
	}
	// A policy that only warns can be bound to tags, and then another tag is another answer: those are not kept.
	if v := kept.find(&kept.manifests, q.manifest.Digest, q.material, k); v != nil && (q.tag == "" || !q.material.warns) {
		return v, nil
	}
	bound, told, cancel := q.material.bounded(ctx)
	defer cancel()
	in, parsed, err := k.input(bound, q)
	if err != nil {
		return nil, told(err)
	}
	v := k.decided(in, q.material, in.TrustArtifact)
	if v.Fault != nil {
		k.opt.Log.WarnContext(ctx, "a decision could not look at everything", "repository", q.repository, "digest", q.manifest.Digest, "error", v.Fault)
	}
	if q.tag == "" || !q.material.warns {
		kept.keep(&kept.manifests, q.manifest.Digest, v)
	}
	k.admit(kept, v, parsed)
	return v, nil
}

// input gathers what a decision depends on.
func (k *Keeper) input(ctx context.Context, q question) (gate.Input, *registry.ParsedManifest, error) {
	in := gate.Input{Repository: q.repository, Digest: string(q.manifest.Digest), Host: k.opt.Host, Tag: q.tag,
		Policies: q.material.policies, Registered: q.material.registered, Exceptions: q.material.exceptions}
	parsed, err := k.parse(q.manifest)
	if err != nil {
		return in, parsed, err
	}
	in.Type = typeOf(parsed)
	if in.TrustArtifact, err = k.trustArtifact(ctx, q, parsed); err != nil || in.TrustArtifact {
		return in, parsed, err
	}
	found, err := q.material.facts.evidence(ctx, q.repository, q.manifest.Digest, q.material, q.found)
	if err != nil {
		return in, parsed, err
	}
	in.Evidence, in.Scans, in.Pending = plain(found.Own), found.Scans[in.Digest], found.Pending
	for index, list := range found.Covering {
		in.Indexes = append(in.Indexes, gate.Related{Digest: index, Evidence: plain(list), Scans: found.Scans[index]})
	}
	needs := q.material.policies.Needs(q.repository)
	if needs.Children {
		if in.Children, err = k.children(ctx, q, parsed, maxNesting); err != nil {
			return in, parsed, err
		}
	}
	in.Statement = func(content string) ([]byte, error) { return k.statement(ctx, q.repository, digest.Digest(content)) }
	return in, parsed, nil
}

func plain(list []store.StoredEvidence) []core.Evidence {
	out := make([]core.Evidence, len(list))
	for i := range list {
		out[i] = list[i].Evidence
	}
	return out
}

// maxNesting is how deep indexes are looked into, and maxChildren how many manifests below one.
const (
	maxNesting  = 3
	maxChildren = 1000
)

// children are the manifests that an index lists, nested ones too, with what is said about each. A child that is not there
// is listed without evidence.
func (k *Keeper) children(ctx context.Context, q question, parsed *registry.ParsedManifest, depth int) ([]gate.Related, error) {
	all := []gate.Related{}
	for _, c := range parsed.Children() {
		found, err := q.material.facts.evidence(ctx, q.repository, c.Digest, q.material, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, gate.Related{Digest: string(c.Digest), Runs: runs(&c), Evidence: plain(found.Own), Scans: found.Scans[string(c.Digest)]})
		if registry.ManifestKindOf(c.MediaType) != registry.KindIndex || depth == 1 {
			continue
		}
		m, err := k.next.Manifest(ctx, q.repository, registry.Reference{Digest: c.Digest}, false)
		if registry.CodeOf(err) == registry.CodeManifestUnknown {
			continue
		}
		if err != nil {
			return nil, err
		}
		below, err := k.parse(m)
		if err != nil {
			return nil, err
		}
		nested, err := k.children(ctx, q, below, depth-1)
		if err != nil {
			return nil, err
		}
		if all = append(all, nested...); len(all) > maxChildren {
			return nil, nil // not known, which is refused where it matters
		}
	}
	return all, nil
}

// runs reports whether what an index lists is an image that could be run: builders list attestations for a platform that there
// is none of. Whatever it says of itself here, when it is pulled it is asked for its own scan.
func runs(c *ocispec.Descriptor) bool {
	return registry.ManifestKindOf(c.MediaType) == registry.KindImage && (c.Platform == nil || c.Platform.OS != "unknown")
}

func (k *Keeper) parse(m *registry.Manifest) (*registry.ParsedManifest, error) {
	return registry.ParseManifest(m.MediaType, m.Payload, k.opt.Manifest)
}

// typeOf is what a policy's artifactTypes speak of.
func typeOf(m *registry.ParsedManifest) string {
	switch {
	case registry.ManifestKindOf(m.MediaType) == registry.KindIndex:
		return "index"
	case m.Config == nil:
		return "other"
	}
	switch m.Config.MediaType {
	case "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json":
		return "image"
	case "application/vnd.cncf.helm.config.v1+json":
		return "helm"
	case "application/vnd.wasm.config.v0+json", "application/vnd.wasm.config.v1+json":
		return "wasm"
	}
	return "other"
}

// trustArtifact reports whether a manifest is a signature, attestation or SBOM by its structure and its content.
func (k *Keeper) trustArtifact(ctx context.Context, q question, parsed *registry.ParsedManifest) (bool, error) {
	shape := trust.Classify(parsed)
	switch shape {
	case trust.ShapeNone:
		return false, nil
	case trust.ShapeReferrers:
		if _, _, ok := registry.ParseFallbackTag(q.tag); !ok {
			return false, nil
		}
		return k.membersAreTrust(ctx, q, parsed)
	}
	for _, l := range parsed.Layers {
		if ok, err := k.trustContent(ctx, q.repository, l.Digest); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// membersAreTrust reports whether a list of referrers names trust artifacts alone.
func (k *Keeper) membersAreTrust(ctx context.Context, q question, parsed *registry.ParsedManifest) (bool, error) {
	for _, c := range parsed.Manifests {
		m, err := k.next.Manifest(ctx, q.repository, registry.Reference{Digest: c.Digest}, false)
		if registry.CodeOf(err) == registry.CodeManifestUnknown {
			continue
		}
		if err != nil {
			return false, err
		}
		below, err := k.parse(m)
		if err != nil {
			return false, err
		}
		member := question{material: q.material, repository: q.repository, manifest: m}
		if ok, err := k.trustArtifact(ctx, member, below); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}
