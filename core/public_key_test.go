package core_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
)

func publicPEM(t *testing.T, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// A key has one fingerprint, in whatever encoding it comes.
func TestPublicKeys(t *testing.T) {
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	short := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&old.PublicKey)}))
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]crypto.PublicKey{"RSA 2048": old.Public(), "Ed25519": ed}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys["ECDSA "+curve.Params().Name] = k.Public()
	}
	for algorithm, key := range keys {
		text := publicPEM(t, key)
		block, _ := pem.Decode([]byte(text))
		want := fmt.Sprintf("sha256:%x", sha256.Sum256(block.Bytes))
		texts := []string{text, "a comment\n" + text, "\n" + text + "\n\n"}
		if algorithm == "RSA 2048" {
			texts = append(texts, short)
		}
		for _, text := range texts {
			if k, err := core.ParsePublicKey([]byte(text)); err != nil || k.Fingerprint != want || k.Algorithm != algorithm {
				t.Errorf("%s: %+v %v", algorithm, k, err)
			}
		}
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := publicPEM(t, p256.Public())
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	weak := func(bits int) string {
		t.Setenv("GODEBUG", "rsa1024min=0")
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return publicPEM(t, k.Public())
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ text, says string }{
		"nothing":              {"", "no PEM"},
		"no PEM":               {"ssh-ed25519 AAAAC3Nza me@example.com", "no PEM"},
		"cosign's private key": {block("ENCRYPTED SIGSTORE PRIVATE KEY", []byte("x")), "PRIVATE"},
		"EC private key":       {block("EC PRIVATE KEY", []byte("x")), "PRIVATE"},
		"private key":          {block("PRIVATE KEY", []byte("x")), "PRIVATE"},
		"certificate":          {block("CERTIFICATE", []byte("x")), "certificate"},
		"PGP":                  {block("PGP PUBLIC KEY BLOCK", []byte("x")), "PGP PUBLIC KEY BLOCK"},
		"two keys":             {good + good, "more than one"},
		"key and private key":  {good + block("PRIVATE KEY", []byte("x")), "more than one"},
		"text behind":          {good + "secret", "More text"},
		"damaged":              {block("PUBLIC KEY", []byte("x")), "damaged"},
		"damaged RSA":          {block("RSA PUBLIC KEY", []byte("x")), "damaged"},
		"RSA 1024":             {weak(1024), "1024 bits"},
		"RSA 2040":             {weak(2040), "2040 bits"},
		"P-224":                {publicPEM(t, p224.Public()), "P-224"},
	} {
		k, err := core.ParsePublicKey([]byte(tt.text))
		if k != nil || core.CodeOf(err) != core.CodeInvalid || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
