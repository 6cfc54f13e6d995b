package inventory

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gate"
	"github.com/hallmarkhub/hallmark/core/store"
)

// FoundIn is a vulnerability in a package of an artifact.
type FoundIn struct {
	core.Finding
	Platforms []string // of an index: the images that have it
	Scanners  []string
	Exception *core.Exception // that covers it now
}

// CheckedIn is a check of an artifact that found something.
type CheckedIn struct {
	core.Check
	Platforms []string
	Scanners  []string
}

// Findings is all that scanners found in an artifact.
type Findings struct {
	Vulnerabilities []FoundIn // the worst first
	Checks          []CheckedIn
	Looked          []core.CheckKind // what was looked for in every image
	Matched         bool             // vulnerabilities were looked for, in one image at least
	// Missing is why vulnerabilities can be more than these: an image that was not scanned, a distribution that is not known.
	Missing []string
}

// Findings returns what scanners found in an artifact; of an index in its images, or in that of one platform.
func (v *Inventory) Findings(ctx context.Context, repository string, a *store.Artifact, platform string) (*Findings, error) {
	platforms, digests, err := v.images(ctx, repository, a, platform)
	if err != nil {
		return nil, err
	}
	if len(digests) > 1 && digests[0] == a.Digest { // nothing is found in an index itself
		digests = digests[1:]
	}
	return v.findings(ctx, repository, platforms, digests)
}

func (v *Inventory) findings(ctx context.Context, repository string, platforms map[string]string, digests []string) (*Findings, error) {
	scans, err := v.store.ScansOf(ctx, repository, digests)
	if err != nil {
		return nil, err
	}
	m := merging{found: map[core.Finding]int{}, checked: map[core.Check]int{}}
	for i, d := range digests {
		of := slices.DeleteFunc(slices.Clone(scans), func(s store.FoundScan) bool { return s.Digest != d })
		m.image(platforms[d], of, i == 0)
		if len(m.out.Vulnerabilities)+len(m.out.Checks) > v.limits.Found {
			return nil, core.Errorf(core.CodeLimit, "more than %d things were found in the images of this index: name one with platform", v.limits.Found)
		}
	}
	m.sort()
	return &m.out, nil
}

// merging puts together what was found in several images, by several scanners.
type merging struct {
	out     Findings
	found   map[core.Finding]int
	checked map[core.Check]int
}

func (m *merging) image(platform string, scans []store.FoundScan, first bool) {
	var looked []core.CheckKind
	matched, failed := false, ""
	for i := range scans {
		s := &scans[i]
		failed = cmp.Or(failed, s.Problem)
		looked = append(looked, s.Looked...)
		if matched = matched || s.Matched; s.Matched && s.Incomplete != "" {
			m.missing(platform, s.Incomplete)
		}
		for _, f := range s.Scan.Findings {
			m.add(f, platform, s.Scanner)
		}
		for _, c := range s.Scan.Checks {
			m.check(c, platform, s.Scanner)
		}
	}
	switch {
	case failed != "":
		m.missing(platform, "the last scan failed: "+failed)
	case !matched:
		m.missing(platform, "it was not scanned for vulnerabilities")
	}
	m.out.Matched = m.out.Matched || matched
	if first {
		m.out.Looked = looked
	}
	m.out.Looked = slices.DeleteFunc(m.out.Looked, func(k core.CheckKind) bool { return !slices.Contains(looked, k) })
}

func (m *merging) missing(platform, why string) {
	if platform != "" {
		why = platform + ": " + why
	}
	m.out.Missing = append(m.out.Missing, why)
}

// add takes a finding that is the same whatever layer and architecture it is of.
func (m *merging) add(f core.Finding, platform, scanner string) {
	key := f
	key.Layer, key.PURL = "", ""
	at, known := m.found[key]
	if !known {
		at = len(m.out.Vulnerabilities)
		m.found[key] = at
		m.out.Vulnerabilities = append(m.out.Vulnerabilities, FoundIn{Finding: f})
	}
	x := &m.out.Vulnerabilities[at]
	x.Platforms, x.Scanners = with(x.Platforms, platform), with(x.Scanners, scanner)
	x.PURL, x.Layer = cmp.Or(x.PURL, f.PURL), cmp.Or(x.Layer, f.Layer)
}

func (m *merging) check(c core.Check, platform, scanner string) {
	key := c
	key.Layer = ""
	at, known := m.checked[key]
	if !known {
		at = len(m.out.Checks)
		m.checked[key] = at
		m.out.Checks = append(m.out.Checks, CheckedIn{Check: c})
	}
	x := &m.out.Checks[at]
	x.Platforms, x.Scanners = with(x.Platforms, platform), with(x.Scanners, scanner)
}

// with is a list with one more, unless that is empty or in it.
func with(list []string, one string) []string {
	if one == "" || slices.Contains(list, one) {
		return list
	}
	return append(list, one)
}

