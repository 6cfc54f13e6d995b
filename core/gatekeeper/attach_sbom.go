package gatekeeper

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
)

// BOM is a bill of materials of an image that the hub's scanner made.
type BOM struct {
	Format    string // spdx or cyclonedx
	Predicate string // type of the statement
	Document  []byte // JSON
	Basis     string // of what it lists: one with the same basis is not attached again
}

// overtaken is how often an attaching is tried again that another one came before.
const overtaken = 3

// AttachSBOM attaches a bill of materials to an image, signed with the hub's key, in place of the one of this format that was there. It
// returns the manifest that carries it and the blob that it lies in. "": the image is gone, or the hub attaches nothing.
func (k *Keeper) AttachSBOM(ctx context.Context, repository string, image digest.Digest, b BOM) (carrier, content string, err error) {
	a := k.opt.Attaching
	if a == nil {
		return "", "", nil
	}
	ctx = core.WithPrincipal(ctx, core.System())
	b.Basis += " " + a.Signer.Public.Fingerprint
	for try := 1; ; try++ {
		carrier, content, err = a.attachSBOM(ctx, k, repository, image, b)
		if !errors.Is(err, store.ErrOvertaken) || try == overtaken {
			return carrier, content, err
		}
	}
}

func (a *Attaching) attachSBOM(ctx context.Context, k *Keeper, repository string, image digest.Digest, b BOM) (carrier, content string, err error) {
	m, err := k.next.Manifest(ctx, repository, registry.Reference{Digest: image}, false)
	if code := registry.CodeOf(err); code == registry.CodeManifestUnknown || code == registry.CodeNameUnknown {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	there, err := k.store.AttachedSBOMs(ctx, repository, string(image))
	if err != nil {
		return "", "", err
	}
	was := there[b.Format]
	if was.Basis == b.Basis && was.Content != "" {
		return was.Carrier, was.Content, nil
	}
	bundle, err := a.Signer.Attest(repository, image, b.Predicate, b.Document)
	if err != nil {
		return "", "", err
	}
	carrier, err = a.carry(ctx, repository, m, statement{bundle, b.Predicate, k.store.Now()}, was.Carrier, func(tx *db.Tx, carrier string) error {
		return store.SetAttachedSBOM(tx, repository, string(image), was.Carrier, store.AttachedSBOM{Format: b.Format, Carrier: carrier, Basis: b.Basis})
	})
	return carrier, string(digest.FromBytes(bundle)), err
}

// detachBatch is how many are read at once.
const detachBatch = 50

// DetachSBOMs removes what was attached to images that were deleted since. It returns how many it removed.
func (k *Keeper) DetachSBOMs(ctx context.Context) (n int, err error) {
	if k.opt.Attaching == nil {
		return 0, nil
	}
	ctx = core.WithPrincipal(ctx, core.System())
	for {
		all, err := k.store.OrphanedSBOMs(ctx, detachBatch)
		if err != nil {
			return n, err
		}
		for _, o := range all {
			err := k.opt.Attaching.Remove(ctx, o.Repository, digest.Digest(o.Carrier), func(tx *db.Tx) error { return store.StillOrphaned(tx, o) })
			if err != nil && !errors.Is(err, store.ErrOvertaken) {
				return n, fmt.Errorf("the bill of materials of %s@%s: %w", o.Repository, o.Subject, err)
			}
			n++
		}
		if len(all) < detachBatch {
			return n, nil
		}
	}
}

// AttachesTo reports whether the hub attaches bills of materials in a project.
func (k *Keeper) AttachesTo(p *core.Project) bool {
	return k.opt.Attaching != nil && p.SBOMOnPush && p.Registry == ""
}
