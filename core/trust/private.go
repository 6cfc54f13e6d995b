package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// The types of PEM blocks that cosign keeps private keys in; it writes the first one and still reads the second.
const (
	privateKeyBlock       = "ENCRYPTED SIGSTORE PRIVATE KEY"
	legacyPrivateKeyBlock = "ENCRYPTED COSIGN PRIVATE KEY"
)

// ErrPassword says that a private key could not be decrypted.
var ErrPassword = errors.New("the password of the private key is wrong")

// Signer is a private key, and how cosign signs with one of its type. It may be used concurrently.
type Signer struct {
	Public *Key
	PEM    string // the public key

	signer signature.Signer
}

// GenerateKey makes a pair of ECDSA keys on P-256 in the files that cosign reads and writes: the private one encrypted
// with password (PKCS #8 in NaCl's secretbox under scrypt), the public one as it is.
func GenerateKey(password []byte) (private, public []byte, err error) {
	secret, err := NewSecret()
	if err != nil {
		return nil, nil, err
	}
	signer, err := LoadSigner(secret)
	if err != nil {
		return nil, nil, err
	}
	box, err := encrypted.Encrypt(secret, password)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: privateKeyBlock, Bytes: box}), []byte(signer.PEM), nil
}

// ParsePrivateKey reads a private key that cosign or GenerateKey wrote. It is ErrPassword if the password is wrong.
func ParsePrivateKey(text, password []byte) (*Signer, error) {
	block, _ := pem.Decode(text)
	switch {
	case block == nil:
		return nil, errors.New("this is no private key in PEM, such as cosign.key")
	case block.Type == "PUBLIC KEY":
		return nil, errors.New("this is a public key: signing needs the private one, such as cosign.key")
	case block.Type != privateKeyBlock && block.Type != legacyPrivateKeyBlock:
		return nil, errors.New("this private key is not one of cosign's: bring it into that form with: cosign import-key-pair --key FILE")
	}
	secret, err := encrypted.Decrypt(block.Bytes, password)
	if err != nil {
		return nil, ErrPassword
	}
	parsed, err := x509.ParsePKCS8PrivateKey(secret)
	if err != nil {
		return nil, errors.New("what is encrypted in this file is no private key")
	}
	return newSigner(parsed)
}

// NewSecret makes the private key of a Signer that is kept by other means than cosign's files (LoadSigner): ECDSA on P-256,
// which every version of cosign verifies, in PKCS #8.
func NewSecret() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

// LoadSigner makes a Signer of what NewSecret made.
func LoadSigner(secret []byte) (*Signer, error) {
	private, err := x509.ParsePKCS8PrivateKey(secret)
	if err != nil {
		return nil, err
	}
	return newSigner(private)
}

func newSigner(private crypto.PrivateKey) (*Signer, error) {
	signer, err := signature.LoadDefaultSigner(private, options.WithED25519ph())
	if err != nil {
		return nil, errors.New("nothing can be signed with a key of this type: use ECDSA (P-256, P-384, P-521), RSA or Ed25519")
	}
	public, err := signer.PublicKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	// What the gate would not accept is not signed with.
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	key, err := ParseKey(text)
	if err != nil {
		return nil, err
	}
	return &Signer{Public: key, PEM: string(text), signer: signer}, nil
}
