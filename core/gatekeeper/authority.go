package gatekeeper

import (
	"context"
	"maps"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
)

// attempts is how often a change is tried again that somebody else's change came before.
const attempts = 5

// Fingerprint is that of the key, "" for an identity.
func (a *Authority) Fingerprint() string {
	if a.PublicKey == "" {
		return ""
	}
	fp, err := trust.Fingerprint([]byte(a.PublicKey))
	if err != nil {
		return ""
	}
	return fp
}

// sameSigner reports whether both are the same key or the same identity.
func (a *Authority) sameSigner(b *Authority) bool {
	if a.Identity == nil || b.Identity == nil {
		return a.Identity == nil && b.Identity == nil && a.Fingerprint() == b.Fingerprint()
	}
	x, y := *a.Identity, *b.Identity
	same := maps.Equal(x.Extensions, y.Extensions)
	x.Extensions, y.Extensions = nil, nil
	return same && x.TrustRoot == y.TrustRoot && x.Issuer == y.Issuer && x.Subject == y.Subject && x.SubjectRegex == y.SubjectRegex
}

// SaveAuthority registers a key or an identity for a project, or for the hub if p is nil. revision is as in
// store.PutTrustDocument. What is revoked stays revoked, and stays what it is: otherwise saving it anew would undo that.
func (k *Keeper) SaveAuthority(ctx context.Context, p *core.Project, name string, a Authority, revision int64) (*store.TrustDocument, bool, error) {
	a.RevokedAt = nil
	if err := a.check(); err != nil {
		return nil, false, err
	}
	if name == HubKeyName {
		return nil, false, core.Invalid("/name", "the name %s is taken by the key that the hub states its verdicts with", HubKeyName)
	}
	if k.isHubKey(a.Fingerprint()) {
		return nil, false, core.Invalid("/public_key", "this is the hub's own key: what the hub states of verdicts is no reason for one")
	}
	if a.Identity != nil {
		if err := k.trustRootExists(ctx, p, a.Identity.TrustRoot); err != nil {
			return nil, false, err
		}
	}
	for n := 1; ; n++ {
		d, created, err := k.saveAuthority(ctx, p, name, a, revision)
		if revision == store.AnyRevision && core.CodeOf(err) == core.CodeStale && n < attempts {
			continue
		}
		return d, created, err
	}
}

// isHubKey reports whether a fingerprint is that of the key that the hub states verdicts with.
func (k *Keeper) isHubKey(fingerprint string) bool {
	return k.opt.Attaching != nil && fingerprint == k.opt.Attaching.Signer.Public.Fingerprint
}

func (k *Keeper) saveAuthority(ctx context.Context, p *core.Project, name string, a Authority, revision int64) (*store.TrustDocument, bool, error) {
	now, err := k.store.TrustDocument(ctx, p, store.TrustAuthority, name)
	switch {
	case core.CodeOf(err) == core.CodeNotFound:
	case err != nil:
		return nil, false, err
	default:
		if revision == store.AnyRevision {
			revision = now.Revision // nobody revokes it between reading and writing
		}
		was, err := ParseAuthority(now.Document)
		if err != nil {
			break // it vouches for nothing, and may be replaced
		}
		if was.RevokedAt != nil && !was.sameSigner(&a) {
			return nil, false, core.Errorf(core.CodeConflict, "%s is revoked, and stays so: register the new key or identity under another name", name)
		}
		a.RevokedAt = was.RevokedAt
	}
	document, err := a.Document()
	if err != nil {
		return nil, false, err
	}
	return k.store.PutTrustDocument(ctx, p, store.TrustAuthority, name, document, revision)
}

// RevokeAuthority ends all trust in a key or an identity, for all that it has ever signed. Again does nothing.
func (k *Keeper) RevokeAuthority(ctx context.Context, p *core.Project, name string) (*store.TrustDocument, error) {
	for n := 1; ; n++ {
		d, err := k.revokeAuthority(ctx, p, name)
		if core.CodeOf(err) != core.CodeStale || n == attempts {
			return d, err
		}
	}
}

func (k *Keeper) revokeAuthority(ctx context.Context, p *core.Project, name string) (*store.TrustDocument, error) {
	d, err := k.store.TrustDocument(ctx, p, store.TrustAuthority, name)
	if err != nil {
		return nil, err
	}
	a, err := ParseAuthority(d.Document)
	if err != nil || a.RevokedAt != nil {
		return d, err
	}
	now := k.store.Now().UTC()
	a.RevokedAt = &now
	document, err := a.Document()
	if err != nil {
		return nil, err
	}
	return k.store.RevokeAuthority(ctx, p, name, document, d.Revision)
}
