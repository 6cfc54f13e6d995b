package gate

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// candidate is a distinct statement of one signer in the name of one authority, and the copies in which it lies here.
type candidate struct {
	vote
	payload string
	when    time.Time
	copies  []*core.Evidence
}

// documented is votes for a rule that looks into statements.
func (e *evaluation) documented(r *rule, v view) []vote {
	var votes []vote
	share := max(1, e.p.statements/max(1, len(r.all)+len(r.any)))
	looked := map[int]int{}
	for _, c := range e.candidates(r, v) {
		if looked[c.authority] == share {
			continue
		}
		looked[c.authority]++
		if !e.says(r, &c, v.digest) {
			continue
		}
		if r.cel != nil && r.cel.timely {
			c.until = sooner(c.until, e.now.Add(clockwise))
		}
		votes = append(votes, c.vote)
	}
	return votes
}

// candidates are the statements that would count if they said the right thing, the newest first.
func (e *evaluation) candidates(r *rule, v view) []candidate {
	type key struct {
		authority int
		signer    signerID
		payload   string
	}
	at := map[key]int{}
	var list []candidate
	var votes []vote
	for i := range v.evidence {
		ev := &v.evidence[i]
		votes = e.votes(votes[:0], r, v.digest, ev)
		for _, vt := range votes {
			k := key{vt.authority, vt.signer, cmp.Or(ev.Payload, ev.Content)}
			when, _ := e.times(ev.Signer)
			if when.IsZero() {
				when = ev.Arrived
			}
			n, ok := at[k]
			if !ok {
				n = len(list)
				at[k] = n
				list = append(list, candidate{vote: vt, payload: k.payload, when: when})
			}
			c := &list[n]
			// A copy that arrives later makes a statement no younger.
			c.when = sooner(c.when, when)
			c.until = span{true, c.until}.or(span{true, vt.until}).until
			c.copies = append(c.copies, ev)
		}
	}
	for i := range list {
		slices.SortFunc(list[i].copies, func(a, b *core.Evidence) int { return strings.Compare(a.Content, b.Content) })
	}
	slices.SortFunc(list, func(a, b candidate) int {
		return cmp.Or(b.when.Compare(a.when), strings.Compare(a.payload, b.payload), a.signer.compare(b.signer), cmp.Compare(a.authority, b.authority))
	})
	return list
}
