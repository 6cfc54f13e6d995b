package gate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// now is the time of all tests.
var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const (
	repo   = "prod/app"
	host   = "hub.example"
	github = "https://token.actions.githubusercontent.com"
	spdx   = "https://spdx.dev/Document"
)

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}

var (
	image = digestOf("image")
	index = digestOf("index")
	// Keys by fingerprint: what they are made of does not matter to a decision.
	keyA, keyB, keyC = digestOf("key A"), digestOf("key B"), digestOf("key C")
)

// newKey makes a public key in PEM.
func newKey(t testing.TB) string {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// option changes a piece of evidence.
type option func(*core.Evidence)

// signature is one in a Sigstore bundle, by a bare key, of the image.
func signature(key string, opts ...option) core.Evidence {
	ev := core.Evidence{Subject: image, Carrier: digestOf("carrier" + key), Content: digestOf("sig" + key), Size: 700, Payload: digestOf("payload" + key),
		Arrived: now.Add(-time.Hour), Format: core.FormatBundle, Kind: core.EvidenceSignature, PredicateType: core.PredicateSignature,
		Signer: &core.Signer{Key: key}}
	for _, o := range opts {
		o(&ev)
	}
	return ev
}

// attestation likewise, of a predicate type.
func attestation(key, predicateType string, opts ...option) core.Evidence {
	return signature(key, append([]option{func(ev *core.Evidence) {
		ev.Kind, ev.PredicateType, ev.Content, ev.Payload = core.EvidenceAttestation, predicateType, digestOf("att"+key+predicateType), ""
	}}, opts...)...)
}

// legacy is a signature in cosign's older format, with the name that was signed.
func legacy(key, repository string) core.Evidence {
	return signature(key, func(ev *core.Evidence) {
		ev.Format, ev.PredicateType, ev.Repository = core.FormatLegacySignature, "", repository
	})
}

func byIdentity(issuer, subject string) option {
	return func(ev *core.Evidence) {
		ev.Signer = &core.Signer{TrustRoot: "public-good", Issuer: issuer, Subject: subject, SCT: true, Logs: []string{"log1"},
			Times:      []core.SignedTime{{Time: now.Add(-time.Hour), Source: core.TimeLog, By: "log1"}},
			Extensions: map[string]string{"runnerEnvironment": "github-hosted"}}
		ev.Content += issuer + subject
	}
}

// ago is a verified time, and the log it comes from.
func ago(d time.Duration) option {
	return func(ev *core.Evidence) {
		s := *ev.Signer
		s.Logs = []string{"log1"}
		s.Times = []core.SignedTime{{Time: now.Add(-d), Source: core.TimeLog, By: "log1"}}
		ev.Signer = &s
	}
}

func of(subject string) option { return func(ev *core.Evidence) { ev.Subject = subject } }

func unverified(ev *core.Evidence) {
	ev.Signer, ev.Problem = nil, "the signature does not match"
}

func annotated(name, value string) option {
	return func(ev *core.Evidence) { ev.Annotations = map[string]string{name: value} }
}

func content(c string) option {
	return func(ev *core.Evidence) { ev.Content, ev.Payload = digestOf(c), "" }
}

func key(name, fingerprint string) Key {
	return Key{Name: name, Fingerprint: fingerprint, Scope: ScopeProject}
}

// policy compiles a policy of project prod (or, with "system", of the hub) from what stands in its spec.
func policy(t testing.TB, name, spec string) *Policy {
	t.Helper()
	p, err := Parse([]byte(document1(name, "project: prod", spec)))
	if err != nil {
		t.Fatalf("%s\n%v", spec, err)
	}
	return p
}

func system(t testing.TB, name, spec string) *Policy {
	t.Helper()
	p, err := Parse([]byte(document1(name, "", spec)))
	if err != nil {
		t.Fatalf("%s\n%v", spec, err)
	}
	return p
}

func document1(name, more, spec string) string {
	if more != "" {
		more = ", " + more
	}
	return fmt.Sprintf("apiVersion: hallmark/v1alpha1\nkind: PullPolicy\nmetadata: {name: %s%s}\nspec:\n  %s\n", name, more,
		strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  "))
}

// input is a pull of the image under policies, with keys A and B registered.
func input(policies []*Policy, evidence ...core.Evidence) Input {
	return Input{Repository: repo, Digest: image, Host: host, Type: "image", Access: AccessManifest,
		Policies:   NewSet(7, policies...),
		Registered: NewRegistered(9, []Key{key("release", keyA), key("build", keyB)}, nil, []string{"public-good"}),
		Evidence:   evidence}
}

func enforce() []*Policy { return []*Policy{Baseline(core.BaselineEnforce)} }

// codes are those of all reasons of all results.
func codes(d Decision) string {
	var list []string
	for _, r := range d.Results() {
		for _, x := range r.Reasons {
			list = append(list, string(x.Code))
		}
	}
	return strings.Join(list, " ")
}

// statementOf is a signed statement with a predicate.
func statementOf(digest, predicateType string, predicate any) []byte {
	algorithm, sum, _ := strings.Cut(digest, ":")
	b, err := json.Marshal(map[string]any{"_type": "https://in-toto.io/Statement/v1", "predicateType": predicateType, "predicate": predicate,
		"subject": []any{map[string]any{"name": repo, "digest": map[string]string{algorithm: sum}}}})
	if err != nil {
		panic(err)
	}
	return b
}

// documents is a Statement function over predicates by content.
func documents(predicates map[string]any) func(string) ([]byte, error) {
	return func(c string) ([]byte, error) {
		for name, p := range predicates {
			if digestOf(name) == c {
				return statementOf(image, spdx, p), nil
			}
		}
		return nil, errors.New("not there")
	}
}

// check decides, and compares.
func check(t *testing.T, in Input, want bool, wantCodes string) Decision {
	t.Helper()
	d := Decide(in, now)
	if d.Allowed() != want {
		t.Errorf("allowed is %v: %s\n%v", d.Allowed(), d.Message(""), d.Fault)
	}
	if got := codes(d); got != wantCodes {
		t.Errorf("codes are %q, not %q", got, wantCodes)
	}
	return d
}
