package inventory

import (
	"cmp"
	"context"
	"slices"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

// Change is a package that two artifacts do not have alike.
type Change struct {
	core.Package          // without version
	From         []string // versions in the first; none: it came
	To           []string // versions in the second; none: it went
}

// Diff says what packages differ between two artifacts, in order of type, namespace and name; complete says that it is all.
// A package that is listed with another licence or for another architecture is the same.
func (v *Inventory) Diff(ctx context.Context, from, to []Document) (changes []Change, complete bool, err error) {
	before, err := v.entries(ctx, from)
	if err != nil {
		return nil, false, err
	}
	after, err := v.entries(ctx, to)
	if err != nil {
		return nil, false, err
	}
	byName := map[core.Package]*Change{}
	complete = true
	for _, side := range []struct {
		mine, other []entry
		add         func(c *Change, version string)
	}{
		{before, after, func(c *Change, version string) { c.From = append(c.From, version) }},
		{after, before, func(c *Change, version string) { c.To = append(c.To, version) }},
	} {
		only := without(side.mine, side.other)
		if len(only) > v.limits.Changes {
			only, complete = only[:v.limits.Changes], false
		}
		named, err := v.store.Named(ctx, only)
		if err != nil {
			return nil, false, err
		}
		for _, p := range named {
			name := core.Package{Type: p.Type, Namespace: p.Namespace, Name: p.Name}
			if byName[name] == nil {
				byName[name] = &Change{Package: name}
			}
			side.add(byName[name], p.Version)
		}
	}
	for _, c := range byName {
		slices.Sort(c.From)
		slices.Sort(c.To)
		changes = append(changes, *c)
	}
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return changes, complete, nil
}

// without is what of a list no entry of another one is the same version of, each once.
func without(mine, other []entry) []store.PackageEntry {
	seen := make(map[int64]bool, len(other))
	for i := range other {
		seen[other[i].Version] = true
	}
	var out []store.PackageEntry
	for i := range mine {
		if e := mine[i].PackageEntry; !seen[e.Version] {
			seen[e.Version] = true
			out = append(out, e)
		}
	}
	return out
}
