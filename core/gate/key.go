package gate

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
)

// Fingerprint reads a public key in PEM and returns its fingerprint as evidence states it: "sha256:" and the SHA-256 of
// its PKIX DER. The DER is written anew, so that one key in two encodings has one fingerprint.
func Fingerprint(pemText string) (string, error) {
	block, rest := pem.Decode([]byte(pemText))
	switch {
	case block == nil:
		return "", errors.New("this is not a public key in PEM: it begins with -----BEGIN PUBLIC KEY-----")
	case strings.Contains(block.Type, "PRIVATE"):
		return "", errors.New("this is a private key, and now it is written down: make another one and put its public half here (cosign.pub)")
	case block.Type == "CERTIFICATE":
		return "", errors.New("this is a certificate: put its public key here (openssl x509 -pubkey -noout)")
	case block.Type != "PUBLIC KEY":
		return "", errors.New("a public key begins with -----BEGIN PUBLIC KEY----- (openssl pkey -pubin -pubout writes one)")
	case strings.TrimSpace(string(rest)) != "":
		return "", errors.New("there is something behind the public key: one key per authority")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return "", errors.New("this is not a public key that can be read: ECDSA (P-256, P-384, P-521), RSA and Ed25519 can")
	}
	if err := usable(key); err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", errors.New("this public key cannot be used")
	}
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

func usable(key any) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if size := k.Curve.Params().BitSize; size < 256 {
			return errors.New("an ECDSA key is on the curve P-256, P-384 or P-521")
		}
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 || k.N.BitLen() > 8192 {
			return errors.New("an RSA key has 2048 to 8192 bits")
		}
	case ed25519.PublicKey:
	default:
		return errors.New("this kind of key cannot be used: ECDSA (P-256, P-384, P-521), RSA and Ed25519 can")
	}
	return nil
}
