package trust

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	dssev1 "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/hallmarkhub/hallmark/core"
)

func TestKeyBundle(t *testing.T) {
	stranger := ecdsaPair(t)
	for name, p := range allPairs(t) {
		t.Run(name, func(t *testing.T) {
			l := bundleLayer(t, p.bundle(t, signatureOf(imageA)))
			e := one(t, NewVerifier([]*Key{stranger.public, p.public}, nil), l)
			if e.Signer == nil || e.Signer.Key != p.public.Fingerprint || e.Signer.TrustRoot != "" || len(e.Signer.Times) > 0 {
				t.Fatalf("signer %+v, problem %q", e.Signer, e.Problem)
			}
			if e.Kind != core.EvidenceSignature || e.Format != core.FormatBundle || e.Subject != imageA.String() ||
				e.PredicateType != core.PredicateSignature || e.Carrier != carrier.String() || e.Repository != "hub.example/p/app" ||
				e.Payload != digest.FromBytes(signatureOf(imageA)).String() || e.Size != int64(len(l.content)) || e.Content != digest.FromBytes(l.content).String() {
				t.Errorf("evidence %+v", e)
			}
			mustBeRefused(t, "wrong key", examine(t, NewVerifier([]*Key{stranger.public}, nil), l))
			mustBeRefused(t, "no key", examine(t, NewVerifier(nil, nil), l))
		})
	}
}

func TestHintIsOnlyAnOrder(t *testing.T) {
	a, b := ecdsaPair(t), ecdsaPair(t)
	v := NewVerifier([]*Key{b.public, a.public, a.public}, nil)
	for _, hint := range []string{"", a.public.hint, b.public.hint, "nonsense"} {
		bundle := a.bundle(t, signatureOf(imageA))
		bundle.VerificationMaterial.GetPublicKey().Hint = hint
		if e := one(t, v, bundleLayer(t, bundle)); e.Signer == nil || e.Signer.Key != a.public.Fingerprint {
			t.Errorf("hint %q: signer %+v, problem %q", hint, e.Signer, e.Problem)
		}
	}
}

// TestSubjectIsTheSigned holds V-32: what is signed for one digest is no evidence about another, whatever it hangs on.
func TestSubjectIsTheSigned(t *testing.T) {
	p := ecdsaPair(t)
	l := bundleLayer(t, p.bundle(t, signatureOf(imageB)))
	l.annotations = map[string]string{"dev.sigstore.bundle.subject": imageA.String()}
	if e := one(t, NewVerifier([]*Key{p.public}, nil), l); e.Subject != imageB.String() {
		t.Errorf("the evidence is about %s", e.Subject)
	}
}

// TestPredicateTypeIsTheSigned holds V-31: an attestation is no signature, whatever is written beside it.
func TestPredicateTypeIsTheSigned(t *testing.T) {
	p := ecdsaPair(t)
	for _, predicateType := range []string{spdx, vuln, core.PredicateSignature + "/", core.PredicateSignature + "x", "https://SIGSTORE.dev/cosign/sign/v1"} {
		l := bundleLayer(t, p.bundle(t, statement(imageA, predicateType, "{}")))
		l.annotations = map[string]string{"dev.sigstore.bundle.predicateType": core.PredicateSignature}
		e := one(t, NewVerifier([]*Key{p.public}, nil), l)
		if e.Kind != core.EvidenceAttestation || e.PredicateType != predicateType || e.Signer == nil {
			t.Errorf("%s: %+v", predicateType, e)
		}
	}
}

func TestSeveralSubjects(t *testing.T) {
	p := ecdsaPair(t)
	payload := `{"_type":"` + statementV01 + `","subject":[
		{"name":"a","digest":{"sha256":"` + imageA.Encoded() + `","gitCommit":"0123456789abcdef"},"annotations":{"env":"prod","n":1}},
		{"name":"again","digest":{"sha256":"` + imageA.Encoded() + `"}},
		{"name":"b","digest":{"sha256":"` + imageB.Encoded() + `"}},
		{"name":"c","digest":{"sha1":"0123456789012345678901234567890123456789"}}],"predicateType":"` + spdx + `","predicate":{}}`
	all := examine(t, NewVerifier([]*Key{p.public}, nil), bundleLayer(t, p.bundle(t, []byte(payload))))
	if len(all) != 2 || all[0].Subject != imageA.String() || all[1].Subject != imageB.String() {
		t.Fatalf("evidence %+v", all)
	}
	for _, e := range all {
		if e.Signer == nil {
			t.Errorf("%s: %s", e.Subject, e.Problem)
		}
	}
	if len(all[0].Annotations) != 1 || all[0].Annotations["env"] != "prod" {
		t.Errorf("annotations %v", all[0].Annotations)
	}
}

