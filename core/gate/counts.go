package gate

import (
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// skew is how far a verified time may lie ahead of our clock.
const skew = 5 * time.Minute

// counts asks whether one piece of evidence is the word of an authority that r wants, as far as that can be said without
// reading the statement. "" means it counts, until the time given (zero: for ever); otherwise it is the first thing that
// is not right.
func (e *evaluation) counts(r *rule, a *authority, digest string, ev *core.Evidence) (Code, time.Time) {
	if ev.Signer == nil || ev.Problem != "" || ev.Subject != digest || !e.p.formats[ev.Format] || !e.p.fits(ev) {
		return NoValidSignature, time.Time{}
	}
	code, life := e.trusts(a, ev.Signer)
	if code != "" {
		return code, time.Time{}
	}
	if !e.proved(&life, ev.Signer) {
		return TlogMissing, time.Time{}
	}
	until, ok := e.valid(life, ev.Signer)
	if !ok {
		return Expired, time.Time{}
	}
	if r.maxAge > 0 {
		first, _ := e.times(ev.Signer)
		end := first.Add(r.maxAge)
		if first.IsZero() || !e.now.Before(end) {
			return Expired, time.Time{}
		}
		until = sooner(until, end)
	}
	if !e.claims(r, ev) {
		return PredicateRejected, time.Time{}
	}
	return "", until
}

// fits reports whether evidence is within the policy's own bound of size. What has no size has not been measured.
func (p *Policy) fits(ev *core.Evidence) bool {
	return p.maxBytes == 0 || ev.Size > 0 && ev.Size <= p.maxBytes
}

// terms are what a trusted signer's evidence must bring, and when his key was valid.
type terms struct {
	sct                 bool
	logs, tsa, times    int
	notBefore, notAfter time.Time
	other               []Key // further records of the same key, each of which may be valid
}

// trusts reports whether a signer is the authority, and on what terms. Whoever is revoked is nobody, under any name.
func (e *evaluation) trusts(a *authority, s *core.Signer) (Code, terms) {
	t := terms{sct: a.sct, logs: a.logs, tsa: a.tsa, times: a.times}
	ok := false
	switch {
	case s.Key != "" && (s.Issuer != "" || s.Subject != ""):
		return UntrustedIdentity, t // neither key nor identity: nothing that a verifier makes
	case a.registered:
		t, ok = e.registered(s)
	case a.key != nil:
		ok = s.Key != "" && e.key(a.key, s.Key, &t)
	default:
		for i := range a.identities {
			ok = ok || a.identities[i].covers(s)
		}
	}
	if !ok {
		return UntrustedIdentity, t
	}
	if e.in.Registered.revokedSigner(s) {
		return Revoked, t
	}
	return "", t
}

func (e *evaluation) key(k *keyAuthority, fingerprint string, t *terms) bool {
	if k.ref == "" {
		t.notBefore, t.notAfter = k.notBefore, k.notAfter
		return k.fingerprint == fingerprint
	}
	registered, ok := e.in.Registered.named(k.ref, e.p.project == "")
	t.notBefore, t.notAfter = registered.NotBefore, registered.NotAfter
	return ok && registered.Fingerprint == fingerprint
}

// registered finds a signer among all that are registered.
func (e *evaluation) registered(s *core.Signer) (terms, bool) {
	if s.Key != "" {
		records := e.in.Registered.keys[s.Key]
		if len(records) == 0 {
			return terms{}, false
		}
		return terms{notBefore: records[0].NotBefore, notAfter: records[0].NotAfter, other: records[1:]}, true
	}
	found, t := false, terms{}
	for i := range e.in.Registered.identities {
		x := &e.in.Registered.identities[i]
		if !x.covers(s) {
			continue
		}
		found, t = true, terms{sct: x.sct, times: 1}
		if x.log {
			t.logs = 1
		}
		// Where several records cover the signer, each is enough, as it would be alone.
		if e.proved(&t, s) {
			break
		}
	}
	return t, found
}

// times is the earliest verified time of a signature, and from how many parties there are any.
func (e *evaluation) times(s *core.Signer) (first time.Time, sources int) {
	for i := range s.Times {
		t := &s.Times[i]
		if !e.usable(t) {
			continue
		}
		if first.IsZero() || t.Time.Before(first) {
			first = t.Time
		}
		sources++
		for n := range i {
			if e.usable(&s.Times[n]) && s.Times[n].Source == t.Source && s.Times[n].By == t.By {
				sources--
				break
			}
		}
	}
	return first, sources
}

// usable refuses times that have not come yet: nobody can have vouched for them.
func (e *evaluation) usable(t *core.SignedTime) bool {
	if limit := e.now.Add(skew); t.Time.After(limit) {
		e.later(t.Time.Add(-skew))
		return false
	}
	return !t.Time.IsZero()
}

// proved reports whether enough distinct logs and timestamp authorities stand behind a signature.
func (e *evaluation) proved(t *terms, s *core.Signer) bool {
	if t.sct && !s.SCT || t.logs > 0 && distinct(s.Logs) < t.logs {
		return false
	}
	if t.times > 0 {
		if _, sources := e.times(s); sources < t.times {
			return false
		}
	}
	if t.tsa == 0 {
		return true
	}
	var by []string
	for i := range s.Times {
		if s.Times[i].Source == core.TimeAuthority && e.usable(&s.Times[i]) {
			by = append(by, s.Times[i].By)
		}
	}
	return distinct(by) >= t.tsa
}

func distinct(list []string) int {
	n := 0
	for i, s := range list {
		n++
		for _, earlier := range list[:i] {
			if earlier == s {
				n--
				break
			}
		}
	}
	return n
}

// valid reports whether the key was valid when it signed. Somebody's word for the time settles it for ever; a signature
// without a time is taken to be as young as it could be, and ends with the key.
func (e *evaluation) valid(t terms, s *core.Signer) (time.Time, bool) {
	best := e.window(t.notBefore, t.notAfter, s)
	for i := range t.other {
		best = best.or(e.window(t.other[i].NotBefore, t.other[i].NotAfter, s))
	}
	return best.until, best.ok
}

func (e *evaluation) window(notBefore, notAfter time.Time, s *core.Signer) span {
	if notBefore.IsZero() && notAfter.IsZero() {
		return span{ok: true}
	}
	if e.now.Before(notBefore) {
		e.later(notBefore)
		return span{}
	}
	for i := range s.Times {
		t := &s.Times[i]
		if e.usable(t) && !t.Time.Before(notBefore) && (notAfter.IsZero() || t.Time.Before(notAfter)) {
			return span{ok: true}
		}
	}
	if len(s.Times) > 0 {
		return span{} // it was signed, or at least seen, only outside of the key's life, or at a time that has not come
	}
	return span{notAfter.IsZero() || e.now.Before(notAfter), notAfter}
}

// claims compares what was signed besides the digest with what r wants to read there.
func (e *evaluation) claims(r *rule, ev *core.Evidence) bool {
	for name, value := range r.annotations {
		if got, ok := ev.Annotations[name]; !ok || got != value {
			return false
		}
	}
	switch r.bind {
	case bindLegacy:
		return ev.Format == core.FormatLegacySignature && e.here(ev.Repository)
	case bindAnnotation:
		return e.here(ev.Annotations[RepositoryAnnotation])
	}
	return true
}

// here reports whether a signed name means this repository of this hub: with the hub's name in front, or without any.
func (e *evaluation) here(name string) bool {
	if name == e.in.Repository {
		return true
	}
	host, ok := strings.CutSuffix(name, "/"+e.in.Repository)
	return ok && host != "" && host == e.in.Host
}
