package core

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
)

const (
	minRSA = 2048 // bits; NIST SP 800-131A
	maxRSA = 8192 // beyond it a check costs more than it proves
)

// PublicKey is a key whose signatures can count. It does not change.
type PublicKey struct {
	Key         crypto.PublicKey // *ecdsa.PublicKey, *rsa.PublicKey or ed25519.PublicKey
	Fingerprint string           // "sha256:" and the hex of the SHA-256 of its PKIX DER, whatever encoding it came in
	Algorithm   string           // for people: "ECDSA P-256", "RSA 3072", "Ed25519"
}

// ParsePublicKey reads one public key in PEM: ECDSA on P-256, P-384 or P-521, RSA of 2048 to 8192 bits, or Ed25519. Errors
// are *Error with CodeInvalid and say what was given instead.
func ParsePublicKey(text []byte) (*PublicKey, error) {
	key, err := publicKeyOf(text)
	if err != nil {
		return nil, err
	}
	k := &PublicKey{Key: key}
	if k.Algorithm, err = usableKey(key); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, noKey("The public key cannot be encoded.")
	}
	sum := sha256.Sum256(der)
	k.Fingerprint = "sha256:" + hex.EncodeToString(sum[:])
	return k, nil
}

func noKey(format string, args ...any) error { return Errorf(CodeInvalid, format, args...) }

func publicKeyOf(text []byte) (crypto.PublicKey, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, noKey("This is no PEM text. A public key begins with \"-----BEGIN PUBLIC KEY-----\"; cosign writes it to cosign.pub.")
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, noKey("There is more than one block in this PEM text. Register each key by itself.")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, noKey("More text follows the key. Give the PEM block alone.")
	}
	var key crypto.PublicKey
	var err error
	switch {
	case strings.Contains(block.Type, "PRIVATE KEY"):
		return nil, noKey("This is a PRIVATE key, which nobody else may see. Register the public key (cosign.pub); " +
			"and as this one has been sent over the network, consider making a new pair.")
	case block.Type == "CERTIFICATE":
		return nil, noKey("This is a certificate. Register the public key in it (openssl x509 -pubkey -noout), or its " +
			"authority as part of a trust root.")
	case block.Type == "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case block.Type == "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return nil, noKey("A PEM block of type %+q is no public key that can be used here. It must be \"PUBLIC KEY\".", block.Type[:min(len(block.Type), 100)])
	}
	if err != nil {
		return nil, noKey("The public key is damaged, or of a type that is not known here. Write it anew, such as with: openssl pkey -pubin -pubout.")
	}
	return key, nil
}

// usableKey names the algorithm of a key, and refuses those that are weak or not known.
func usableKey(key crypto.PublicKey) (algorithm string, err error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		name := k.Curve.Params().Name
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() && k.Curve != elliptic.P521() {
			return "", noKey("ECDSA keys on the curve %s are not accepted. Use P-256, P-384 or P-521.", name)
		}
		return "ECDSA " + name, nil
	case *rsa.PublicKey:
		bits := k.N.BitLen()
		if bits < minRSA || bits > maxRSA {
			return "", noKey("This RSA key has %d bits. Use one of %d to %d.", bits, minRSA, maxRSA)
		}
		return fmt.Sprintf("RSA %d", bits), nil
	case ed25519.PublicKey:
		return "Ed25519", nil
	}
	return "", noKey("Keys of this type are not accepted. Use ECDSA (P-256, P-384, P-521), RSA or Ed25519.")
}