func (m *merging) sort() {
	slices.SortStableFunc(m.out.Vulnerabilities, func(a, b FoundIn) int {
		return cmp.Or(b.Severity.Rank()-a.Severity.Rank(), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Package, b.Package), cmp.Compare(a.Version, b.Version),
			cmp.Compare(a.Path, b.Path), cmp.Compare(a.Fixed, b.Fixed))
	})
	slices.SortStableFunc(m.out.Checks, func(a, b CheckedIn) int {
		return cmp.Or(b.Severity.Rank()-a.Severity.Rank(), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Path, b.Path))
	})
	slices.Sort(m.out.Looked)
	m.out.Looked = slices.Compact(m.out.Looked)
}

// Place is where a finding stands in the list: a list that has changed meanwhile goes on behind the same vulnerability.
func (f *FoundIn) Place() []string {
	sum := sha256.Sum256([]byte(strings.Join([]string{f.Package, f.Version, f.Path, f.Fixed}, "\x00")))
	return []string{strconv.Itoa(f.Severity.Rank()), f.ID, hex.EncodeToString(sum[:16])}
}

// Behind is what of a list of findings is behind a place.
func Behind(all []FoundIn, place []string) []FoundIn {
	rank, err := strconv.Atoi(place[0])
	if err != nil {
		return all
	}
	for i := range all {
		if slices.Equal(all[i].Place(), place) {
			return all[i+1:]
		}
	}
	i := slices.IndexFunc(all, func(f FoundIn) bool {
		return f.Severity.Rank() < rank || f.Severity.Rank() == rank && f.ID > place[1]
	})
	if i < 0 {
		return nil
	}
	return all[i:]
}

// Told is what is said of a vulnerability, wherever it is found.
type Told struct {
	core.Vulnerability
	Aliases []store.Alias
}

// TitleIn is the title in a language: in Chinese what a list of aliases says, if one does.
func (t *Told) TitleIn(chinese bool) string {
	if chinese {
		for _, a := range t.Aliases {
			if strings.ContainsFunc(a.Title, func(r rune) bool { return r >= 0x3400 && r <= 0x9fff }) {
				return a.Title
			}
		}
	}
	return t.Title
}

// has says whether a text is in what is said of it, in whatever case. text is in lower case.
func (t *Told) has(text string) bool {
	if strings.Contains(strings.ToLower(t.Title), text) {
		return true
	}
	return slices.ContainsFunc(t.Aliases, func(a store.Alias) bool {
		return strings.Contains(strings.ToLower(a.Alias), text) || strings.Contains(strings.ToLower(a.Title), text)
	})
}

// Told returns what is said of vulnerabilities.
func (v *Inventory) Told(ctx context.Context, names []string) (map[string]*Told, error) {
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	said, err := v.store.VulnerabilitiesNamed(ctx, names)
	if err != nil {
		return nil, err
	}
	aliases, err := v.store.AliasesOf(ctx, names)
	out := make(map[string]*Told, len(names))
	for _, name := range names {
		out[name] = &Told{Vulnerability: said[name], Aliases: aliases[name]}
		out[name].ID = name
	}
	return out, err
}

// FindingFilter keeps some findings. What is empty keeps all.
type FindingFilter struct {
	Severity core.Severity // at least
	Fixable  bool
	Package  string // in its name or package URL
	Text     string // in whatever is shown of it, in whatever case
}

// Filter keeps what fits, in its order.
func (v *Inventory) Filter(ctx context.Context, all []FoundIn, f FindingFilter) ([]FoundIn, error) {
	text, pkg := strings.ToLower(f.Text), strings.ToLower(f.Package)
	told := map[string]*Told{}
	if text != "" {
		var err error
		if told, err = v.Told(ctx, IDs(all)); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(x FoundIn) bool {
		switch {
		case x.Severity.Rank() < f.Severity.Rank(), f.Fixable && x.Fixed == "",
			!strings.Contains(strings.ToLower(x.Package+"\x00"+x.PURL), pkg):
			return true
		case text == "":
			return false
		}
		shown := strings.Join([]string{x.ID, x.Package, x.Version, x.PURL, x.Fixed, x.Path, x.Layer}, "\x00")
		return !strings.Contains(strings.ToLower(shown), text) && !told[x.ID].has(text)
	}), nil
}

// IDs are the vulnerabilities of findings.
func IDs(all []FoundIn) []string {
	out := make([]string, len(all))
	for i := range all {
		out[i] = all[i].ID
	}
	return out
}

// Except notes for each finding which exception of the project covers it now.
func (v *Inventory) Except(ctx context.Context, p *core.Project, repository string, all []FoundIn) error {
	exceptions, err := v.store.ExceptionsInForce(ctx, p.ID, "")
	if err != nil || len(exceptions) == 0 {
		return err
	}
	x, now := gate.NewExceptions(exceptions), v.store.Now()
	for i := range all {
		all[i].Exception = x.Covering(&all[i].Finding, repository, now)
	}
	return nil
}

// NotScanned says that nobody has looked for vulnerabilities in an artifact.
func NotScanned(repository, reference string, f *Findings) error {
	why := ""
	if len(f.Missing) > 0 {
		why = " (" + f.Missing[0] + ")"
	}
	return core.Errorf(core.CodeNotFound, "%s", fmt.Sprintf("there is no report on vulnerabilities of %s %s%s: have it scanned, then ask again", repository, reference, why))
}
