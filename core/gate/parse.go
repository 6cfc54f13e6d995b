package gate

import "go.yaml.in/yaml/v3"

// Limits of a policy. They bound what a decision costs, not what people need.
const (
	maxGlobs       = 64
	maxAuthorities = 32
	maxIdentities  = 32
	maxRules       = 16 // attestations
	maxFields      = 32
	maxTypes       = 16
	maxPrincipals  = 64
	maxDigests     = 256
	maxAnnotations = 32
	maxAllowed     = 256 // vulnerabilities or checks that are let through
	maxScanners    = 16
	maxLicences    = 256
	maxLabels      = 32
	maxKinds       = 16 // of checks
)

// document is a policy as it was written.
type document struct {
	place
	version, kind text
	name, project text
	require, mode text
	priority      number
	match         *rawMatch
	index         text
	formats       rawFormats
	authorities   []rawAuthority
	signature     *rawRule
	attestations  []rawRule
	vulns         *rawVulnerabilities
	content       *rawCompliance
	principals    []rawPrincipal
	digests       []rawDigest
}

type rawMatch struct {
	place
	repositories, tags, types, except []text
}

type rawFormats struct {
	place
	bundle, legacySignature, legacyAttestation flag
	bytes, referrers                           number
}

type rawRule struct {
	place
	name        text
	types       []text
	require     *rawRequire
	maxAge      text
	annotations map[string]text
	bind        text
	fields      []rawField
	cel         text
}

type rawRequire struct {
	place
	all, any []text
	hasAny   bool
	count    number
}

type rawField struct {
	place
	path, matches text
	equals        literal
}

type rawPrincipal struct {
	place
	robot, permission, job text
	actions                []text
}

type rawDigest struct {
	place
	digest, expires, reason text
}

func (d *decoder) document(n *yaml.Node) *document {
	doc := &document{place: place{line: n.Line}}
	d.object(n, doc.place, map[string]field{
		"apiVersion": d.text(&doc.version),
		"kind":       d.text(&doc.kind),
		"metadata": func(n *yaml.Node, at place) {
			d.object(n, at, map[string]field{"name": d.text(&doc.name), "project": d.text(&doc.project)})
		},
		"spec": func(n *yaml.Node, at place) { d.spec(doc, n, at) },
	})
	return doc
}

func (d *decoder) spec(doc *document, n *yaml.Node, at place) {
	doc.place = at
	d.object(n, at, map[string]field{
		"require":  d.text(&doc.require),
		"mode":     d.text(&doc.mode),
		"priority": d.number(&doc.priority, 0, 1_000_000),
		"match":    func(n *yaml.Node, at place) { doc.match = d.match(n, at) },
		"index": func(n *yaml.Node, at place) {
			d.object(n, at, map[string]field{"rule": d.text(&doc.index)})
		},
		"formats":         func(n *yaml.Node, at place) { d.formats(&doc.formats, n, at) },
		"authorities":     list(d, &doc.authorities, maxAuthorities, d.authority),
		"signature":       func(n *yaml.Node, at place) { doc.signature = d.signature(n, at) },
		"attestations":    list(d, &doc.attestations, maxRules, d.attestation),
		"vulnerabilities": func(n *yaml.Node, at place) { doc.vulns = d.vulnerabilities(n, at) },
		"compliance":      func(n *yaml.Node, at place) { doc.content = d.compliance(n, at) },
		"exempt": func(n *yaml.Node, at place) {
			d.object(n, at, map[string]field{
				"principals": list(d, &doc.principals, maxPrincipals, d.principal),
				"digests":    list(d, &doc.digests, maxDigests, d.digest),
			})
		},
	})
}

func (d *decoder) match(n *yaml.Node, at place) *rawMatch {
	m := &rawMatch{place: at}
	d.object(n, at, map[string]field{
		"repositories":  d.texts(&m.repositories, maxGlobs),
		"tags":          d.texts(&m.tags, maxGlobs),
		"artifactTypes": d.texts(&m.types, maxTypes),
		"exclude": func(n *yaml.Node, at place) {
			d.object(n, at, map[string]field{"repositories": d.texts(&m.except, maxGlobs)})
		},
	})
	return m
}

func (d *decoder) formats(f *rawFormats, n *yaml.Node, at place) {
	f.place = at
	d.object(n, at, map[string]field{
		"bundle":            d.flag(&f.bundle),
		"legacySignature":   d.flag(&f.legacySignature),
		"legacyAttestation": d.flag(&f.legacyAttestation),
		"maxBundleBytes":    d.number(&f.bytes, 1<<10, 16<<20),
		"maxReferrers":      d.number(&f.referrers, 1, maxStatements),
	})
}

func (d *decoder) signature(n *yaml.Node, at place) *rawRule {
	r := &rawRule{place: at, name: text{at, "signature", true}}
	d.object(n, at, map[string]field{
		"require":        func(n *yaml.Node, at place) { r.require = d.require(n, at) },
		"annotations":    d.textMap(&r.annotations, maxAnnotations),
		"bindRepository": d.text(&r.bind),
		"maxAge":         d.text(&r.maxAge),
	})
	return r
}

func (d *decoder) attestation(n *yaml.Node, at place) rawRule {
	r := rawRule{place: at}
	d.object(n, at, map[string]field{
		"name":           d.text(&r.name),
		"predicateTypes": d.texts(&r.types, maxTypes),
		"require":        func(n *yaml.Node, at place) { r.require = d.require(n, at) },
		"maxAge":         d.text(&r.maxAge),
		"cel":            d.text(&r.cel),
		"fields": list(d, &r.fields, maxFields, func(n *yaml.Node, at place) rawField {
			f := rawField{place: at}
			d.object(n, at, map[string]field{"path": d.text(&f.path), "matches": d.text(&f.matches), "equals": d.literal(&f.equals)})
			return f
		}),
	})
	return r
}

func (d *decoder) require(n *yaml.Node, at place) *rawRequire {
	r := &rawRequire{place: at}
	d.object(n, at, map[string]field{
		"allOf": d.texts(&r.all, maxAuthorities),
		"anyOf": func(n *yaml.Node, at place) {
			r.hasAny = true
			d.object(n, at, map[string]field{"count": d.number(&r.count, 1, maxAuthorities), "of": d.texts(&r.any, maxAuthorities)})
		},
	})
	return r
}

func (d *decoder) principal(n *yaml.Node, at place) rawPrincipal {
	p := rawPrincipal{place: at}
	d.object(n, at, map[string]field{"robot": d.text(&p.robot), "permission": d.text(&p.permission), "job": d.text(&p.job),
		"actions": d.texts(&p.actions, 2)})
	return p
}

func (d *decoder) digest(n *yaml.Node, at place) rawDigest {
	x := rawDigest{place: at}
	d.object(n, at, map[string]field{"digest": d.text(&x.digest), "expires": d.text(&x.expires), "reason": d.text(&x.reason)})
	return x
}
