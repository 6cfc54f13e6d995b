package gate

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// Bounds of what an explanation says per policy of findings that were let pass: how many it names, and of how many at most
// these are the worst.
const (
	maxPassing  = 50
	maxGathered = 10_000
)

// Pass is what lets something pass that is otherwise refused.
type Pass string

// What does.
const (
	PassException Pass = "exception"
	PassAllow     Pass = "allow"
	PassVEX       Pass = "vex"
)

// Passing is something that was found, and passes all the same because somebody answers for it.
type Passing struct {
	Rule      string        `json:"rule"` // vulnerabilities or compliance
	ID        string        `json:"id"`
	Severity  core.Severity `json:"severity,omitempty"`
	Where     string        `json:"where,omitempty"`  // package and version, or path
	Digest    string        `json:"digest,omitempty"` // of the image, if not what was asked for
	By        Pass          `json:"by"`
	Exception string        `json:"exception,omitempty"` // its id
	Reason    string        `json:"reason,omitempty"`    // that the policy gives
	Signer    string        `json:"signer,omitempty"`    // of the VEX document
	Until     *time.Time    `json:"until,omitempty"`

	signer phrase
}

// SignerIn is Signer in a language.
func (p *Passing) SignerIn(l Language) string {
	if l == English || p.signer.none() {
		return p.Signer
	}
	return p.signer.in(l)
}

// leave is whether something is let pass, until when, and by what.
type leave struct {
	span
	by        Pass
	exception string
	reason    string
	signer    *core.Signer
}

// or is a leave that holds as long as one of both does.
func (l leave) or(o leave) leave {
	s := l.span.or(o.span)
	if s != l.span {
		return leave{s, o.by, o.exception, o.reason, o.signer}
	}
	return l
}

// passes tells whoever explains that a finding is let pass. A decision has nobody to tell.
func (e *evaluation) passes(i *scannedImage, f *found, l leave) {
	if e.passing != nil {
		e.passing(e.passed(Passing{Rule: vulnerabilitiesName, ID: f.ID, Severity: f.Severity, Where: strings.TrimSpace(f.Package + " " + f.Version)}, i, l))
	}
}

// passesCheck likewise of a check.
func (e *evaluation) passesCheck(i *scannedImage, c *core.Check, l leave) {
	if e.passing != nil {
		e.passing(e.passed(Passing{Rule: complianceName, ID: c.ID, Severity: c.Severity, Where: c.Path}, i, l))
	}
}

func (e *evaluation) passed(p Passing, i *scannedImage, l leave) Passing {
	p.ID, p.Where, p.Severity = printable(clip(p.ID, 64)), printable(clip(p.Where, 200)), core.Severity(printable(clip(string(p.Severity), 20)))
	p.By, p.Exception, p.Reason = l.by, l.exception, printable(clip(l.reason, 200))
	if i.digest != e.in.Digest {
		p.Digest = i.digest
	}
	if l.signer != nil {
		p.signer = e.in.Registered.describe(l.signer)
		p.Signer = p.signer.in(English)
	}
	if !l.until.IsZero() {
		until := l.until
		p.Until = &until
	}
	return p
}

// collect gathers what is let pass. Two scanners may have found the same.
func (x *PolicyExplanation) collect(p Passing) {
	if len(x.Passing) == maxGathered {
		x.PassingOmitted++
		return
	}
	x.Passing = append(x.Passing, p)
}

// worst puts what is let pass in order, and names no more than there is room for.
func (x *PolicyExplanation) worst() {
	slices.SortStableFunc(x.Passing, func(a, b Passing) int {
		return cmp.Or(rankOf(b.Severity)-rankOf(a.Severity), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Where, b.Where), cmp.Compare(a.Digest, b.Digest))
	})
	x.Passing = slices.CompactFunc(x.Passing, func(a, b Passing) bool {
		return a.Rule == b.Rule && a.ID == b.ID && a.Where == b.Where && a.Digest == b.Digest
	})
	if n := len(x.Passing) - maxPassing; n > 0 {
		x.Passing, x.PassingOmitted = x.Passing[:maxPassing], x.PassingOmitted+n
	}
}
