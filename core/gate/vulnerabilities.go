package gate

import (
	"cmp"
	"slices"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/sbom"
)

// The names of the rules about scans, where others have names that people give them.
const (
	vulnerabilitiesName = "vulnerabilities"
	complianceName      = "compliance"
)

// nothing is what a policy writes for a severity that nothing is below.
const nothing = "none"

// vulnerabilityRule says which vulnerabilities are too bad, and when an image counts as scanned.
type vulnerabilityRule struct {
	worst         int // rank of the worst severity that passes; -1: none does
	ignoreUnfixed bool
	exceptions    bool     // those of the project count
	scanned       bool     // scans of the hub's scanners are enough
	attested      *rule    // or scans that somebody attests; nil: they are not
	scanners      []string // each of which must have scanned; nil: one is enough
	maxAge        time.Duration
	onMissing     missing
	allow         []allowance
	vex           *rule // who may say that a vulnerability does not matter here; nil: nobody
}

// missing says what becomes of an image that does not count as scanned. What is none of these denies.
type missing string

const (
	missingDenies missing = "deny"
	missingAllows missing = "allow"
	missingWarns  missing = "warn"
)

// allowance is a vulnerability or a check that a policy itself lets through, until a day.
type allowance struct {
	place
	id      string
	purl    *core.Package
	path    string // of checks: a file, or a directory and /**
	expires time.Time
	reason  string
}

// allowances are those of both rules.
func (p *Policy) allowances() (all []allowance) {
	if p.vulns != nil {
		all = append(all, p.vulns.allow...)
	}
	if p.content != nil {
		all = append(all, p.content.allow...)
	}
	return all
}

// found is a finding, and its package once somebody has asked for it.
type found struct {
	*core.Finding
	parsed bool
	purl   *core.Package
}

// in reports whether a finding is in the package that is named: in any version if it names none, and whatever qualifiers it
// has if it names none. What the scanner gave no package URL for is in no package that has one.
func (f *found) in(named *core.Package) bool {
	if !f.parsed {
		f.parsed = true
		if p, err := sbom.ParsePURL(f.PURL); err == nil {
			f.purl = &p
		}
	}
	p := f.purl
	return p != nil && p.Type == named.Type && p.Namespace == named.Namespace && p.Name == named.Name &&
		(named.Version == "" || named.Version == p.Version) && (named.Rest == "" || named.Rest == p.Rest)
}

// rank of a severity as a policy compares it. A word that is none of ours is taken for the worst.
func rankOf(s core.Severity) int {
	if n := s.Rank(); n >= 0 {
		return n
	}
	return len(core.Severities())
}

// refusedBy are the findings that r does not let through, the worst first, and until when the others are. unread is a VEX
// document that somebody whom r believes has signed, and that cannot be read; nil if all can.
func (e *evaluation) refusedBy(r *vulnerabilityRule, i *scannedImage, scans []core.Scan) (refused []found, unread *core.Evidence, until time.Time) {
	var said *vex
	for s := range scans {
		for n := range scans[s].Findings {
			f := found{Finding: &scans[s].Findings[n]}
			if rankOf(f.Severity) <= r.worst || r.ignoreUnfixed && f.Fixed == "" {
				continue
			}
			let := r.lets(&f, e.now)
			if r.exceptions {
				let = let.or(e.in.Exceptions.lets(&f, e.in.Repository, e.now))
			}
			if !let.ok && r.vex != nil {
				if said == nil {
					said = e.vex(r.vex, i)
					until, unread = sooner(until, said.next), said.unread
				}
				let = said.lets(&f)
			}
			if let.ok {
				until = sooner(until, let.until)
				e.passes(i, &f, let)
				continue
			}
			refused = append(refused, f)
		}
	}
	slices.SortFunc(refused, func(a, b found) int {
		return cmp.Or(rankOf(b.Severity)-rankOf(a.Severity), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Package, b.Package), cmp.Compare(a.Version, b.Version))
	})
	return slices.CompactFunc(refused, func(a, b found) bool { // several scanners have found it
		return a.ID == b.ID && a.Package == b.Package && a.Version == b.Version
	}), unread, until
}

func (r *vulnerabilityRule) lets(f *found, now time.Time) (l leave) {
	for i := range r.allow {
		a := &r.allow[i]
		if now.Before(a.expires) && folded(a.id) == folded(f.ID) && (a.purl == nil || f.in(a.purl)) {
			l = l.or(leave{span: span{true, a.expires}, by: PassAllow, reason: a.reason})
		}
	}
	return l
}
