//go:build e2e

package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
)

const oidcIssuer = "https://login.house.example"

// sigstore is a private instance on loopback: a certificate authority that speaks what cosign asks of Fulcio, and a
// timestamp authority. There is no log: an identity is registered with --without-sct and --without-log.
type sigstore struct {
	url    string
	tokens map[string]string // of its issuer: what stands in the header -> the subject
	issues *ecdsa.PrivateKey
	issuer *x509.Certificate
	stamps *ecdsa.PrivateKey
	stamp  *x509.Certificate
	root   []byte // trusted_root.json
}

func startSigstore(t *testing.T, subjects ...string) *sigstore {
	t.Helper()
	i := &sigstore{tokens: map[string]string{}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	top, topKey, err := ca.GenerateRootCa()
	must(err)
	i.issuer, i.issues, err = ca.GenerateFulcioIntermediate(top, topKey)
	must(err)
	between, betweenKey, err := ca.GenerateTSAIntermediate(top, topKey)
	must(err)
	i.stamps, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	i.stamp, err = ca.GenerateTSALeafCert(time.Now().Add(-time.Minute), i.stamps, between, betweenKey)
	must(err)
	from, until := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01,
		[]root.CertificateAuthority{&root.FulcioCertificateAuthority{Root: top, Intermediates: []*x509.Certificate{i.issuer},
			ValidityPeriodStart: from, ValidityPeriodEnd: until, URI: "https://fulcio.house.example"}}, nil,
		[]root.TimestampingAuthority{&root.SigstoreTimestampingAuthority{Root: top, Intermediates: []*x509.Certificate{between}, Leaf: i.stamp,
			ValidityPeriodStart: from, ValidityPeriodEnd: until, URI: "https://tsa.house.example"}}, nil)
	must(err)
	i.root, err = trusted.MarshalJSON()
	must(err)
	for _, subject := range subjects {
		i.tokens[i.token(t, subject)] = subject
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/signingCert", answered(i.certify))
	mux.HandleFunc("POST /api/v1/timestamp", answered(i.timestamp))
	server := httptest.NewServer(mux) // on loopback
	t.Cleanup(server.Close)
	i.url = server.URL
	return i
}

// token is what the issuer would give to a subject. Whose it is nobody can guess, which is as good as a signature here.
func (i *sigstore) token(t *testing.T, subject string) string {
	t.Helper()
	claims, err := json.Marshal(map[string]any{"iss": oidcIssuer, "sub": subject, "aud": "sigstore", "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(`{"alg":"ES256"}`)) + "." + b64(claims) + "." + b64(random(t, 64))
}

// tokenOf is the token of one of the subjects.
func (i *sigstore) tokenOf(subject string) string {
	for token, s := range i.tokens {
		if s == subject {
			return token
		}
	}
	return ""
}

// signingConfig tells cosign to ask this instance and nobody else.
func (i *sigstore) signingConfig(c *cli, cosign string) string {
	c.t.Helper()
	service := ",api-version=1,operator=house,start-time=" + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	out := c.file("keyless.json")
	c.run(cosign, "signing-config", "create", "--fulcio", "url="+i.url+service,
		"--tsa", "url="+i.url+"/api/v1/timestamp"+service, "--tsa-config", "ANY", "--out", out)
	return out
}

func answered(f func(r *http.Request) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := f(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = w.Write(answer)
	}
}

// certify issues a certificate for ten minutes to whom the token is of, for the key that he shows to have.
func (i *sigstore) certify(r *http.Request) ([]byte, error) {
	subject, known := i.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if !known {
		return nil, errors.New("the token is none of the issuer's")
	}
	var asked struct {
		PublicKeyRequest struct {
			PublicKey         struct{ Content string }
			ProofOfPossession []byte
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(asked.PublicKeyRequest.PublicKey.Content))
	if block == nil {
		return nil, errors.New("there is no key")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("a key of the type %T", parsed)
	}
	if sum := sha256.Sum256([]byte(subject)); !ecdsa.VerifyASN1(key, sum[:], asked.PublicKeyRequest.ProofOfPossession) {
		return nil, errors.New("whoever asks does not have the key")
	}
	cert, err := i.certificate(subject, key)
	if err != nil {
		return nil, err
	}
	chain := []string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))}
	return json.Marshal(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{"certificates": chain}}})
}

// certificate is as Fulcio makes them: the subject is an alternative name, the issuer an extension.
func (i *sigstore) certificate(subject string, key *ecdsa.PublicKey) ([]byte, error) {
	name, err := url.Parse(subject)
	if err != nil {
		return nil, err
	}
	issuer, err := asn1.MarshalWithParams(oidcIssuer, "utf8")
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), NotBefore: now.Add(-time.Second), NotAfter: now.Add(10 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, URIs: []*url.URL{name},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: issuer}},
	}, i.issuer, key, i.issues)
}

// timestamp says when it was asked (RFC 3161).
func (i *sigstore) timestamp(r *http.Request) ([]byte, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	asked, err := timestamp.ParseRequest(raw)
	if err != nil {
		return nil, err
	}
	said := timestamp.Timestamp{HashAlgorithm: asked.HashAlgorithm, HashedMessage: asked.HashedMessage, Time: time.Now(), Nonce: asked.Nonce,
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}, ExtraExtensions: asked.Extensions}
	return said.CreateResponseWithOpts(i.stamp, i.stamps, crypto.SHA256)
}
