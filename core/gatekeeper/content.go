package gatekeeper

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/registry"
)

// Vouch says of a verified signer how people know it and whether it is trusted now. nil is nobody.
type Vouch func(s *core.Signer) (name string, trusted bool)

// Signers tells who is trusted in a project as it is now: registered there or for the hub, and not revoked.
func (k *Keeper) Signers(ctx context.Context, project string) (Vouch, error) {
	now, err := k.material(ctx, project)
	if err != nil {
		return nil, err
	}
	return func(s *core.Signer) (string, bool) { return now.registered.Vouches(s, k.store.Now()) }, nil
}

// Refresh has what is said about a digest verified anew, if keys or trust roots have changed since.
func (k *Keeper) Refresh(ctx context.Context, repository string, d digest.Digest) error {
	now, err := k.material(ctx, projectOf(repository))
	if err == nil {
		_, err = now.facts.evidence(ctx, repository, d, now, nil)
	}
	return err
}

// Carrier is a manifest that may bring evidence or documents; nil if it is gone.
func (k *Keeper) Carrier(ctx context.Context, repository string, d digest.Digest) (*registry.ParsedManifest, error) {
	return k.carrier(ctx, repository, d)
}

// Content is a blob of a repository that can be the content of a trust artifact, whole.
func (k *Keeper) Content(ctx context.Context, repository string, d digest.Digest) ([]byte, error) {
	f, err := k.content(ctx, repository, d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxContent+1))
	if err == nil && len(b) > maxContent {
		err = errors.New("the content is too large")
	}
	return b, err
}
