package gate

import (
	"slices"
	"time"
)

// Check compares a policy with what is registered and with the date, when it is saved: whoever writes it means somebody
// who exists today. The error is a Problems.
func (p *Policy) Check(registered *Registered, now time.Time) error {
	if registered == nil {
		registered = NewRegistered(0, nil, nil, nil)
	}
	var r reports
	seen := map[string]string{}
	for i := range p.authorities {
		a := &p.authorities[i]
		if a.key != nil {
			p.checkKey(&r, a, registered, seen, now)
		}
		for n := range a.identities {
			if root := a.identities[n].root; !slices.Contains(registered.roots, root) {
				r.add(a.place, "authority %s: there is no trust root %s", a.name, root)
				break
			}
		}
	}
	for i := range p.digests {
		if x := &p.digests[i]; !now.Before(x.expires) {
			r.add(x.place, "the exemption of %s has ended already", short(x.digest))
		}
	}
	for _, x := range p.allowances() {
		if !now.Before(x.expires) {
			r.add(x.place, "%s is allowed until %s, which is over already", x.id, x.expires.UTC().Format(time.DateOnly))
		}
	}
	return r.err()
}

func (p *Policy) checkKey(r *reports, a *authority, registered *Registered, seen map[string]string, now time.Time) {
	fp, notAfter := a.key.fingerprint, a.key.notAfter
	if a.key.ref != "" {
		k, ok := registered.named(a.key.ref, p.project == "")
		if !ok {
			r.add(a.place, "authority %s: no key %s is registered", a.name, quoted(a.key.ref))
			return
		}
		fp, notAfter = k.Fingerprint, k.NotAfter
	}
	if other, twice := seen[fp]; twice {
		r.add(a.place, "authority %s is the same key as authority %s: one key counts once", a.name, other)
	}
	seen[fp] = a.name
	switch {
	case registered.revoked(fp):
		r.add(a.place, "authority %s: this key is revoked", a.name)
	case !notAfter.IsZero() && !now.Before(notAfter) && !a.timed():
		r.add(a.place, "authority %s: this key ran out on %s, and nothing says when its signatures were made", a.name, notAfter.UTC().Format(time.DateOnly))
	}
}
