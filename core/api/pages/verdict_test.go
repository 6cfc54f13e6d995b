package pages

import (
	"encoding/xml"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gate"
)

func show(t *testing.T, x *gate.Explanation, language string) string {
	t.Helper()
	v, err := NewVerdicts()
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	v.One(w, httptest.NewRequest(http.MethodGet, "/t/x?lang="+language, nil), "http://hub.test", x)
	if w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
	dec := xml.NewDecoder(strings.NewReader(w.Body.String()))
	dec.Entity = xml.HTMLEntity
	for {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			return w.Body.String()
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// Others chose most of what the page shows; nothing of it becomes a part of the page.
func TestVerdictEscapes(t *testing.T) {
	const bad = `"><script>alert(1)</script>&'`
	x := &gate.Explanation{Repository: bad, Digest: bad, Message: bad, Policies: []gate.PolicyExplanation{{Name: bad, Project: bad, Mode: gate.Mode(bad), Wants: bad,
		Reasons: []gate.Reason{{Rule: bad, Code: gate.Code(bad), Text: bad, Fix: bad, Digest: bad}, {Code: gate.NoKey, Text: bad, Fix: "cosign sign --key " + bad}},
		Found:   []gate.Finding{{Rule: bad, Subject: bad, Carrier: bad, Kind: core.EvidenceKind(bad), PredicateType: bad, Signer: bad, Text: bad}}}}}
	for _, language := range []string{"en", "zh-CN"} {
		if page := show(t, x, language); strings.Contains(page, "<script") || !strings.Contains(page, "&lt;script&gt;") {
			t.Errorf("%s", page)
		}
	}
}

// What the page says beside the gate's sentences has words in both languages.
func TestVerdictLanguages(t *testing.T) {
	for _, text := range []*verdictText{verdictEnglish(), verdictChinese()} {
		for _, o := range []gate.Outcome{gate.OutcomeDenied, gate.OutcomeAllowed, gate.OutcomeExempt, gate.OutcomeWarned, gate.OutcomeAudited} {
			if text.Outcomes[o.String()] == "" {
				t.Errorf("%s has no words", o)
			}
		}
		for _, m := range []gate.Mode{gate.ModeEnforce, gate.ModeWarn, gate.ModeAudit, gate.ModeOff} {
			if text.Modes[string(m)] == "" {
				t.Errorf("%s has no words", m)
			}
		}
		for _, k := range []core.EvidenceKind{core.EvidenceSignature, core.EvidenceAttestation, core.EvidenceUnreadable} {
			if text.Kinds[string(k)] == "" {
				t.Errorf("%s has no words", k)
			}
		}
		for _, k := range []gate.Pass{gate.PassException, gate.PassAllow, gate.PassVEX} {
			if text.Passes[k] == "" {
				t.Errorf("%s has no words", k)
			}
		}
	}
}

// What passes because somebody answers for it stands on the page, with who does and until when.
func TestVerdictTellsWhatPasses(t *testing.T) {
	until := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	x := &gate.Explanation{Repository: "team/app", Digest: digest("a"), Allowed: true, Policies: []gate.PolicyExplanation{{Name: "scans", Passing: []gate.Passing{
		{ID: "CVE-1", Severity: core.SeverityCritical, Where: "x 1", By: gate.PassException, Exception: "x1", Until: &until},
		{ID: "CVE-2", Where: "<y>", By: gate.PassVEX, Signer: "key security"}}, PassingOmitted: 7}}}
	for language, words := range map[string][]string{"en": {"CVE-1", "Critical", "an exception of the project", "x1", "2026-12-01 00:00 UTC", "CVE-2", "&lt;y&gt;", "key security", "Further ones: 7"},
		"zh-CN": {"CVE-1", "项目例外", "VEX 文档", "未列出的条数： 7"}} {
		page := show(t, x, language)
		for _, word := range words {
			if !strings.Contains(page, word) {
				t.Errorf("%s: no %q in %s", language, word, page)
			}
		}
	}
}

// digest is one of nothing.
func digest(letter string) string { return "sha256:" + strings.Repeat(letter, 64) }

// explained is a refusal with about everything that can be said of one.
func explained(t *testing.T) *gate.Explanation {
	t.Helper()
	const text = `{apiVersion: hallmark/v1alpha1, kind: PullPolicy, metadata: {name: strict}, spec: {authorities: [{name: release, key: {ref: release}}, {name: gone, key: {ref: gone}},
		{name: ci, keyless: {trustRoot: house, identities: [{issuer: "https://login.example", subject: ci@example.org}]}}],
		signature: {require: {allOf: [release]}}, attestations: [{name: sbom, predicateTypes: [spdx], require: {anyOf: {of: [release, gone]}}}, {name: vex, predicateTypes: [openvex], require: {allOf: [gone]}},
		{name: provenance, predicateTypes: ["https://slsa.dev/provenance/v1"], require: {allOf: [ci]}}]}}`
	policy, err := gate.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	evidence := func(letter, problem string, signer *core.Signer) core.Evidence {
		return core.Evidence{Subject: digest("a"), Carrier: digest(letter), Content: digest(letter), Payload: digest(letter), Size: 9, Arrived: now,
			Format: core.FormatBundle, Kind: core.EvidenceSignature, PredicateType: core.PredicateSignature, Signer: signer, Problem: problem}
	}
	junk := evidence("f", "it is not strict JSON (at byte 7)", nil)
	junk.Kind, junk.PredicateType = core.EvidenceUnreadable, ""
	x := gate.Explain(gate.Input{Repository: "team/app", Digest: digest("a"), Type: "image", Host: "hub.test", Pending: true,
		Policies:   gate.NewSet(1, gate.Baseline(core.BaselineEnforce), policy),
		Registered: gate.NewRegistered(1, []gate.Key{{Name: "release", Fingerprint: digest("1"), Scope: gate.ScopeHub}, {Name: "old", Fingerprint: digest("2"), Scope: gate.ScopeHub, RevokedAt: now}}, nil, nil),
		Evidence: []core.Evidence{evidence("b", "", &core.Signer{Key: digest("3")}), evidence("c", "", &core.Signer{Key: digest("2")}),
			evidence("d", fmt.Sprintf(core.ProblemNotByKeys, 2), nil), evidence("e", core.ProblemNoTrustRoot, nil), junk}}, now, "")
	return &x
}

// No sentence of the gate is English on the Chinese page, and none is missing on the English one. What a verifier said of
// bytes that it could not read is marked as English.
func TestVerdictInChinese(t *testing.T) {
	x := explained(t)
	english, chinese := show(t, x, "en"), show(t, x, "zh-CN")
	sentences := 0
	look := func(text string) {
		text = template.HTMLEscapeString(text)
		if sentences++; text == "" || !strings.Contains(english, text) {
			t.Errorf("%q is not on the English page", text)
		}
		if strings.Contains(chinese, text) {
			t.Errorf("%q is on the Chinese page", text)
		}
	}
	for i := range x.Policies {
		p := &x.Policies[i]
		look(p.Wants)
		for _, r := range p.Reasons {
			look(r.Text)
		}
		for _, f := range p.Found {
			if _, detail := f.In(gate.Chinese); detail != "" {
				if !strings.Contains(chinese, `<span class="soft" lang="en">`+template.HTMLEscapeString(detail)+`</span>`) {
					t.Errorf("%q is not marked as English", detail)
				}
			} else if !f.Counts {
				look(f.Text)
			}
			if f.Signer != "" {
				look(f.Signer)
			}
		}
	}
	if sentences < 15 {
		t.Errorf("only %d sentences were looked at", sentences)
	}
	// What is left in Latin letters are names, commands and that.
	for _, bad := range []string{" the ", " is ", " by ", " not ", " no ", ">signature<", ">attestation<", "registered"} {
		if at := strings.Index(withoutCommands(chinese), bad); at >= 0 {
			t.Errorf("%q: ..%s..", bad, withoutCommands(chinese)[max(0, at-60):at+60])
		}
	}
}

func withoutCommands(page string) string {
	return regexp.MustCompile(`(?s)<style.*?</style>|<pre.*?</pre>|<span class="soft" lang="en">.*?</span>`).ReplaceAllString(page, "")
}

func TestVerdictCommands(t *testing.T) {
	for fix, want := range map[string][]string{
		"": nil,
		"hallmark keys add --project p cosign.pub":                       {"hallmark keys add --project p cosign.pub"},
		"cosign sign --key cosign.key -a a=b h/p/r@d":                    {"hallmark sign --key cosign.key -a a=b h/p/r@d", "cosign sign --key cosign.key -a a=b h/p/r@d"},
		"cosign sign --key cosign.key --new-bundle-format=false h/p/r@d": {"cosign sign --key cosign.key --new-bundle-format=false h/p/r@d"},
		"cosign sign h/p/r@d":                                            {"cosign sign h/p/r@d"}, // without a key
		"cosign attest --key cosign.key --type spdxjson --predicate f x": {"hallmark attest --key cosign.key --type spdxjson --predicate f x", "cosign attest --key cosign.key --type spdxjson --predicate f x"},
	} {
		if got := commands(fix); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%q: %q", fix, got)
		}
	}
}
