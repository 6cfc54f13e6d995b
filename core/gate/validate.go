package gate

import (
	"strings"

	"github.com/hallmarkhub/hallmark/core"
)

// APIVersion and Kind of the documents that Parse reads.
const (
	APIVersion = "hallmark/v1alpha1"
	Kind       = "PullPolicy"
)

// Parse reads a policy, YAML or JSON, and refuses what cannot work: the error is then a Problems. What depends on what is
// registered, or on today's date, is asked by Check when a policy is saved; a stored one must stay readable.
func Parse(source []byte) (*Policy, error) {
	d := &decoder{}
	n := d.root(source)
	if n == nil {
		return nil, d.err()
	}
	at := place{line: n.Line}
	if !d.plain(n, at) {
		return nil, d.err()
	}
	v := &validator{reports: &d.reports}
	p := v.policy(d.document(n))
	if err := d.err(); err != nil {
		return nil, err
	}
	p.sound = true
	return p, nil
}

// validator turns what was written into what is asked.
type validator struct {
	*reports
	cel expressions
	p   *Policy
}

func (v *validator) policy(doc *document) *Policy {
	v.p = &Policy{statements: maxStatements}
	v.head(doc)
	v.scope(doc)
	v.formats(&doc.formats)
	v.authorities(doc.authorities)
	if doc.signature != nil {
		v.rule(doc.signature, false)
	}
	for i := range doc.attestations {
		v.rule(&doc.attestations[i], true)
	}
	if doc.vulns != nil {
		v.vulnerabilities(doc.vulns)
	}
	if doc.content != nil {
		v.compliance(doc.content)
	}
	if doc.signature == nil && len(doc.attestations) == 0 && doc.vulns == nil && doc.content == nil {
		v.add(doc.place, "this policy wants nothing: give it a signature, attestations, vulnerabilities or compliance")
	}
	v.usable(doc)
	v.exempt(doc)
	return v.p
}

func (v *validator) head(doc *document) {
	if !doc.version.set || doc.version.s != APIVersion {
		v.add(doc.version.place, "apiVersion is %s", APIVersion)
	}
	if !doc.kind.set || doc.kind.s != Kind {
		v.add(doc.kind.place, "kind is %s", Kind)
	}
	switch {
	case !simple(doc.name.s):
		v.add(doc.name.place, "metadata.name is made of a-z, 0-9 and -, at most %d characters", maxName)
	case doc.name.s == BaselineName:
		v.add(doc.name.place, "the name %s is taken by the hub's own policy", BaselineName)
	}
	if doc.project.set && !projectName(doc.project.s) {
		v.add(doc.project.place, "metadata.project is the name of a project")
	}
	v.p.name, v.p.project = doc.name.s, doc.project.s
	v.p.any = v.oneOf(doc.require, "all", "all", "any") == "any"
	v.p.mode = Mode(v.oneOf(doc.mode, string(ModeEnforce), string(ModeEnforce), string(ModeWarn), string(ModeAudit)))
	v.p.index = IndexRule(v.oneOf(doc.index, string(IndexCovered), string(IndexCovered), string(IndexSelf), string(IndexEach)))
	v.p.priority = doc.priority.n
}

// scope compiles which content the policy speaks of.
func (v *validator) scope(doc *document) {
	whole := "**"
	if doc.project.s != "" {
		whole = doc.project.s + "/**"
	}
	m := doc.match
	if m == nil {
		m = &rawMatch{}
	}
	v.p.repositories = v.globs(m.repositories, doc.project.s)
	if len(m.repositories) == 0 {
		v.p.repositories = []glob{{source: whole, prefix: strings.TrimSuffix(whole, "**"), rest: true}}
	}
	v.p.except = v.globs(m.except, doc.project.s)
	for _, x := range v.p.except {
		for _, g := range v.p.repositories {
			if x.source == g.source || x.source == "**" || x.source == whole {
				v.add(m.place, "exclude takes away all that %s matches: this policy would never be asked", quoted(g.source))
			}
		}
	}
	for _, t := range m.types {
		v.p.types = append(v.p.types, v.oneOf(t, "", "image", "index", "helm", "wasm", "other"))
	}
	for _, t := range m.tags {
		g, err := tagGlob(t.s)
		if t.set && err != nil {
			v.add(t.place, "%s", err)
		}
		v.p.tags = append(v.p.tags, g)
	}
	if len(m.tags) > 0 && v.p.mode == ModeEnforce {
		v.add(m.tags[0].place, "tags go with mode warn or audit only: whoever pulls by digest passes by every tag")
	}
}

func (v *validator) globs(list []text, project string) []glob {
	var globs []glob
	for _, t := range list {
		if !t.set {
			continue
		}
		g, err := repositoryGlob(t.s)
		switch {
		case err != nil:
			v.add(t.place, "%s", err)
		case project != "" && !strings.HasPrefix(t.s, project+"/"):
			v.add(t.place, "%s is not in project %s: a policy of a project speaks of its own repositories (%s/**)", quoted(t.s), project, project)
		}
		globs = append(globs, g)
	}
	return globs
}

func (v *validator) formats(f *rawFormats) {
	on := func(b flag) bool { return !b.set || b.b }
	v.p.formats = map[core.EvidenceFormat]bool{
		core.FormatBundle:            on(f.bundle),
		core.FormatLegacySignature:   on(f.legacySignature),
		core.FormatLegacyAttestation: on(f.legacyAttestation),
	}
	v.p.maxBytes = int64(f.bytes.n)
	if f.referrers.set {
		v.p.statements = f.referrers.n
	}
}

// usable asks whether anything could ever satisfy the rules, after they were read.
func (v *validator) usable(doc *document) {
	f := v.p.formats
	if doc.signature != nil && !f[core.FormatBundle] && !f[core.FormatLegacySignature] {
		v.add(doc.formats.place, "formats leaves none in which a signature could come")
	}
	read := v.p.vulns != nil && (v.p.vulns.vex != nil || v.p.vulns.attested != nil)
	if (len(doc.attestations) > 0 || read) && !f[core.FormatBundle] && !f[core.FormatLegacyAttestation] {
		v.add(doc.formats.place, "formats leaves none in which an attestation could come")
	}
}

// maxName bounds names of policies, authorities and rules.
const maxName = 64

func simple(s string) bool {
	return s != "" && len(s) <= maxName && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" &&
		!strings.HasPrefix(s, "-") && !strings.HasSuffix(s, "-")
}

func projectName(s string) bool {
	return s != "" && len(s) <= 128 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}
