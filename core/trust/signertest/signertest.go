// Package signertest signs as cosign 3 does, for tests and measurements. It shares nothing with the code that it tests: what
// it writes follows from the specifications of DSSE, in-toto and Sigstore's bundle, and not from core/trust.
package signertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"

	"github.com/opencontainers/go-digest"
)

const (
	// TypeBundle is the media type of a bundle.
	TypeBundle = "application/vnd.dev.sigstore.bundle.v0.3+json"
	// PredicateSign is the predicate type of a signature.
	PredicateSign = "https://sigstore.dev/cosign/sign/v1"
	// PayloadType is what an envelope says of a statement.
	PayloadType = "application/vnd.in-toto+json"
)

// Signer has a key, ECDSA on P-256. Its methods may be called concurrently; what fails in them could only do so without any
// randomness, and panics.
type Signer struct {
	Key *ecdsa.PrivateKey
	PEM string // the public key
}

// New makes a signer with a new key.
func New() *Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return Of(key)
}

// Of makes a signer with this key.
func Of(key *ecdsa.PrivateKey) *Signer {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic(err)
	}
	return &Signer{key, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
}

// Sign signs a message.
func (s *Signer) Sign(message []byte) []byte {
	sum := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, s.Key, sum[:])
	if err != nil {
		panic(err)
	}
	return sig
}

// PAE is what is signed of a statement (DSSE, "Pre-Authentication Encoding").
func PAE(statement []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(PayloadType), PayloadType, len(statement), statement)
}

// Statement is an in-toto statement, version 1, about one digest.
func Statement(subject digest.Digest, predicateType string, predicate any) []byte {
	return marshal(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": predicateType, "predicate": predicate,
		"subject": []any{map[string]any{"digest": map[string]string{subject.Algorithm().String(): subject.Encoded()}}},
	})
}

// Bundle is a signed statement about one digest.
func (s *Signer) Bundle(subject digest.Digest, predicateType string, predicate any) []byte {
	return s.Envelope(Statement(subject, predicateType, predicate))
}

// Envelope is a bundle of any statement.
func (s *Signer) Envelope(statement []byte) []byte {
	return marshal(map[string]any{
		"mediaType": TypeBundle, "verificationMaterial": map[string]any{"publicKey": map[string]string{"hint": ""}},
		"dsseEnvelope": map[string]any{"payload": statement, "payloadType": PayloadType,
			"signatures": []any{map[string]any{"sig": s.Sign(PAE(statement))}}},
	})
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
