package gate

import (
	"cmp"
	"slices"
	"strings"
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
		n.Children = n.Children || p.index == IndexEach
		for i := range p.rules {
			n.Documents = n.Documents || p.rules[i].documents()
		}
	}
	return n
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
