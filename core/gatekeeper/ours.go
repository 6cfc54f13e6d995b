package gatekeeper

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/registry"
)

// notOurs refuses what the hub has signed and did not put there: a verdict that was true once would be shown as one of now, and
// what its scanner found in one image as what is in another.
// It looks at all layers, and at each as leniently as another client might, whatever counts as evidence here.
//
// What cannot be looked at is pushed all the same, any error but CodeDenied says so: nothing is read of it as evidence then.
func (k *Keeper) notOurs(ctx context.Context, repo string, carrier digest.Digest, parsed *registry.ParsedManifest) (err error) {
	if k.opt.Attaching == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("looking at what %s@%s brings broke: %v", repo, carrier, p)
		}
	}()
	release, err := k.room(ctx, parsed)
	if err != nil {
		return err
	}
	defer release()
	for _, l := range parsed.Layers {
		made, err := k.made(ctx, repo, l.Digest)
		if err != nil {
			return err
		}
		if !made {
			continue
		}
		if attached, err := k.store.Attached(ctx, repo, string(carrier)); err != nil || attached {
			return err
		}
		return registry.NewError(registry.CodeDenied, "this hub has signed this, and attaches what it says itself: leave it out.")
	}
	return nil
}

// made reports whether the content of a layer is a statement that this hub has signed.
func (k *Keeper) made(ctx context.Context, repo string, d digest.Digest) (bool, error) {
	f, err := k.content(ctx, repo, d)
	if registry.CodeOf(err) == registry.CodeBlobUnknown {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxContent))
	return err == nil && k.opt.Attaching.Signer.Made(content, core.PredicateVerdict, core.PredicateSPDX, core.PredicateCycloneDX), err
}

// complete refuses evidence whose content is not there, whatever the project allows: it would come when nobody looks.
func (k *Keeper) complete(ctx context.Context, repo string, parsed *registry.ParsedManifest) error {
	for _, l := range parsed.Layers {
		if _, err := k.next.StatBlob(ctx, repo, l.Digest, true); registry.CodeOf(err) == registry.CodeBlobUnknown {
			return registry.NewError(registry.CodeManifestBlobUnknown, fmt.Sprintf("repository %s does not have %s, the content of this signature or attestation: push it first.", repo, l.Digest))
		}
	}
	return nil
}