func TestAllLayersAreRead(t *testing.T) {
	a, b := ecdsaPair(t), ecdsaPair(t)
	all := examine(t, NewVerifier([]*Key{a.public, b.public}, nil),
		layer{mediaType: v03, content: []byte(`{"junk":true}`)},
		bundleLayer(t, a.bundle(t, signatureOf(imageA))), bundleLayer(t, b.bundle(t, signatureOf(imageA))))
	if len(all) != 3 || all[0].Signer == nil || all[1].Signer == nil || all[0].Signer.Key == all[1].Signer.Key || all[2].Kind != core.EvidenceUnreadable {
		t.Errorf("evidence %+v", all)
	}
}

func TestKeyless(t *testing.T) {
	in := newInstance(t)
	v := NewVerifier(nil, map[string]*TrustRoot{"house": in.root, "other": newInstance(t).root})
	e := one(t, v, bundleLayer(t, in.bundle(t, signatureOf(imageA))))
	if e.Signer == nil {
		t.Fatal(e.Problem)
	}
	s := e.Signer
	if s.TrustRoot != "house" || s.Issuer != issuer || s.Subject != who || s.Key != "" || s.SCT {
		t.Errorf("signer %+v", s)
	}
	id, _ := in.RekorLogID()
	if !slices.Equal(s.Logs, []string{id}) || len(s.Times) != 2 || s.Times[0].Source != core.TimeLog || s.Times[0].By != id ||
		s.Times[0].Time.Unix() != in.at.Unix() || s.Times[1].Source != core.TimeAuthority || s.Times[1].By == "" {
		t.Errorf("facts %+v", s)
	}
}

func TestKeylessWithLess(t *testing.T) {
	in := newInstance(t)
	v := NewVerifier(nil, map[string]*TrustRoot{"house": in.root})
	proved := in.bundle(t, signatureOf(imageA))
	in.prove(t, proved.VerificationMaterial.TlogEntries[0])
	proved.MediaType = v03
	proved.VerificationMaterial.Content = &bundlev1.VerificationMaterial_Certificate{
		Certificate: proved.VerificationMaterial.GetX509CertificateChain().Certificates[0]}
	if e := one(t, v, bundleLayer(t, proved)); e.Signer == nil || len(e.Signer.Logs) != 1 || len(e.Signer.Times) != 2 {
		t.Errorf("with proof: %+v %s", e.Signer, e.Problem)
	}
	// A proof alone says that it was logged, but not when.
	proved.VerificationMaterial.TlogEntries[0].InclusionPromise = nil
	if e := one(t, v, bundleLayer(t, proved)); e.Signer == nil || len(e.Signer.Logs) != 1 || len(e.Signer.Times) != 1 || e.Signer.Times[0].Source != core.TimeAuthority {
		t.Errorf("proof without promise: %+v %s", e.Signer, e.Problem)
	}
	proved.VerificationMaterial.TimestampVerificationData = nil
	mustBeRefused(t, "no trusted time", examine(t, v, bundleLayer(t, proved)))

	stamped := in.bundle(t, signatureOf(imageA))
	stamped.VerificationMaterial.TlogEntries = nil
	if e := one(t, v, bundleLayer(t, stamped)); e.Signer == nil || len(e.Signer.Logs) != 0 || len(e.Signer.Times) != 1 {
		t.Errorf("timestamp alone: %+v %s", e.Signer, e.Problem)
	}
	mustBeRefused(t, "no trust root", examine(t, NewVerifier([]*Key{ecdsaPair(t).public}, nil), bundleLayer(t, stamped)))
	mustBeRefused(t, "other trust root", examine(t, NewVerifier(nil, map[string]*TrustRoot{"other": newInstance(t).root}), bundleLayer(t, stamped)))
}

// TestRekorV2: such a log promises no time, and what stands in the entry is not signed.
func TestRekorV2(t *testing.T) {
	in := newInstance(t)
	made, err := in.AttestHashedRekordV2(who, issuer, signatureOf(imageA))
	if err != nil {
		t.Fatal(err)
	}
	key, err := made.VerificationContent()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := made.TlogEntries()
	if err != nil {
		t.Fatal(err)
	}
	content, err := made.SignatureContent()
	if err != nil {
		t.Fatal(err)
	}
	b := &bundlev1.Bundle{
		MediaType: v03,
		VerificationMaterial: &bundlev1.VerificationMaterial{
			Content:                   &bundlev1.VerificationMaterial_Certificate{Certificate: &commonv1.X509Certificate{RawBytes: key.Certificate().Raw}},
			TlogEntries:               []*rekorv1.TransparencyLogEntry{entries[0].TransparencyLogEntry()},
			TimestampVerificationData: in.stamp(t, content.Signature()),
		},
		Content: &bundlev1.Bundle_DsseEnvelope{DsseEnvelope: &dssev1.Envelope{
			Payload: signatureOf(imageA), PayloadType: "application/vnd.in-toto+json", Signatures: []*dssev1.Signature{{Sig: content.Signature()}},
		}},
	}
	v := NewVerifier(nil, map[string]*TrustRoot{"house": in.root})
	if e := one(t, v, bundleLayer(t, b)); e.Signer == nil || len(e.Signer.Logs) != 1 || len(e.Signer.Times) != 1 || e.Signer.Times[0].Source != core.TimeAuthority {
		t.Errorf("%+v %s", e.Signer, e.Problem)
	}
	entries[0].TransparencyLogEntry().InclusionProof.Checkpoint.Envelope += "x"
	mustBeRefused(t, "another checkpoint", examine(t, v, bundleLayer(t, b)))
}

