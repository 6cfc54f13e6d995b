package gate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// world makes random but plausible decisions.
type world struct {
	*rand.Rand
	policies []*Policy
}

func newWorld(t testing.TB, seed uint64) *world {
	t.Helper()
	const who = `authorities:
- {name: a, key: {ref: release}}
- {name: b, key: {ref: build}, tlog: {mode: require}}
- {name: team, keyless: {trustRoot: public-good, identities: [{issuer: "https://token.actions.githubusercontent.com", subjectRegex: '.*@acme\.com'}]}}
- {name: lead, keyless: {trustRoot: public-good, identities: [{issuer: "https://token.actions.githubusercontent.com", subject: lead@acme.com}]}}
`
	w := &world{Rand: rand.New(rand.NewPCG(seed, seed))}
	for i, spec := range []string{
		"signature: {require: {allOf: [a]}}", "signature: {require: {anyOf: {count: 2, of: [a, b, team, lead]}}}\nindex: {rule: self}",
		"signature: {require: {allOf: [b], anyOf: {of: [team, lead]}}, maxAge: 24h}", "signature: {require: {allOf: [team, lead]}, annotations: {env: prod}}",
		"require: any\nsignature: {require: {allOf: [a]}}\nattestations: [{name: s, predicateTypes: [spdx], require: {anyOf: {of: [a, b]}}}]",
		"index: {rule: each}\nattestations: [{name: s, predicateTypes: [spdx, vuln], require: {anyOf: {of: [a, b]}}, cel: 'predicate.n > 1'}]",
		"mode: warn\nsignature: {require: {allOf: [lead]}, bindRepository: annotation}\nformats: {maxBundleBytes: 1024, legacySignature: false}",
	} {
		w.policies = append(w.policies, policy(t, "p"+strconv.Itoa(i), who+spec))
	}
	w.policies = append(w.policies, Baseline(core.BaselineEnforce))
	return w
}

func one[T any](w *world, list ...T) T { return list[w.IntN(len(list))] }

func (w *world) evidence(subject string) core.Evidence {
	opts := []option{of(one(w, subject, subject, subject, digestOf("elsewhere"))), content(strconv.Itoa(w.IntN(30))), func(ev *core.Evidence) { ev.Size = int64(w.IntN(2000)) }}
	who := one(w, keyA, keyB, keyC)
	if w.IntN(3) == 0 {
		opts = append(opts, byIdentity(one(w, github, "https://x.example"), one(w, "lead@acme.com", "dev@acme.com", "x@evil.com")))
	} else if w.IntN(2) == 0 {
		opts = append(opts, ago(one(w, time.Minute, time.Hour, 23*time.Hour, 48*time.Hour, -time.Hour)))
	}
	if w.IntN(3) == 0 {
		opts = append(opts, annotated(one(w, "env", RepositoryAnnotation), one(w, "prod", repo)))
	}
	if w.IntN(6) == 0 {
		opts = append(opts, unverified)
	}
	// What lies under one digest is the same statement, whoever signed it.
	opts = append(opts, func(ev *core.Evidence) { ev.Content = digestOf(ev.Content + ev.Subject + ev.PredicateType) })
	if w.IntN(3) == 0 {
		return attestation(who, one(w, spdx, "https://slsa.dev/provenance/v1", core.PredicateSignature), opts...)
	}
	return signature(who, opts...)
}

func (w *world) many(subject string, n int) []core.Evidence {
	var list []core.Evidence
	for range w.IntN(n + 1) {
		list = append(list, w.evidence(subject))
	}
	return list
}

func (w *world) input() Input {
	var policies []*Policy
	for range 1 + w.IntN(3) {
		policies = append(policies, w.policies[w.IntN(len(w.policies))])
	}
	in := input(policies, w.many(image, 6)...)
	in.Type = one(w, "image", "index", "")
	for i := range w.IntN(3) {
		d := digestOf("index" + strconv.Itoa(i))
		in.Indexes = append(in.Indexes, Related{Digest: d, Evidence: w.many(d, 4)})
		in.Children = append(in.Children, Related{Digest: d, Evidence: w.many(d, 4)})
	}
	revoked := time.Time{}
	if w.IntN(5) == 0 {
		revoked = now
	}
	in.Registered = NewRegistered(1, []Key{{Name: "release", Fingerprint: keyA, Scope: ScopeProject, NotAfter: one(w, time.Time{}, now.Add(time.Hour), now.Add(-time.Hour))},
		{Name: "build", Fingerprint: keyB, Scope: ScopeProject, RevokedAt: revoked}},
		[]Identity{{Name: "acme", TrustRoot: "public-good", Issuer: github, SubjectRegex: `.*@acme\.com`}}, nil)
	// What a statement says depends on which it is, and some cannot be read.
	in.Statement = func(c string) ([]byte, error) {
		if c[10]%5 == 0 {
			return nil, errors.New("gone")
		}
		for _, d := range append([]Related{{Digest: image}}, append(in.Indexes, in.Children...)...) {
			for _, ev := range append(in.Evidence, d.Evidence...) {
				if ev.Content == c {
					return statementOf(ev.Subject, ev.PredicateType, map[string]any{"n": int(c[11]) % 4}), nil
				}
			}
		}
		return nil, errors.New("unknown")
	}
	return in
}

// rounds is how many random decisions each property is tried on.
const rounds = 3000

