package gate

import (
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// evaluation is one decision on its way. It is not shared.
type evaluation struct {
	in   *Input
	now  time.Time
	p    *Policy
	soon time.Time // earliest moment at which a refusal could turn without anything being changed
	// assumed is the authority that is taken to have vouched for everything; nil outside of Repairs.
	assumed *authority
	passing func(Passing) // is told what is let pass; nil: nobody asks
	warned  bool          // it holds because what is not scanned is only warned of
	fault   error

	statements map[string]*statement // by content
	answers    map[question]Code
	loads      int
	bytes      int
	spent      time.Duration
}

// later notes that something will be otherwise at t.
func (e *evaluation) later(t time.Time) {
	if t.After(e.now) {
		e.soon = sooner(e.soon, t)
	}
}

func (e *evaluation) own() view { return view{e.in.Digest, e.in.Evidence} }

// policy reports whether e.p is satisfied: somebody has vouched as it wants, and no scan says otherwise. However the rules
// about who vouches are put together, a scan is no alternative to them, and none of them is one to it.
func (e *evaluation) policy() span {
	if !e.p.looks() {
		e.warned = false
		return e.vouched()
	}
	s := span{ok: true}
	if len(e.p.rules) > 0 {
		s = e.vouched()
	}
	clean, warned := e.clean()
	s, e.warned = s.and(clean), warned
	return s
}

// vouched reports whether somebody has, by what the index rule lets count.
func (e *evaluation) vouched() span {
	own := e.rules(e.own())
	s := e.p.fold(own)
	switch e.p.index {
	case IndexCovered:
		return s.or(e.covered(own))
	case IndexEach:
		return s.and(e.each())
	}
	return s
}

// maxPolicyRules is how many rules there can be: a signature and attestations.
const maxPolicyRules = maxRules + 1

// rules asks each rule about one manifest.
func (e *evaluation) rules(v view) (spans [maxPolicyRules]span) {
	for i := range e.p.rules {
		spans[i] = e.rule(&e.p.rules[i], v)
	}
	return spans
}

// fold says what the answers of all rules come to.
func (p *Policy) fold(spans [maxPolicyRules]span) span {
	all, one := span{ok: len(p.rules) > 0}, span{}
	for i := range p.rules {
		all, one = all.and(spans[i]), one.or(spans[i])
	}
	if p.any {
		return one
	}
	return all
}

// covered asks the indexes that list the digest. Signing an index signs the digests in it, so each rule may be satisfied
// by the index or by what it lists; evidence of two indexes is not mixed.
func (e *evaluation) covered(own [maxPolicyRules]span) span {
	var best span
	for i := range e.in.Indexes {
		x := &e.in.Indexes[i]
		if exempt, ok := e.p.exemptDigest(x.Digest, e.now); ok {
			best = best.or(span{true, exempt.expires})
			continue
		}
		spans := e.rules(view{x.Digest, x.Evidence})
		for r := range e.p.rules {
			spans[r] = spans[r].or(own[r])
		}
		best = best.or(e.p.fold(spans))
	}
	return best
}

// each asks what an index lists. An index whose children are not known does not pass.
func (e *evaluation) each() span {
	if e.in.Type != "" && e.in.Type != "index" {
		return span{ok: true}
	}
	if e.in.Children == nil {
		return span{}
	}
	s := span{ok: true}
	for i := range e.in.Children {
		c := &e.in.Children[i]
		if exempt, ok := e.p.exemptDigest(c.Digest, e.now); ok {
			s = s.and(span{true, exempt.expires})
			continue
		}
		s = s.and(e.p.fold(e.rules(view{c.Digest, c.Evidence})))
	}
	return s
}

// rule reports whether enough distinct signers have said what r wants about one manifest.
func (e *evaluation) rule(r *rule, v view) span {
	if r.needs() == 1 && !r.documents() && e.assumed == nil {
		return e.single(r, v)
	}
	var votes []vote
	if r.documents() {
		votes = e.documented(r, v)
	} else {
		for i := range v.evidence {
			votes = e.votes(votes, r, v.digest, &v.evidence[i])
		}
	}
	if e.assumed != nil {
		votes = e.assume(votes, r)
	}
	return e.count(r, votes)
}

// single is rule for the common case of one signer, who need not be told from others.
func (e *evaluation) single(r *rule, v view) span {
	var best span
	for i := range v.evidence {
		ev := &v.evidence[i]
		if ev.Signer == nil || !r.wants(ev) {
			continue
		}
		for _, members := range [2][]int{r.all, r.any} {
			for _, a := range members {
				if code, until := e.counts(r, &e.p.authorities[a], v.digest, ev); code == "" {
					best = best.or(span{true, until})
				}
			}
		}
	}
	return best
}

// wants reports whether evidence is of the kind that r asks for. An attestation is never a signature, whatever it attests.
func (r *rule) wants(ev *core.Evidence) bool {
	if r.attestation {
		return ev.Kind == core.EvidenceAttestation && r.covers(ev.PredicateType)
	}
	return ev.Kind == core.EvidenceSignature && (ev.PredicateType == core.PredicateSignature ||
		ev.PredicateType == "" && ev.Format == core.FormatLegacySignature)
}
