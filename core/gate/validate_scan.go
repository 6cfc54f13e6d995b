package gate

import (
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/sbom"
)

// vulnerabilities compiles the block of that name.
func (v *validator) vulnerabilities(raw *rawVulnerabilities) {
	r := &vulnerabilityRule{ignoreUnfixed: raw.ignoreUnfixed.b, maxAge: v.duration(raw.scanMaxAge), onMissing: v.onMissing(raw.onMissing),
		// A project answers for its own policies, and not for what the hub demands of all.
		exceptions: v.p.project != ""}
	if raw.exceptions.set {
		r.exceptions = raw.exceptions.b
	}
	if !raw.severity.set {
		v.add(raw.place, "vulnerabilities does not say what is too bad: give it maxSeverity, the worst that passes, or none")
	}
	r.worst = v.severity(raw.severity)
	source := v.oneOf(raw.source, "registry-scan", "registry-scan", "attestation", "either")
	r.scanned = source != "attestation"
	if source != "registry-scan" {
		r.attested = v.spoken("vuln", v.everybody())
		if r.attested == nil {
			v.add(raw.place, "source %s needs somebody whose attestations of scans count: there are no authorities in this policy", source)
		}
	}
	for _, t := range raw.scanners {
		if t.set && (!simple(t.s) || slices.Contains(r.scanners, t.s)) {
			v.add(t.place, "scanners are names of registered scanners, each once")
		}
		r.scanners = append(r.scanners, t.s)
	}
	if len(raw.scanners) > 0 && !r.scanned {
		v.add(raw.place, "scanners goes with source registry-scan or either")
	}
	for i := range raw.allow {
		r.allow = append(r.allow, v.allowance(&raw.allow[i]))
	}
	if len(raw.vex) > 0 {
		r.vex = v.spoken("openvex", v.members(raw.vex, map[int]bool{}))
	}
	v.p.vulns = r
}

// spoken is a rule about statements of one type by any of some authorities; nil if there are none.
func (v *validator) spoken(predicate string, members []int) *rule {
	if len(members) == 0 {
		return nil
	}
	return &rule{name: vulnerabilitiesName, attestation: true, types: []string{predicate}, any: members, count: 1}
}

func (v *validator) everybody() (members []int) {
	for i := range v.p.authorities {
		members = append(members, i)
	}
	return members
}

// severity is the rank of the worst severity that passes; -1 if none does.
func (v *validator) severity(t text) int {
	words := []string{nothing}
	for _, s := range core.Severities() {
		words = append(words, string(s))
	}
	return core.Severity(v.oneOf(t, nothing, words...)).Rank()
}

func (v *validator) onMissing(t text) missing {
	return missing(v.oneOf(t, string(missingDenies), string(missingDenies), string(missingAllows), string(missingWarns)))
}

func (v *validator) allowance(raw *rawAllow) allowance {
	a := allowance{place: raw.place, id: raw.id.s, expires: v.moment(raw.expires), reason: raw.reason.s, path: raw.path.s}
	if a.id == "" || len(a.id) > maxText || !raw.expires.set || strings.TrimSpace(a.reason) == "" || len(a.reason) > maxText {
		v.add(raw.place, "what is allowed has an id, a day on which that ends (expires) and a reason, of at most %d characters", maxText)
	}
	if raw.purl.set {
		p, err := sbom.ParsePURL(raw.purl.s)
		if err != nil {
			v.add(raw.purl.place, "%s", err)
		}
		a.purl = &p
	}
	if raw.path.set && (a.path == "" || len(a.path) > maxGlob) {
		v.add(raw.path.place, "path is that of a file, or of a directory and /**, with at most %d characters", maxGlob)
	}
	return a
}

// compliance compiles the block of that name.
func (v *validator) compliance(raw *rawCompliance) {
	r := &contentRule{maxAge: v.duration(raw.scanMaxAge), onMissing: v.onMissing(raw.onMissing)}
	if v.oneOf(raw.secrets, "", "deny") != "" {
		r.kinds = append(r.kinds, kindRule{core.CheckSecret, core.Severity(nothing).Rank()})
	}
	r.nonroot = v.oneOf(raw.user, "", "nonroot") != ""
	if raw.licences != nil {
		v.licences(r, raw.licences)
	}
	for _, t := range raw.labels {
		if t.set && (t.s == "" || len(t.s) > maxText || slices.Contains(r.labels, t.s)) {
			v.add(t.place, "labels are names of labels that the image must have, each once")
		}
		r.labels = append(r.labels, t.s)
	}
	for i := range raw.checks {
		c := &raw.checks[i]
		kind := core.CheckKind(c.kind.s)
		switch {
		case !simple(c.kind.s):
			v.add(c.place, "kind is what a scanner looks for, in lower case, such as malware")
		case kind == core.CheckLicence:
			v.add(c.place, "licences are no better or worse: use the block licences")
		case slices.ContainsFunc(r.kinds, func(k kindRule) bool { return k.kind == kind }):
			v.add(c.place, "%s stands here twice", kind)
		}
		r.kinds = append(r.kinds, kindRule{kind, v.severity(c.severity)})
	}
	for i := range raw.allow {
		r.allow = append(r.allow, v.allowance(&raw.allow[i]))
	}
	if len(r.kinds) == 0 && r.licences == nil && !r.nonroot && len(r.labels) == 0 {
		v.add(raw.place, "compliance wants nothing: give it secrets, licences, user, labels or checks")
	}
	v.p.content = r
}

func (v *validator) licences(r *contentRule, raw *rawLicences) {
	r.licences = &licenceRule{}
	for _, t := range raw.deny {
		r.licences.deny = append(r.licences.deny, t.s)
	}
	for _, t := range raw.allow {
		if slices.Contains(r.licences.deny, t.s) {
			v.add(t.place, "%s is denied and allowed at once", quoted(t.s))
		}
		r.licences.allow = append(r.licences.allow, t.s)
	}
	if len(raw.deny)+len(raw.allow) == 0 {
		v.add(raw.place, "licences has deny, allow or both")
	}
	for _, s := range slices.Concat(r.licences.deny, r.licences.allow) {
		if strings.TrimSpace(s) == "" || len(s) > maxText {
			v.add(raw.place, "a licence is a class such as forbidden, or an SPDX identifier such as AGPL-3.0-only")
		}
	}
}
