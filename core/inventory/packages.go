package inventory

import (
	"context"
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

// Listed is a package of an artifact.
type Listed struct {
	core.Package
	Platforms []string // of an index: the images that have it
	Source    core.SBOMSource
	Trusted   bool // every document that lists it is
}

// entry is a package of an artifact that has no names yet.
type entry struct {
	store.PackageEntry
	documents []*Document
}

// chosen is the best document of the artifact itself and of each of its images.
func chosen(all []Document) []*Document {
	var out []*Document
	seen := map[string]bool{}
	for i := range all {
		if !seen[all[i].Subject] && all[i].Problem == "" {
			seen[all[i].Subject] = true
			out = append(out, &all[i])
		}
	}
	slices.SortStableFunc(out, func(a, b *Document) int { return strings.Compare(a.Platform, b.Platform) })
	return out
}

// entries is what the best documents list, each package once: those of the first one in its order, then what the next one adds.
func (v *Inventory) entries(ctx context.Context, all []Document) ([]entry, error) {
	best := chosen(all)
	if len(best) == 0 {
		return nil, core.Errorf(core.CodeNotFound, "there is no bill of materials for this artifact that can be read: attest one with cosign attest --type spdxjson, or push one that was made anew")
	}
	var out []entry
	place := map[store.PackageEntry]int{}
	for _, d := range best {
		list, err := v.store.PackageEntries(ctx, d.ID)
		if err != nil {
			return nil, err
		}
		if len(out)+len(list) > v.limits.Listed {
			return nil, core.Errorf(core.CodeLimit, "the images of this index list more than %d packages: name one with platform", v.limits.Listed)
		}
		for _, e := range list {
			i, known := place[e]
			if !known {
				i = len(out)
				place[e] = i
				out = append(out, entry{PackageEntry: e})
			}
			out[i].documents = append(out[i].documents, d)
		}
	}
	return out, nil
}

// Packages lists the packages of an artifact, n of them from the place first on; total is how many there are.
func (v *Inventory) Packages(ctx context.Context, all []Document, first, n int) (page []Listed, total int, err error) {
	entries, err := v.entries(ctx, all)
	if err != nil {
		return nil, 0, err
	}
	first = max(0, min(first, len(entries)))
	some := entries[first:min(first+n, len(entries))]
	named, err := v.store.Named(ctx, bareEntries(some))
	if err != nil {
		return nil, 0, err
	}
	for i, e := range some {
		l := Listed{Package: named[i], Trusted: true, Source: e.documents[0].Source}
		for _, d := range e.documents {
			if d.Platform != "" {
				l.Platforms = append(l.Platforms, d.Platform)
			}
			if l.Trusted && !d.Trusted {
				l.Trusted, l.Source = false, d.Source
			}
		}
		page = append(page, l)
	}
	return page, len(entries), nil
}

func bareEntries(all []entry) []store.PackageEntry {
	out := make([]store.PackageEntry, len(all))
	for i := range all {
		out[i] = all[i].PackageEntry
	}
	return out
}

// Trusted says whether all documents are that Packages and Diff look at.
func Trusted(all []Document) bool {
	for _, d := range chosen(all) {
		if !d.Trusted {
			return false
		}
	}
	return true
}
