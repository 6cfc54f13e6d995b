package pages

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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

// What the gate can say has words in both languages.
func TestVerdictLanguages(t *testing.T) {
	codes := []gate.Code{gate.NoKey, gate.NoSignature, gate.MissingAttestation, gate.NoValidSignature, gate.UntrustedIdentity, gate.Revoked,
		gate.TlogMissing, gate.Expired, gate.PredicateRejected, gate.EvidencePending, gate.VerifierError}
	outcomes := []gate.Outcome{gate.OutcomeDenied, gate.OutcomeAllowed, gate.OutcomeExempt, gate.OutcomeWarned, gate.OutcomeAudited}
	for _, c := range codes {
		if verdictChinese().Codes[c] == "" {
			t.Errorf("%s has no words in Chinese", c)
		}
	}
	for _, text := range []*verdictText{verdictEnglish(), verdictChinese()} {
		for _, o := range outcomes {
			if text.Outcomes[o.String()] == "" {
				t.Errorf("%s has no words", o)
			}
		}
		for _, m := range []gate.Mode{gate.ModeEnforce, gate.ModeWarn, gate.ModeAudit, gate.ModeOff} {
			if text.Modes[string(m)] == "" {
				t.Errorf("%s has no words", m)
			}
		}
	}
	x := &gate.Explanation{Policies: []gate.PolicyExplanation{{Name: "p", Reasons: []gate.Reason{{Code: gate.Revoked, Text: "its signer is revoked"}}}}}
	if page := show(t, x, "zh-CN"); !strings.Contains(page, "签名者已被吊销") || !strings.Contains(page, `lang="en">(its signer is revoked)`) {
		t.Errorf("%s", page)
	}
	if page := show(t, x, "en"); !strings.Contains(page, "<li>its signer is revoked</li>") {
		t.Errorf("%s", page)
	}
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
