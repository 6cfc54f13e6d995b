package gate

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// Set is the policies in force for one project, at one revision: the hub's and its own. All that match must be satisfied.
// It is immutable.
type Set struct {
	revision int64
	policies []*Policy
}

// NewSet makes a set. A nil policy stands for one that could not be had, and refuses everything.
func NewSet(revision int64, policies ...*Policy) *Set {
	s := &Set{revision: revision, policies: slices.Clone(policies)}
	for i, p := range s.policies {
		if p == nil {
			s.policies[i] = &Policy{}
		}
	}
	slices.SortStableFunc(s.policies, func(a, b *Policy) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), strings.Compare(a.project, b.project), strings.Compare(a.name, b.name))
	})
	return s
}

// Revision is the policy revision of the set.
func (s *Set) Revision() int64 { return s.revision }

// Policies are the members, in the order in which refusals name them.
func (s *Set) Policies() []*Policy { return slices.Clone(s.policies) }

// Needs says what a decision about a repository has to be given beyond the digest's own evidence. What is not needed need
// not be looked for.
type Needs struct {
	Indexes   bool // evidence of the indexes that list it
	Children  bool // evidence of what an index lists
	Documents bool // the statements themselves
}

// Needs is the sum of what the policies need that could apply to a repository.
func (s *Set) Needs(repository string) Needs {
	var n Needs
	for _, p := range s.policies {
		if p.mode == ModeOff || !p.concerns(repository) {
			continue
		}
		n.Indexes = n.Indexes || p.index == IndexCovered
		n.Children = n.Children || p.index == IndexEach || p.looks()
		n.Documents = n.Documents || p.vulns != nil && (p.vulns.vex != nil || p.vulns.attested != nil)
		for i := range p.rules {
			n.Documents = n.Documents || p.rules[i].documents()
		}
	}
	return n
}

// ExemptDigests are those that some policy lets pass at a time without asking further.
func (s *Set) ExemptDigests(now time.Time) []string {
	var all []string
	for _, p := range s.policies {
		for i := range p.digests {
			if now.Before(p.digests[i].expires) {
				all = append(all, p.digests[i].digest)
			}
		}
	}
	return all
}

// Knows reports whether anything that a signer says could count: a key, because only those are verified that somebody has
// registered or named in a policy, or an identity that is covered by such a one.
func (s *Set) Knows(r *Registered, who *core.Signer) bool {
	if who.Key != "" {
		return true
	}
	for i := range r.identities {
		if r.identities[i].covers(who) {
			return true
		}
	}
	for _, p := range s.policies {
		for a := range p.authorities {
			for i := range p.authorities[a].identities {
				if p.authorities[a].identities[i].covers(who) {
					return true
				}
			}
		}
	}
	return false
}

// concerns reports whether p speaks of a repository. One that was never made speaks of all.
func (p *Policy) concerns(repository string) bool {
	if !p.sound && p.repositories == nil {
		return true
	}
	return matchAny(p.repositories, repository) && !matchAny(p.except, repository)
}

// applies reports whether p speaks of what is asked for. What is not known about it does not keep a policy away.
func (p *Policy) applies(in *Input) bool {
	if p.mode == ModeOff || !p.concerns(in.Repository) {
		return false
	}
	if len(p.types) > 0 && in.Type != "" && !slices.Contains(p.types, in.Type) {
		return false
	}
	return len(p.tags) == 0 || in.Tag != "" && matchAny(p.tags, in.Tag)
}
