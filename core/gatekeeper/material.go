package gatekeeper

import (
	"context"
	"fmt"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gate"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
)

// material is what holds in a project at one moment: its documents and the hub's, made ready for use. It is immutable, and
// shared; that two decisions rest on the same one is told by its address.
type material struct {
	policies   *gate.Set
	registered *gate.Registered
	exceptions *gate.Exceptions
	verifier   *trust.Verifier
	known      []gate.Key
	revision   int64 // of authorities, trust roots and policies
	open       bool  // nothing is asked for: reads need no decision
	draft      bool  // of a policy that is not saved: keys in it have verified nothing yet
	warns      bool  // some policy does not enforce, so that a tag can make a difference
	facts      facts
}

// newMaterial makes documents ready. What cannot be read any more vouches for nothing, and a policy refuses everything.
func (k *Keeper) newMaterial(p *core.Project, m *store.TrustMaterial) *material {
	b := k.builder(p, m)
	b.policies = append(b.policies, gate.Baseline(stricter(p.Baseline, k.opt.Floor)))
	return b.material(m.Revision)
}

func (k *Keeper) builder(p *core.Project, m *store.TrustMaterial) *builder {
	b := &builder{project: p.Name, facts: k.factsOf(p), exceptions: gate.NewExceptions(m.Exceptions), roots: map[string]*trust.TrustRoot{}}
	// The hub's come last, so that a project's trust root takes the place of none of them.
	for _, hub := range []bool{false, true} {
		for _, d := range m.Documents {
			if d.Hub == hub {
				b.add(&d)
			}
		}
	}
	b.trustRoot(trust.PublicGoodName, string(trust.PublicGood())) // and nothing takes that of this one
	return b
}

func (b *builder) material(revision int64) *material {
	for _, p := range b.policies {
		for _, k := range p.Keys() {
			if key, err := trust.ParseKey([]byte(k.PEM)); err == nil {
				b.keys = append(b.keys, key)
			}
		}
	}
	names := make([]string, 0, len(b.roots))
	for name := range b.roots {
		names = append(names, name)
	}
	out := &material{
		policies:   gate.NewSet(revision, b.policies...),
		registered: gate.NewRegistered(revision, b.known, b.identities, names),
		verifier:   trust.NewVerifier(b.keys, b.roots),
		exceptions: b.exceptions,
		known:      b.known,
		revision:   revision,
		facts:      b.facts,
		open:       true,
	}
	for _, p := range b.policies {
		out.open = out.open && p.Mode() == gate.ModeOff
		out.warns = out.warns || p.Warns()
	}
	return out
}

// stricter is the baseline of a project under the floor that the administrator set.
func stricter(a, floor core.Baseline) core.Baseline {
	switch {
	case a == core.BaselineEnforce || floor == core.BaselineEnforce:
		return core.BaselineEnforce
	case a == core.BaselineWarn || floor == core.BaselineWarn:
		return core.BaselineWarn
	case a == core.BaselineOff:
		return core.BaselineOff
	}
	return core.BaselineEnforce
}

type builder struct {
	project    string
	facts      facts
	exceptions *gate.Exceptions
	policies   []*gate.Policy
	known      []gate.Key
	identities []gate.Identity
	keys       []*trust.Key
	roots      map[string]*trust.TrustRoot
}

func (b *builder) add(d *store.TrustDocument) {
	switch d.Kind {
	case store.TrustAuthority:
		b.authority(d)
	case store.TrustRoot:
		b.trustRoot(d.Name, d.Document)
	case store.TrustPolicy:
		p, err := gate.Parse([]byte(d.Document))
		if err != nil {
			project := b.project
			if d.Hub {
				project = ""
			}
			p = gate.Broken(d.Name, project, fmt.Errorf("policy %s: %w", d.Name, err))
		}
		b.policies = append(b.policies, p)
	}
}

func (b *builder) authority(d *store.TrustDocument) {
	a, err := ParseAuthority(d.Document)
	if err != nil {
		return
	}
	scope := gate.ScopeProject
	if d.Hub {
		scope = gate.ScopeHub
	}
	if a.Identity != nil {
		b.identities = append(b.identities, a.identity(d.Name, scope))
		return
	}
	key, err := trust.ParseKey([]byte(a.PublicKey))
	if err != nil {
		return
	}
	known, err := a.key(d.Name, scope)
	if err != nil {
		return
	}
	b.keys, b.known = append(b.keys, key), append(b.known, known)
}

func (b *builder) trustRoot(name, document string) {
	if r, err := trust.ParseTrustRoot([]byte(document)); err == nil {
		b.roots[name] = r
	}
}

// material returns what holds in the project of a repository, from memory if that can be believed.
func (k *Keeper) material(ctx context.Context, project string) (*material, error) {
	if m := k.keptMaterial(project); m != nil {
		return m, nil
	}
	return k.readMaterial(ctx, project, k.store.TrustMaterial)
}

// keptMaterial answers from memory. nil: it is not there, or not to be believed.
func (k *Keeper) keptMaterial(project string) *material {
	if m, ok := k.materials.Load(project); ok && k.store.DB().Fresh() {
		return m.(*material)
	}
	return nil
}

func (k *Keeper) readMaterial(ctx context.Context, project string,
	read func(context.Context, *core.Project) (*store.TrustMaterial, error)) (*material, error) {
	epoch := k.epoch.Load()
	p, err := k.dir.Project(ctx, project)
	if err != nil {
		return nil, err
	}
	docs, err := read(ctx, p)
	if err != nil {
		return nil, err
	}
	m := k.newMaterial(p, docs)
	k.keep.Lock()
	defer k.keep.Unlock()
	if k.epoch.Load() == epoch { // nothing changed while it was being read
		k.materials.Store(project, m)
	}
	return m, nil
}
