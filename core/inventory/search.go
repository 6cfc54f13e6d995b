package inventory

import (
	"context"
	"math"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
)

// Query asks for what has a package.
type Query struct {
	Package core.Package // Version, Rest and Licences do not matter
	Version *string      // only this one; nil for any
	Project string       // only there; "" for all
	// Unsigned also finds what stands in documents that nobody trusted has signed.
	Unsigned bool
	// Sees says whether who asks may pull from a repository of a project that it sees.
	Sees  func(p store.ListedProject, repository string) bool
	After Position
	N     int
}

// Position is the place of a Hit in a list. Hits are in order of the project's age, then by version.
type Position struct {
	Scope int64
	store.UsePosition
}

// Hit is an artifact that has the package.
type Hit struct {
	Position
	Project    store.ListedProject
	Repository string // whole name
	Digest     string
	Tags       []string // its own, then those of indexes that list it; not more than MaxTags
	Version    string
	Source     core.SBOMSource
	Signer     string // as people know it; "" if nobody known has signed
	Trusted    bool
	Document   string // digest
	Format     string
	Pulls      []store.Pull // who pulled it, if that was asked for (Pulled)
	Fixes      []Fix        // newer tags without it, if that was asked for (Fixed)
}

// Bounds of one answer.
const (
	MaxTags    = 20 // of a hit
	maxPullers = 20 // of a hit
	pulledDays = 90
)

// place is where a hit lies.
func (h *Hit) place() store.Place {
	return store.Place{RepositoryID: h.UsePosition.Repository, Digest: h.Digest}
}

// Search finds what has a package, of all that a principal may pull; more says that there is more of it. It reads on until
// the page is full and one more was found, so that neither a page nor a cursor tells of what is left out.
func (v *Inventory) Search(ctx context.Context, p *core.Principal, q Query) (hits []Hit, more bool, err error) {
	id, versionID, err := v.store.PackageIDs(ctx, q.Package, q.Version)
	if err != nil {
		return nil, false, err
	}
	s := search{v: v, q: q, of: store.PackageQuery{Package: id, Project: q.Project, Sources: []core.SBOMSource{core.SBOMAttested, core.SBOMScanned}},
		vouch: map[string]gatekeeper.Vouch{}}
	if q.Version != nil {
		s.of.Version = &versionID
	}
	if q.Unsigned {
		s.of.Sources = append(s.of.Sources, core.SBOMUnsigned)
	}
	for first, further := q.After.Scope, true; further && len(s.hits) <= q.N; {
		var scopes []store.PackageScope
		if scopes, further, err = v.store.PackageScopes(ctx, p, s.of, first, scopesAtOnce); err != nil {
			return nil, false, err
		}
		for _, c := range scopes {
			if first = c.ID + 1; len(s.hits) > q.N {
				break
			}
			if err := s.scope(ctx, c); err != nil {
				return nil, false, err
			}
		}
	}
	if len(s.hits) > q.N {
		s.hits, more = s.hits[:q.N], true
	}
	return s.hits, more, v.tag(ctx, s.hits)
}

// scopesAtOnce and usesAtOnce are how many rows are read by one statement.
const (
	scopesAtOnce = 50
	usesAtOnce   = 200
)

// search is one that goes on.
type search struct {
	v     *Inventory
	q     Query
	of    store.PackageQuery
	vouch map[string]gatekeeper.Vouch // by project
	hits  []Hit
}

// scope adds what is in one scope, until there is one hit more than is asked for.
func (s *search) scope(ctx context.Context, c store.PackageScope) error {
	vouch, ok := s.vouch[c.Name]
	if !ok {
		var err error
		if vouch, err = s.v.keeper.Signers(ctx, c.Name); err != nil {
			if core.CodeOf(err) == core.CodeNotFound {
				return nil // it went meanwhile
			}
			return err
		}
		s.vouch[c.Name] = vouch
	}
	var after store.UsePosition
	if c.ID == s.q.After.Scope {
		after = s.q.After.UsePosition
	}
	for more := true; more && len(s.hits) <= s.q.N; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var uses []*store.PackageUse
		var err error
		if uses, more, err = s.v.store.PackageUses(ctx, s.of, c, after, min(usesAtOnce, s.q.N+1)); err != nil {
			return err
		}
		for _, u := range uses {
			if after = u.UsePosition; len(s.hits) <= s.q.N {
				s.use(c, u, vouch)
			}
		}
	}
	return nil
}

// use adds a hit, if it is one and not the last one again, attested by somebody else.
func (s *search) use(c store.PackageScope, u *store.PackageUse, vouch gatekeeper.Vouch) {
	h := Hit{Position: Position{c.ID, u.UsePosition}, Project: c.ListedProject, Repository: u.RepositoryName, Digest: u.Subject, Version: u.Number,
		Source: c.Source, Document: u.DocumentDigest, Format: u.Format}
	h.Signer, h.Trusted = standing(c.Source, u.Evidence, vouch)
	if u.Attested != nil {
		if _, trusted := vouch(u.Attested.Signer); trusted {
			return // somebody trusted says the same
		}
	}
	if !h.Trusted && !s.q.Unsigned || !s.q.Sees(c.ListedProject, u.RepositoryName) {
		return
	}
	if n := len(s.hits); n > 0 {
		last := &s.hits[n-1]
		if same := last.Scope == h.Scope && last.UsePosition.Version == u.Version && last.Document == h.Document && last.place() == h.place(); same {
			if h.Trusted && !last.Trusted {
				last.Signer, last.Trusted = h.Signer, true
			}
			return
		}
	}
	// A list that goes on behind it goes on behind all that says the same.
	h.Carrier, h.Item = "zzz", math.MaxInt64 // no digest is behind that, in whatever order texts are
	s.hits = append(s.hits, h)
}

func places(hits []Hit) []store.Place {
	out := make([]store.Place, len(hits))
	for i := range hits {
		out[i] = hits[i].place()
	}
	return out
}

func (v *Inventory) tag(ctx context.Context, hits []Hit) error {
	tags, err := v.store.PlaceTags(ctx, places(hits), MaxTags)
	for i := range hits {
		hits[i].Tags = tags[hits[i].place()]
	}
	return err
}

// Pulled adds to hits who pulled them lately: of those in projects whose pulls who asks may see.
func (v *Inventory) Pulled(ctx context.Context, hits []Hit, may func(p store.ListedProject) bool) error {
	var visible []Hit
	for i := range hits {
		if may(hits[i].Project) {
			visible = append(visible, hits[i])
		}
	}
	pulls, err := v.store.PlacePulls(ctx, places(visible), v.store.Now().Add(-pulledDays*24*time.Hour), maxPullers)
	for i := range hits {
		if may(hits[i].Project) {
			hits[i].Pulls = append([]store.Pull{}, pulls[hits[i].place()]...)
		}
	}
	return err
}
