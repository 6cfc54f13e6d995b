package trust

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	dssev1 "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/hallmarkhub/hallmark/core"
)

// TypeBundle is the media type of the bundles that a Signer makes, and the artifact type of what carries them.
const TypeBundle = "application/vnd.dev.sigstore.bundle.v0.3+json"

// statementJSON is an in-toto statement as it is written.
type statementJSON struct {
	Type          string          `json:"_type"`
	Subject       []subjectJSON   `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

type subjectJSON struct {
	Name        string            `json:"name,omitempty"`
	Digest      map[string]string `json:"digest"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Sign makes the Sigstore bundle with which cosign 3 signs an image: a statement that says nothing but the digest, and the
// annotations if there are any.
func (s *Signer) Sign(d digest.Digest, annotations map[string]string) ([]byte, error) {
	return s.bundle(statementJSON{Type: statementV1, PredicateType: core.PredicateSignature, Predicate: json.RawMessage("{}"),
		Subject: []subjectJSON{{Digest: digests(d), Annotations: annotations}}})
}

// Attest makes the bundle with which cosign 3 attests something of an image. name is what the signer calls it, predicate
// JSON.
func (s *Signer) Attest(name string, d digest.Digest, predicateType string, predicate []byte) ([]byte, error) {
	return s.bundle(statementJSON{Type: statementV01, PredicateType: predicateType, Predicate: predicate,
		Subject: []subjectJSON{{Name: name, Digest: digests(d)}}})
}

// Summarize makes the bundle of a verification summary: what was verified of a digest that is called name.
func (s *Signer) Summarize(name string, d digest.Digest, predicate []byte) ([]byte, error) {
	return s.bundle(statementJSON{Type: statementV1, PredicateType: core.PredicateVerdict, Predicate: predicate,
		Subject: []subjectJSON{{Name: name, Digest: digests(d)}}})
}

func digests(d digest.Digest) map[string]string {
	return map[string]string{d.Algorithm().String(): d.Encoded()}
}

// bundle signs a statement, and refuses to sign what nobody would read here.
func (s *Signer) bundle(st statementJSON) ([]byte, error) {
	payload, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	sig, err := s.signer.SignMessage(bytes.NewReader(dsse.PAE(bundle.IntotoMediaType, payload)))
	if err != nil {
		return nil, err
	}
	env := &dssev1.Envelope{Payload: payload, PayloadType: bundle.IntotoMediaType, Signatures: []*dssev1.Signature{{Sig: sig}}}
	if _, err := statementItem(core.Evidence{}, env); err != nil {
		return nil, fmt.Errorf("this cannot be signed: %w", err)
	}
	return protojson.Marshal(&bundlev1.Bundle{
		MediaType: TypeBundle,
		VerificationMaterial: &bundlev1.VerificationMaterial{
			Content: &bundlev1.VerificationMaterial_PublicKey{PublicKey: &commonv1.PublicKeyIdentifier{Hint: s.Public.hint}},
		},
		Content: &bundlev1.Bundle_DsseEnvelope{DsseEnvelope: env},
	})
}
