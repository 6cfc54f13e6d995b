package trust

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/encoding/protojson"

	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"

	"github.com/hallmarkhub/hallmark/core"
)

// made is the layer of a bundle that a Signer made.
func made(t *testing.T, content []byte) layer {
	t.Helper()
	b := &bundlev1.Bundle{}
	if err := protojson.Unmarshal(content, b); err != nil {
		t.Fatal(err)
	}
	l := bundleLayer(t, b)
	l.content = content
	return l
}

// What is signed with a key of each kind is verified as that key's, in the same way as what cosign wrote.
func TestSignVerifies(t *testing.T) {
	for name, p := range allPairs(t) {
		s, err := newSigner(p.private)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		v := NewVerifier([]*Key{p.public}, nil)
		content, err := s.Sign(imageA, map[string]string{"stage": "prod"})
		if err != nil {
			t.Fatal(err)
		}
		if e := one(t, v, made(t, content)); e.Signer == nil || e.Signer.Key != p.public.Fingerprint || e.Kind != core.EvidenceSignature ||
			e.Subject != imageA.String() || e.PredicateType != core.PredicateSignature || e.Annotations["stage"] != "prod" {
			t.Errorf("%s: %+v, problem %q", name, e, e.Problem)
		}
		if content, err = s.Attest("hub.example/p/app", imageA, spdx, []byte(`{"spdxVersion":"SPDX-2.3"}`)); err != nil {
			t.Fatal(err)
		}
		if e := one(t, v, made(t, content)); e.Signer == nil || e.Kind != core.EvidenceAttestation || e.PredicateType != spdx || e.Repository != "hub.example/p/app" {
			t.Errorf("%s: %+v, problem %q", name, e, e.Problem)
		}
	}
}

// The bundle has the members that cosign 3 gives it (trust.md, 1.2), and no others.
func TestSignShape(t *testing.T) {
	s, err := newSigner(ecdsaPair(t).private)
	if err != nil {
		t.Fatal(err)
	}
	content, err := s.Sign(imageA, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		MediaType            string
		VerificationMaterial struct{ PublicKey struct{ Hint string } }
		DSSEEnvelope         struct {
			Payload     []byte
			PayloadType string
			Signatures  []map[string]string
		}
	}
	if err := json.Unmarshal(content, &b); err != nil {
		t.Fatal(err)
	}
	if b.MediaType != v03 || b.VerificationMaterial.PublicKey.Hint != s.Public.hint || b.DSSEEnvelope.PayloadType != "application/vnd.in-toto+json" ||
		len(b.DSSEEnvelope.Signatures) != 1 || len(b.DSSEEnvelope.Signatures[0]) != 1 {
		t.Errorf("%s", content)
	}
	want := `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"` + imageA.Encoded() + `"}}],` +
		`"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`
	if string(b.DSSEEnvelope.Payload) != want {
		t.Errorf("%s\nwant %s", b.DSSEEnvelope.Payload, want)
	}
	if _, err := s.Attest("x", imageA, "no URI", []byte(`{}`)); err == nil {
		t.Error("a predicate type that nobody would read was signed")
	}
	if _, err := s.Sign(digest.Digest("md5:00"), nil); err == nil {
		t.Error("a digest that nobody would read was signed")
	}
}

func TestGenerateKey(t *testing.T) {
	private, public, err := GenerateKey([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := GenerateKey([]byte("secret"))
	if err != nil || string(again) == string(private) {
		t.Fatal("the same key twice", err)
	}
	if block, _ := pem.Decode(private); block == nil || block.Type != "ENCRYPTED SIGSTORE PRIVATE KEY" ||
		!strings.Contains(string(block.Bytes), `"scrypt"`) || !strings.Contains(string(block.Bytes), `"nacl/secretbox"`) {
		t.Errorf("%s", private)
	}
	s, err := ParsePrivateKey(private, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if f, err := Fingerprint(public); err != nil || f != s.Public.Fingerprint || s.Public.Algorithm != "ECDSA P-256" {
		t.Errorf("%s %v, want %+v", f, err, s.Public)
	}
	for _, password := range []string{"", "Secret"} {
		if _, err := ParsePrivateKey(private, []byte(password)); !errors.Is(err, ErrPassword) {
			t.Errorf("%q: %v", password, err)
		}
	}
	for text, sentence := range map[string]string{"": "no private key", string(public): "public key",
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n": "import-key-pair"} {
		if _, err := ParsePrivateKey([]byte(text), nil); err == nil || !strings.Contains(err.Error(), sentence) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
