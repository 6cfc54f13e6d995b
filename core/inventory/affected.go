package inventory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gate"
	"github.com/hallmarkhub/hallmark/core/store"
)

// imagesAtOnce is how many reports, which may be long, are read by one statement.
const imagesAtOnce = 20

// VulnerableQuery asks for what has a vulnerability.
type VulnerableQuery struct {
	Name    string
	Project string // only there; "" for all
	// Sees says whether who asks may pull from a repository of a project that it sees.
	Sees  func(p store.ListedProject, repository string) bool
	After VulnerablePosition
	N     int
}

// VulnerablePosition is the place of a Vulnerable in a list: ids of project and repository, and a digest.
type VulnerablePosition struct{ Project, Repository, Digest string }

// Vulnerable is an image that has a vulnerability.
type Vulnerable struct {
	VulnerablePosition
	Project    store.ListedProject
	Repository string   // whole name
	Tags       []string // its own, then those of indexes that list it; not more than MaxTags
	Found      []FoundIn
	ScannedAt  time.Time // by whoever looked last
	FixedTags  []string  // of the same repository: scanned, and without it
}

// Vulnerable lists the images that have a vulnerability, of all that a principal may pull; more says that there is more of it.
// It reads on until the page is full and one more was found, so that neither a page nor a cursor tells of what is left out.
func (v *Inventory) Vulnerable(ctx context.Context, p *core.Principal, q VulnerableQuery) (hits []Vulnerable, more bool, err error) {
	id, err := v.store.VulnerabilityID(ctx, q.Name)
	if err != nil {
		return nil, false, err
	}
	err = v.placed(ctx, p, id, q, func(project store.ListedProject, r store.PlacedRepository) (bool, error) {
		after := ""
		if r.ID == q.After.Repository {
			after = q.After.Digest
		}
		for further := true; further && len(hits) <= q.N; {
			var found []store.FoundScan
			var err error
			if found, further, err = v.store.VulnerableImages(ctx, id, r.ID, after, imagesAtOnce); err != nil {
				return false, err
			}
			if further { // what other scanners found in the last one comes with it, in the next read
				last := found[len(found)-1].Digest
				if first := slices.IndexFunc(found, func(f store.FoundScan) bool { return f.Digest == last }); first > 0 {
					found = found[:first]
				}
			}
			after = addImages(&hits, project, r, q.Name, found, after)
		}
		return len(hits) <= q.N, nil
	})
	if err != nil {
		return nil, false, err
	}
	if len(hits) > q.N {
		hits, more = hits[:q.N], true
	}
	return hits, more, v.dress(ctx, id, q.Name, hits)
}

// placed calls f with the repositories in which a vulnerability was found and that may be seen, until it says that that is enough.
func (v *Inventory) placed(ctx context.Context, p *core.Principal, id int64, q VulnerableQuery, f func(p store.ListedProject, r store.PlacedRepository) (further bool, err error)) error {
	for first, done, more := q.After.Project, "", true; more; {
		var projects []store.ListedProject
		var err error
		if projects, more, err = v.store.VulnerabilityProjects(ctx, p, id, q.Project, first, scopesAtOnce); err != nil {
			return err
		}
		for _, project := range projects {
			if project.ID == done {
				continue
			}
			from := ""
			if project.ID == q.After.Project {
				from = q.After.Repository
			}
			further, err := v.placedIn(ctx, project, id, from, q, f)
			if err != nil || !further {
				return err
			}
			first, done = project.ID, project.ID
		}
	}
	return nil
}

func (v *Inventory) placedIn(ctx context.Context, project store.ListedProject, id int64, first string, q VulnerableQuery, f func(p store.ListedProject, r store.PlacedRepository) (bool, error)) (bool, error) {
	for done, more := "", true; more; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		var repositories []store.PlacedRepository
		var err error
		if repositories, more, err = v.store.VulnerabilityRepositories(ctx, id, project.ID, first, usesAtOnce); err != nil {
			return false, err
		}
		for _, r := range repositories {
			if r.ID == done {
				continue
			}
			if first, done = r.ID, r.ID; !q.Sees(project, r.Name) {
				continue
			}
			if further, err := f(project, r); err != nil || !further {
				return false, err
			}
		}
	}
	return true, nil
}

