package core_test

import (
	"testing"

	"github.com/hallmarkhub/hallmark/core"
)

func TestPredicateIsMatchedExactlyExceptForVersionsThatToolsWrite(t *testing.T) {
	for _, tt := range []struct {
		wanted, found string
		want          bool
	}{
		{"spdx", "https://spdx.dev/Document", true},
		{"spdxjson", "https://spdx.dev/Document/v2.3", true},
		{"spdx", "https://spdx.dev/Document/v", false},
		{"spdx", "https://spdx.dev/Document/v2.3/evil", false},
		{"spdx", "https://spdx.dev/Documents", false},
		{"spdx", "https://spdx.dev/Document/2.3", false},
		{"cyclonedx", "https://cyclonedx.org/bom", true},
		{"cyclonedx", "https://cyclonedx.org/bom/v1.6", true},
		{"cyclonedx", "https://spdx.dev/Document", false},
		{"slsaprovenance", "https://slsa.dev/provenance/v0.2", true},
		{"slsaprovenance02", "https://slsa.dev/provenance/v0.2", true},
		{"slsaprovenance", "https://slsa.dev/provenance/v1", false},
		{"slsaprovenance1", "https://slsa.dev/provenance/v1", true},
		{"slsaprovenance1", "https://slsa.dev/provenance/v1/v2", false},
		{"vuln", "https://cosign.sigstore.dev/attestation/vuln/v1", true},
		{"vuln", "https://in-toto.io/attestation/vulns/v0.2", true},
		{"vuln", "https://in-toto.io/attestation/vulns/v0.3", false},
		{"openvex", "https://openvex.dev/ns/v0.2.0", true},
		{"custom", "https://cosign.sigstore.dev/attestation/v1", true},
		{"custom", "https://cosign.sigstore.dev/attestation/vuln/v1", false},
		{"link", "https://in-toto.io/Link/v1", true},
		{"https://spdx.dev/Document", "https://spdx.dev/Document", true},
		{"https://spdx.dev/Document", "https://spdx.dev/Document/v2.3", false},
		{"spdx", "", false},
		{"", "", false},
		{core.PredicateSignature, core.PredicateSignature, false},
	} {
		if got := core.MatchPredicate(tt.wanted, tt.found); got != tt.want {
			t.Errorf("MatchPredicate(%q, %q) = %v", tt.wanted, tt.found, got)
		}
	}
}

func TestKnownPredicate(t *testing.T) {
	for _, a := range core.PredicateAliases() {
		if !core.KnownPredicate(a) || core.CosignType(a) == "" {
			t.Errorf("%s is not known", a)
		}
	}
	for wanted, want := range map[string]bool{"https://example.com/x/v1": true, "urn:x": false, "sbom": false, "": false,
		"signature": false, core.PredicateSignature: false, "https://a b": false, "https://spdx.dev/*": false} {
		if core.KnownPredicate(wanted) != want {
			t.Errorf("KnownPredicate(%q) is not %v", wanted, want)
		}
	}
}
