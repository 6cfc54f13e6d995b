package inventory

import (
	"context"
	"slices"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/sbom"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
)

// Fix is a tag that came after an artifact, and has not the version of a package that this has.
type Fix struct {
	Tag, Digest string
	Change      FixChange
	Versions    []string // that it has instead
}

// FixChange is what has become of a package.
type FixChange string

// The changes. Versions whose order is not known differ: which is the newer one is for people to say.
const (
	FixNewer   FixChange = "newer"
	FixRemoved FixChange = "removed"
	FixOther   FixChange = "other"
)

// fixDocuments is how many documents about the images of a repository's tags are looked at, the newest ones.
const fixDocuments = 1000

// Fixed adds to hits on which tags of the same repository the package is fixed: those that came later, of which all images have a document
// of somebody trusted, and none lists the version.
func (v *Inventory) Fixed(ctx context.Context, hits []Hit, p core.Package) error {
	if len(hits) == 0 {
		return nil
	}
	id, _, err := v.store.PackageIDs(ctx, p, nil)
	if err != nil {
		return err
	}
	versions, err := v.store.PackageVersions(ctx, id)
	if err != nil {
		return err
	}
	byRepository := map[string][]*Hit{}
	for i := range hits {
		h := &hits[i]
		h.Fixes = []Fix{}
		byRepository[h.Repository] = append(byRepository[h.Repository], h)
	}
	for _, some := range byRepository {
		f := fixing{v: v, kind: p.Type, versions: versions}
		if err := f.repository(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// fixing looks through one repository.
type fixing struct {
	v        *Inventory
	kind     string // type of the package
	versions map[int64]string
}

// candidate is a tag, and what its images list of the package.
type candidate struct {
	store.TaggedManifest
	images   []string
	versions []string
	known    bool // all images have a document
}

func (f *fixing) repository(ctx context.Context, hits []*Hit) error {
	h := hits[0]
	tags, err := f.candidates(ctx, h)
	if err != nil || len(tags) == 0 {
		return err
	}
	var digests []string
	for _, h := range hits {
		digests = append(digests, h.Digest)
	}
	pushed, err := f.v.store.PushedAt(ctx, h.UsePosition.Repository, digests)
	if err != nil {
		return err
	}
	vouch, err := f.v.keeper.Signers(ctx, h.Project.Name)
	if err != nil {
		return err
	}
	if err := f.look(ctx, h.Repository, tags, vouch); err != nil {
		return err
	}
	for _, h := range hits {
		h.Fixes = f.fixes(tags, h.Version, pushed[h.Digest])
	}
	return nil
}

// candidates are the newest tags, each with the images that it is.
func (f *fixing) candidates(ctx context.Context, h *Hit) ([]*candidate, error) {
	all, err := f.v.store.RecentTags(ctx, h.UsePosition.Repository, 2*f.v.limits.FixTags)
	if err != nil {
		return nil, err
	}
	var out []*candidate
	images := 0
	for _, t := range all {
		if _, signature := trust.LegacySubject(t.Tag); signature {
			continue
		}
		_, digests, err := f.v.images(ctx, h.Repository, &store.Artifact{Digest: t.Digest, MediaType: t.MediaType}, "")
		if err != nil {
			return nil, err
		}
		if images += len(digests); len(out) == f.v.limits.FixTags || images > f.v.limits.FixImages {
			break
		}
		out = append(out, &candidate{TaggedManifest: t, images: digests})
	}
	return out, nil
}

// look finds out what the images of the candidates list, by the best document of each that is vouched for.
func (f *fixing) look(ctx context.Context, repository string, tags []*candidate, vouch gatekeeper.Vouch) error {
	var subjects []string
	for _, t := range tags {
		subjects = append(subjects, t.images...)
	}
	slices.Sort(subjects)
	stored, err := f.v.store.SBOMs(ctx, repository, slices.Compact(subjects), fixDocuments)
	if err != nil || len(stored) == 0 {
		return err
	}
	best := map[string]*Document{}
	for _, s := range stored {
		d := &Document{StoredSBOM: *s}
		_, d.Trusted = standing(s.Source, s.Evidence, vouch)
		if d.Trusted && d.Problem == "" && (best[s.Subject] == nil || rank(d) < rank(best[s.Subject])) {
			best[s.Subject] = d
		}
	}
	var documents []int64
	for _, d := range best {
		documents = append(documents, d.ID)
	}
	if len(documents) == 0 {
		return nil
	}
	slices.Sort(documents)
	lists, err := f.v.store.VersionsIn(ctx, slices.Compact(documents), f.versions)
	if err != nil {
		return err
	}
	for _, t := range tags {
		// Of an index with more images than are looked at it is not known what all of them list.
		t.known = len(t.images) <= f.v.limits.Platforms
		t.tell(best, lists)
	}
	return nil
}

// tell adds up what the images of a candidate list. The first one is the tag's own manifest: of an index, whose images have documents of
// their own, it need not have one.
func (t *candidate) tell(best map[string]*Document, lists map[int64][]string) {
	for i, image := range t.images {
		d := best[image]
		if d == nil {
			t.known = t.known && i == 0 && len(t.images) > 1
			continue
		}
		list, there := lists[d.ID]
		t.known = t.known && there
		t.versions = append(t.versions, list...)
	}
	slices.Sort(t.versions)
	t.versions = slices.Compact(t.versions)
}

// fixes are the candidates that came after a time and have another version than this one, or none.
func (f *fixing) fixes(tags []*candidate, version string, after time.Time) []Fix {
	out := []Fix{}
	for _, t := range tags {
		if !t.known || !t.PushedAt.After(after) || len(out) == f.v.limits.Fixes {
			continue
		}
		change, ok := f.change(t.versions, version)
		if ok {
			out = append(out, Fix{Tag: t.Tag, Digest: t.Digest, Change: change, Versions: t.versions})
		}
	}
	return out
}

func (f *fixing) change(versions []string, was string) (change FixChange, fixed bool) {
	change = FixNewer
	for _, now := range versions {
		order, known := sbom.CompareVersions(f.kind, now, was)
		switch {
		case now == was || known && order <= 0:
			return "", false
		case !known:
			change = FixOther
		}
	}
	if len(versions) == 0 {
		change = FixRemoved
	}
	return change, true
}
