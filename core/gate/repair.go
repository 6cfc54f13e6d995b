package gate

import (
	"slices"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// Repair is one party whose word would let pass what a policy refuses: exactly one of Authority and Register is set.
type Repair struct {
	Authority string       // of the policy, that would have to vouch as the policy wants it to
	Register  *core.Signer // an identity that has vouched already, and would have to be registered
	Fix       string       // the command that registers it
}

// Repairs lists everybody whose word alone would satisfy a policy that is not satisfied, in the order of the policy.
func Repairs(in Input, p *Policy, now time.Time) []Repair {
	var all []Repair
	e := evaluation{in: &in, now: now}
	satisfied := func() bool {
		r, _ := e.result(p)
		return r.Outcome == OutcomeAllowed
	}
	for i := range p.authorities {
		a := &p.authorities[i]
		if e.revokedAuthority(p, a) {
			continue
		}
		if e.assumed = a; satisfied() {
			all = append(all, Repair{Authority: a.spoken()})
		}
	}
	e.assumed = nil
	if !slices.ContainsFunc(p.authorities, func(a authority) bool { return a.registered }) {
		return all
	}
	before := in.Registered
	for _, s := range in.identities() {
		in.Registered = before.with(s)
		if e = (evaluation{in: &in, now: now}); satisfied() {
			all = append(all, Repair{Register: s, Fix: registration(projectOf(in.Repository), s)})
		}
	}
	return all
}

// registration is the command that registers who has signed. What stands in a certificate is written by strangers.
func registration(project string, s *core.Signer) string {
	fix := "hallmark identity add NAME --project " + project + " --trust-root " + shell(s.TrustRoot) + " --issuer " + shell(s.Issuer) + " --subject " + shell(s.Subject)
	if !s.SCT {
		fix += " --without-sct"
	}
	if len(s.Logs) == 0 {
		fix += " --without-log"
	}
	return printable(fix)
}

// spoken is an authority in words.
func (a *authority) spoken() string {
	if a.registered {
		return say(sAnybodyRegistered).in(English)
	}
	return a.name
}

// revokedAuthority reports whether nothing that the authority could sign would count.
func (e *evaluation) revokedAuthority(p *Policy, a *authority) bool {
	switch {
	case a.registered:
		return !e.in.Registered.live
	case a.key == nil:
		return false
	case a.key.ref == "":
		return e.in.Registered.revoked(a.key.fingerprint)
	}
	k, ok := e.in.Registered.named(a.key.ref, p.project == "")
	return !ok || e.in.Registered.revoked(k.Fingerprint)
}

// assume adds the word of the authority that is assumed to have vouched, if there is one and r asks it.
func (e *evaluation) assume(votes []vote, r *rule) []vote {
	for _, members := range [2][]int{r.all, r.any} {
		for _, i := range members {
			if &e.p.authorities[i] == e.assumed {
				votes = append(votes, vote{authority: i})
			}
		}
	}
	return votes
}

// identities are those that have verifiably signed anything of in and are not registered.
func (in *Input) identities() []*core.Signer {
	var all []*core.Signer
	known := map[signerID]bool{}
	look := func(list []core.Evidence) {
		for i := range list {
			s := list[i].Signer
			if s == nil || s.Issuer == "" || known[idOf(s)] || list[i].Problem != "" {
				continue
			}
			known[idOf(s)] = true
			if !slices.ContainsFunc(in.Registered.identities, func(x registeredIdentity) bool { return x.covers(s) }) {
				all = append(all, s)
			}
		}
	}
	look(in.Evidence)
	for _, list := range [][]Related{in.Indexes, in.Children} {
		for i := range list {
			look(list[i].Evidence)
		}
	}
	return all
}

// with is r as it would be if a signer were registered too, on the terms that its signature meets.
func (r *Registered) with(s *core.Signer) *Registered {
	out := *r
	c, err := newIdentity(s.TrustRoot, s.Issuer, s.Subject, "", nil)
	if err != nil {
		return r
	}
	out.identities = append(slices.Clip(r.identities), registeredIdentity{identity: c, sct: s.SCT, log: len(s.Logs) > 0})
	out.live = true
	return &out
}
