package core

import "strings"

// PredicateSignature is the predicate type of a signature in a Sigstore bundle: a statement that says nothing but "this".
const PredicateSignature = "https://sigstore.dev/cosign/sign/v1"

// PredicateVerdict is the predicate type of a verification summary (SLSA): somebody has verified something, by some policy.
const PredicateVerdict = "https://slsa.dev/verification_summary/v1"

// The predicate types of bills of materials. Tools append "/v" and a version of the format to either.
const (
	PredicateSPDX      = "https://spdx.dev/Document"
	PredicateCycloneDX = "https://cyclonedx.org/bom"
)

// predicate is a kind of attestation that people know by a short name.
type predicate struct {
	uri string
	// versioned: tools append "/v" and a version to uri, which says nothing about what the document is.
	versioned bool
	also      string // another type of the same meaning, matched exactly
	cosign    string // what cosign attest --type calls it
}

// predicateNamed knows the short names. An unknown one is not a predicate type.
func predicateNamed(alias string) (predicate, bool) {
	switch alias {
	case "spdx", "spdxjson":
		return predicate{uri: PredicateSPDX, versioned: true, cosign: "spdxjson"}, true
	case "cyclonedx":
		return predicate{uri: PredicateCycloneDX, versioned: true, cosign: "cyclonedx"}, true
	case "slsaprovenance", "slsaprovenance02":
		return predicate{uri: "https://slsa.dev/provenance/v0.2", cosign: "slsaprovenance"}, true
	case "slsaprovenance1":
		return predicate{uri: "https://slsa.dev/provenance/v1", cosign: "slsaprovenance1"}, true
	case "vuln":
		return predicate{uri: "https://cosign.sigstore.dev/attestation/vuln/v1", also: "https://in-toto.io/attestation/vulns/v0.2", cosign: "vuln"}, true
	case "openvex":
		return predicate{uri: "https://openvex.dev/ns", versioned: true, cosign: "openvex"}, true
	case "custom":
		return predicate{uri: "https://cosign.sigstore.dev/attestation/v1", cosign: "custom"}, true
	case "link":
		return predicate{uri: "https://in-toto.io/Link/v1", cosign: "link"}, true
	}
	return predicate{}, false
}

// PredicateAliases are the short names of predicate types, for help texts.
func PredicateAliases() []string {
	return []string{"spdx", "spdxjson", "cyclonedx", "slsaprovenance", "slsaprovenance02", "slsaprovenance1", "vuln", "openvex", "custom", "link"}
}

// KnownPredicate reports whether wanted can name a predicate type at all: a short name, or a URI other than a signature's.
func KnownPredicate(wanted string) bool {
	if _, ok := predicateNamed(wanted); ok {
		return true
	}
	scheme, rest, ok := strings.Cut(wanted, "://")
	return ok && scheme != "" && rest != "" && wanted != PredicateSignature && !strings.ContainsAny(wanted, " \t\r\n*")
}

// MatchPredicate reports whether a signed statement's type is the wanted one, which is a short name or a URI. A URI is
// matched exactly; of the short names only those accept a version behind, whose tools write one.
func MatchPredicate(wanted, found string) bool {
	if found == "" || found == PredicateSignature {
		return false
	}
	p, ok := predicateNamed(wanted)
	if !ok {
		return wanted == found
	}
	if found == p.uri || p.also != "" && found == p.also {
		return true
	}
	version, ok := strings.CutPrefix(found, p.uri+"/v")
	return ok && p.versioned && version != "" && strings.Trim(version, "0123456789.") == ""
}

// CosignType is what cosign attest --type takes for a predicate type; it takes a URI as it is.
func CosignType(wanted string) string {
	if p, ok := predicateNamed(wanted); ok {
		return p.cosign
	}
	return wanted
}

// PredicateURI is the predicate type that wanted names, which is a short name or a URI; "" if it is neither.
func PredicateURI(wanted string) string {
	if p, ok := predicateNamed(wanted); ok {
		return p.uri
	}
	if !KnownPredicate(wanted) {
		return ""
	}
	return wanted
}
