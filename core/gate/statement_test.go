package gate

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// sbomRule is a policy that looks into SPDX documents by key a (or b).
func sbomRule(t testing.TB, conditions string) *Policy {
	t.Helper()
	return policy(t, "sbom", `authorities: [{name: a, key: {ref: release}}, {name: b, key: {ref: build}}]
attestations:
- name: sbom
  predicateTypes: [spdx]
  require: {anyOf: {of: [a, b]}}
  `+conditions)
}

func TestWhatAnAttestationMustSay(t *testing.T) {
	doc := map[string]any{"spdxVersion": "SPDX-2.3", "passed": true, "count": 3, "ratio": 0.5, "packages": []any{map[string]any{"name": "openssl", "license": "Apache-2.0"}},
		"workflow": map[string]any{"ref": "refs/tags/v1"}, "re": "(a+)+$"}
	for _, tt := range []struct {
		conditions string
		code       Code
	}{
		{`fields: [{path: $.spdxVersion, matches: 'SPDX-2\.[23]'}]`, ""},
		{`fields: [{path: $.spdxVersion, matches: 'SPDX'}]`, PredicateRejected},
		{`fields: [{path: $.passed, equals: true}]`, ""},
		{`fields: [{path: $.passed, equals: false}]`, PredicateRejected},
		{`fields: [{path: $.passed, equals: "true"}]`, PredicateRejected},
		{`fields: [{path: $.count, equals: 3}, {path: $.ratio, equals: 0.5}]`, ""},
		{`fields: [{path: $.count, equals: 3}, {path: "$.packages[0].name", equals: libressl}]`, PredicateRejected},
		{`fields: [{path: $.missing, equals: 1}]`, PredicateRejected},
		{`cel: "size(predicate.packages) > 0"`, ""},
		{`cel: "size(predicate.packages) > 1"`, PredicateRejected},
		{`cel: "size(predicate.files) > 0"`, PredicateRejected},
		{`cel: "predicate.passed == true && predicate.count >= 3 && predicate.ratio < 1"`, ""},
		{`cel: "predicate.workflow.ref.startsWith('refs/tags/v')"`, ""},
		{`cel: "predicate.count.startsWith('x')"`, PredicateRejected},
		{`cel: "predicate.packages.all(p, p.license in ['Apache-2.0', 'MIT'])"`, ""},
		{`cel: "predicate.packages.exists(p, p.name == 'log4j')"`, PredicateRejected},
		{`cel: "has(predicate.passed) && !has(predicate.failed)"`, ""},
		{`cel: "statement.predicateType == 'https://spdx.dev/Document'"`, ""},
		{`cel: "image.repository == 'prod/app' && image.digest.startsWith('sha256:') && image.host == 'hub.example' && image.type == 'image'"`, ""},
		{`cel: "signer.key == '` + keyA + `' && signer.issuer == ''"`, ""},
		{`cel: "now > timestamp('2026-11-21T00:00:00Z') && now < timestamp('2026-11-22T00:00:00Z')"`, ""},
		{`cel: "predicate.spdxVersion.matches('^SPDX-2')"`, ""},
		{`cel: "'aaaa'.matches(predicate.re)"`, ""},
		{"fields: [{path: $.passed, equals: true}]\n  cel: 'false'", PredicateRejected},
		{"fields: [{path: $.passed, equals: false}]\n  cel: 'true'", PredicateRejected},
	} {
		t.Run(tt.conditions, func(t *testing.T) {
			in := input([]*Policy{sbomRule(t, tt.conditions)}, attestation(keyA, spdx, content("sbom")))
			in.Statement = documents(map[string]any{"sbom": doc})
			check(t, in, tt.code == "", string(tt.code))
		})
	}
}

func TestAnExpressionThatLooksAtTheClockIsAskedAgain(t *testing.T) {
	in := input([]*Policy{sbomRule(t, `cel: "now < timestamp('2026-11-21T12:00:30Z')"`)}, attestation(keyA, spdx, content("sbom")))
	in.Statement = documents(map[string]any{"sbom": map[string]any{}})
	if d := Decide(in, now); !d.Allowed() || d.Until.IsZero() || d.Until.After(now.Add(clockwise)) {
		t.Errorf("%v until %v", d.Allowed(), d.Until)
	}
	if d := Decide(in, now.Add(time.Minute)); d.Allowed() {
		t.Error("it is allowed for ever")
	}
}

