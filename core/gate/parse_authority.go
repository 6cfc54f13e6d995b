package gate

import "go.yaml.in/yaml/v3"

type rawAuthority struct {
	place
	name    text
	key     *rawKey
	keyless *rawKeyless
	tlog    *rawTlog
	times   *rawTimes
}

type rawKey struct {
	place
	ref, pem, hash, notBefore, notAfter text
}

type rawKeyless struct {
	place
	root, sct  text
	identities []rawIdentity
}

type rawIdentity struct {
	place
	issuer, subject, pattern text
	extensions               map[string]text
}

type rawTlog struct {
	place
	mode      text
	threshold number
}

type rawTimes struct {
	place
	tsa, any number
}

func (d *decoder) authority(n *yaml.Node, at place) rawAuthority {
	a := rawAuthority{place: at}
	d.object(n, at, map[string]field{
		"name":    d.text(&a.name),
		"key":     func(n *yaml.Node, at place) { a.key = d.key(n, at) },
		"keyless": func(n *yaml.Node, at place) { a.keyless = d.keyless(n, at) },
		"tlog": func(n *yaml.Node, at place) {
			a.tlog = &rawTlog{place: at}
			d.object(n, at, map[string]field{"mode": d.text(&a.tlog.mode), "threshold": d.number(&a.tlog.threshold, 1, 8)})
		},
		"timestamps": func(n *yaml.Node, at place) {
			a.times = &rawTimes{place: at}
			d.object(n, at, map[string]field{"tsa": d.number(&a.times.tsa, 0, 8), "any": d.number(&a.times.any, 0, 8)})
		},
	})
	return a
}

func (d *decoder) key(n *yaml.Node, at place) *rawKey {
	k := &rawKey{place: at}
	d.object(n, at, map[string]field{"ref": d.text(&k.ref), "pem": d.text(&k.pem), "hash": d.text(&k.hash),
		"notBefore": d.text(&k.notBefore), "notAfter": d.text(&k.notAfter)})
	return k
}

func (d *decoder) keyless(n *yaml.Node, at place) *rawKeyless {
	k := &rawKeyless{place: at}
	d.object(n, at, map[string]field{"trustRoot": d.text(&k.root), "sct": d.text(&k.sct),
		"identities": list(d, &k.identities, maxIdentities, func(n *yaml.Node, at place) rawIdentity {
			i := rawIdentity{place: at}
			d.object(n, at, map[string]field{"issuer": d.text(&i.issuer), "subject": d.text(&i.subject),
				"subjectRegex": d.text(&i.pattern), "extensions": d.textMap(&i.extensions, maxAnnotations)})
			return i
		})})
	return k
}
