package trust

import (
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

// What core.ParsePublicKey refuses is refused in its words.
func TestKeysThatAreRefused(t *testing.T) {
	good := publicPEM(t, ecdsaPair(t).private.Public())
	for name, text := range map[string][]byte{"nothing": nil, "two keys": append(good, good...), "private": []byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n")} {
		_, want := core.ParsePublicKey(text)
		k, err := ParseKey(text)
		if k != nil || core.CodeOf(err) != core.CodeInvalid || want == nil || err.Error() != want.Error() {
			t.Errorf("%s: %v", name, err)
		}
		if f, err := Fingerprint(text); f != "" || err == nil {
			t.Errorf("%s has the fingerprint %q", name, f)
		}
	}
}