func TestStatementsThatCannotBeReadAreRefused(t *testing.T) {
	good := statementOf(image, spdx, map[string]any{"x": 1})
	for name, statement := range map[string]func(string) ([]byte, error){
		"nobody reads":       nil,
		"an error":           func(string) ([]byte, error) { return nil, errors.New("gone") },
		"neither":            func(string) ([]byte, error) { return nil, nil },
		"a panic":            func(string) ([]byte, error) { panic("boom") },
		"no JSON":            func(string) ([]byte, error) { return []byte("{"), nil },
		"a list":             func(string) ([]byte, error) { return []byte("[]"), nil },
		"two documents":      func(string) ([]byte, error) { return append(bytes.Clone(good), good...), nil },
		"a key twice":        func(string) ([]byte, error) { return append([]byte(`{"predicateType":"x",`), good[1:]...), nil },
		"V-31 another type":  func(string) ([]byte, error) { return statementOf(image, "https://x.example/y", map[string]any{}), nil },
		"V-32 another image": func(string) ([]byte, error) { return statementOf(index, spdx, map[string]any{}), nil },
		"too large":          func(string) ([]byte, error) { return make([]byte, maxStatement+1), nil },
		"too deep": func(string) ([]byte, error) {
			return []byte(`{"predicateType":` + strings.Repeat("[", 20000)), nil
		},
	} {
		in := input([]*Policy{sbomRule(t, `cel: "true"`)}, attestation(keyA, spdx))
		in.Statement = statement
		if d := check(t, in, false, "VERIFIER_ERROR"); d.Fault == nil {
			t.Errorf("%s: nothing for the log", name)
		}
		// Whoever only warns does not deny, whatever breaks.
		in.Policies = NewSet(1, sbomRule(t, `cel: "true"`).with(ModeWarn))
		if d := Decide(in, now); !d.Allowed() || d.Results()[0].Outcome != OutcomeWarned {
			t.Errorf("%s: a warning denies", name)
		}
	}
	in := input([]*Policy{sbomRule(t, `cel: "true"`)}, attestation(keyA, spdx, func(ev *core.Evidence) { ev.Payload = digestOf("other bytes") }))
	in.Statement = func(string) ([]byte, error) { return good, nil }
	check(t, in, false, "VERIFIER_ERROR")
}

// with is p in another mode.
func (p *Policy) with(m Mode) *Policy {
	c := *p
	c.mode = m
	return &c
}

func TestStatementsAreReadOnlyWhereARuleLooksIntoThem(t *testing.T) {
	in := input(append(enforce(), policy(t, "p", anA+"attestations: [{name: s, predicateTypes: [spdx], require: {allOf: [a]}}]")), attestation(keyA, spdx))
	in.Statement = func(string) ([]byte, error) { t.Error("it was read"); return nil, errors.New("no") }
	check(t, in, true, "")
	// Nor is what a stranger, or nobody, has signed.
	in = input([]*Policy{sbomRule(t, `cel: "true"`)}, attestation(keyC, spdx), attestation(keyA, spdx, unverified))
	in.Statement = func(string) ([]byte, error) { t.Error("it was read"); return nil, errors.New("no") }
	check(t, in, false, "UNTRUSTED_IDENTITY")
}

