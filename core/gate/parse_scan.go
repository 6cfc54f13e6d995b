package gate

import "go.yaml.in/yaml/v3"

type rawVulnerabilities struct {
	place
	source, severity, scanMaxAge, onMissing text
	ignoreUnfixed, exceptions               flag
	scanners                                []text
	allow                                   []rawAllow
	vex                                     []text
}

// rawAllow is one thing that is let through, in either block.
type rawAllow struct {
	place
	id, purl, path, expires, reason text
}

type rawCompliance struct {
	place
	secrets, user, scanMaxAge, onMissing text
	licences                             *rawLicences
	labels                               []text
	checks                               []rawCheck
	allow                                []rawAllow
}

type rawLicences struct {
	place
	deny, allow []text
}

type rawCheck struct {
	place
	kind, severity text
}

func (d *decoder) vulnerabilities(n *yaml.Node, at place) *rawVulnerabilities {
	v := &rawVulnerabilities{place: at}
	d.object(n, at, map[string]field{
		"source":        d.text(&v.source),
		"maxSeverity":   d.text(&v.severity),
		"ignoreUnfixed": d.flag(&v.ignoreUnfixed),
		"exceptions":    d.flag(&v.exceptions),
		"scanners":      d.texts(&v.scanners, maxScanners),
		"scanMaxAge":    d.text(&v.scanMaxAge),
		"onMissing":     d.text(&v.onMissing),
		"allow": list(d, &v.allow, maxAllowed, func(n *yaml.Node, at place) rawAllow {
			a := rawAllow{place: at}
			d.object(n, at, map[string]field{"id": d.text(&a.id), "purl": d.text(&a.purl), "expires": d.text(&a.expires), "reason": d.text(&a.reason)})
			return a
		}),
		"vex": func(n *yaml.Node, at place) {
			d.object(n, at, map[string]field{"authorities": d.texts(&v.vex, maxAuthorities)})
		},
	})
	return v
}

func (d *decoder) compliance(n *yaml.Node, at place) *rawCompliance {
	c := &rawCompliance{place: at}
	d.object(n, at, map[string]field{
		"secrets":    d.text(&c.secrets),
		"user":       d.text(&c.user),
		"labels":     d.texts(&c.labels, maxLabels),
		"scanMaxAge": d.text(&c.scanMaxAge),
		"onMissing":  d.text(&c.onMissing),
		"licences": func(n *yaml.Node, at place) {
			c.licences = &rawLicences{place: at}
			d.object(n, at, map[string]field{"deny": d.texts(&c.licences.deny, maxLicences), "allow": d.texts(&c.licences.allow, maxLicences)})
		},
		"checks": list(d, &c.checks, maxKinds, func(n *yaml.Node, at place) rawCheck {
			x := rawCheck{place: at}
			d.object(n, at, map[string]field{"kind": d.text(&x.kind), "maxSeverity": d.text(&x.severity)})
			return x
		}),
		"allow": list(d, &c.allow, maxAllowed, func(n *yaml.Node, at place) rawAllow {
			a := rawAllow{place: at}
			d.object(n, at, map[string]field{"id": d.text(&a.id), "path": d.text(&a.path), "expires": d.text(&a.expires), "reason": d.text(&a.reason)})
			return a
		}),
	})
	return c
}
