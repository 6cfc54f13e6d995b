package gate

import (
	"cmp"

	"github.com/hallmarkhub/hallmark/core"
)

// maxChildren is how many of an index's children a refusal names.
const maxChildren = 3

// survey is what there is for one rule, and how near the nearest piece of it comes to counting.
type survey struct {
	found   int
	counted map[signerID]bool
	code    Code
	nearest *core.Evidence
}

// rank orders codes by how near to passing they are.
func rank(c Code) int {
	for i, x := range []Code{NoKey, NoSignature, MissingAttestation, NoValidSignature, UntrustedIdentity, Revoked, TlogMissing, Expired,
		PredicateRejected, VerifierError, NotScanned, ScanStale, NotCompliant, TooSevere} {
		if c == x {
			return i
		}
	}
	return 0
}

// finding is called for each piece of evidence that a rule looked at, with "" if it counts.
type finding func(r *rule, digest string, ev *core.Evidence, code Code)

// reasons says what e.p lacks. Each finding is told on the way.
func (e *evaluation) reasons(tell finding) []Reason {
	var list []Reason
	if e.in.Pending {
		list = append(list, because("policy", EvidencePending, say(sPending)))
	}
	if len(e.p.rules) > 0 {
		list = append(list, e.vouchReasons(tell)...)
	}
	return append(list, e.scanReasons(false, tell)...)
}

// vouchReasons says who has not vouched.
func (e *evaluation) vouchReasons(tell finding) []Reason {
	var list []Reason
	own := e.rules(e.own())
	views := []view{e.own()}
	anywhere := own
	if e.p.index == IndexCovered {
		for i := range e.in.Indexes {
			x := view{e.in.Indexes[i].Digest, e.in.Indexes[i].Evidence}
			views = append(views, x)
			for n, s := range e.rules(x) {
				anywhere[n] = anywhere[n].or(s)
			}
		}
	}
	mixed := e.p.fold(anywhere).ok && e.p.index == IndexCovered
	for i := range e.p.rules {
		r, missing := &e.p.rules[i], !anywhere[i].ok || mixed && !own[i].ok
		s := e.survey(r, views, tell)
		if mixed {
			s = e.survey(r, views[:1], nil) // what is elsewhere is enough, but not together with the rest
		}
		if missing {
			list = append(list, e.reason(r, &s))
		}
	}
	if e.p.index == IndexEach {
		list = append(list, e.childReasons()...)
	}
	return list
}

// childReasons names the first children of an index that are not trusted themselves.
func (e *evaluation) childReasons() []Reason {
	if e.in.Type != "" && e.in.Type != "index" {
		return nil
	}
	if e.in.Children == nil {
		return []Reason{because("index", VerifierError, say(sIndexUnknown))}
	}
	var list []Reason
	for i := range e.in.Children {
		v := view{e.in.Children[i].Digest, e.in.Children[i].Evidence}
		spans := e.rules(v)
		if _, exempt := e.p.exemptDigest(v.digest, e.now); exempt || e.p.fold(spans).ok {
			continue
		}
		for n := range e.p.rules {
			if r := &e.p.rules[n]; !spans[n].ok {
				s := e.survey(r, []view{v}, nil)
				reason := e.reason(r, &s)
				reason = because(reason.Rule, reason.Code, say(sChild, short(v.digest), reason.said))
				reason.Digest, reason.Fix = v.digest, e.fix(r, reason.Code, v.digest)
				list = append(list, reason)
				break
			}
		}
		if len(list) == maxChildren {
			break
		}
	}
	return list
}

func (e *evaluation) survey(r *rule, views []view, tell finding) survey {
	s := survey{counted: map[signerID]bool{}}
	for _, v := range views {
		for i := range v.evidence {
			ev := &v.evidence[i]
			if !r.wants(ev) && (r.attestation || ev.Kind != core.EvidenceUnreadable) {
				continue
			}
			code := e.nearest(r, v.digest, ev)
			s.found++
			if code == "" {
				s.counted[idOf(ev.Signer)] = true
			} else if n := rank(code) - rank(s.code); n > 0 || n == 0 && before(ev, s.nearest) {
				s.code, s.nearest = code, ev
			}
			if tell != nil {
				tell(r, v.digest, ev, code)
			}
		}
	}
	return s
}

// before makes the choice among equals the same in whatever order they come.
func before(a, b *core.Evidence) bool {
	if a.Signer == nil || b == nil || b.Signer == nil {
		return a.Signer != nil
	}
	return cmp.Or(idOf(a.Signer).compare(idOf(b.Signer)), cmp.Compare(a.Content, b.Content)) < 0
}

// nearest is how near one piece of evidence comes to counting for any of a rule's authorities.
func (e *evaluation) nearest(r *rule, digest string, ev *core.Evidence) Code {
	best := NoValidSignature
	if ev.Signer == nil || !r.wants(ev) {
		return best
	}
	for _, members := range [2][]int{r.all, r.any} {
		for _, a := range members {
			code, _ := e.counts(r, &e.p.authorities[a], digest, ev)
			if code == "" && r.documents() {
				answer, asked := e.answers[question{r, digest, ev.Content, idOf(ev.Signer)}]
				if code = answer; !asked {
					code = PredicateRejected // older than what is looked at, or a copy of it
				}
			}
			if code == "" {
				return ""
			}
			if rank(code) > rank(best) {
				best = code
			}
		}
	}
	return best
}
