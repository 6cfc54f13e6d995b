package gatekeeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/registry"
)

// Bounds of what is asked of a registry behind for one decision.
const (
	liveHold     = time.Minute      // what is deleted there behind the hub's back counts that long
	maxListed    = 2_000            // referrers of a digest that are listed
	maxCarriers  = 64               // manifests about a digest that are read: those first that say they are signatures
	maxCovering  = 8                // indexes above a digest, those first that were read through the hub last
	verifiedKept = 5_000            // manifests whose verification is kept, of one project
	livePatience = 25 * time.Second // of one decision
)

// live are facts of a registry behind, found when they are asked for: the referrers of a digest and cosign's tags, each
// verified with one material. What lists or uses a digest no registry can be asked, so that is what was read through the hub.
type live struct {
	*Keeper
	verified sync.Map // carried -> []core.Evidence: of the same bytes and the same keys always the same
	kept     atomic.Int64
}

type carried struct {
	repository string
	carrier    digest.Digest
}

func newLive(k *Keeper) *live { return &live{Keeper: k} }

func (*live) hold() time.Duration { return liveHold }

// users: a blob of which no manifest was read is refused, whatever it is.
func (l *live) users(ctx context.Context, repository string, blob digest.Digest) ([]string, error) {
	all, err := l.store.ReferencedBy(ctx, repository, store.ReferenceBlob, string(blob), maxUsers)
	if err == nil && len(all) == 0 && blob != emptyJSON {
		err = registry.NewError(registry.CodeDenied, "no manifest of "+repository+" that has this blob was pulled through this hub, and the registry behind it "+
			"cannot be asked for one: pull the image, by its tag or digest, and then what is in it")
	}
	return all, err
}

// further: there is nothing more to look through.
func (*live) further(context.Context, search) (*verdict, error) { return nil, nil }

func (l *live) evidence(ctx context.Context, repository string, d digest.Digest, now *material, _ *store.Found) (*store.Found, error) {
	found := &store.Found{Covering: map[string][]store.StoredEvidence{}}
	var err error
	if found.Own, err = l.about(ctx, repository, d, now); err != nil {
		return nil, err
	}
	above, err := l.above(ctx, repository, d)
	if err != nil {
		return nil, err
	}
	for _, index := range above {
		list, err := l.about(ctx, repository, index, now)
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			found.Covering[string(index)] = list
		}
	}
	return found, nil
}

// above are the indexes that list a digest, nested ones too, and that are still there.
func (l *live) above(ctx context.Context, repository string, d digest.Digest) ([]digest.Digest, error) {
	var all []digest.Digest
	seen := map[digest.Digest]bool{d: true}
	level := []digest.Digest{d}
	for range maxNesting {
		var next []digest.Digest
		for _, target := range level {
			indexes, err := l.store.ReferencedBy(ctx, repository, store.ReferenceManifest, string(target), maxCovering)
			if err != nil {
				return nil, err
			}
			for _, i := range indexes {
				index := digest.Digest(i)
				if seen[index] || len(all) == maxCovering {
					continue
				}
				seen[index] = true
				there, err := l.lists(ctx, repository, index, target)
				if err != nil {
					return nil, err
				}
				if there {
					all, next = append(all, index), append(next, index)
				}
			}
		}
		level = next
	}
	return all, nil
}

// lists reports whether an index is there and lists a digest. That it does was read off its bytes once; they are read again
// because a row of the database is no reason to let anything be pulled.
func (l *live) lists(ctx context.Context, repository string, index, d digest.Digest) (bool, error) {
	parsed, err := l.carrier(ctx, repository, index)
	if garbage(err) {
		return false, nil
	}
	if err != nil || parsed == nil {
		return false, err
	}
	return slices.ContainsFunc(parsed.Children(), func(c ocispec.Descriptor) bool { return c.Digest == d }), nil
}

