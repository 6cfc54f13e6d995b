package gate

import (
	"errors"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

func TestBaseline(t *testing.T) {
	for _, tt := range []struct {
		name     string
		evidence []core.Evidence
		want     bool
		codes    string
	}{
		{"nothing", nil, false, "NO_SIGNATURE MISSING_ATTESTATION"},
		{"a signature by a registered key", []core.Evidence{signature(keyA)}, true, ""},
		{"a legacy signature", []core.Evidence{legacy(keyA, "elsewhere/x")}, true, ""},
		{"an SPDX attestation", []core.Evidence{attestation(keyA, spdx)}, true, ""},
		{"an SPDX attestation with version", []core.Evidence{attestation(keyA, spdx+"/v2.3")}, true, ""},
		{"a CycloneDX attestation", []core.Evidence{attestation(keyA, "https://cyclonedx.org/bom")}, true, ""},
		{"V-31 another attestation", []core.Evidence{attestation(keyA, "https://slsa.dev/provenance/v1")}, false, "NO_SIGNATURE MISSING_ATTESTATION"},
		{"V-31 an attestation that says it is a signature", []core.Evidence{attestation(keyA, core.PredicateSignature)}, false, "NO_SIGNATURE MISSING_ATTESTATION"},
		{"V-31 a signature that says it is an SBOM", []core.Evidence{signature(keyA, func(ev *core.Evidence) { ev.PredicateType = spdx })}, false, "NO_SIGNATURE MISSING_ATTESTATION"},
		{"V-31 a signature that says nothing", []core.Evidence{signature(keyA, func(ev *core.Evidence) { ev.PredicateType = "" })}, false, "NO_SIGNATURE MISSING_ATTESTATION"},
		{"V-31 an attestation without type", []core.Evidence{attestation(keyA, "")}, false, "NO_SIGNATURE MISSING_ATTESTATION"},
		{"V-32 of another digest", []core.Evidence{signature(keyA, of(index))}, false, "NO_VALID_SIGNATURE MISSING_ATTESTATION"},
		{"V-36 neither signer nor problem", []core.Evidence{signature(keyA, func(ev *core.Evidence) { ev.Signer = nil })}, false, "NO_VALID_SIGNATURE MISSING_ATTESTATION"},
		{"V-36 an empty signer", []core.Evidence{signature("")}, false, "UNTRUSTED_IDENTITY MISSING_ATTESTATION"},
		{"V-36 a signer, and a problem", []core.Evidence{signature(keyA, func(ev *core.Evidence) { ev.Problem = "odd" })}, false, "NO_VALID_SIGNATURE MISSING_ATTESTATION"},
		{"V-36 zero evidence", []core.Evidence{{}}, false, "NO_SIGNATURE MISSING_ATTESTATION"},
		{"V-36 an unknown format", []core.Evidence{signature(keyA, func(ev *core.Evidence) { ev.Format = "new" })}, false, "NO_VALID_SIGNATURE MISSING_ATTESTATION"},
		{"V-39 junk", []core.Evidence{{Kind: core.EvidenceUnreadable, Subject: image, Problem: "not JSON"}}, false, "NO_VALID_SIGNATURE MISSING_ATTESTATION"},
		{"V-39 a stranger's key", []core.Evidence{signature(keyC)}, false, "UNTRUSTED_IDENTITY MISSING_ATTESTATION"},
		{"V-39 a stranger's SBOM", []core.Evidence{attestation(keyC, spdx)}, false, "NO_SIGNATURE UNTRUSTED_IDENTITY"},
		{"V-39 unverified", []core.Evidence{signature(keyA, unverified)}, false, "NO_VALID_SIGNATURE MISSING_ATTESTATION"},
		{"an identity that is not registered", []core.Evidence{signature(keyA, byIdentity(github, "https://github.com/acme/app"))}, false, "UNTRUSTED_IDENTITY MISSING_ATTESTATION"},
		{"a key and an identity in one", []core.Evidence{signature(keyA, func(ev *core.Evidence) { ev.Signer.Issuer = github })}, false, "UNTRUSTED_IDENTITY MISSING_ATTESTATION"},
		{"junk beside a good one", []core.Evidence{signature(keyC), signature(keyA, unverified), {}, signature(keyB)}, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			check(t, input(enforce(), tt.evidence...), tt.want, tt.codes)
		})
	}
}

