package gatekeeper

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/gate"
	"github.com/hallmarkhub/hallmark/core/store"
)

// slsaVersion is that of the specification which summary follows ("Verification Summary Attestation").
const slsaVersion = "1.1"

// summary is the predicate of a verification summary. Members that the specification lets out are those that say nothing.
type summary struct {
	Verifier           verifierID   `json:"verifier"`
	TimeVerified       string       `json:"timeVerified"`
	ResourceURI        string       `json:"resourceUri"`
	Policy             descriptor   `json:"policy"`
	InputAttestations  []descriptor `json:"inputAttestations,omitempty"`
	VerificationResult string       `json:"verificationResult"`
	VerifiedLevels     []string     `json:"verifiedLevels"`
	SLSAVersion        string       `json:"slsaVersion"`
}

type verifierID struct {
	ID string `json:"id"`
}

// descriptor is a resource descriptor (in-toto).
type descriptor struct {
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest"`
	Annotations map[string]any    `json:"annotations,omitempty"`
}

// namedPolicy is a policy that was satisfied, with the digest of what was written of it.
type namedPolicy struct {
	Name   string `json:"name"` // as level says it
	SHA256 string `json:"sha256"`
}

// summarize says what passing comes to: nil if nothing does. What no enforcing policy asks for, and what passes by an
// exemption, was not verified: nobody is told elsewhere that it was.
func (a *Attaching) summarize(x *gate.Explanation, docs *store.TrustMaterial, complete bool) *summary {
	if !x.Allowed || x.Exempt != "" {
		return nil
	}
	project := projectOf(x.Repository)
	s := &summary{Verifier: verifierID{a.id()}, ResourceURI: a.resource(x.Repository, x.Digest), VerificationResult: "PASSED", SLSAVersion: slsaVersion}
	var policies []namedPolicy
	counted := map[string]descriptor{}
	for i := range x.Policies {
		p := &x.Policies[i]
		if p.Mode != gate.ModeEnforce {
			continue
		}
		if p.Outcome != gate.OutcomeAllowed {
			return nil
		}
		policies = append(policies, namedPolicy{level(p), documentDigest(docs, p)})
		complete = complete && p.Omitted == 0
		for _, f := range p.Found {
			if f.Counts {
				counted[f.Content] = a.attestation(x.Repository, &f)
			}
		}
	}
	if len(policies) == 0 || complete && len(counted) == 0 {
		return nil
	}
	slices.SortFunc(policies, func(a, b namedPolicy) int { return strings.Compare(a.Name, b.Name) })
	for _, p := range policies {
		s.VerifiedLevels = append(s.VerifiedLevels, p.Name)
	}
	s.Policy = descriptor{URI: a.address("/api/v1/projects/" + project + "/policies"), Digest: sha256Of(policies), Annotations: map[string]any{"policies": policies}}
	if complete { // the list is of all that was used, or there is none
		for _, d := range counted {
			s.InputAttestations = append(s.InputAttestations, d)
		}
		slices.SortFunc(s.InputAttestations, func(a, b descriptor) int { return cmp.Compare(digestText(a.Digest), digestText(b.Digest)) })
	}
	return s
}

// level is how a policy is told from others elsewhere: hallmark:NAME of the hub, hallmark:PROJECT/NAME of a project. None of
// them claims a level of SLSA.
func level(p *gate.PolicyExplanation) string {
	if p.Project == "" {
		return "hallmark:" + p.Name
	}
	return "hallmark:" + p.Project + "/" + p.Name
}

// documentDigest is that of a policy as it was written. The baseline is written nowhere, and its name says all of it.
func documentDigest(docs *store.TrustMaterial, p *gate.PolicyExplanation) string {
	text := p.Name
	for i := range docs.Documents {
		if d := &docs.Documents[i]; d.Kind == store.TrustPolicy && d.Name == p.Name && d.Hub == (p.Project == "") {
			text = d.Document
		}
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func (a *Attaching) attestation(repository string, f *gate.Finding) descriptor {
	algorithm, encoded, _ := strings.Cut(f.Content, ":")
	d := descriptor{Digest: map[string]string{algorithm: encoded}}
	if a.URL != "" {
		d.URI = a.URL + "/v2/" + repository + "/manifests/" + f.Carrier
	}
	return d
}

// id is who verified: where the hub is found, or if that is not known which one it is.
func (a *Attaching) id() string { return cmp.Or(a.URL, "urn:uuid:"+a.HubID) }

// address is a place of the hub as a URI.
func (a *Attaching) address(path string) string {
	if a.URL != "" {
		return a.URL + path
	}
	return a.id() + "#" + path
}

// resource is what was verified, as a package URL of the type oci.
func (a *Attaching) resource(repository, d string) string {
	_, host, _ := strings.Cut(a.URL, "://")
	return "pkg:oci/" + path.Base(repository) + "@" + url.QueryEscape(d) + "?repository_url=" + url.QueryEscape(path.Join(host, repository))
}

// basis is what a statement says apart from when, and by which key it is said.
func (s summary) basis(a *Attaching) string {
	s.TimeVerified = ""
	return digestText(sha256Of([]any{s, a.HubID, a.Signer.Public.Fingerprint}))
}

// said is the predicate of now.
func (s summary) said(now time.Time) ([]byte, error) {
	s.TimeVerified = now.UTC().Format(time.RFC3339)
	return json.Marshal(s)
}

func sha256Of(v any) map[string]string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // nothing in it can fail
	}
	return map[string]string{"sha256": digest.FromBytes(b).Encoded()}
}

func digestText(d map[string]string) string { return cmp.Or(d["sha256"], d["sha512"]) }
