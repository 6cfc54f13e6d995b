package trust

import (
	"crypto/ecdsa"
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

func TestFingerprint(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("sha256:%x", sha256.Sum256(der))
	old := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&key.PublicKey)})
	for _, text := range [][]byte{publicPEM(t, key.Public()), old, append([]byte("a comment\n"), old...), append(old, "\n\n"...)} {
		if got, err := Fingerprint(text); got != want || err != nil {
			t.Errorf("%q %v", got, err)
		}
	}
	for name, p := range allPairs(t) {
		if algorithm, _, _ := strings.Cut(name, " "); !strings.Contains(p.public.Algorithm, strings.TrimSuffix(algorithm, "ph")) {
			t.Errorf("%s is called %s", name, p.public.Algorithm)
		}
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	good := string(publicPEM(t, ecdsaPair(t).private.Public()))
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	weak := func(bits int) string {
		t.Setenv("GODEBUG", "rsa1024min=0")
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return string(publicPEM(t, k.Public()))
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
		"P-224":                {string(publicPEM(t, p224.Public())), "P-224"},
	} {
		k, err := ParseKey([]byte(tt.text))
		if k != nil || core.CodeOf(err) != core.CodeInvalid || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
		if f, err := Fingerprint([]byte(tt.text)); f != "" || err == nil {
			t.Errorf("%s has the fingerprint %q", name, f)
		}
	}
}