func TestModes(t *testing.T) {
	for _, tt := range []struct {
		mode    core.Baseline
		want    bool
		outcome string
	}{
		{core.BaselineEnforce, false, "denied"},
		{core.BaselineWarn, true, "warned"},
		{core.BaselineOff, true, ""},
		{"", false, "denied"},
		{"sometimes", false, "denied"},
	} {
		d := Decide(input([]*Policy{Baseline(tt.mode)}), now)
		got := ""
		for _, r := range d.Results() {
			got += r.Outcome.String()
		}
		if d.Allowed() != tt.want || got != tt.outcome {
			t.Errorf("%q: %v %s", tt.mode, d.Allowed(), got)
		}
	}
	d := Decide(input([]*Policy{policy(t, "p", anA+sig+"mode: audit")}), now)
	if r := d.Results(); !d.Allowed() || r[0].Outcome != OutcomeAudited || len(r[0].Reasons) != 1 {
		t.Errorf("%+v", d)
	}
}

func TestAllPoliciesMustBeSatisfied(t *testing.T) {
	hub := system(t, "hub", "authorities: [{name: a, key: {ref: root}}]\n"+sig)
	own := policy(t, "own", "authorities: [{name: b, key: {ref: build}}]\nsignature: {require: {allOf: [b]}}\npriority: 5")
	in := func(evidence ...core.Evidence) Input {
		in := input([]*Policy{hub, own, Baseline(core.BaselineOff)}, evidence...)
		in.Registered = NewRegistered(1, []Key{{Name: "root", Fingerprint: keyA, Scope: ScopeHub}, key("build", keyB),
			// A project that registers a key under the name of the hub's own changes nothing for the hub's policy.
			key("root", keyC)}, nil, nil)
		return in
	}
	check(t, in(), false, "NO_SIGNATURE NO_SIGNATURE")
	check(t, in(signature(keyA)), false, "UNTRUSTED_IDENTITY")
	check(t, in(signature(keyB)), false, "UNTRUSTED_IDENTITY")
	check(t, in(signature(keyC), signature(keyB)), false, "UNTRUSTED_IDENTITY")
	d := check(t, in(signature(keyA), signature(keyB)), true, "")
	if r := d.Results(); r[0].Policy != own || r[1].Policy != hub {
		t.Error("the order is not that of priorities")
	}
	var five []*Policy
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		five = append(five, policy(t, name, anA+sig))
	}
	if d := check(t, input(five, signature(keyA)), true, ""); len(d.Results()) != 5 {
		t.Error("not all policies are listed")
	}
	five = append(five, policy(t, "f", "authorities: [{name: a, key: {ref: build}}]\n"+sig))
	check(t, input(five, signature(keyA)), false, "UNTRUSTED_IDENTITY")
}

func TestWhatAPolicySpeaksOf(t *testing.T) {
	for _, tt := range []struct {
		name, match string
		change      func(*Input)
		applies     bool
	}{
		{"the whole project", "", nil, true},
		{"a repository", "match: {repositories: [prod/app]}", nil, true},
		{"another repository", "match: {repositories: [prod/web]}", nil, false},
		{"excluded", "match: {exclude: {repositories: [prod/app]}}", nil, false},
		{"images", "match: {artifactTypes: [image]}", nil, true},
		{"charts", "match: {artifactTypes: [helm]}", nil, false},
		{"a type that is not known", "match: {artifactTypes: [helm]}", func(in *Input) { in.Type = "" }, true},
		{"a tag", "mode: warn\nmatch: {tags: ['v*']}", func(in *Input) { in.Tag = "v1" }, true},
		{"another tag", "mode: warn\nmatch: {tags: ['v*']}", func(in *Input) { in.Tag = "latest" }, false},
		{"no tag", "mode: warn\nmatch: {tags: ['v*']}", nil, false},
		{"another project", "", func(in *Input) { in.Repository = "dev/app" }, false},
	} {
		in := input([]*Policy{policy(t, "p", anA+sig+tt.match)})
		if tt.change != nil {
			tt.change(&in)
		}
		d := Decide(in, now)
		if got := len(d.Results()) == 1; got != tt.applies {
			t.Errorf("%s: applies is %v", tt.name, got)
		}
	}
	if d := Decide(input(nil), now); !d.Allowed() {
		t.Error("without any policy something is refused")
	}
}

