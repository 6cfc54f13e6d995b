package gate

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// Every sentence is there in both languages, is not the same in both, and takes the same things in both.
func TestEverySentenceHasTwoLanguages(t *testing.T) {
	verb := regexp.MustCompile(`%(?:\[\d\])?[a-z]`)
	seen := map[string]sentence{}
	for s := sVerbatim; s < sEnd; s++ {
		en, zh := s.both()
		if en == "" || zh == "" {
			t.Errorf("sentence %d: %q, %q", s, en, zh)
			continue
		}
		if other, twice := seen[en]; twice && s != sNames {
			t.Errorf("%q is there twice, as %d and %d", en, other, s)
		}
		seen[en] = s
		if s == sVerbatim || s == sNames {
			continue
		}
		if en == zh || !hasHan(zh) || hasHan(en) {
			t.Errorf("%q is said %q in Chinese", en, zh)
		}
		if len(verb.FindAllString(en, -1)) != len(verb.FindAllString(zh, -1)) {
			t.Errorf("%q and %q do not say the same things", en, zh)
		}
	}
	if en, zh := sEnd.both(); en != "" || zh != "" {
		t.Error("there are sentences behind the end")
	}
	for c := range allCodes() {
		for _, l := range []Language{English, Chinese} {
			if text := c.In(l); text == "" || strings.Contains(text, "%") || hasHan(text) != (l == Chinese) {
				t.Errorf("%s: %q", c, text)
			}
		}
	}
}

// allCodes are all there are.
func allCodes() map[Code]bool {
	all := map[Code]bool{}
	for _, c := range []Code{NoKey, NoSignature, MissingAttestation, NoValidSignature, UntrustedIdentity, Revoked, TlogMissing, Expired,
		PredicateRejected, NotScanned, ScanStale, TooSevere, NotCompliant, EvidencePending, VerifierError} {
		all[c] = true
	}
	return all
}

func hasHan(s string) bool {
	return regexp.MustCompile(`\p{Han}`).MatchString(s) || strings.ContainsAny(s, "，。；：、")
}

// What a decision explains is said in both, with the same names in it.
func TestAnExplanationInTwoLanguages(t *testing.T) {
	stranger := signature(keyC)
	old := signature(keyA, func(ev *core.Evidence) {
		ev.Signer = nil
		ev.Problem = "none of the 3 keys that are registered here has signed it"
	})
	junk := signature(keyA, func(ev *core.Evidence) { ev.Signer = nil; ev.Problem = "it is not strict JSON (at byte 7)" })
	in := input([]*Policy{Baseline(core.BaselineEnforce), policy(t, "p", `{authorities: [{name: a, key: {ref: release}, tlog: {mode: require}}, {name: b, key: {ref: nobody}, tlog: {mode: require}}],
		signature: {require: {anyOf: {of: [a, b]}}, maxAge: 720h}, attestations: [{name: s, predicateTypes: [spdx], require: {allOf: [b]}, cel: "size(predicate) > 0"}]}`)}, stranger, old, junk)
	in.Pending = true
	x := Explain(in, now, "")
	if x.Allowed || len(x.Policies) != 2 {
		t.Fatalf("%+v", x)
	}
	for _, p := range x.Policies {
		if p.WantsIn(English) != p.Wants || !hasHan(p.WantsIn(Chinese)) {
			t.Errorf("%q %q", p.Wants, p.WantsIn(Chinese))
		}
		for i := range p.Reasons {
			r := &p.Reasons[i]
			if r.In(English) != r.Text || !hasHan(r.In(Chinese)) || strings.Contains(r.In(Chinese), "%!") || strings.Contains(r.Text, "%!") {
				t.Errorf("%q %q", r.Text, r.In(Chinese))
			}
		}
		for i := range p.Found {
			f := &p.Found[i]
			zh, detail := f.In(Chinese)
			if en, _ := f.In(English); en != f.Text || !hasHan(zh) || (detail != "") != strings.Contains(f.Text, "JSON") {
				t.Errorf("%q %q %q", f.Text, zh, detail)
			}
		}
	}
	if got := x.Policies[0].WantsIn(Chinese); got != "已登记的密钥或身份的签名，或已登记的密钥或身份的 SBOM 证明（spdx 或 cyclonedx）" {
		t.Error(got)
	}
	if got := x.Policies[1].Wants; got != "signature by any of [a, b] of the last 720h0m0s, and SBOM attestation (spdx) by b with conditions" {
		t.Error(got)
	}
	if f := x.Policies[0].Found[1]; f.Text != "none of the 3 keys that are registered here has signed it" || f.SignerIn(Chinese) != "" {
		t.Errorf("%+v", f)
	}
	// One that came over the network has its code alone.
	r := Reason{Code: Revoked, Text: "its signer is revoked"}
	if r.In(Chinese) != "签名者已被吊销" || r.In(English) != r.Text {
		t.Error(r.In(Chinese))
	}
	if d := Decide(input([]*Policy{Broken("p", "", errors.New("x"))}), now.Add(time.Second)); !hasHan(d.Results()[0].Reasons[0].In(Chinese)) {
		t.Errorf("%+v", d.Results())
	}
}
