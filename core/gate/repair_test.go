package gate

import (
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// repairs puts what repairs a refusal on a line.
func repairs(in Input, p *Policy) string {
	var all []string
	for _, x := range Repairs(in, p, now) {
		if x.Register != nil {
			all = append(all, "+"+x.Register.Subject)
			continue
		}
		all = append(all, x.Authority)
	}
	return strings.Join(all, " ")
}

func TestWhoseWordWouldRepairARefusal(t *testing.T) {
	two := "authorities: [{name: a, key: {ref: release}}, {name: b, key: {ref: build}}, {name: c, key: {ref: gone}}]\n"
	for _, tt := range []struct {
		name, spec string
		evidence   []core.Evidence
		want       string
	}{
		{"one of three", two + "signature: {require: {anyOf: {count: 1, of: [a, b, c]}}}", nil, "a b"},
		{"two of three, one has signed", two + "signature: {require: {anyOf: {count: 2, of: [a, b, c]}}}", []core.Evidence{signature(keyA)}, "b"},
		{"two of three, nobody has signed", two + "signature: {require: {anyOf: {count: 2, of: [a, b, c]}}}", nil, ""},
		{"both, one has signed", two + "signature: {require: {allOf: [a, b]}}", []core.Evidence{signature(keyB)}, "a"},
		{"a signature and an SBOM", anA + sig + "attestations: [{name: sbom, predicateTypes: [spdx], require: {allOf: [a]}}]", nil, "a"},
		{"an SBOM that must say something", anA + "attestations: [{name: sbom, predicateTypes: [spdx], require: {allOf: [a]}, cel: \"predicate.ok == true\"}]", nil, "a"},
		{"an index and what it lists", anA + sig + "index: {rule: each}", nil, "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := policy(t, "p", tt.spec)
			in := input([]*Policy{p}, tt.evidence...)
			in.Children = []Related{{Digest: digestOf("child")}}
			check(t, in, false, codes(Decide(in, now)))
			if got := repairs(in, p); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			if d := Decide(in, now); d.Allowed() {
				t.Error("asking what would repair it has changed the answer")
			}
		})
	}
}

func TestARevokedKeyRepairsNothing(t *testing.T) {
	p := policy(t, "p", anA+sig)
	in := input([]*Policy{p})
	in.Registered = NewRegistered(1, []Key{{Name: "release", Fingerprint: keyA, Scope: ScopeProject, RevokedAt: now.Add(-time.Hour)}}, nil, nil)
	if got := repairs(in, p); got != "" {
		t.Errorf("%q", got)
	}
}

// Of the baseline, whoever has signed already needs only to be registered; but a certificate of nobody's, or one that is
// registered and lacks something, does not.
func TestTheBaselineIsRepairedByRegistering(t *testing.T) {
	p := Baseline(core.BaselineEnforce)
	evil := "x' --project other; echo '"
	in := input([]*Policy{p}, signature("", byIdentity(github, "lead@acme.com")), signature("", byIdentity(github, evil), func(ev *core.Evidence) {
		ev.Signer.SCT, ev.Signer.Logs = false, nil
	}), signature(keyC, unverified), attestation("", "https://example.com/custom", byIdentity(github, "nobody@acme.com")))
	in.Registered = NewRegistered(1, nil, nil, nil)
	if got := repairs(in, p); got != "+lead@acme.com +"+evil {
		t.Errorf("%q", got)
	}
	all := Repairs(in, p, now)
	if want := "hallmark identity add NAME --project prod --trust-root public-good --issuer " + github + " --subject lead@acme.com"; all[0].Fix != want {
		t.Errorf("%q", all[0].Fix)
	}
	if want := `--subject 'x'\'' --project other; echo '\''' --without-sct --without-log`; !strings.HasSuffix(all[1].Fix, want) {
		t.Errorf("%q", all[1].Fix)
	}
	in.Registered = NewRegistered(1, []Key{key("release", keyA)}, []Identity{{Name: "lead", TrustRoot: "public-good", Issuer: github, Subject: "lead@acme.com", RevokedAt: now}}, []string{"public-good"})
	if got := repairs(in, p); got != "a registered key or identity +"+evil {
		t.Errorf("%q", got)
	}
}
