package trust

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	dssev1 "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/registry"
)

const (
	spdx   = "https://spdx.dev/Document"
	vuln   = "https://cosign.sigstore.dev/attestation/vuln/v1"
	issuer = "https://oidc.example.com"
	who    = "ci@example.com"
	v03    = typeBundlePrefix + ".v0.3+json"
	v01    = typeBundlePrefix + "+json;version=0.1"
)

var (
	imageA = digest.FromString("image A")
	imageB = digest.FromString("image B")
)

// pair is a key pair, and how a tool signs with it.
type pair struct {
	private crypto.Signer
	opts    []signature.LoadOption
	public  *Key
}

func newPair(t testing.TB, private crypto.Signer, opts ...signature.LoadOption) *pair {
	t.Helper()
	k, err := ParseKey(publicPEM(t, private.Public()))
	if err != nil {
		t.Fatal(err)
	}
	return &pair{private, opts, k}
}

func ecdsaPair(t testing.TB) *pair {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newPair(t, k)
}

// allPairs are the kinds of keys, each with the ways in which tools sign with them.
func allPairs(t testing.TB) map[string]*pair {
	t.Helper()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*pair{
		"P-256":         ecdsaPair(t),
		"P-384":         newPair(t, p384, options.WithHash(crypto.SHA384)),
		"P-384 SHA-256": newPair(t, p384, options.WithHash(crypto.SHA256)),
		"P-521":         newPair(t, p521, options.WithHash(crypto.SHA512)),
		"P-521 SHA-256": newPair(t, p521, options.WithHash(crypto.SHA256)),
		"RSA":           newPair(t, r),
		"Ed25519":       newPair(t, ed),
		"Ed25519ph":     newPair(t, ed, options.WithED25519ph()),
	}
}

