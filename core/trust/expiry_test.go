package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
)

// TestCertificateTimes holds V-34: the certificate must have been valid at every time that is vouched for.
func TestCertificateTimes(t *testing.T) {
	in := newInstance(t)
	v := NewVerifier(nil, map[string]*TrustRoot{"house": in.root})
	for name, tt := range map[string]struct {
		after time.Duration
		holds bool
	}{
		"in its life":   {5 * time.Minute, true},
		"before":        {-time.Minute, false},
		"after its end": {11 * time.Minute, false},
	} {
		in.at = time.Now().Add(tt.after)
		b := in.bundle(t, signatureOf(imageA))
		if all := examine(t, v, bundleLayer(t, b)); tt.holds {
			if all[0].Signer == nil {
				t.Errorf("%s: %s", name, all[0].Problem)
			}
		} else {
			// The timestamp authority vouches for a good time all the same.
			mustBeRefused(t, name, all)
		}
		if l := in.legacyLayer(t, legacyPayload(imageA.String(), "null")); !tt.holds {
			mustBeRefused(t, name+", legacy", examine(t, v, l))
		}
	}
}

// authority is a certificate authority with an intermediate that lives from start to end.
func authority(t *testing.T, start, end time.Time) (*root.FulcioCertificateAuthority, *ecdsa.PrivateKey) {
	t.Helper()
	rootCert, rootKey, err := ca.GenerateRootCa()
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "intermediate"}, NotBefore: start, NotAfter: end,
		KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		BasicConstraintsValid: true, IsCA: true,
	}, rootCert, key.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	intermediate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &root.FulcioCertificateAuthority{Root: rootCert, Intermediates: []*x509.Certificate{intermediate}, URI: "https://ca.example"}, key
}

func TestExpiredIntermediate(t *testing.T) {
	in := newInstance(t)
	now := time.Now()
	for name, tt := range map[string]struct {
		end   time.Duration
		holds bool
	}{"living": {time.Hour, true}, "expired": {-time.Minute, false}} {
		authority, key := authority(t, now.Add(-time.Hour), now.Add(tt.end))
		leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := ca.GenerateLeafCert(who, issuer, now, leafKey, authority.Intermediates[0], key)
		if err != nil {
			t.Fatal(err)
		}
		r := in.trustRoot(t, []root.CertificateAuthority{authority}, in.TimestampingAuthorities())
		all := examine(t, NewVerifier(nil, map[string]*TrustRoot{"house": r}), bundleLayer(t, in.bundleBy(t, leaf, leafKey, signatureOf(imageA))))
		if tt.holds && all[0].Signer == nil {
			t.Errorf("%s: %s", name, all[0].Problem)
		}
		if !tt.holds {
			mustBeRefused(t, name, all)
		}
	}
}

// TestPartiesOutOfService: authorities and logs of the trust root count in the time that it gives them only.
func TestPartiesOutOfService(t *testing.T) {
	in := newInstance(t)
	past, old := time.Now().Add(-time.Minute), time.Now().Add(-time.Hour)
	b := in.bundle(t, signatureOf(imageA))
	in.prove(t, entryOf(b))

	endedCA := *in.FulcioCertificateAuthorities()[0].(*root.FulcioCertificateAuthority)
	endedCA.ValidityPeriodStart, endedCA.ValidityPeriodEnd = old, past
	r := in.trustRoot(t, []root.CertificateAuthority{&endedCA}, in.TimestampingAuthorities())
	mustBeRefused(t, "authority has ended", examine(t, NewVerifier(nil, map[string]*TrustRoot{"house": r}), bundleLayer(t, b)))

	endedTSA := *in.TimestampingAuthorities()[0].(*root.SigstoreTimestampingAuthority)
	endedTSA.ValidityPeriodStart, endedTSA.ValidityPeriodEnd = old, past
	r = in.trustRoot(t, in.FulcioCertificateAuthorities(), []root.TimestampingAuthority{&endedTSA})
	if e := one(t, NewVerifier(nil, map[string]*TrustRoot{"house": r}), bundleLayer(t, b)); e.Signer == nil || len(e.Signer.Times) != 1 {
		t.Errorf("timestamp authority has ended: %+v %s", e.Signer, e.Problem)
	}

	for name, promise := range map[string]bool{"log has ended": true, "log has ended, proof alone": false} {
		logs := in.logs(t)
		for _, l := range logs {
			l.ValidityPeriodStart, l.ValidityPeriodEnd = old, past
		}
		r = makeRoot(t, in.FulcioCertificateAuthorities(), in.TimestampingAuthorities(), logs)
		b := in.bundle(t, signatureOf(imageA))
		in.prove(t, entryOf(b))
		b.MediaType = typeBundlePrefix + "+json;version=0.2"
		if !promise {
			entryOf(b).InclusionPromise = nil
		}
		mustBeRefused(t, name, examine(t, NewVerifier(nil, map[string]*TrustRoot{"house": r}), bundleLayer(t, b)))
	}
}