func TestExpressionsAreBounded(t *testing.T) {
	var list []any
	for i := range 300 {
		list = append(list, strconv.Itoa(i))
	}
	for name, tt := range map[string]struct {
		cel string
		doc map[string]any
	}{
		"steps": {"predicate.l.all(a, predicate.t.matches('x+y') == false)", map[string]any{"l": list, "t": strings.Repeat("x", 200_000)}},
		"text":  {"predicate.t.size() > 0", map[string]any{"t": strings.Repeat("x", maxStatementText+1)}},
		"a key": {"size(predicate) > 0", map[string]any{strings.Repeat("x", maxStatementText+1): 1}},
		"regex": {"'x'.matches(predicate.re)", map[string]any{"re": "((a{30}){30})"}},
	} {
		in := input([]*Policy{sbomRule(t, `cel: "`+tt.cel+`"`)}, attestation(keyA, spdx, content("sbom")))
		in.Statement = documents(map[string]any{"sbom": tt.doc})
		began := time.Now()
		d := Decide(in, now)
		if d.Allowed() || codes(d) != "VERIFIER_ERROR" && name != "regex" {
			t.Errorf("%s: %v %s %v", name, d.Allowed(), codes(d), d.Fault)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

// TestTheCostOfAnExpressionIsCounted: without any limit of time, which a fast machine would not reach.
func TestTheCostOfAnExpressionIsCounted(t *testing.T) {
	e, err := (&expressions{}).compile("predicate.l.all(a, predicate.t.matches('x+y') == false)")
	if err != nil {
		t.Fatal(err)
	}
	predicate := map[string]any{"l": make([]any, 1000), "t": strings.Repeat("x", 20_000)}
	_, _, err = e.program.ContextEval(t.Context(), map[string]any{"predicate": predicate})
	if err == nil || !strings.Contains(err.Error(), "cost limit exceeded") {
		t.Errorf("%v", err)
	}
}

func TestADecisionReadsSoMuchAndNoMore(t *testing.T) {
	var list []core.Evidence
	for i := range 10 {
		list = append(list, attestation(keyA, spdx, content(strconv.Itoa(i))))
	}
	in := input([]*Policy{sbomRule(t, "fields: [{path: $.x, equals: 1}]")}, list...)
	reads, large := 0, append(statementOf(image, spdx, map[string]any{"x": 2}), bytes.Repeat([]byte(" "), 15<<20)...)
	in.Statement = func(string) ([]byte, error) { reads++; return large, nil }
	check(t, in, false, "VERIFIER_ERROR")
	if want := maxRead/len(large) + 1; reads != want {
		t.Errorf("%d statements were read, not %d", reads, want)
	}
}

// V-37: a pusher cannot hide a good statement behind copies of others, and cannot make a decision dear.
func TestCopiesOfOldStatementsHideNothing(t *testing.T) {
	p := sbomRule(t, `cel: "predicate.passed == true"`)
	bad, good := statementOf(image, spdx, map[string]any{"passed": false}), statementOf(image, spdx, map[string]any{"passed": true})
	payload := func(b []byte) string { return digestOf(string(b)) }
	var list []core.Evidence
	for i := range 10_000 {
		list = append(list, attestation(keyA, spdx, content(fmt.Sprintf("copy %d", i)), func(ev *core.Evidence) {
			ev.Payload, ev.Arrived = payload(bad), now.Add(time.Duration(i)*time.Second)
		}))
	}
	list = append(list, attestation(keyA, spdx, content("good"), func(ev *core.Evidence) {
		ev.Payload, ev.Arrived = payload(good), now.Add(-1000*time.Hour)
	}))
	in := input([]*Policy{p}, list...)
	reads := 0
	in.Statement = func(c string) ([]byte, error) {
		reads++
		if c == digestOf("good") {
			return good, nil
		}
		return bad, nil
	}
	check(t, in, true, "")
	if reads != 2 {
		t.Errorf("%d statements were read", reads)
	}
}

func TestTheNewestStatementsOfEachSignerAreLookedAt(t *testing.T) {
	p := sbomRule(t, `cel: "predicate.passed == true"`)
	share := maxStatements / 2
	build := func(at int) Input {
		var list []core.Evidence
		for i := range share + 1 {
			list = append(list, attestation(keyA, spdx, content(strconv.Itoa(i)), func(ev *core.Evidence) { ev.Arrived = now.Add(-time.Duration(i) * time.Hour) }))
		}
		in := input([]*Policy{p}, list...)
		in.Statement = func(c string) ([]byte, error) {
			return statementOf(image, spdx, map[string]any{"passed": c == digestOf(strconv.Itoa(at))}), nil
		}
		return in
	}
	check(t, build(share-1), true, "")
	check(t, build(share), false, "PREDICATE_REJECTED")
	// Fresh copies of old ones do not push it out.
	in := build(share - 1)
	for i := share; i < 2*share; i++ {
		in.Evidence = append(in.Evidence, attestation(keyA, spdx, content(strconv.Itoa(i)), func(ev *core.Evidence) { ev.Arrived = now.Add(-9999 * time.Hour) }))
	}
	for i, ev := range in.Evidence[share:] {
		for n := range 2 {
			again := ev
			again.Payload, again.Content, again.Arrived = ev.Content, digestOf(fmt.Sprint("copy", i, n)), now
			in.Evidence = append(in.Evidence, again)
		}
	}
	check(t, in, true, "")
	// The other signer's are looked at all the same.
	in = build(share)
	in.Evidence = append(in.Evidence, attestation(keyB, spdx, content("b"), func(ev *core.Evidence) { ev.Arrived = now.Add(-9999 * time.Hour) }))
	first := in.Statement
	in.Statement = func(c string) ([]byte, error) {
		if c == digestOf("b") {
			return statementOf(image, spdx, map[string]any{"passed": true}), nil
		}
		return first(c)
	}
	check(t, in, true, "")
}

func TestAStatementIsReadFromWhicheverCopyCanBe(t *testing.T) {
	good := statementOf(image, spdx, map[string]any{"passed": true})
	same := func(ev *core.Evidence) { ev.Payload = digestOf(string(good)) }
	in := input([]*Policy{sbomRule(t, `cel: "predicate.passed == true"`)}, attestation(keyA, spdx, content("a"), same), attestation(keyA, spdx, content("b"), same))
	for _, broken := range []string{"a", "b"} {
		in.Statement = func(c string) ([]byte, error) {
			if c == digestOf(broken) {
				return nil, errors.New("gone")
			}
			return good, nil
		}
		check(t, in, true, "")
	}
}

func TestTwoPoliciesWithRulesOfOneNameAskForThemselves(t *testing.T) {
	yes, no := sbomRule(t, `cel: "predicate.n == 1"`), sbomRule(t, `cel: "predicate.n == 2"`)
	in := input([]*Policy{yes, no}, attestation(keyA, spdx, content("sbom")))
	in.Statement = documents(map[string]any{"sbom": map[string]any{"n": 1}})
	check(t, in, false, "PREDICATE_REJECTED")
}
