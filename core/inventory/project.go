package inventory

import (
	"context"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gate"
	"github.com/hallmarkhub/hallmark/core/store"
)

// ProjectQuery asks for the findings in the images of a project.
type ProjectQuery struct {
	Filter FindingFilter
	Sees   func(repository string) bool // by its whole name
	After  store.ImagePosition          // the image that the list goes on in
	Place  []string                     // of the last finding there; nil: behind all of them
	N      int
}

// ProjectFinding is a finding in an image of a project.
type ProjectFinding struct {
	store.ImagePosition
	Repository string // whole name
	Tags       []string
	ScannedAt  time.Time
	FoundIn
}

// Project lists the findings in the images of a project, image by image and the worst first; more says that there are further ones.
func (v *Inventory) Project(ctx context.Context, p *core.Project, q ProjectQuery) (out []ProjectFinding, more bool, err error) {
	inForce, err := v.store.ExceptionsInForce(ctx, p.ID, "")
	if err != nil {
		return nil, false, err
	}
	exceptions := gate.NewExceptions(inForce)
	after := q.After
	if q.Place != nil { // the image itself once more
		if out, err = v.oneImage(ctx, q, exceptions); err != nil {
			return nil, false, err
		}
	}
	for further := true; further && len(out) <= q.N; {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		var scans []store.ProjectScan
		if scans, further, err = v.store.ProjectScans(ctx, p, after, imagesAtOnce); err != nil {
			return nil, false, err
		}
		for len(scans) > 0 {
			n := 1
			for n < len(scans) && scans[n].ImagePosition == scans[0].ImagePosition {
				n++
			}
			after = scans[0].ImagePosition
			found, err := v.projectImage(ctx, scans[:n], q, exceptions)
			if err != nil {
				return nil, false, err
			}
			out, scans = append(out, found...), scans[n:]
		}
	}
	if len(out) > q.N {
		out, more = out[:q.N], true
	}
	return out, more, v.tagFindings(ctx, out)
}

// oneImage is what is left of the image that the page before ended in.
func (v *Inventory) oneImage(ctx context.Context, q ProjectQuery, exceptions *gate.Exceptions) ([]ProjectFinding, error) {
	scans, err := v.store.ImageScans(ctx, q.After)
	if err != nil || len(scans) == 0 {
		return nil, err
	}
	all, err := v.projectImage(ctx, scans, q, exceptions)
	if err != nil {
		return nil, err
	}
	bare := make([]FoundIn, len(all))
	for i := range all {
		bare[i] = all[i].FoundIn
	}
	return all[len(all)-len(Behind(bare, q.Place)):], nil
}

// projectImage is what all scanners found in one image, if it may be seen.
func (v *Inventory) projectImage(ctx context.Context, scans []store.ProjectScan, q ProjectQuery, exceptions *gate.Exceptions) ([]ProjectFinding, error) {
	first := scans[0]
	if !q.Sees(first.Repository) {
		return nil, nil
	}
	m := merging{found: map[core.Finding]int{}, checked: map[core.Check]int{}}
	var at time.Time
	for i := range scans {
		if scans[i].ScannedAt.After(at) {
			at = scans[i].ScannedAt
		}
		for _, f := range scans[i].Scan.Findings {
			m.add(f, "", scans[i].Scanner)
		}
	}
	m.sort()
	all, err := v.Filter(ctx, m.out.Vulnerabilities, q.Filter)
	if err != nil {
		return nil, err
	}
	var out []ProjectFinding
	for _, f := range all {
		f.Exception = exceptions.Covering(&f.Finding, first.Repository, v.store.Now())
		out = append(out, ProjectFinding{ImagePosition: first.ImagePosition, Repository: first.Repository, ScannedAt: at, FoundIn: f})
	}
	return out, nil
}

func (v *Inventory) tagFindings(ctx context.Context, all []ProjectFinding) error {
	var where []store.Place
	for i := range all {
		if p := (store.Place{RepositoryID: all[i].RepositoryID, Digest: all[i].Digest}); len(where) == 0 || where[len(where)-1] != p {
			where = append(where, p)
		}
	}
	tags, err := v.store.PlaceTags(ctx, where, MaxTags)
	for i := range all {
		all[i].Tags = tags[store.Place{RepositoryID: all[i].RepositoryID, Digest: all[i].Digest}]
	}
	return err
}
