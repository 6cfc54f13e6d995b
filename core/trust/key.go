package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/hallmarkhub/hallmark/core"
)

const (
	minRSA = 2048 // bits; NIST SP 800-131A
	maxRSA = 8192 // beyond it a check costs more than it proves
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

// ParseKey reads one public key in PEM: ECDSA on P-256, P-384 or P-521, RSA of 2048 to 8192 bits, or Ed25519. Errors are
// *core.Error with CodeInvalid and say what was given instead.
func ParseKey(text []byte) (*Key, error) {
	public, err := parsePublicKey(text)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, invalidKey("The key cannot be encoded: %s.", plain(err))
	}
	sum := sha256.Sum256(der)
	k := &Key{Fingerprint: "sha256:" + hex.EncodeToString(sum[:]), hint: base64.StdEncoding.EncodeToString(sum[:])}
	if err := k.load(public); err != nil {
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

func invalidKey(format string, args ...any) error {
	return core.Errorf(core.CodeInvalid, format, args...)
}

func parsePublicKey(text []byte) (crypto.PublicKey, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, invalidKey("This is no PEM text. A public key begins with \"-----BEGIN PUBLIC KEY-----\"; cosign writes it to cosign.pub.")
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, invalidKey("There is more than one block in this PEM text. Register each key by itself.")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, invalidKey("More text follows the key. Give the PEM block alone.")
	}
	switch {
	case strings.Contains(block.Type, "PRIVATE KEY"):
		return nil, invalidKey("This is a PRIVATE key, which nobody else may see. Register the public key (cosign.pub); " +
			"and as this one has been sent over the network, consider making a new pair.")
	case block.Type == "CERTIFICATE":
		return nil, invalidKey("This is a certificate. Register the public key in it (openssl x509 -pubkey -noout), or its " +
			"authority as part of a trust root.")
	case block.Type == "PUBLIC KEY":
		return orInvalid(x509.ParsePKIXPublicKey(block.Bytes))
	case block.Type == "RSA PUBLIC KEY":
		return orInvalid(x509.ParsePKCS1PublicKey(block.Bytes))
	}
	return nil, invalidKey("A PEM block of type %s is no public key that can be used here. It must be \"PUBLIC KEY\".", quoted(block.Type))
}

func orInvalid[K any](k K, err error) (crypto.PublicKey, error) {
	if err != nil {
		return nil, invalidKey("The public key is damaged, or of a type that is not known here: %s.", plain(err))
	}
	return k, nil
}

// load decides what the key is and which variants are tried, the likeliest first.
func (k *Key) load(public crypto.PublicKey) error {
	var loads [][]signature.LoadOption
	hash := func(h crypto.Hash) { loads = append(loads, []signature.LoadOption{options.WithHash(h)}) }
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		// cosign signs with SHA-256 whatever the curve; the algorithm registry of Sigstore pairs the hash with the curve.
		switch p.Curve {
		case elliptic.P256():
		case elliptic.P384():
			hash(crypto.SHA384)
		case elliptic.P521():
			hash(crypto.SHA512)
		default:
			return invalidKey("ECDSA keys on the curve %s are not accepted. Use P-256, P-384 or P-521.", p.Curve.Params().Name)
		}
		k.Algorithm = "ECDSA " + p.Curve.Params().Name
		hash(crypto.SHA256)
	case *rsa.PublicKey:
		bits := p.N.BitLen()
		if bits < minRSA || bits > maxRSA {
			return invalidKey("This RSA key has %d bits. Use one of %d to %d.", bits, minRSA, maxRSA)
		}
		k.Algorithm = fmt.Sprintf("RSA %d", bits)
		hash(crypto.SHA256)
	case ed25519.PublicKey:
		k.Algorithm = "Ed25519"
		// cosign signs prehashed (RFC 8032, Ed25519ph) with such a key, other tools do not.
		loads = append(loads, nil, []signature.LoadOption{options.WithED25519ph()})
	default:
		return invalidKey("Keys of this type are not accepted. Use ECDSA (P-256, P-384, P-521), RSA or Ed25519.")
	}
	for _, opts := range loads {
		v, err := signature.LoadVerifierWithOpts(public, opts...)
		if err != nil {
			return invalidKey("The key cannot be used: %s.", plain(err))
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