func TestWhatIsNotKnownIsRefused(t *testing.T) {
	good := input(enforce(), signature(keyA))
	for name, f := range map[string]func(*Input){
		"nothing at all":   func(in *Input) { *in = Input{} },
		"no policies":      func(in *Input) { in.Policies = nil },
		"no registrations": func(in *Input) { in.Registered = nil },
		"no repository":    func(in *Input) { in.Repository = "" },
		"no digest":        func(in *Input) { in.Digest = "" },
		"a bad digest":     func(in *Input) { in.Digest = "sha256:zz" },
		"a nil policy":     func(in *Input) { in.Policies = NewSet(1, nil) },
		"a zero policy":    func(in *Input) { in.Policies = NewSet(1, &Policy{}) },
		"a broken policy":  func(in *Input) { in.Policies = NewSet(1, Broken("p", "prod", errors.New("unreadable"))) },
	} {
		in := good
		f(&in)
		d := check(t, in, false, "VERIFIER_ERROR")
		if d.Fault == nil || d.Message("") == "" || d.Holds(now) && name != "a nil policy" && name != "a zero policy" && name != "a broken policy" {
			t.Errorf("%s: %+v", name, d)
		}
	}
	if d := Decide(good, time.Time{}); d.Allowed() {
		t.Error("it is allowed at no time")
	}
	hollow := Baseline(core.BaselineEnforce)
	hollow.rules, hollow.any = nil, false
	if d := Decide(input([]*Policy{hollow}, signature(keyA)), now); d.Allowed() {
		t.Error("a policy without rules is satisfied")
	}
	if d := (Decision{allowed: true}); d.Allowed() {
		t.Error("a decision that did not come to its end allows")
	}
	var zero Decision
	if zero.Allowed() || zero.Holds(now) || zero.Message("") == "" {
		t.Error("a zero decision allows")
	}
	if zero = zero.For(Who{Push: true, Sign: true, Job: "scan"}, AccessManifest); zero.Allowed() {
		t.Error("somebody is exempt from no decision")
	}
	if (Result{}).Outcome != OutcomeDenied {
		t.Error("a zero result allows")
	}
	in := good
	in.Repository, in.Policies = "dev/app", NewSet(1, Broken("p", "prod", errors.New("unreadable")))
	check(t, in, true, "")
}

func TestPending(t *testing.T) {
	in := input(enforce())
	in.Pending = true
	check(t, in, false, "EVIDENCE_PENDING NO_SIGNATURE MISSING_ATTESTATION")
	in.Evidence = []core.Evidence{signature(keyA)}
	check(t, in, true, "")
}

func TestNobodyIsRegistered(t *testing.T) {
	in := input(enforce(), signature(keyA))
	in.Registered = NewRegistered(1, nil, nil, nil)
	check(t, in, false, "NO_KEY NO_KEY")
	in.Policies = NewSet(1, policy(t, "p", anA+sig))
	check(t, in, false, "NO_KEY")
	in.Policies = NewSet(1, policy(t, "p", "authorities: [{name: a, key: {ref: x}}, {name: b, key: {ref: y}}]\nsignature: {require: {anyOf: {of: [a, b]}}}"))
	in.Registered = NewRegistered(1, []Key{key("y", keyB)}, nil, nil)
	check(t, in, false, "UNTRUSTED_IDENTITY")
}

func TestNeeds(t *testing.T) {
	each := policy(t, "each", anA+sig+"index: {rule: each}")
	docs := policy(t, "docs", anA+att(`cel: "true"`)+"index: {rule: self}\nmatch: {repositories: [prod/web]}")
	if n := NewSet(1, each, docs).Needs(repo); n != (Needs{Children: true}) {
		t.Errorf("%+v", n)
	}
	if n := NewSet(1, Baseline(core.BaselineEnforce), docs).Needs("prod/web"); n != (Needs{Indexes: true, Documents: true}) {
		t.Errorf("%+v", n)
	}
	if n := NewSet(1, Baseline(core.BaselineOff)).Needs(repo); n != (Needs{}) {
		t.Errorf("%+v", n)
	}
}