func TestUnverifiedEvidenceChangesNothing(t *testing.T) {
	w := newWorld(t, 1)
	for range rounds {
		in := w.input()
		before := Decide(in, now)
		for range 1 + w.IntN(5) {
			junk := w.evidence(image)
			unverified(&junk)
			if w.IntN(2) == 0 {
				junk.Kind = core.EvidenceUnreadable
			}
			in.Evidence = append(in.Evidence, junk)
			for i := range in.Indexes {
				in.Indexes[i].Evidence = append(in.Indexes[i].Evidence, junk)
			}
		}
		if after := Decide(in, now); after.Allowed() != before.Allowed() || !after.Until.Equal(before.Until) {
			t.Fatalf("%v until %v became %v until %v", before.Allowed(), before.Until, after.Allowed(), after.Until)
		}
	}
}

// TestMoreEvidenceNeverHurts: the documented exception, statements that push older ones out of those looked at, needs more
// than are made here.
func TestMoreEvidenceNeverHurts(t *testing.T) {
	w, allowed := newWorld(t, 2), 0
	for range rounds {
		in := w.input()
		before := Decide(in, now)
		if before.Allowed() {
			allowed++
		}
		in.Evidence = append(in.Evidence, w.many(image, 4)...)
		for i := range in.Indexes {
			in.Indexes[i].Evidence = append(in.Indexes[i].Evidence, w.many(in.Indexes[i].Digest, 3)...)
			in.Children[i].Evidence = append(in.Children[i].Evidence, w.many(in.Children[i].Digest, 3)...)
		}
		if after := Decide(in, now); before.Allowed() && !after.Allowed() {
			t.Fatalf("it was refused for more evidence: %s", after.Message(""))
		}
	}
	if allowed < rounds/20 || allowed > rounds*19/20 {
		t.Errorf("%d of %d are allowed: the world is not worth much", allowed, rounds)
	}
}

func TestTheOrderOfEvidenceIsIrrelevant(t *testing.T) {
	w := newWorld(t, 3)
	for range rounds {
		in := w.input()
		before := Decide(in, now)
		w.Shuffle(len(in.Evidence), func(i, j int) { in.Evidence[i], in.Evidence[j] = in.Evidence[j], in.Evidence[i] })
		w.Shuffle(len(in.Indexes), func(i, j int) { in.Indexes[i], in.Indexes[j] = in.Indexes[j], in.Indexes[i] })
		after := Decide(in, now)
		if a, b := outcome(before), outcome(after); a != b {
			t.Fatalf("%s\n%s", a, b)
		}
	}
}

func outcome(d Decision) string {
	return fmt.Sprint(d.Allowed(), d.Until, codes(d), d.Message(""))
}

// TestAVerdictHoldsUntilItSays: nothing changes before that by the mere passing of time.
func TestAVerdictHoldsUntilItSays(t *testing.T) {
	w, ended := newWorld(t, 4), 0
	for range rounds {
		in := w.input()
		d := Decide(in, now)
		for _, later := range []time.Duration{time.Second, 30 * time.Minute, 2 * time.Hour, 25 * time.Hour, 1000 * time.Hour} {
			at := now.Add(later)
			if !d.Until.IsZero() && at.After(d.Until.Add(-time.Nanosecond)) {
				at = d.Until.Add(-time.Nanosecond)
			}
			if again := Decide(in, at); again.Allowed() != d.Allowed() {
				t.Fatalf("%v until %v, and at %v %v", d.Allowed(), d.Until, at, again.Allowed())
			}
		}
		if !d.Until.IsZero() {
			ended++
		}
	}
	if ended == 0 {
		t.Error("no verdict has an end")
	}
}

// TestCountAgainstEveryAssignment compares the matching with trying all of them.
func TestCountAgainstEveryAssignment(t *testing.T) {
	w := &world{Rand: rand.New(rand.NewPCG(5, 5))}
	for range 20_000 {
		r := &rule{}
		n := 1 + w.IntN(5)
		for a := range n {
			if w.IntN(2) == 0 {
				r.all = append(r.all, a)
			} else {
				r.any = append(r.any, a)
			}
		}
		if len(r.any) > 0 {
			r.count = w.IntN(len(r.any) + 1)
		}
		if r.needs() == 0 {
			continue
		}
		var votes []vote
		for range w.IntN(10) {
			votes = append(votes, vote{authority: w.IntN(n), signer: signerID{key: strconv.Itoa(w.IntN(4))}})
		}
		want := assignable(r, votes, append(append([]int{}, r.all...), r.any...), map[signerID]bool{}, 0, 0)
		if got := (&evaluation{}).count(r, votes); got.ok != want {
			t.Fatalf("%+v with %+v is %v", r, votes, got.ok)
		}
	}
}

func assignable(r *rule, votes []vote, left []int, taken map[signerID]bool, all, some int) bool {
	if len(left) == 0 {
		return all == len(r.all) && some >= r.count
	}
	a, isAll := left[0], all+some < len(r.all) && len(left) > len(r.any)
	if !isAll && assignable(r, votes, left[1:], taken, all, some) {
		return true
	}
	for _, v := range votes {
		if v.authority != a || taken[v.signer] {
			continue
		}
		taken[v.signer] = true
		ok := isAll && assignable(r, votes, left[1:], taken, all+1, some) || !isAll && assignable(r, votes, left[1:], taken, all, some+1)
		delete(taken, v.signer)
		if ok {
			return true
		}
	}
	return false
}