func publicPEM(t testing.TB, public crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func (p *pair) sign(t testing.TB, message []byte) []byte {
	t.Helper()
	return signWith(t, p.private, message, p.opts...)
}

func signWith(t testing.TB, private crypto.PrivateKey, message []byte, opts ...signature.LoadOption) []byte {
	t.Helper()
	s, err := signature.LoadSignerWithOpts(private, opts...)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := s.SignMessage(bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// statement is an in-toto statement about one digest.
func statement(d digest.Digest, predicateType, predicate string) []byte {
	return fmt.Appendf(nil, `{"_type":%q,"subject":[{"name":"hub.example/p/app","digest":{%q:%q}}],"predicateType":%q,"predicate":%s}`,
		statementV1, d.Algorithm(), d.Encoded(), predicateType, predicate)
}

func signatureOf(d digest.Digest) []byte { return statement(d, core.PredicateSignature, "{}") }

func envelope(t testing.TB, private crypto.PrivateKey, payload []byte, opts ...signature.LoadOption) *dssev1.Envelope {
	t.Helper()
	sig := signWith(t, private, dsse.PAE("application/vnd.in-toto+json", payload), opts...)
	return &dssev1.Envelope{Payload: payload, PayloadType: "application/vnd.in-toto+json", Signatures: []*dssev1.Signature{{Sig: sig}}}
}

// bundle is what cosign writes with a key and no log.
func (p *pair) bundle(t testing.TB, payload []byte) *bundlev1.Bundle {
	t.Helper()
	return &bundlev1.Bundle{
		MediaType: v03,
		VerificationMaterial: &bundlev1.VerificationMaterial{
			Content: &bundlev1.VerificationMaterial_PublicKey{PublicKey: &commonv1.PublicKeyIdentifier{Hint: p.public.hint}},
		},
		Content: &bundlev1.Bundle_DsseEnvelope{DsseEnvelope: envelope(t, p.private, payload, p.opts...)},
	}
}

// instance is a Sigstore instance with its trust root: a Rekor log, a Fulcio authority and a timestamp authority.
type instance struct {
	*ca.VirtualSigstore
	root *TrustRoot
	at   time.Time // when it signs
}

func newInstance(t testing.TB) *instance {
	t.Helper()
	vs, err := ca.NewVirtualSigstore()
	if err != nil {
		t.Fatal(err)
	}
	in := &instance{VirtualSigstore: vs, at: time.Now().Add(time.Minute)}
	in.root = in.trustRoot(t, vs.FulcioCertificateAuthorities(), vs.TimestampingAuthorities())
	return in
}

// logs are the instance's, with the raw id that the JSON form needs.
func (in *instance) logs(t testing.TB) map[string]*root.TransparencyLog {
	t.Helper()
	out := map[string]*root.TransparencyLog{}
	for id, l := range in.RekorLogs() {
		raw, err := hex.DecodeString(id)
		if err != nil {
			t.Fatal(err)
		}
		l.ID = raw
		out[id] = l
	}
	return out
}

func (in *instance) trustRoot(t testing.TB, cas []root.CertificateAuthority, tsas []root.TimestampingAuthority) *TrustRoot {
	t.Helper()
	return makeRoot(t, cas, tsas, in.logs(t))
}

func makeRoot(t testing.TB, cas []root.CertificateAuthority, tsas []root.TimestampingAuthority, logs map[string]*root.TransparencyLog) *TrustRoot {
	t.Helper()
	tr, err := root.NewTrustedRoot(root.TrustedRootMediaType01, cas, nil, tsas, logs)
	if err != nil {
		t.Fatal(err)
	}
	text, err := tr.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseTrustRoot(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// bundle is a keyless one of version 0.1 with an inclusion promise and a timestamp.
func (in *instance) bundle(t testing.TB, payload []byte) *bundlev1.Bundle {
	t.Helper()
	cert, private, err := in.GenerateLeafCert(who, issuer)
	if err != nil {
		t.Fatal(err)
	}
	return in.bundleBy(t, cert, private, payload)
}

func (in *instance) bundleBy(t testing.TB, cert *x509.Certificate, private crypto.PrivateKey, payload []byte) *bundlev1.Bundle {
	t.Helper()
	env := envelope(t, private, payload)
	return &bundlev1.Bundle{
		MediaType: v01,
		VerificationMaterial: &bundlev1.VerificationMaterial{
			Content:                   certificateOf(cert),
			TlogEntries:               []*rekorv1.TransparencyLogEntry{in.entry(t, envelopeBody(env, certPEM(cert)), 7)},
			TimestampVerificationData: in.stamp(t, env.Signatures[0].Sig),
		},
		Content: &bundlev1.Bundle_DsseEnvelope{DsseEnvelope: env},
	}
}

func certificateOf(cert *x509.Certificate) *bundlev1.VerificationMaterial_X509CertificateChain {
	return &bundlev1.VerificationMaterial_X509CertificateChain{X509CertificateChain: &commonv1.X509CertificateChain{
		Certificates: []*commonv1.X509Certificate{{RawBytes: cert.Raw}},
	}}
}

func certPEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

func (in *instance) stamp(t testing.TB, sig []byte) *bundlev1.TimestampVerificationData {
	t.Helper()
	token, err := in.TimestampResponse(sig)
	if err != nil {
		t.Fatal(err)
	}
	return &bundlev1.TimestampVerificationData{Rfc3161Timestamps: []*commonv1.RFC3161SignedTimestamp{{SignedTimestamp: token}}}
}

// envelopeBody is the body of a Rekor entry of type dsse 0.0.1.
func envelopeBody(env *dssev1.Envelope, verifier []byte) []byte {
	payload := sha256.Sum256(env.Payload)
	return fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"dsse","spec":{"envelopeHash":{"algorithm":"sha256","value":"%x"},`+
		`"payloadHash":{"algorithm":"sha256","value":"%x"},"signatures":[{"signature":%q,"verifier":%q}]}}`,
		payload, payload, base64.StdEncoding.EncodeToString(env.Signatures[0].Sig), base64.StdEncoding.EncodeToString(verifier))
}

// payloadBody is the body of a Rekor entry of type hashedrekord 0.0.1.
func payloadBody(payload, sig, verifier []byte) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"%x"}},`+
		`"signature":{"content":%q,"publicKey":{"content":%q}}}}`,
		sha256.Sum256(payload), base64.StdEncoding.EncodeToString(sig), base64.StdEncoding.EncodeToString(verifier))
}

// entry is a log entry with the log's promise to include it.
func (in *instance) entry(t testing.TB, body []byte, index int64) *rekorv1.TransparencyLogEntry {
	t.Helper()
	id, err := in.RekorLogID()
	if err != nil {
		t.Fatal(err)
	}
	return in.entryAs(t, body, index, id)
}

// entryAs is one of a log that goes by this id.
func (in *instance) entryAs(t testing.TB, body []byte, index int64, id string) *rekorv1.TransparencyLogEntry {
	t.Helper()
	set, err := in.RekorSignPayload(tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(body), IntegratedTime: in.at.Unix(), LogIndex: index, LogID: id,
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := hex.DecodeString(id)
	var kind struct{ Kind, APIVersion string }
	if err := json.Unmarshal(body, &kind); err != nil {
		t.Fatal(err)
	}
	return &rekorv1.TransparencyLogEntry{
		LogIndex: index, LogId: &commonv1.LogId{KeyId: raw}, IntegratedTime: in.at.Unix(), CanonicalizedBody: body,
		KindVersion:      &rekorv1.KindVersion{Kind: kind.Kind, Version: kind.APIVersion},
		InclusionPromise: &rekorv1.InclusionPromise{SignedEntryTimestamp: set},
	}
}

// prove adds an inclusion proof to an entry, as version 0.3 of the bundle demands.
func (in *instance) prove(t testing.TB, e *rekorv1.TransparencyLogEntry) {
	t.Helper()
	p, err := in.GetInclusionProof(e.CanonicalizedBody)
	if err != nil {
		t.Fatal(err)
	}
	hash, _ := hex.DecodeString(*p.RootHash)
	e.InclusionProof = &rekorv1.InclusionProof{
		LogIndex: *p.LogIndex, TreeSize: *p.TreeSize, RootHash: hash, Checkpoint: &rekorv1.Checkpoint{Envelope: *p.Checkpoint},
	}
}

func encode(t testing.TB, b *bundlev1.Bundle) []byte {
	t.Helper()
	text, err := protojson.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// layer is a blob and how a manifest describes it.
type layer struct {
	mediaType   string
	content     []byte
	annotations map[string]string
}

func bundleLayer(t testing.TB, b *bundlev1.Bundle) layer {
	t.Helper()
	return layer{mediaType: v03, content: encode(t, b)}
}

// manifestOf is a trust artifact with these layers, and the blobs that it refers to.
func manifestOf(t testing.TB, layers ...layer) (*registry.ParsedManifest, Blobs) {
	t.Helper()
	blobs := map[digest.Digest][]byte{}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.DescriptorEmptyJSON}
	for _, l := range layers {
		d := digest.FromBytes(l.content)
		blobs[d] = l.content
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: l.mediaType, Digest: d, Size: int64(len(l.content)), Annotations: l.annotations})
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := registry.ParseManifest("", text, registry.ManifestLimits{})
	if err != nil {
		t.Fatal(err)
	}
	return parsed, func(_ context.Context, d digest.Digest) (io.ReadCloser, error) {
		content, ok := blobs[d]
		if !ok {
			return nil, registry.NewError(registry.CodeBlobUnknown, "There is no such blob.")
		}
		return io.NopCloser(bytes.NewReader(content)), nil
	}
}

var carrier = digest.FromString("the manifest")

// examine reads and verifies.
func examine(t testing.TB, v *Verifier, layers ...layer) []core.Evidence {
	t.Helper()
	m, blobs := manifestOf(t, layers...)
	items, err := Read(t.Context(), carrier, m, blobs)
	if err != nil {
		t.Fatal(err)
	}
	out, err := v.Verify(t.Context(), items)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// one is for manifests that bring exactly one piece of evidence.
func one(t testing.TB, v *Verifier, layers ...layer) core.Evidence {
	t.Helper()
	all := examine(t, v, layers...)
	if len(all) != 1 {
		t.Fatalf("there are %d pieces of evidence: %+v", len(all), all)
	}
	if e := all[0]; (e.Signer == nil) != (e.Problem != "") {
		t.Fatalf("evidence has a signer or a problem: %+v", e)
	}
	return all[0]
}

func mustBeRefused(t testing.TB, what string, all []core.Evidence) {
	t.Helper()
	if len(all) == 0 {
		t.Errorf("%s: there is no evidence at all", what)
	}
	for _, e := range all {
		if e.Signer != nil || e.Problem == "" {
			t.Errorf("%s: it has the signer %+v and the problem %q", what, e.Signer, e.Problem)
		}
	}
}
