package gatekeeper

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/gate"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/registry"
)

// maxUsers is how many manifests are asked at a time whether they let a blob be read.
const maxUsers = 32

// emptyJSON is the blob "{}", which stands where something has no config (OCI image specification, "Guidance for an Empty
// Descriptor"). Everybody has it.
const emptyJSON = digest.Digest("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")

// blob decides whether a blob of a repository may be read by somebody who may pull and no more: if a manifest there refers
// to it that may be. Content of trust artifacts may be read as long as nothing else refers to it: the config of a refused
// image is JSON too, and anybody can list it in something that looks like a signature.
func (k *Keeper) blob(ctx context.Context, now *material, repo string, d digest.Digest) (*verdict, error) {
	kept := k.verdicts(repo)
	if v := kept.find(&kept.blobs, d, now, k); v != nil {
		return v, nil
	}
	bound, told, cancel := now.bounded(ctx)
	defer cancel()
	v, err := k.decideBlob(bound, now, repo, d)
	if err == nil {
		kept.keep(&kept.blobs, d, v)
	}
	return v, told(err)
}

func (k *Keeper) decideBlob(ctx context.Context, now *material, repo string, d digest.Digest) (*verdict, error) {
	s := search{Keeper: k, material: now, repository: repo, blob: d}
	content := d == emptyJSON
	if !content {
		v, err := s.run(ctx)
		if v != nil || err != nil {
			return v, err
		}
		content = s.content
	}
	if content {
		var err error
		if content, err = k.trustContent(ctx, repo, d); err != nil {
			return nil, err
		}
	}
	if s.refused != nil && !content {
		return s.refused, nil
	}
	in := gate.Input{Repository: repo, Digest: string(d), Host: k.opt.Host, Policies: now.policies, Registered: now.registered, TrustArtifact: content}
	return k.decided(in, now, content), nil
}

// admit remembers that the blobs of a manifest may be read, because who pulls it asks for them next.
func (k *Keeper) admit(kept *verdicts, v *verdict, parsed *registry.ParsedManifest) {
	if !v.Allowed() || v.trust || trust.Classify(parsed) != trust.ShapeNone {
		return
	}
	for _, b := range parsed.Blobs() {
		kept.keep(&kept.blobs, b.Digest, v)
		k.hints.Set(hint{v.Repository, b.Digest}, digest.Digest(v.Digest))
	}
}

// hint is a blob of a repository. What let it be read last is asked first the next time: between the manifest and the
// layers of one pull others push, which ends all verdicts, and a base layer has more users than are looked at.
type hint struct {
	repository string
	blob       digest.Digest
}

// askHint asks the manifest that last let a blob be read. nil: there is none, or it does not any more.
func (k *Keeper) askHint(ctx context.Context, now *material, repo string, d digest.Digest) (*verdict, error) {
	user, ok := k.hints.GetIfPresent(hint{repo, d})
	if !ok {
		return nil, nil
	}
	m, err := k.next.Manifest(ctx, repo, registry.Reference{Digest: user}, false)
	if registry.CodeOf(err) == registry.CodeManifestUnknown {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v, err := k.manifest(ctx, question{material: now, repository: repo, manifest: m})
	if err != nil || !v.Allowed() || v.trust {
		return nil, err
	}
	return v, nil
}
