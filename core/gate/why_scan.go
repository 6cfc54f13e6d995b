package gate

import (
	"slices"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// maxNamed is how many of the things that were found a reason names.
const maxNamed = 3

// scanReasons says what the rules about scans object to: of what is asked for or, of an index, of the first images that it
// lists. warned asks instead for what is only warned of.
func (e *evaluation) scanReasons(warned bool, tell finding) (list []Reason) {
	if !e.p.looks() {
		return nil
	}
	images := e.images()
	e.tellScans(images, tell)
	if s, _ := e.clean(); s.ok && !warned {
		return nil
	}
	if e.in.Type == "index" && len(images) == 0 {
		if e.in.Children == nil {
			return []Reason{because("index", VerifierError, say(sIndexUnknown))}
		}
		return []Reason{because("index", NotScanned, say(sNothingRuns))}
	}
	named := 0
	for i := range images {
		reasons := e.imageReasons(&images[i], warned)
		if len(reasons) == 0 {
			continue
		}
		list = append(list, reasons...)
		if named++; named == maxChildren {
			break
		}
	}
	return list
}

// tellScans tells what somebody has stated about scans and vulnerabilities.
func (e *evaluation) tellScans(images []scannedImage, tell finding) {
	if tell == nil || e.p.vulns == nil {
		return
	}
	told := map[string]bool{}
	for i := range images {
		views := images[i].views
		for n := range views {
			if told[views[n].digest] {
				continue
			}
			told[views[n].digest] = true
			if r := e.p.vulns.vex; r != nil {
				e.survey(r, views[n:n+1], e.tellVEX(tell))
			}
			if r := e.p.vulns.attested; r != nil && n == 0 {
				e.survey(r, views[:1], tell)
			}
		}
	}
}

// tellVEX tells of a VEX document that cannot be read that it does not count, whoever has signed it.
func (e *evaluation) tellVEX(tell finding) finding {
	return func(r *rule, digest string, ev *core.Evidence, code Code) {
		if code == "" {
			st, err := e.readAbout(ev, digest)
			if err == nil {
				_, err = parseVEX(st.predicate, func(map[string]any) bool { return false })
			}
			if err != nil {
				code = VerifierError
			}
		}
		tell(r, digest, ev, code)
	}
}

func (e *evaluation) imageReasons(i *scannedImage, warned bool) (list []Reason) {
	if _, exempt := e.p.exemptDigest(i.digest, e.now); exempt {
		return nil
	}
	if r := e.p.vulns; r != nil {
		l := e.vulnerable(r, i)
		list = e.lookReasons(list, vulnerabilitiesName, TooSevere, &l, r.onMissing, i, warned)
	}
	if r := e.p.content; r != nil {
		l := e.compliant(r, i)
		list = e.lookReasons(list, complianceName, NotCompliant, &l, r.onMissing, i, warned)
	}
	return list
}

func (e *evaluation) lookReasons(list []Reason, rule string, code Code, l *look, m missing, i *scannedImage, warned bool) []Reason {
	add := func(code Code, said phrase, fix string) {
		if i.digest != e.in.Digest {
			said = say(sChild, short(i.digest), said)
		}
		r := because(rule, code, said)
		if r.Fix = fix; i.digest != e.in.Digest {
			r.Digest = i.digest
		}
		list = append(list, r)
	}
	if !l.scanned.ok && (warned && m == missingWarns || !warned && m != missingWarns && m != missingAllows) {
		add(l.code, l.lacks, e.scanFix(i.digest))
	}
	if !l.refused.none() && !warned {
		add(code, l.refused, e.severeFix(l.worst, i.digest))
	}
	return list
}

// scanFix is the command that has an image scanned.
func (e *evaluation) scanFix(digest string) string {
	if v := e.p.vulns; v != nil && !v.scanned {
		return ""
	}
	return "hallmark scan " + e.in.Repository + "@" + digest
}

// severeFix is the command by which somebody answers for the worst finding; "" if the policy lets nobody.
func (e *evaluation) severeFix(worst *core.Finding, digest string) string {
	if worst == nil {
		return ""
	}
	if e.p.vulns.exceptions {
		return "hallmark create exception " + shell(printable(clip(worst.ID, 64))) + " --project " + projectOf(e.in.Repository) + " --repository " + e.in.Repository +
			" --expires 30d --reason WHY"
	}
	if e.p.vulns.vex == nil {
		return ""
	}
	return e.fix(e.p.vulns.vex, TooSevere, digest)
}

// severe says which vulnerabilities are too bad.
func (r *vulnerabilityRule) severe(refused []found) phrase {
	var named []phrase
	for i := range refused {
		f := refused[i].Finding
		id, name := printable(clip(f.ID, 64)), printable(clip(strings.TrimSpace(f.Package+" "+f.Version), 100))
		switch {
		case name == "":
			named = append(named, verbatim(id))
		case f.Fixed == "":
			named = append(named, say(sFindingIn, id, name))
		default:
			named = append(named, say(sFindingFixed, id, name, printable(clip(f.Fixed, 64))))
		}
		if i > maxNamed {
			break
		}
	}
	worst := printable(clip(string(refused[0].Severity), 20))
	if r.worst < 0 {
		return say(sSevere, len(refused), worst, someOf(named, len(refused)))
	}
	return say(sTooSevere, len(refused), string(core.Severities()[r.worst]), worst, someOf(named, len(refused)))
}

// some names the first of several things.
func some(all []phrase) phrase { return someOf(all, len(all)) }

func someOf(named []phrase, n int) phrase {
	if n <= maxNamed {
		return joined(sComma, named...)
	}
	return say(sAndMore, joined(sComma, named[:maxNamed]...), n-maxNamed)
}

// wantsScans is what the rules about scans want, for people.
func (p *Policy) wantsScans() (parts []phrase) {
	age := func(d time.Duration) phrase {
		if d == 0 {
			return verbatim("")
		}
		return say(sOfTheLast, d.String())
	}
	if r := p.vulns; r != nil {
		if r.worst < 0 {
			parts = append(parts, say(sWantsNone, age(r.maxAge)))
		} else {
			parts = append(parts, say(sWantsSeverity, string(core.Severities()[r.worst]), age(r.maxAge)))
		}
	}
	if r := p.content; r != nil {
		var kinds []phrase
		for _, k := range r.kinds {
			kinds = append(kinds, verbatim(string(k.kind)))
		}
		if r.licences != nil {
			kinds = append(kinds, verbatim(string(core.CheckLicence)))
		}
		if r.nonroot {
			kinds = append(kinds, verbatim("user"))
		}
		if len(r.labels) > 0 {
			kinds = append(kinds, verbatim("labels"))
		}
		parts = append(parts, say(sWantsContent, joined(sComma, slices.Clip(kinds)...), age(r.maxAge)))
	}
	return parts
}