func TestKeyWithTimestamp(t *testing.T) {
	in, p := newInstance(t), ecdsaPair(t)
	b := p.bundle(t, signatureOf(imageA))
	b.VerificationMaterial.TimestampVerificationData = in.stamp(t, b.GetDsseEnvelope().Signatures[0].Sig)
	e := one(t, NewVerifier([]*Key{p.public}, map[string]*TrustRoot{"house": in.root}), bundleLayer(t, b))
	if e.Signer == nil || e.Signer.TrustRoot != "house" || len(e.Signer.Logs) != 0 || len(e.Signer.Times) != 1 {
		t.Errorf("%+v %s", e.Signer, e.Problem)
	}
}

// TestOneRootEach: a signature that holds by two trust roots is evidence by each, and one that only one of them objects
// to holds by the other.
func TestOneRootEach(t *testing.T) {
	in, p := newInstance(t), ecdsaPair(t)
	logs := in.logs(t)
	for _, l := range logs {
		l.PublicKey = p.private.Public() // claims the log's id with a key of its own
	}
	liar := makeRoot(t, in.FulcioCertificateAuthorities(), in.TimestampingAuthorities(), logs)
	l := bundleLayer(t, in.bundle(t, signatureOf(imageA)))
	all := examine(t, NewVerifier(nil, map[string]*TrustRoot{"a": in.root, "b": in.root, "liar": liar}), l)
	if len(all) != 2 || all[0].Signer == nil || all[1].Signer == nil || all[0].Signer.TrustRoot != "a" || all[1].Signer.TrustRoot != "b" {
		t.Errorf("%+v", all)
	}
	mustBeRefused(t, "liar alone", examine(t, NewVerifier(nil, map[string]*TrustRoot{"liar": liar}), l))
}

func TestVerifierIsShared(t *testing.T) {
	in, p := newInstance(t), ecdsaPair(t)
	v := NewVerifier([]*Key{p.public}, map[string]*TrustRoot{"house": in.root})
	layers := []layer{bundleLayer(t, p.bundle(t, signatureOf(imageA))), bundleLayer(t, in.bundle(t, signatureOf(imageA)))}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, l := range layers {
				if all := examine(t, v, l); len(all) != 1 || all[0].Signer == nil {
					t.Errorf("%+v", all)
				}
			}
		})
	}
	wg.Wait()
}

// TestPublicGood verifies a signature that was made on the Internet, with the trust root that is shipped. The bundle is
// pkg/testing/data/bundles/sigstore.js@2.0.0-provenance.sigstore.json of sigstore-go v1.3.0.
func TestPublicGood(t *testing.T) {
	r, err := ParseTrustRoot(PublicGood())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/public-good.sigstore.json")
	if err != nil {
		t.Fatal(err)
	}
	e := one(t, NewVerifier(nil, map[string]*TrustRoot{PublicGoodName: r}), layer{mediaType: v03, content: text})
	if e.Signer == nil {
		t.Fatal(e.Problem)
	}
	s := e.Signer
	if !s.SCT || len(s.Logs) != 1 || len(s.Times) != 1 || s.Issuer != "https://token.actions.githubusercontent.com" ||
		!strings.HasPrefix(s.Subject, "https://github.com/sigstore/sigstore-js/") || s.Extensions["sourceRepositoryURI"] != "https://github.com/sigstore/sigstore-js" ||
		!core.MatchPredicate("slsaprovenance1", e.PredicateType) || !strings.HasPrefix(e.Subject, "sha512:") {
		t.Errorf("%+v by %+v", e, s)
	}
}

