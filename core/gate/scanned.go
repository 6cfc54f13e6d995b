package gate

import (
	"slices"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// scannedImage is an image that the rules about scans are asked of.
type scannedImage struct {
	digest string
	scans  []core.Scan
	// views are the manifests whose statements speak of it: itself first, then the indexes that list it, where the index rule
	// lets them.
	views []view
}

// looks reports whether a policy asks for scans at all.
func (p *Policy) looks() bool { return p.vulns != nil || p.content != nil }

// Warns reports whether there can be something to warn of when the policy is satisfied or only warns.
func (p *Policy) Warns() bool {
	return p.mode == ModeWarn || p.mode == ModeAudit || p.vulns != nil && p.vulns.onMissing == missingWarns ||
		p.content != nil && p.content.onMissing == missingWarns
}

// images are those that are pulled: what was asked for or, of an index, whatever can be run of what it lists. nil: that is not known.
func (e *evaluation) images() []scannedImage {
	var above []view
	if e.p.index == IndexCovered {
		for i := range e.in.Indexes {
			above = append(above, view{e.in.Indexes[i].Digest, e.in.Indexes[i].Evidence})
		}
	}
	if e.in.Type != "index" {
		return []scannedImage{{digest: e.in.Digest, scans: e.in.Scans, views: append([]view{e.own()}, above...)}}
	}
	if e.p.index == IndexCovered {
		above = append(above, e.own())
	}
	var list []scannedImage
	for i := range e.in.Children {
		if c := &e.in.Children[i]; c.Runs {
			list = append(list, scannedImage{digest: c.Digest, scans: c.Scans, views: append([]view{{c.Digest, c.Evidence}}, above...)})
		}
	}
	return list
}

// clean asks the rules about scans. An index passes if one of its images does, or with the index rule each if all do: which
// of them is pulled is asked again when it is. warned says that it holds because onMissing is warn.
func (e *evaluation) clean() (s span, warned bool) {
	if x := e.exemptAbove(); x.ok {
		return x, false
	}
	images := e.images()
	all, one, doubtful := span{ok: len(images) > 0}, span{}, span{}
	for i := range images {
		s, w := e.image(&images[i])
		all, warned = all.and(s), warned || w
		if w {
			doubtful = doubtful.or(s)
		} else {
			one = one.or(s)
		}
	}
	switch {
	case e.p.index == IndexEach:
		return all, warned && all.ok
	case one.ok:
		return one, false
	}
	return doubtful, doubtful.ok
}

// exemptAbove holds for what an exempt index lists, where the index rule lets indexes vouch.
func (e *evaluation) exemptAbove() (s span) {
	if e.p.index != IndexCovered {
		return s
	}
	for i := range e.in.Indexes {
		if x, ok := e.p.exemptDigest(e.in.Indexes[i].Digest, e.now); ok {
			s = s.or(span{true, x.expires})
		}
	}
	return s
}

func (e *evaluation) image(i *scannedImage) (s span, warned bool) {
	if x, ok := e.p.exemptDigest(i.digest, e.now); ok {
		return span{true, x.expires}, false
	}
	s = span{ok: true}
	if r := e.p.vulns; r != nil {
		l := e.vulnerable(r, i)
		s, warned = s.and(l.holds(r.onMissing)), l.warns(r.onMissing)
	}
	if r := e.p.content; r != nil {
		l := e.compliant(r, i)
		s, warned = s.and(l.holds(r.onMissing)), warned || l.warns(r.onMissing)
	}
	return s, warned && s.ok
}

// look is what the scans of an image come to under one rule.
type look struct {
	scanned span   // enough was looked for, lately enough
	code    Code   // and if not, why
	lacks   phrase //
	refused phrase // what was found that does not pass; none: nothing
	worst   *core.Finding
	until   time.Time // as long as what passes does
}

func (l *look) holds(m missing) span {
	s := span{l.refused.none(), l.until}
	if l.scanned.ok {
		return s.and(l.scanned)
	}
	s.ok = s.ok && (m == missingAllows || m == missingWarns)
	return s
}

func (l *look) warns(m missing) bool { return !l.scanned.ok && m == missingWarns }

// vulnerable asks the rule about vulnerabilities. Whatever any of the scans found counts, however old it is and whoever's
// scans are enough: that something was found is not undone by somebody who did not find it.
func (e *evaluation) vulnerable(r *vulnerabilityRule, i *scannedImage) (l look) {
	scans := i.scans
	if len(r.scanners) > 0 {
		scans = slices.DeleteFunc(slices.Clone(scans), func(s core.Scan) bool { return !slices.Contains(r.scanners, s.Scanner) })
	}
	l.code, l.lacks = NotScanned, say(sNeverScanned)
	if r.scanned {
		l.scanned, l.code, l.lacks = e.scannedBy(r, scans)
	}
	if r.attested != nil {
		var attested []core.Scan
		attested, l.until = e.attested(r.attested, &i.views[0])
		for n := range attested {
			s, code, why := e.fresh(&attested[n], r.maxAge)
			if l.scanned = l.scanned.or(s); !s.ok && rank(code) >= rank(l.code) {
				l.code, l.lacks = code, why
			}
		}
		scans = slices.Concat(scans, attested)
	}
	refused, unread, until := e.refusedBy(r, i, scans)
	l.until = sooner(l.until, until)
	e.later(l.until)
	if len(refused) > 0 {
		l.refused, l.worst = r.severe(refused), refused[0].Finding
		if unread != nil { // who wrote it believes that it counts
			l.refused = say(sVEXUnread, l.refused, short(unread.Carrier))
		}
	}
	return l
}

// scannedBy reports whether the scanners that r wants have looked for vulnerabilities; any one of them, if it names none.
func (e *evaluation) scannedBy(r *vulnerabilityRule, scans []core.Scan) (s span, code Code, why phrase) {
	code, why = NotScanned, say(sNeverScanned)
	if len(r.scanners) == 0 {
		for i := range scans {
			one, c, w := e.fresh(&scans[i], r.maxAge)
			if s = s.or(one); !one.ok && (scans[i].Scanned() || scans[i].Problem != "") && rank(c) >= rank(code) {
				code, why = c, w
			}
		}
		return s, code, why
	}
	s = span{ok: true}
	for _, name := range r.scanners {
		at := slices.IndexFunc(scans, func(x core.Scan) bool { return x.Scanner == name })
		if at < 0 {
			return span{}, NotScanned, say(sNotScannedBy, name)
		}
		one, c, w := e.fresh(&scans[at], r.maxAge)
		if !one.ok {
			return span{}, c, w
		}
		s = s.and(one)
	}
	return s, "", phrase{}
}

// fresh reports whether a scan looked for vulnerabilities, to the end and lately enough, and until when that is so.
func (e *evaluation) fresh(s *core.Scan, maxAge time.Duration) (span, Code, phrase) {
	by := printable(clip(s.Scanner, maxName))
	switch {
	case !s.Scanned() && s.Problem != "":
		return span{}, NotScanned, say(sScanFailed, by, printable(clip(s.Problem, 200)))
	case !s.Scanned():
		return span{}, NotScanned, say(sNeverScanned)
	case !s.Matched:
		return span{}, NotScanned, say(sNotLookedFor, by)
	case s.Incomplete != "":
		return span{}, NotScanned, say(sScanIncomplete, by, printable(clip(s.Incomplete, 200)))
	}
	return e.young(s, maxAge)
}

// young reports whether what a scan found is not too old.
func (e *evaluation) young(s *core.Scan, maxAge time.Duration) (span, Code, phrase) {
	if maxAge == 0 {
		return span{ok: true}, "", phrase{}
	}
	end := s.ScannedAt.Add(maxAge)
	if !e.now.Before(end) {
		return span{}, ScanStale, say(sScanStale, printable(clip(s.Scanner, maxName)), s.ScannedAt.UTC().Format(time.DateTime), maxAge.String())
	}
	return span{true, end}, "", phrase{}
}
