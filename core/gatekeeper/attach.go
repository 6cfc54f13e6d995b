package gatekeeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/gate"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/registry"
)

// Attaching is what a hub needs that states things itself, for whoever checks them elsewhere: its verdicts, and what its scanner found.
type Attaching struct {
	HubID  string
	URL    string // where clients find the hub; "" if that is not known for sure
	Signer *trust.Signer
	// Put and Remove change manifests of the hub's own (registry/local: Attach, Detach).
	Put    func(ctx context.Context, repo string, put registry.ManifestPut, blobs [][]byte, replaces digest.Digest, also func(*db.Tx) error) error
	Remove func(ctx context.Context, repo string, d digest.Digest, also func(*db.Tx) error) error
}

const (
	// HubAnnotation says in a manifest which hub has made it. It is for people and filters, and nothing here reads it.
	HubAnnotation = "hallmark.hub"
	// HubKeyName is that of the hub's own key; no authority can have it.
	HubKeyName = "hub"

	attachBatch = 50
	sweepBatch  = 500
)

// NoteTerms has all verdicts looked at again if the hub was started with other settings than before.
func (k *Keeper) NoteTerms(ctx context.Context) error {
	a := k.opt.Attaching
	return k.store.NoteVerdictTerms(ctx, fmt.Sprintf("%s %s %s %s", a.id(), a.HubID, a.Signer.Public.Fingerprint, k.opt.Floor))
}

// HubKey is the public key, in PEM, that the hub states verdicts with; "" if it states none.
func (k *Keeper) HubKey() string {
	if k.opt.Attaching == nil {
		return ""
	}
	return k.opt.Attaching.Signer.PEM
}

// AttachVerdicts works off the verdicts that are owed: it attaches what passes, replaces what says something else, and
// removes what does not hold any more. It returns how many it looked at.
func (k *Keeper) AttachVerdicts(ctx context.Context) (int, error) {
	ctx = core.WithPrincipal(ctx, core.System())
	n := 0
	var failed []error
	for ctx.Err() == nil {
		swept, err := k.store.SweepVerdicts(ctx, sweepBatch)
		if err != nil {
			return n, errors.Join(append(failed, err)...)
		}
		owed, err := k.store.VerdictsOwed(ctx, attachBatch)
		if err != nil {
			return n, errors.Join(append(failed, err)...)
		}
		if !swept && len(owed) == 0 {
			break
		}
		// Read after they were taken, and not from memory: what changes later makes them owed again.
		now := grounds{Keeper: k, of: map[string]*ground{}}
		for _, o := range owed {
			if err := now.settle(ctx, o); err != nil && !errors.Is(err, store.ErrOvertaken) {
				failed = append(failed, fmt.Errorf("the verdict about %s@%s: %w", o.Repository, o.Subject, err))
			}
			n++
		}
	}
	return n, errors.Join(append(failed, ctx.Err())...)
}

// ground is what the verdicts of a project rest on, and the documents it was made of.
type ground struct {
	*material
	docs *store.TrustMaterial
}

// grounds are those of a batch, by project.
type grounds struct {
	*Keeper
	of map[string]*ground
}

func (g *grounds) project(ctx context.Context, name string) (*ground, error) {
	if now, ok := g.of[name]; ok {
		return now, nil
	}
	p, err := g.store.ProjectByName(ctx, name)
	if err != nil {
		return nil, err
	}
	docs, err := g.store.TrustMaterial(ctx, p)
	if err != nil {
		return nil, err
	}
	now := &ground{g.newMaterial(p, docs), docs}
	g.of[name] = now
	return now, nil
}

// settle does what there is to be done about one verdict.
func (g *grounds) settle(ctx context.Context, o *store.OwedVerdict) error {
	if o.Spread {
		if err := g.store.OweRelatives(ctx, o); err != nil {
			return err
		}
	}
	s, m, until, err := g.verdict(ctx, o)
	if err != nil {
		return err
	}
	a := g.opt.Attaching
	switch {
	case s == nil && !o.Attached:
		return g.store.KeepVerdict(ctx, o, "", "", until)
	case s == nil:
		return a.Remove(ctx, o.Repository, digest.Digest(o.Carrier), func(tx *db.Tx) error { return store.SettleVerdict(tx, o, "", "", until) })
	case o.Attached && o.Basis == s.basis(a):
		return g.store.KeepVerdict(ctx, o, o.Carrier, o.Basis, until)
	}
	return g.attach(ctx, o, s, m, until)
}

// verdict is what is to be stated about a manifest, nil for nothing, and until when that is so.
func (g *grounds) verdict(ctx context.Context, o *store.OwedVerdict) (s *summary, m *registry.Manifest, until time.Time, err error) {
	if !o.Wanted || !o.Present {
		return nil, nil, until, nil
	}
	now, err := g.project(ctx, o.Project)
	if err != nil {
		return nil, nil, until, err
	}
	m, err = g.next.Manifest(ctx, o.Repository, registry.Reference{Digest: digest.Digest(o.Subject)}, false)
	if registry.CodeOf(err) == registry.CodeManifestUnknown {
		return nil, nil, until, nil // it went since it was taken
	}
	if err != nil {
		return nil, nil, until, err
	}
	in, _, err := g.input(ctx, question{material: now.material, repository: o.Repository, manifest: m})
	if err != nil || in.TrustArtifact {
		return nil, nil, until, err
	}
	at := g.store.Now()
	x := gate.Explain(in, at, "")
	if x.Until != nil && x.Until.After(at) {
		until = *x.Until
	}
	// What an index passes by that lists others is not told one by one.
	return g.opt.Attaching.summarize(&x, now.docs, len(in.Children) == 0), m, until, nil
}

// attach states a verdict, in place of what was stated before.
func (g *grounds) attach(ctx context.Context, o *store.OwedVerdict, s *summary, m *registry.Manifest, until time.Time) error {
	a, now := g.opt.Attaching, g.store.Now()
	predicate, err := s.said(now)
	if err != nil {
		return err
	}
	bundle, err := a.Signer.Summarize(o.Repository, m.Digest, predicate)
	if err != nil {
		return err
	}
	replaces := ""
	if o.Attached {
		replaces = o.Carrier
	}
	_, err = a.carry(ctx, o.Repository, m, statement{bundle, core.PredicateVerdict, now}, replaces, func(tx *db.Tx, carrier string) error {
		return store.SettleVerdict(tx, o, carrier, s.basis(a), until)
	})
	return err
}

// statement is something that the hub has signed.
type statement struct {
	bundle        []byte
	predicateType string
	at            time.Time
}

// carry attaches a statement to a manifest, in place of the carrier replaces unless that is "". also is called in the same transaction.
func (a *Attaching) carry(ctx context.Context, repository string, m *registry.Manifest, st statement, replaces string,
	also func(tx *db.Tx, carrier string) error) (carrier string, err error) {
	subject := ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Payload))}
	payload, err := trust.Carrier(subject, st.bundle, st.predicateType, st.at, map[string]string{HubAnnotation: a.HubID})
	if err != nil {
		return "", err
	}
	put := registry.ManifestPut{Digest: digest.FromBytes(payload), MediaType: ocispec.MediaTypeImageManifest, Payload: payload}
	return string(put.Digest), a.Put(ctx, repository, put, [][]byte{[]byte(trust.EmptyConfig), st.bundle}, digest.Digest(replaces), func(tx *db.Tx) error {
		return also(tx, string(put.Digest))
	})
}