func TestKeyWithLog(t *testing.T) {
	in, p := newInstance(t), ecdsaPair(t)
	b := p.bundle(t, signatureOf(imageA))
	env := b.GetDsseEnvelope()
	b.MediaType = v01
	b.VerificationMaterial.TlogEntries = []*rekorv1.TransparencyLogEntry{in.entry(t, envelopeBody(env, publicPEM(t, p.private.Public())), 1)}
	l := bundleLayer(t, b)
	e := one(t, NewVerifier([]*Key{p.public}, map[string]*TrustRoot{"house": in.root, "other": newInstance(t).root}), l)
	if e.Signer == nil || e.Signer.Key != p.public.Fingerprint || e.Signer.TrustRoot != "house" || len(e.Signer.Logs) != 1 || len(e.Signer.Times) != 1 {
		t.Errorf("%+v %s", e.Signer, e.Problem)
	}
	e = one(t, NewVerifier([]*Key{p.public}, nil), l)
	if e.Signer == nil || e.Signer.TrustRoot != "" || len(e.Signer.Logs)+len(e.Signer.Times) != 0 {
		t.Errorf("log unknown here: %+v %s", e.Signer, e.Problem)
	}
	// The promise of a log that is known here does not hold: the signature alone is not enough then.
	b.VerificationMaterial.TlogEntries[0].IntegratedTime++
	mustBeRefused(t, "broken promise", examine(t, NewVerifier([]*Key{p.public}, map[string]*TrustRoot{"house": in.root}), bundleLayer(t, b)))
}

// TestFailClosed holds V-36: a verifier that fails in whatever way leaves no signer.
func TestFailClosed(t *testing.T) {
	in, p := newInstance(t), ecdsaPair(t)
	good := &verify.VerificationResult{}
	for name, broken := range map[string]checker{
		"panic": func(_ verify.SignedEntity, _ root.TrustedMaterial, _ []verify.VerifierOption, _ verify.PolicyBuilder) (*verify.VerificationResult, error) {
			panic("oh")
		},
		"error": func(_ verify.SignedEntity, _ root.TrustedMaterial, _ []verify.VerifierOption, _ verify.PolicyBuilder) (*verify.VerificationResult, error) {
			return good, errors.New("no")
		},
		"nothing": func(_ verify.SignedEntity, _ root.TrustedMaterial, _ []verify.VerifierOption, _ verify.PolicyBuilder) (*verify.VerificationResult, error) {
			return nil, nil
		},
		"empty result": func(_ verify.SignedEntity, _ root.TrustedMaterial, _ []verify.VerifierOption, _ verify.PolicyBuilder) (*verify.VerificationResult, error) {
			return good, nil
		},
		"other kind": func(e verify.SignedEntity, m root.TrustedMaterial, o []verify.VerifierOption, b verify.PolicyBuilder) (*verify.VerificationResult, error) {
			res, err := sigstore(e, m, o, b)
			if err == nil {
				res.Signature.Certificate, res.Signature.PublicKeyID = nil, nil
			}
			return res, err
		},
		"other statement": func(e verify.SignedEntity, m root.TrustedMaterial, o []verify.VerifierOption, b verify.PolicyBuilder) (*verify.VerificationResult, error) {
			res, err := sigstore(e, m, o, b)
			if err == nil {
				res.Statement.PredicateType = spdx
			}
			return res, err
		},
	} {
		v := NewVerifier([]*Key{p.public}, map[string]*TrustRoot{"house": in.root})
		v.check = broken
		mustBeRefused(t, name+", key", examine(t, v, bundleLayer(t, p.bundle(t, signatureOf(imageA)))))
		mustBeRefused(t, name+", keyless", examine(t, v, bundleLayer(t, in.bundle(t, signatureOf(imageA)))))
	}
}

func TestContext(t *testing.T) {
	p := ecdsaPair(t)
	m, blobs := manifestOf(t, bundleLayer(t, p.bundle(t, signatureOf(imageA))))
	items, err := Read(t.Context(), carrier, m, blobs)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out, err := NewVerifier([]*Key{p.public}, nil).Verify(ctx, items); !errors.Is(err, context.Canceled) || len(out) != 0 {
		t.Errorf("%v %v", out, err)
	}
	if _, err := Read(ctx, carrier, m, blobs); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// BenchmarkKeyBundles reads and verifies 1,000 bundles of one key among eight per operation.
func BenchmarkKeyBundles(b *testing.B) {
	p := ecdsaPair(b)
	keys := []*Key{p.public}
	for range 7 {
		keys = append(keys, ecdsaPair(b).public)
	}
	v := NewVerifier(keys, nil)
	m, blobs := manifestOf(b, bundleLayer(b, p.bundle(b, signatureOf(imageA))))
	b.ReportAllocs()
	for b.Loop() {
		for range 1000 {
			items, err := Read(b.Context(), carrier, m, blobs)
			if err != nil {
				b.Fatal(err)
			}
			if out, err := v.Verify(b.Context(), items); err != nil || out[0].Signer == nil {
				b.Fatal(out, err)
			}
		}
	}
}