// about is what manifests about a digest say of it.
func (l *live) about(ctx context.Context, repository string, d digest.Digest, now *material) ([]store.StoredEvidence, error) {
	carriers, err := l.carriers(ctx, repository, d)
	if err != nil {
		return nil, err
	}
	var out []store.StoredEvidence
	signed, unsigned := 0, 0
	for _, c := range carriers {
		all, err := l.says(ctx, repository, c, now)
		if garbage(err) {
			l.opt.Log.WarnContext(ctx, "what is said to be about a digest cannot be read", "repository", repository, "digest", d, "carrier", c, "error", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range all {
			n, most := &unsigned, maxUnsigned
			if e.Signer != nil {
				n, most = &signed, maxSigned
			}
			if e.Subject != string(d) || *n == most {
				continue
			}
			*n++
			out = append(out, store.StoredEvidence{Evidence: e, Trust: now.revision})
		}
	}
	return out, nil
}

// Bounds of the statements about a digest that are looked at. In the hub, where rows are ordered by who signed, they are others.
const (
	maxSigned   = 500
	maxUnsigned = 50
)

// carriers are manifests that may say something about a digest: its referrers, and what cosign 1 and 2 tag for it.
func (l *live) carriers(ctx context.Context, repository string, d digest.Digest) ([]digest.Digest, error) {
	var all []digest.Digest
	if d.Algorithm() == digest.SHA256 {
		for _, kind := range []string{".sig", ".att"} {
			m, err := l.next.Manifest(ctx, repository, registry.Reference{Tag: registry.FallbackTag(d) + kind}, false)
			switch registry.CodeOf(err) {
			case "":
				all = append(all, m.Digest)
			case registry.CodeManifestUnknown, registry.CodeNameUnknown:
			default:
				if !garbage(err) {
					return nil, err
				}
			}
		}
	}
	listed, err := l.referrers(ctx, repository, d)
	if err != nil {
		return nil, err
	}
	for _, r := range listed {
		if len(all) == maxCarriers {
			l.opt.Log.WarnContext(ctx, "not all that refers to a digest was read", "repository", repository, "digest", d, "listed", len(listed))
			break
		}
		if _, err := registry.ParseDigest(string(r.Digest)); err == nil && !slices.Contains(all, r.Digest) {
			all = append(all, r.Digest)
		}
	}
	return all, nil
}

// referrers of a digest: those first that say they are signatures, which only decides what is looked at where not all can be.
func (l *live) referrers(ctx context.Context, repository string, d digest.Digest) ([]ocispec.Descriptor, error) {
	var all []ocispec.Descriptor
	q := registry.ReferrerQuery{N: 500}
	for pages := 0; pages < maxListed/q.N; pages++ {
		page, err := l.next.Referrers(ctx, repository, d, q)
		if code := registry.CodeOf(err); code == registry.CodeNameUnknown || code == registry.CodeManifestUnknown {
			break
		}
		if err != nil {
			return nil, err
		}
		all = append(all, page.Manifests...)
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	slices.SortStableFunc(all, func(a, b ocispec.Descriptor) int { return cmp.Compare(unlikely(a), unlikely(b)) })
	return all, nil
}

func unlikely(r ocispec.Descriptor) int {
	if strings.HasPrefix(r.ArtifactType, "application/vnd.dev.sigstore.bundle") || strings.HasPrefix(r.ArtifactType, "application/vnd.dev.cosign.") {
		return 0
	}
	return 1
}

// says is what one manifest says, verified. It has to be there each time; what it says is verified once.
func (l *live) says(ctx context.Context, repository string, carrier digest.Digest, now *material) ([]core.Evidence, error) {
	parsed, err := l.carrier(ctx, repository, carrier)
	if err != nil || parsed == nil || !trust.Classify(parsed).Evidential() {
		return nil, err
	}
	key := carried{repository, carrier}
	if known, ok := l.verified.Load(key); ok {
		return known.([]core.Evidence), nil
	}
	items, err := l.items(ctx, repository, carrier, parsed)
	if err != nil {
		return nil, err
	}
	all, err := now.verifier.Verify(ctx, items)
	if err != nil {
		return nil, err
	}
	readable := !slices.ContainsFunc(all, func(e core.Evidence) bool { return e.Kind == core.EvidenceUnreadable })
	if readable && l.kept.Add(1) <= verifiedKept {
		l.verified.Store(key, all)
	}
	return all, nil
}

// garbage reports whether what the registry behind sent for a digest is nothing: no manifest, too large, or other bytes. One
// such referrer, which anybody may have pushed there, must not keep the others from being looked at.
func garbage(err error) bool {
	switch e := err.(type) { //nolint:errorlint // each error of the tree is looked at, not the first
	case *registry.Error:
		return slices.Contains([]registry.Code{registry.CodeManifestInvalid, registry.CodeDigestInvalid, registry.CodeSizeInvalid, registry.CodeTooLarge}, e.Code)
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), garbage)
	case interface{ Unwrap() error }:
		return garbage(e.Unwrap())
	}
	return false
}

// unseen is what a refusal by digest adds: nothing that lists it may have been read yet.
const unseen = " If it is part of a signed index, pull that first, by its tag: the registry behind this hub cannot be asked what lists it."

// explained adds to a refusal what there is to know where facts are found when they are asked for.
func (m *material) explained(ref registry.Reference, err error) error {
	var e *registry.Error
	if ref.Tag != "" || m.facts.hold() == 0 || !errors.As(err, &e) || e.Code != registry.CodeDenied {
		return err
	}
	more := *e
	more.Message += unseen
	return &more
}

// bounded is a context for one decision. The error of what did not come to its end in time says so.
func (m *material) bounded(ctx context.Context) (bound context.Context, told func(error) error, cancel context.CancelFunc) {
	if m.facts.hold() == 0 {
		return ctx, func(err error) error { return err }, func() {}
	}
	bound, cancel = context.WithTimeout(ctx, livePatience)
	return bound, func(err error) error {
		if err != nil && bound.Err() != nil && ctx.Err() == nil {
			return fmt.Errorf("%w (%w)", registry.NewError(registry.CodeUnavailable,
				"whether this may be pulled could not be found out in time from the registry behind: try again"), err)
		}
		return err
	}, cancel
}
