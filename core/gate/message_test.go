package gate

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
)

func TestWhatDockerPrints(t *testing.T) {
	at := host + "/" + repo + "@" + image
	short := "prod/app@" + image[:19]
	two := "authorities: [{name: release-key, key: {ref: release}}, {name: gha, keyless: {trustRoot: public-good, identities: [{issuer: \"" + github + "\", subject: x}]}}]\n"
	for _, tt := range []struct {
		name string
		in   Input
		want string
	}{
		{"baseline", input(enforce()), `trust policy "baseline": ` + short + ` refused: no signature by a registered key or identity and no SBOM attestation (spdx or cyclonedx) by a registered key or identity. ` +
			`To put it right: cosign sign --key cosign.key ` + at + ` . See https://hub.example/t/1`},
		{"nobody registered", nobody(input(enforce())), `trust policy "baseline": ` + short + ` refused: no key or identity is registered for project prod. ` +
			`Register one: hallmark keys add --project prod cosign cosign.pub , then sign; or set the baseline of project prod to warn: hallmark project set prod --baseline warn . See https://hub.example/t/1`},
		{"everybody revoked", revoked(input(enforce())), `trust policy "baseline": ` + short + ` refused: every key and identity is revoked that is registered for project prod. ` +
			`Register one: hallmark keys add --project prod cosign cosign.pub , then sign; or set the baseline of project prod to warn: hallmark project set prod --baseline warn . See https://hub.example/t/1`},
		{"identities alone", identities(input(enforce())), `trust policy "baseline": ` + short + ` refused: no signature by a registered key or identity and no SBOM attestation (spdx or cyclonedx) by a registered key or identity. ` +
			`To put it right: cosign sign ` + at + ` . See https://hub.example/t/1`},
		{"two authorities", input([]*Policy{policy(t, "prod-signed", two+"signature: {require: {anyOf: {of: [release-key, gha]}}}")}, signature(keyA, unverified), signature(keyB, unverified)),
			`trust policy "prod-signed": ` + short + ` refused: no valid signature by any of [release-key, gha] (2 found, 0 valid). To put it right: cosign sign --key cosign.key ` + at + ` . See https://hub.example/t/1`},
		{"keyless alone", input([]*Policy{policy(t, "p", two+"signature: {require: {allOf: [gha]}}")}),
			`trust policy "p": ` + short + ` refused: no signature by gha. To put it right: cosign sign ` + at + ` . See https://hub.example/t/1`},
		{"an SBOM", input([]*Policy{policy(t, "p", two+"attestations: [{name: sbom, predicateTypes: [spdx], require: {allOf: [release-key]}}]")}),
			`trust policy "p": ` + short + ` refused: no SBOM attestation (spdx) by release-key. To put it right: cosign attest --key cosign.key --type spdxjson --predicate sbom.spdx.json ` + at + ` . See https://hub.example/t/1`},
		{"a stranger", input([]*Policy{policy(t, "p", two+"signature: {require: {allOf: [release-key]}}")}, signature(keyB)),
			`trust policy "p": ` + short + ` refused: no signature by release-key (1 found, the nearest by key build). To put it right: cosign sign --key cosign.key ` + at + ` . See https://hub.example/t/1`},
		{"annotations", input([]*Policy{policy(t, "p", two+"signature: {require: {allOf: [release-key]}, annotations: {env: prod, b: \"it's\"}, bindRepository: annotation}")}),
			`trust policy "p": ` + short + ` refused: no signature by release-key. To put it right: cosign sign --key cosign.key -a 'b=it'\''s' -a env=prod -a hallmark.repository=prod/app ` + at + ` . See https://hub.example/t/1`},
		{"two policies", input([]*Policy{policy(t, "a", two+"signature: {require: {allOf: [gha]}}"), policy(t, "b", two+"signature: {require: {allOf: [gha]}}")}),
			`trust policy "a": ` + short + ` refused: no signature by gha (other policies refuse it too: 1). To put it right: cosign sign ` + at + ` . See https://hub.example/t/1`},
		{"nothing is known", Input{Repository: repo, Digest: image}, short + ` refused: it could not be checked . See https://hub.example/t/1`},
		{"broken", input([]*Policy{Broken("p", "prod", errors.New("x"))}), `trust policy "p": ` + short + ` refused: the policy cannot be read . See https://hub.example/t/1`},
	} {
		d := Decide(tt.in, now)
		if got := d.Message("https://hub.example/t/1"); got != tt.want {
			t.Errorf("%s:\n%s\n%s", tt.name, got, tt.want)
		}
	}
}