// addImages adds images to hits, what several scanners found in one of them together, and returns the last digest.
func addImages(hits *[]Vulnerable, project store.ListedProject, r store.PlacedRepository, name string, found []store.FoundScan, last string) string {
	for len(found) > 0 {
		n := slices.IndexFunc(found, func(f store.FoundScan) bool { return f.Digest != found[0].Digest })
		if n < 0 {
			n = len(found)
		}
		m := merging{found: map[core.Finding]int{}, checked: map[core.Check]int{}}
		h := Vulnerable{VulnerablePosition: VulnerablePosition{project.ID, r.ID, found[0].Digest}, Project: project, Repository: r.Name}
		for i := range found[:n] {
			s := &found[i]
			if s.ScannedAt.After(h.ScannedAt) {
				h.ScannedAt = s.ScannedAt
			}
			for _, f := range s.Scan.Findings {
				if f.ID == name {
					m.add(f, "", s.Scanner)
				}
			}
		}
		m.sort()
		h.Found, last = m.out.Vulnerabilities, h.Digest
		*hits = append(*hits, h)
		found = found[n:]
	}
	return last
}

// dress adds to hits their tags, on which tags of their repositories it is fixed, and what is excepted.
func (v *Inventory) dress(ctx context.Context, id int64, name string, hits []Vulnerable) error {
	all := make([]store.Place, len(hits))
	for i := range hits {
		all[i] = store.Place{RepositoryID: hits[i].VulnerablePosition.Repository, Digest: hits[i].Digest}
	}
	tags, err := v.store.PlaceTags(ctx, all, MaxTags)
	if err != nil {
		return err
	}
	fixed, exceptions := map[string][]string{}, map[string]*gate.Exceptions{}
	for i := range hits {
		h := &hits[i]
		h.Tags = tags[all[i]]
		if _, known := fixed[all[i].RepositoryID]; !known {
			if fixed[all[i].RepositoryID], err = v.store.FixedTags(ctx, id, all[i].RepositoryID, MaxTags); err != nil {
				return err
			}
		}
		h.FixedTags = fixed[all[i].RepositoryID]
		if _, known := exceptions[h.Project.ID]; !known {
			of, err := v.store.ExceptionsInForce(ctx, h.Project.ID, name)
			if err != nil {
				return err
			}
			exceptions[h.Project.ID] = gate.NewExceptions(of)
		}
		for j := range h.Found {
			h.Found[j].Exception = exceptions[h.Project.ID].Covering(&h.Found[j].Finding, h.Repository, v.store.Now())
		}
	}
	return nil
}

// Known says what is told of a vulnerability, which may be named by an alias; nil if there is nothing that who asks may know of:
// it was found in nothing that he may pull, and nobody imported another name for it.
func (v *Inventory) Known(ctx context.Context, p *core.Principal, q VulnerableQuery) (*Told, error) {
	other, err := v.store.NameOf(ctx, q.Name)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{q.Name, cmp.Or(other, q.Name)} {
		q.Name = name
		seen, err := v.seen(ctx, p, q)
		if err != nil {
			return nil, err
		}
		all, err := v.Told(ctx, []string{name})
		if err != nil {
			return nil, err
		}
		told := all[name]
		switch {
		case seen:
			return told, nil
		case len(told.Aliases) > 0: // which everybody may read; what scanners say is of something else
			return &Told{Vulnerability: core.Vulnerability{ID: name, Severity: core.SeverityUnknown}, Aliases: told.Aliases}, nil
		}
	}
	return nil, nil
}

// seen says whether a vulnerability was found in anything that may be seen.
func (v *Inventory) seen(ctx context.Context, p *core.Principal, q VulnerableQuery) (bool, error) {
	id, err := v.store.VulnerabilityID(ctx, q.Name)
	if err != nil {
		return false, err
	}
	q.After, q.Project = VulnerablePosition{}, ""
	found := false
	err = v.placed(ctx, p, id, q, func(store.ListedProject, store.PlacedRepository) (bool, error) {
		found = true
		return false, nil
	})
	return found, err
}

// FindVulnerabilities lists vulnerabilities by what they are called, of those that were found in what a principal may pull.
// bounded says that it may not pull from every repository of the projects that it sees.
func (v *Inventory) FindVulnerabilities(ctx context.Context, p *core.Principal, q store.VulnerabilityQuery, bounded bool, sees func(p store.ListedProject, repository string) bool) (out []string, more bool, err error) {
	n := q.N
	for further := true; further && len(out) <= n; {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		var names []string
		if names, further, err = v.store.FindVulnerabilities(ctx, p, q); err != nil {
			return nil, false, err
		}
		for _, name := range names {
			q.After = name
			seen := !bounded
			if bounded {
				if seen, err = v.seen(ctx, p, VulnerableQuery{Name: name, Sees: sees}); err != nil {
					return nil, false, err
				}
			}
			if seen {
				out = append(out, name)
			}
		}
	}
	if len(out) > n {
		return out[:n], true, nil
	}
	return out, false, nil
}
