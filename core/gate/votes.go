package gate

import (
	"cmp"
	"slices"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// signerID tells signers apart: a key by its fingerprint; an identity by who it is, whichever trust root vouched.
type signerID struct{ key, issuer, subject string }

func idOf(s *core.Signer) signerID {
	if s.Key != "" {
		return signerID{key: s.Key}
	}
	return signerID{issuer: s.Issuer, subject: s.Subject}
}

func (a signerID) compare(b signerID) int {
	return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.issuer, b.issuer), cmp.Compare(a.subject, b.subject))
}

// vote is the word of one signer in the name of one authority.
type vote struct {
	authority int
	signer    signerID
	until     time.Time
}

// votes appends what one piece of evidence is worth.
func (e *evaluation) votes(votes []vote, r *rule, digest string, ev *core.Evidence) []vote {
	if ev.Signer == nil || !r.wants(ev) {
		return votes
	}
	for _, members := range [2][]int{r.all, r.any} {
		for _, a := range members {
			if code, until := e.counts(r, &e.p.authorities[a], digest, ev); code == "" {
				votes = append(votes, vote{a, idOf(ev.Signer), until})
			}
		}
	}
	return votes
}

// count reports whether the votes are enough: each authority of allOf and so many of anyOf, each with a signer of its own.
// One signer who stands for several authorities (an identity that two patterns cover) is still one.
func (e *evaluation) count(r *rule, votes []vote) span {
	if len(votes) == 0 || r.needs() == 0 {
		return span{}
	}
	// The longest lasting word first, and always in the same order, whatever the order of the evidence.
	slices.SortFunc(votes, func(a, b vote) int {
		return cmp.Or(cmp.Compare(a.authority, b.authority), a.signer.compare(b.signer), compareEnds(b.until, a.until))
	})
	votes = slices.CompactFunc(votes, func(a, b vote) bool { return a.authority == b.authority && a.signer == b.signer })
	slices.SortStableFunc(votes, func(a, b vote) int { return compareEnds(b.until, a.until) })

	m := matching{votes: votes, taken: map[signerID]int{}}
	s := span{ok: true}
	for _, a := range r.all {
		if !m.assign(a, map[signerID]bool{}) {
			return span{}
		}
	}
	for _, a := range r.any {
		m.assign(a, map[signerID]bool{})
	}
	var ends []time.Time
	for _, v := range m.taken {
		switch end := votes[v].until; {
		case slices.Contains(r.all, votes[v].authority):
			s.until = sooner(s.until, end)
		default:
			ends = append(ends, end)
		}
	}
	if len(ends) < r.count {
		return span{}
	}
	slices.SortFunc(ends, func(a, b time.Time) int { return compareEnds(b, a) })
	if r.count > 0 {
		s.until = sooner(s.until, ends[r.count-1])
	}
	return s
}

// compareEnds orders ends, where zero is none and so the last.
func compareEnds(a, b time.Time) int {
	switch {
	case a.Equal(b):
		return 0
	case a.IsZero() || !b.IsZero() && a.After(b):
		return 1
	}
	return -1
}

// matching gives each authority a signer of its own.
type matching struct {
	votes []vote
	taken map[signerID]int // to the vote by which the signer is taken
}

// assign finds a signer for an authority, and another one for whoever has to give one up.
func (m *matching) assign(authority int, tried map[signerID]bool) bool {
	for i := range m.votes {
		v := &m.votes[i]
		if v.authority != authority || tried[v.signer] {
			continue
		}
		tried[v.signer] = true
		holder, taken := m.taken[v.signer]
		if !taken || m.assign(m.votes[holder].authority, tried) {
			m.taken[v.signer] = i
			return true
		}
	}
	return false
}