func nobody(in Input) Input {
	in.Registered = NewRegistered(1, nil, nil, nil)
	return in
}

func identities(in Input) Input {
	in.Registered = NewRegistered(1, nil, []Identity{{Name: "ci", Scope: ScopeProject, TrustRoot: "house", Issuer: github, Subject: "https://git.house.example/app"}}, []string{"house"})
	return in
}

func revoked(in Input) Input {
	in.Registered = NewRegistered(1, []Key{{Name: "old", Fingerprint: keyA, Scope: ScopeProject, RevokedAt: now}}, nil, nil)
	return in
}

func TestAMessageIsShortAndOnOneLine(t *testing.T) {
	nasty := "evil\r\nX-Header: 1\x1b[2J\u202e" + strings.Repeat("x", 2000)
	var many []core.Evidence
	for i := range 40 {
		many = append(many, signature(keyA, byIdentity(github, nasty+string(rune('a'+i%26)))))
	}
	var rules strings.Builder
	for i := range maxRules {
		rules.WriteString("- {name: r" + string(rune('a'+i)) + ", predicateTypes: [\"https://example.com/" + strings.Repeat("y", 900) + "\"], require: {allOf: [a]}}\n")
	}
	in := input([]*Policy{policy(t, "p", anA+sig+"attestations:\n"+rules.String())}, many...)
	in.Repository, in.Host = "prod/"+strings.Repeat("a", 250), strings.Repeat("h", 255)
	in.Digest = "sha512:" + strings.Repeat("a", 128)
	for _, mode := range []Mode{ModeEnforce, ModeWarn} {
		in.Policies = NewSet(1, in.Policies.policies[0].with(mode))
		d := Decide(in, now)
		for _, m := range append(d.Warnings("https://hub.example/"+nasty), d.Message("https://hub.example/"+nasty)) {
			if len(m) > maxMessage || strings.ContainsAny(m, "\r\n\x1b\u202e") {
				t.Errorf("%d bytes: %q", len(m), m)
			}
		}
	}
	if d := Decide(in, now); d.Message("") != "" || len(d.Warnings("")) != 1 {
		t.Error("a warning is no refusal")
	}
}

func TestExplain(t *testing.T) {
	in := input(append(enforce(), policy(t, "sbom", anA+att(`cel: "predicate.ok == true"`)+"mode: warn")),
		signature(keyC), signature(keyA, unverified), attestation(keyA, spdx, content("sbom")), core.Evidence{Kind: core.EvidenceUnreadable, Problem: "not\nJSON"})
	in.Statement = documents(map[string]any{"sbom": map[string]any{"ok": false}})
	x := Explain(in, now, "https://hub.example/t/1")
	if !x.Allowed || x.PolicyRevision != 7 || x.TrustRevision != 9 || len(x.Policies) != 2 {
		t.Fatalf("%+v", x)
	}
	var got []string
	for _, p := range x.Policies {
		for _, f := range p.Found {
			got = append(got, p.Name+"/"+f.Rule+": "+string(f.Code)+" "+f.Text)
		}
	}
	want := `baseline/signature: UNTRUSTED_IDENTITY the signature is valid, but not by anybody whom the rule wants
baseline/signature: NO_VALID_SIGNATURE the signature does not match
baseline/signature: NO_VALID_SIGNATURE not?JSON
baseline/sbom:  
sbom/sbom: PREDICATE_REJECTED what was signed does not say what the rule wants, or newer statements of the signer came first`
	if strings.Join(got, "\n") != want {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	b, err := json.Marshal(x)
	if err != nil || !strings.Contains(string(b), `"outcome":"warned"`) || !strings.Contains(string(b), `"wants":"signature by a registered key or identity, or SBOM attestation (spdx`) {
		t.Errorf("%s %v", b, err)
	}
	many := input(enforce())
	for range 150 {
		many.Evidence = append(many.Evidence, signature(keyC))
	}
	if p := Explain(many, now, "").Policies[0]; len(p.Found) != maxFindings || p.Omitted != 50 || len(p.Reasons) != 2 {
		t.Errorf("%d found, %d omitted", len(p.Found), p.Omitted)
	}
	if x := Explain(Input{}, now, ""); x.Allowed || len(x.Policies) != 1 || x.Message == "" {
		t.Errorf("%+v", x)
	}
	in.Statement = func(string) ([]byte, error) { panic("boom") }
	if x := Explain(in, now, ""); len(x.Policies) != 2 {
		t.Errorf("%+v", x)
	}
}
