package gate

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// contentRule says what must not be in an image, besides vulnerabilities, and what must.
type contentRule struct {
	kinds     []kindRule
	licences  *licenceRule // nil: any
	nonroot   bool
	labels    []string
	allow     []allowance
	maxAge    time.Duration
	onMissing missing
}

// kindRule refuses checks of a kind that are worse than a severity.
type kindRule struct {
	kind  core.CheckKind
	worst int // rank; -1: all
}

// licenceRule names licences and classes of them. With deny everything else passes; with allow alone nothing else does; what
// is allowed passes whatever its class.
type licenceRule struct {
	deny, allow []string
}

func (l *licenceRule) refuses(c *core.Check) bool {
	is := func(name string) bool { return name == c.ID || c.Class != "" && name == c.Class }
	named := func(name string) bool { return name == c.ID }
	switch {
	case slices.ContainsFunc(l.deny, named):
		return true
	case slices.ContainsFunc(l.allow, is):
		return false
	}
	return len(l.deny) == 0 || slices.ContainsFunc(l.deny, is)
}

// refuses reports whether r does not want a check in an image.
func (r *contentRule) refuses(c *core.Check) bool {
	if c.Kind == core.CheckLicence {
		return r.licences != nil && r.licences.refuses(c)
	}
	return slices.ContainsFunc(r.kinds, func(k kindRule) bool { return k.kind == c.Kind && rankOf(c.Severity) > k.worst })
}

// compliant asks the rule about content. As with vulnerabilities, what any scan found counts.
func (e *evaluation) compliant(r *contentRule, i *scannedImage) (l look) {
	l.scanned, l.code, l.lacks = e.lookedFor(r, i.scans)
	var wrong []phrase
	seen := map[core.Check]bool{}
	for s := range i.scans {
		for n := range i.scans[s].Checks {
			c := i.scans[s].Checks[n]
			if !r.refuses(&c) || seen[c] {
				continue
			}
			seen[c] = true
			if let := r.lets(&c, e.now); let.ok {
				l.until = sooner(l.until, let.until)
				e.passesCheck(i, &c, let)
				continue
			}
			wrong = append(wrong, ofCheck(&c))
		}
	}
	wrong = append(wrong, r.configured(i.scans)...)
	if len(wrong) > 0 {
		l.refused = some(wrong)
	}
	return l
}

// lookedFor reports whether some scanner has looked for each thing that r speaks of, lately enough. What was not looked for
// is not clean.
func (e *evaluation) lookedFor(r *contentRule, scans []core.Scan) (s span, code Code, why phrase) {
	s = span{ok: true}
	want := make([]core.CheckKind, 0, len(r.kinds)+1)
	for _, k := range r.kinds {
		want = append(want, k.kind)
	}
	if r.licences != nil {
		want = append(want, core.CheckLicence)
	}
	for _, kind := range want {
		one, c, w := e.some(r, scans, say(sNobodyLooked, string(kind)), func(x *core.Scan) bool { return slices.Contains(x.Looked, kind) })
		if !one.ok {
			return span{}, c, w
		}
		s = s.and(one)
	}
	if r.nonroot || len(r.labels) > 0 {
		one, c, w := e.some(r, scans, say(sNoConfiguration), func(x *core.Scan) bool { return x.Image != nil })
		if !one.ok {
			return span{}, c, w
		}
		s = s.and(one)
	}
	return s, "", phrase{}
}

// some looks for a scan that did something, and that is not too old.
func (e *evaluation) some(r *contentRule, scans []core.Scan, otherwise phrase, did func(*core.Scan) bool) (s span, code Code, why phrase) {
	code, why = NotScanned, otherwise
	for i := range scans {
		x := &scans[i]
		switch {
		case x.Scanned() && did(x):
			one, c, w := e.young(x, r.maxAge)
			if s = s.or(one); !one.ok {
				code, why = c, w
			}
		case !x.Scanned() && x.Problem != "" && code == NotScanned:
			why = say(sScanFailed, printable(clip(x.Scanner, maxName)), printable(clip(x.Problem, 200)))
		}
	}
	return s, code, why
}

// configured is what the configuration of the image says that it must not.
func (r *contentRule) configured(scans []core.Scan) (wrong []phrase) {
	for i := range scans {
		image := scans[i].Image
		if image == nil {
			continue
		}
		if r.nonroot && root(image.User) {
			wrong = append(wrong, say(sRunsAsRoot))
		}
		for _, name := range r.labels {
			if strings.TrimSpace(image.Labels[name]) == "" {
				wrong = append(wrong, say(sNoLabel, printable(clip(name, 64))))
			}
		}
		if len(wrong) > 0 {
			break // the others read the same configuration
		}
	}
	return wrong
}

// root reports whether a user of an image's configuration is the one of the number 0. Under which name else a passwd file of
// the image has that, its configuration does not say.
func root(user string) bool {
	name, _, _ := strings.Cut(user, ":")
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return n == 0
	}
	return name == "" || name == "root"
}

func (r *contentRule) lets(c *core.Check, now time.Time) (l leave) {
	for i := range r.allow {
		a := &r.allow[i]
		if now.Before(a.expires) && a.id == c.ID && a.at(c.Path) {
			l = l.or(leave{span: span{true, a.expires}, by: PassAllow, reason: a.reason})
		}
	}
	return l
}

// at reports whether an allowance is about a path: any if it names none.
func (a *allowance) at(path string) bool {
	if dir, ok := strings.CutSuffix(a.path, "/**"); ok {
		return strings.HasPrefix(path, dir+"/")
	}
	return a.path == "" || a.path == path
}

// ofCheck says what was found where.
func ofCheck(c *core.Check) phrase {
	what := printable(clip(c.ID, 80))
	where := printable(clip(cmp.Or(c.Path, "?"), 120))
	switch c.Kind {
	case core.CheckSecret:
		return say(sSecretIn, what, where)
	case core.CheckLicence:
		return say(sLicenceOf, what, where)
	}
	return say(sCheckIn, printable(clip(string(c.Kind), maxName)), what, where)
}
