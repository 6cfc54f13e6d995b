package gatekeeper

import (
	"context"
	"fmt"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gate"
	"github.com/hallmarkhub/hallmark/core/store"
)

// SavePolicy makes or changes a pull policy of a project, or of the hub if p is nil. What cannot work is refused: the
// error is then a gate.Problems.
func (k *Keeper) SavePolicy(ctx context.Context, p *core.Project, name, document string, revision int64) (*store.TrustDocument, bool, error) {
	policy, _, err := k.draft(ctx, p, document)
	if err != nil {
		return nil, false, err
	}
	if policy.Name() != name {
		return nil, false, gate.Problems{{Path: "/metadata/name", Reason: fmt.Sprintf("metadata.name is %s, and it is saved as %s: they are the same", policy.Name(), name)}}
	}
	return k.store.PutTrustDocument(ctx, p, store.TrustPolicy, name, document, revision)
}

// draft reads a policy and compares it with what holds in its project at this moment, which it returns.
func (k *Keeper) draft(ctx context.Context, p *core.Project, document string) (*gate.Policy, *material, error) {
	policy, err := gate.Parse([]byte(document))
	if err != nil {
		return nil, nil, err
	}
	if err := belongs(policy, p); err != nil {
		return nil, nil, err
	}
	for _, key := range policy.Keys() {
		if k.isHubKey(key.Fingerprint) {
			return nil, nil, gate.Problems{{Path: "/spec/authorities", Reason: "authority " + key.Authority + " is the hub's own key: what the hub states of verdicts is no reason for one"}}
		}
	}
	m, err := k.materialWith(ctx, p, policy)
	if err != nil {
		return nil, nil, err
	}
	return policy, m, policy.Check(m.registered, k.store.Now())
}

// materialWith is what is registered in a project, or in the hub if p is nil, with one policy in place of all others.
func (k *Keeper) materialWith(ctx context.Context, p *core.Project, policy *gate.Policy) (*material, error) {
	of := p
	if p == nil {
		of = &core.Project{} // the hub's documents alone
	}
	docs, err := k.store.TrustMaterial(ctx, of)
	if err != nil {
		return nil, err
	}
	b := k.builder(of, docs)
	b.policies = []*gate.Policy{policy}
	return b.material(docs.Revision), nil
}

func belongs(policy *gate.Policy, p *core.Project) error {
	switch {
	case p == nil && policy.Project() != "":
		return gate.Problems{{Path: "/metadata/project", Reason: "a policy of the hub names no project: leave metadata.project out, or save it in project " + policy.Project()}}
	case p != nil && policy.Project() != p.Name:
		return gate.Problems{{Path: "/metadata/project", Reason: "metadata.project is " + p.Name + " for a policy of project " + p.Name}}
	}
	return nil
}

// Summary describes a stored policy. One that cannot be read any more refuses everything, and its summary says so.
func Summary(d *store.TrustDocument, project string) gate.Summary {
	p, err := gate.Parse([]byte(d.Document))
	if err != nil {
		p = gate.Broken(d.Name, project, err)
	}
	return p.Summary()
}
