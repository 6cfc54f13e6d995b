package gate

import (
	"errors"

	"github.com/hallmarkhub/hallmark/core"
)

// authorities compiles who can vouch. Nobody may stand under two names, or would count twice.
func (v *validator) authorities(list []rawAuthority) {
	names, keys, refs := map[string]bool{}, map[string]string{}, map[string]string{}
	for i := range list {
		raw := &list[i]
		a := authority{place: raw.place, name: raw.name.s}
		switch {
		case !simple(a.name):
			v.add(raw.place, "an authority needs a name made of a-z, 0-9 and -")
		case names[a.name]:
			v.add(raw.name.place, "two authorities are called %s", a.name)
		}
		names[a.name] = true
		if (raw.key == nil) == (raw.keyless == nil) {
			v.add(raw.place, "authority %s is either a key or keyless", a.name)
			v.p.authorities = append(v.p.authorities, a)
			continue
		}
		if raw.key != nil {
			a.key = v.key(raw.key)
			v.once(raw.key.place, a.name, a.key.fingerprint, keys, "the same key as authority %s: one key counts once")
			v.once(raw.key.place, a.name, a.key.ref, refs, "the same registered key as authority %s: one key counts once")
		} else {
			v.keyless(&a, raw.keyless)
		}
		v.proofs(&a, raw)
		v.p.authorities = append(v.p.authorities, a)
	}
}

func (v *validator) once(at place, name, id string, seen map[string]string, reason string) {
	if id == "" {
		return
	}
	if other, twice := seen[id]; twice {
		v.add(at, reason, other)
		return
	}
	seen[id] = name
}

func (v *validator) key(raw *rawKey) *keyAuthority {
	k := &keyAuthority{ref: raw.ref.s, pem: raw.pem.s}
	k.hash = v.oneOf(raw.hash, "sha256", "sha256", "sha384", "sha512")
	k.notBefore, k.notAfter = v.moment(raw.notBefore), v.moment(raw.notAfter)
	switch {
	case raw.ref.set == raw.pem.set:
		v.add(raw.place, "a key is either a ref to a registered one or a pem")
	case raw.ref.set && (raw.hash.set || raw.notBefore.set || raw.notAfter.set):
		v.add(raw.place, "hash, notBefore and notAfter of a registered key stand where it is registered")
	case raw.ref.set && (k.ref == "" || len(k.ref) > maxText):
		v.add(raw.ref.place, "ref is the name of a registered key")
	case raw.pem.set:
		k.fingerprint = v.fingerprint(raw.pem.place, k.pem)
	}
	if !k.notBefore.IsZero() && !k.notAfter.IsZero() && !k.notBefore.Before(k.notAfter) {
		v.add(raw.notAfter.place, "notAfter is not after notBefore: the key would never be valid")
	}
	return k
}

func (v *validator) fingerprint(at place, pem string) string {
	key, err := core.ParsePublicKey([]byte(pem))
	var told *core.Error
	switch {
	case err == nil:
		return key.Fingerprint
	case errors.As(err, &told):
		v.add(at, "%s", told.Message)
	default:
		v.add(at, "%s", err)
	}
	return ""
}

func (v *validator) keyless(a *authority, raw *rawKeyless) {
	if !raw.root.set || !simple(raw.root.s) {
		v.add(raw.place, "keyless needs a trustRoot: the name of the trust root that vouches for the identities")
	}
	a.sct = v.oneOf(raw.sct, "require", "require", "ignore") == "require"
	if len(raw.identities) == 0 {
		v.add(raw.place, "keyless needs identities: without them anybody could sign")
	}
	for n := range raw.identities {
		r := &raw.identities[n]
		extensions := map[string]string{}
		for name, value := range r.extensions {
			extensions[name] = value.s
		}
		i, err := newIdentity(raw.root.s, r.issuer.s, r.subject.s, r.pattern.s, extensions)
		if err != nil {
			at := r.place
			if r.pattern.set {
				at = r.pattern.place
			}
			v.add(at, "%s", err)
			continue
		}
		for _, other := range v.p.authorities {
			for o := range other.identities {
				if other.identities[o].same(&i) {
					v.add(r.place, "the same identity as in authority %s: one identity counts once", other.name)
				}
			}
		}
		a.identities = append(a.identities, i)
	}
}

// proofs compiles what an authority's evidence must bring besides its signature.
func (v *validator) proofs(a *authority, raw *rawAuthority) {
	keyless := raw.keyless != nil
	if keyless {
		a.logs, a.times = 1, 1
	}
	if raw.tlog != nil {
		mode := "ignore"
		if keyless {
			mode = "require"
		}
		switch v.oneOf(raw.tlog.mode, mode, "require", "ignore") {
		case "require":
			a.logs = 1
			if raw.tlog.threshold.set {
				a.logs = raw.tlog.threshold.n
			}
		case "ignore":
			a.logs = 0
			if raw.tlog.threshold.set {
				v.add(raw.tlog.threshold.place, "threshold goes with mode require")
			}
		}
	}
	if raw.times == nil {
		return
	}
	a.tsa = raw.times.tsa.n
	if raw.times.any.set {
		a.times = raw.times.any.n
	}
	if keyless && a.times == 0 && a.tsa == 0 {
		v.add(raw.times.place, "a certificate lives for minutes: without a time nobody knows whether it was valid, so tsa or any is at least 1")
	}
}
