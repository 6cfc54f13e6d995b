package gatekeeper

import (
	"context"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
)

// builtIn is the trust root that every hub has. Nothing of it is stored.
func builtIn() *store.TrustDocument {
	return &store.TrustDocument{Kind: store.TrustRoot, Hub: true, Name: trust.PublicGoodName, Document: string(trust.PublicGood()), Revision: 1}
}

// BuiltIn reports whether a trust root is that one.
func BuiltIn(d *store.TrustDocument) bool { return d.Hub && d.Name == trust.PublicGoodName }

func fixed(name string) error {
	return core.Errorf(core.CodeConflict, "the trust root %s is built in, and cannot be changed: save yours under another name", name)
}

// TrustRoot returns a trust root of a project, or of the hub if p is nil.
func (k *Keeper) TrustRoot(ctx context.Context, p *core.Project, name string) (*store.TrustDocument, error) {
	if p == nil && name == trust.PublicGoodName {
		return builtIn(), nil
	}
	return k.store.TrustDocument(ctx, p, store.TrustRoot, name)
}

// TrustRoots lists them as store.TrustDocuments does, with the one that is built in among those of the hub.
func (k *Keeper) TrustRoots(ctx context.Context, p *core.Project, after string, n int) ([]*store.TrustDocument, bool, error) {
	all, more, err := k.store.TrustDocuments(ctx, p, store.TrustRoot, after, n)
	if err != nil || p != nil || after >= trust.PublicGoodName {
		return all, more, err
	}
	at := 0
	for at < len(all) && all[at].Name < trust.PublicGoodName {
		at++
	}
	if at == len(all) && more {
		return all, more, nil // it comes on a later page
	}
	out := append(append([]*store.TrustDocument{}, all[:at]...), builtIn())
	out = append(out, all[at:]...)
	if n > 0 && len(out) > n {
		return out[:n], true, nil
	}
	return out, more, nil
}

// SaveTrustRoot makes or changes a trust root of a project, or of the hub if p is nil.
func (k *Keeper) SaveTrustRoot(ctx context.Context, p *core.Project, name, document string, revision int64) (*store.TrustDocument, bool, error) {
	if _, err := trust.ParseTrustRoot([]byte(document)); err != nil {
		return nil, false, err
	}
	if name == trust.PublicGoodName {
		return nil, false, fixed(name)
	}
	if p != nil {
		switch _, err := k.store.TrustDocument(ctx, nil, store.TrustRoot, name); core.CodeOf(err) {
		case "":
			return nil, false, core.Errorf(core.CodeConflict, "the hub has a trust root %s, and everybody means that one: save yours under another name", name)
		case core.CodeNotFound:
		default:
			return nil, false, err
		}
	}
	return k.store.PutTrustDocument(ctx, p, store.TrustRoot, name, document, revision)
}

// trustRootExists refuses an identity that nobody could vouch for.
func (k *Keeper) trustRootExists(ctx context.Context, p *core.Project, name string) error {
	_, err := k.TrustRoot(ctx, nil, name)
	if core.CodeOf(err) == core.CodeNotFound && p != nil {
		_, err = k.TrustRoot(ctx, p, name)
	}
	if core.CodeOf(err) == core.CodeNotFound {
		return core.Invalid("/identity/trust_root", "there is no trust root %q: %s is built in, others are added first", name, trust.PublicGoodName)
	}
	return err
}
