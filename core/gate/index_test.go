package gate

import (
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

func TestIndexesAndWhatTheyList(t *testing.T) {
	sbomAndSig := anA + sig + "attestations: [{name: sbom, predicateTypes: [spdx], require: {allOf: [a]}}]"
	rule := func(r string) string { return anA + sig + "index: {rule: " + r + "}" }
	onIndex := signature(keyA, of(index))
	other := digestOf("other index")
	for _, tt := range []struct {
		name, spec string
		own        []core.Evidence
		indexes    []Related
		want       bool
		codes      string
	}{
		{"covered: signed itself", rule("covered"), []core.Evidence{signature(keyA)}, nil, true, ""},
		{"covered: by its index", rule("covered"), nil, []Related{{Digest: index, Evidence: []core.Evidence{onIndex}}}, true, ""},
		{"covered: by one of many", rule("covered"), nil, []Related{{Digest: other}, {Digest: index, Evidence: []core.Evidence{onIndex}}}, true, ""},
		{"covered: by an unsigned index", rule("covered"), nil, []Related{{Digest: index}}, false, "NO_SIGNATURE"},
		{"covered: by an index that a stranger signed", rule("covered"), nil, []Related{{Digest: index, Evidence: []core.Evidence{signature(keyC, of(index))}}}, false, "UNTRUSTED_IDENTITY"},
		{"covered: evidence of another index", rule("covered"), nil, []Related{{Digest: other, Evidence: []core.Evidence{onIndex}}}, false, "NO_VALID_SIGNATURE"},
		{"covered: the child's signature under the index", rule("covered"), nil, []Related{{Digest: index, Evidence: []core.Evidence{signature(keyA)}}}, false, "NO_VALID_SIGNATURE"},
		{"self: by its index", rule("self"), nil, []Related{{Digest: index, Evidence: []core.Evidence{onIndex}}}, false, "NO_SIGNATURE"},
		{"self: signed itself", rule("self"), []core.Evidence{signature(keyA)}, nil, true, ""},
		{"each: by its index", rule("each"), nil, []Related{{Digest: index, Evidence: []core.Evidence{onIndex}}}, false, "NO_SIGNATURE"},
		{"index signs, child attests", sbomAndSig, []core.Evidence{attestation(keyA, spdx)}, []Related{{Digest: index, Evidence: []core.Evidence{onIndex}}}, true, ""},
		{"child signs, index attests", sbomAndSig,
			[]core.Evidence{signature(keyA)}, []Related{{Digest: index, Evidence: []core.Evidence{attestation(keyA, spdx, of(index))}}}, true, ""},
		{"one index signs, another attests", sbomAndSig,
			nil, []Related{{Digest: index, Evidence: []core.Evidence{onIndex}}, {Digest: other, Evidence: []core.Evidence{attestation(keyA, spdx, of(other))}}}, false, "NO_SIGNATURE MISSING_ATTESTATION"},
		{"one signs the child, another the index", "authorities: [{name: a, key: {ref: release}}, {name: b, key: {ref: build}}]\nsignature: {require: {allOf: [a, b]}}",
			[]core.Evidence{signature(keyA)}, []Related{{Digest: index, Evidence: []core.Evidence{signature(keyB, of(index))}}}, false, "NO_VALID_SIGNATURE"},
		{"an exempt index", rule("covered") + "\nexempt: {digests: [{digest: \"" + index + "\", expires: 2026-12-01, reason: x}]}", nil, []Related{{Digest: index}}, true, ""},
		{"an exempt index covers nothing by self", rule("self") + "\nexempt: {digests: [{digest: \"" + index + "\", expires: 2026-12-01, reason: x}]}", nil, []Related{{Digest: index}}, false, "NO_SIGNATURE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := input([]*Policy{policy(t, "p", tt.spec)}, tt.own...)
			in.Indexes = tt.indexes
			check(t, in, tt.want, tt.codes)
		})
	}
}

func TestEachChildOfAnIndex(t *testing.T) {
	p := policy(t, "p", anA+sig+"index: {rule: each}")
	child1, child2 := digestOf("child 1"), digestOf("child 2")
	signed := func(d string) Related { return Related{Digest: d, Evidence: []core.Evidence{signature(keyA, of(d))}} }
	for _, tt := range []struct {
		name, kind string
		own        []core.Evidence
		children   []Related
		want       bool
		codes      string
	}{
		{"all signed", "index", []core.Evidence{signature(keyA)}, []Related{signed(child1), signed(child2)}, true, ""},
		{"the index is not", "index", nil, []Related{signed(child1)}, false, "NO_SIGNATURE"},
		{"one child is not", "index", []core.Evidence{signature(keyA)}, []Related{signed(child1), {Digest: child2}}, false, "NO_SIGNATURE"},
		{"no children", "index", []core.Evidence{signature(keyA)}, []Related{}, true, ""},
		{"children that are not known", "index", []core.Evidence{signature(keyA)}, nil, false, "VERIFIER_ERROR"},
		{"a type that is not known", "", []core.Evidence{signature(keyA)}, nil, false, "VERIFIER_ERROR"},
		{"an image has none", "image", []core.Evidence{signature(keyA)}, nil, true, ""},
	} {
		in := input([]*Policy{p}, tt.own...)
		in.Type, in.Children = tt.kind, tt.children
		d := Decide(in, now)
		if d.Allowed() != tt.want || codes(d) != tt.codes {
			t.Errorf("%s: %v %s", tt.name, d.Allowed(), codes(d))
		}
		if tt.name == "one child is not" {
			if r := d.Results()[0].Reasons[0]; r.Digest != child2 || !strings.Contains(r.Fix, child2) {
				t.Errorf("%+v", r)
			}
		}
	}
}

