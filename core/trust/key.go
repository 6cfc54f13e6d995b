package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/hallmarkhub/hallmark/core"
)

// Key is a public key that signatures can be checked with. It does not change and may be used concurrently.
type Key struct {
	Fingerprint string // "sha256:" and the hex of the SHA-256 of its PKIX DER
	Algorithm   string // for people: "ECDSA P-256", "RSA 3072", "Ed25519"

	hint     string // what Sigstore's tools call it in a bundle: the base64 of the same hash
	variants []variant
}

// variant is one way in which tools sign with a key of this type.
type variant struct {
	verifier signature.Verifier
	material root.TrustedMaterial
}

// ParseKey reads one public key in PEM, as core.ParsePublicKey does.
func ParseKey(text []byte) (*Key, error) {
	public, err := core.ParsePublicKey(text)
	if err != nil {
		return nil, err
	}
	sum, err := hex.DecodeString(strings.TrimPrefix(public.Fingerprint, "sha256:"))
	if err != nil {
		return nil, err
	}
	k := &Key{Fingerprint: public.Fingerprint, Algorithm: public.Algorithm, hint: base64.StdEncoding.EncodeToString(sum)}
	if err := k.load(public.Key); err != nil {
		return nil, err
	}
	return k, nil
}

// Fingerprint returns that of the one public key in PEM text. Errors are those of ParseKey.
func Fingerprint(text []byte) (string, error) {
	k, err := ParseKey(text)
	if err != nil {
		return "", err
	}
	return k.Fingerprint, nil
}

// load decides which variants are tried, the likeliest first.
func (k *Key) load(public crypto.PublicKey) error {
	var loads [][]signature.LoadOption
	hash := func(h crypto.Hash) { loads = append(loads, []signature.LoadOption{options.WithHash(h)}) }
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		// cosign signs with SHA-256 whatever the curve; the algorithm registry of Sigstore pairs the hash with the curve.
		switch p.Curve {
		case elliptic.P384():
			hash(crypto.SHA384)
		case elliptic.P521():
			hash(crypto.SHA512)
		}
		hash(crypto.SHA256)
	case ed25519.PublicKey:
		// cosign signs prehashed (RFC 8032, Ed25519ph) with such a key, other tools do not.
		loads = append(loads, nil, []signature.LoadOption{options.WithED25519ph()})
	default:
		hash(crypto.SHA256)
	}
	for _, opts := range loads {
		v, err := signature.LoadVerifierWithOpts(public, opts...)
		if err != nil {
			return core.Errorf(core.CodeInvalid, "The key cannot be used: %s.", plain(err))
		}
		k.variants = append(k.variants, newVariant(v))
	}
	return nil
}

// newVariant makes a key that is valid at any time: its life is the gate's matter.
func newVariant(v signature.Verifier) variant {
	always := root.NewExpiringKey(v, time.Time{}, time.Time{})
	return variant{verifier: v, material: root.NewTrustedPublicKeyMaterial(
		func(string) (root.TimeConstrainedVerifier, error) { return always, nil })}
}

// signed returns the variant in which the key made this signature of message.
func (k *Key) signed(message, sig []byte) (variant, bool) {
	for _, v := range k.variants {
		if v.verifier.VerifySignature(bytes.NewReader(sig), bytes.NewReader(message)) == nil {
			return v, true
		}
	}
	return variant{}, false
}