func TestExemptDigests(t *testing.T) {
	p := policy(t, "p", anA+sig+"exempt: {digests: [{digest: \""+image+"\", expires: 2026-11-22, reason: a day of grace}]}")
	d := check(t, input([]*Policy{p}), true, "")
	end := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	if r := d.Results()[0]; r.Outcome != OutcomeExempt || r.Exempt != "a day of grace" || !d.Until.Equal(end) {
		t.Errorf("%+v until %v", r, d.Until)
	}
	if d := Decide(input([]*Policy{p}), end); d.Allowed() {
		t.Error("it has no end")
	}
	// The exemption of one policy is none of another.
	check(t, input([]*Policy{p, Baseline(core.BaselineEnforce)}), false, "NO_SIGNATURE MISSING_ATTESTATION")
}

func TestExemptPrincipals(t *testing.T) {
	spec := anA + sig + `exempt: {principals: [{robot: replication-eu, actions: [pull]}, {robot: lister, actions: [manifest]}, {permission: sign, actions: [pull]}, {job: verify, actions: [pull]}]}`
	own, none := policy(t, "own", spec), policy(t, "none", anA+sig)
	for _, tt := range []struct {
		name   string
		who    Who
		access Access
		also   bool // under a policy without exemptions too
		want   string
	}{
		{"nobody", Who{}, AccessManifest, false, ""},
		{"a pusher reads manifests", Who{Push: true}, AccessManifest, true, "signer"},
		{"a signer reads manifests", Who{Sign: true}, AccessManifest, true, "signer"},
		{"a pusher reads no layers", Who{Push: true}, AccessBlob, true, ""},
		{"a signer reads no layers", Who{Sign: true}, AccessBlob, true, ""},
		{"unless the policy says so", Who{Sign: true}, AccessBlob, false, "permission sign"},
		{"the scanner reads everything", Who{Job: "scan"}, AccessBlob, true, "job scan"},
		{"another job does not", Who{Job: "verify"}, AccessBlob, true, ""},
		{"unless the policy says so", Who{Job: "verify"}, AccessBlob, false, "job verify"},
		{"a robot", Who{Robot: "robot$prod+replication-eu"}, AccessBlob, false, "robot robot$prod+replication-eu"},
		{"a robot of that name elsewhere", Who{Robot: "robot$dev+replication-eu"}, AccessBlob, false, ""},
		{"a user of that name", Who{Robot: "replication-eu"}, AccessBlob, false, ""},
		{"a robot for manifests", Who{Robot: "robot$prod+lister"}, AccessManifest, false, "robot robot$prod+lister"},
		{"but not for layers", Who{Robot: "robot$prod+lister"}, AccessBlob, false, ""},
		{"an access that is not known", Who{Push: true, Sign: true, Job: "scan", Robot: "robot$prod+replication-eu"}, "", false, ""},
	} {
		policies := []*Policy{own}
		if tt.also {
			policies = append(policies, none)
		}
		in := input(policies)
		in.Who, in.Access = tt.who, tt.access
		d := Decide(in, now)
		if d.Allowed() != (tt.want != "") || d.Exempt() != tt.want {
			t.Errorf("%s: %v %q", tt.name, d.Allowed(), d.Exempt())
		}
		// A verdict that is kept is laid over with who asks, and stays as it is.
		in.Who = Who{}
		kept := Decide(in, now)
		if again := kept.For(tt.who, tt.access); again.Allowed() != d.Allowed() || again.Exempt() != d.Exempt() || kept.Allowed() {
			t.Errorf("%s: a kept verdict says otherwise", tt.name)
		}
	}
	in := input([]*Policy{own}, signature(keyA))
	in.Who, in.Access = Who{Push: true}, AccessManifest
	if d := Decide(in, now); d.Exempt() != "" {
		t.Error("who may read it anyway is not exempt")
	}
}

func TestTheOverlayLeavesAKeptVerdictAlone(t *testing.T) {
	var many []*Policy
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		many = append(many, policy(t, name, anA+sig))
	}
	kept := Decide(input(many), now)
	if d := kept.For(Who{Push: true}, AccessManifest); !d.Allowed() {
		t.Error("a pusher is refused")
	}
	for _, r := range kept.Results() {
		if r.Outcome != OutcomeDenied {
			t.Errorf("policy %s was changed", r.Policy.Name())
		}
	}
}

func TestTrustArtifactsAreReadable(t *testing.T) {
	in := input(enforce())
	in.TrustArtifact = true
	if d := check(t, in, true, ""); d.Exempt() != "trust artifact" || len(d.Results()) != 0 {
		t.Errorf("%+v", d)
	}
	in.Policies = nil
	check(t, in, false, "VERIFIER_ERROR")
}
