package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/registry"
)

// fuzzPair is the same in each process of a fuzzing run, and Ed25519 signatures are the same each time.
func fuzzPair(t testing.TB) *pair {
	t.Helper()
	return newPair(t, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)))
}

// signedWords are all that fuzzPair ever signed: subject, type and annotations of each piece of evidence with its name.
func signedWords() map[string]bool {
	return map[string]bool{
		words(core.Evidence{Subject: imageA.String(), Kind: core.EvidenceSignature, PredicateType: core.PredicateSignature}):   true,
		words(core.Evidence{Subject: imageB.String(), Kind: core.EvidenceAttestation, PredicateType: spdx}):                    true,
		words(core.Evidence{Subject: imageA.String(), Kind: core.EvidenceSignature, Annotations: map[string]string{"a": "b"}}): true,
		publicGoodWords: true,
	}
}

// publicGoodWords are those of testdata/public-good.sigstore.json.
const publicGoodWords = `["sha512:46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c","attestation","https://slsa.dev/provenance/v1",null]`

func words(e core.Evidence) string {
	text, _ := json.Marshal([]any{e.Subject, e.Kind, e.PredicateType, e.Annotations})
	return string(text)
}

// fuzzLayer reads and verifies whatever it is given: it must not panic, and sign nothing that was not signed.
func fuzzLayer(t *testing.T, v *Verifier, l layer) {
	if len(l.content) == 0 || len(l.content) > maxPayload {
		return
	}
	m, blobs := manifestOf(t, layer{mediaType: l.mediaType, content: l.content})
	m.Layers[0].Annotations = l.annotations
	items, err := Read(t.Context(), carrier, m, blobs)
	if err != nil {
		t.Fatal(err)
	}
	all, err := v.Verify(t.Context(), items)
	if err != nil {
		t.Fatal(err)
	}
	known := signedWords()
	for _, e := range all {
		if (e.Signer == nil) != (e.Problem != "") {
			t.Errorf("evidence has a signer or a problem: %+v", e)
		}
		if e.Signer != nil && !known[words(e)] {
			t.Errorf("nobody ever signed %+v", e)
		}
	}
}

func FuzzBundle(f *testing.F) {
	p := fuzzPair(f)
	v := NewVerifier([]*Key{p.public}, map[string]*TrustRoot{PublicGoodName: mustParseRoot(f)})
	for _, payload := range [][]byte{signatureOf(imageA), statement(imageB, spdx, `{"n":[1,{"a":null}]}`)} {
		f.Add(encode(f, p.bundle(f, payload)))
	}
	public, err := os.ReadFile("testdata/public-good.sigstore.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(public)
	in := newInstance(f)
	b := in.bundle(f, signatureOf(imageB))
	f.Add(encode(f, b))
	in.prove(f, entryOf(b))
	f.Add(encode(f, b))
	f.Add([]byte(`{"mediaType":"` + v03 + `","verificationMaterial":{"publicKey":{}},"messageSignature":{}}`))
	f.Fuzz(func(t *testing.T, content []byte) { fuzzLayer(t, v, layer{mediaType: v03, content: content}) })
}

func mustParseRoot(t testing.TB) *TrustRoot {
	t.Helper()
	r, err := ParseTrustRoot(PublicGood())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func FuzzLegacySignature(f *testing.F) {
	p := fuzzPair(f)
	v := NewVerifier([]*Key{p.public}, map[string]*TrustRoot{PublicGoodName: mustParseRoot(f)})
	l := p.legacyLayer(f, legacyPayload(imageA.String(), `{"a":"b"}`))
	f.Add(l.content, l.annotations[annotationSignature], "", "", "")
	in := newInstance(f)
	l = in.legacyLayer(f, legacyPayload(imageB.String(), "null"))
	f.Add(l.content, l.annotations[annotationSignature], l.annotations[annotationCertificate], l.annotations[annotationEntry], l.annotations[annotationTimestamp])
	f.Fuzz(func(t *testing.T, payload []byte, sig, cert, entry, stamp string) {
		fuzzLayer(t, v, layer{mediaType: typeSimpleSigning, content: payload, annotations: map[string]string{
			annotationSignature: sig, annotationCertificate: cert, annotationEntry: entry, annotationTimestamp: stamp,
		}})
	})
}

func FuzzEnvelope(f *testing.F) {
	p := fuzzPair(f)
	v := NewVerifier([]*Key{p.public}, nil)
	f.Add(envelopeLayer(f, signatureOf(imageA), p).content)
	f.Add(envelopeLayer(f, statement(imageB, spdx, `{"n":1}`), p, p).content)
	f.Add([]byte(`{"payload":"` + base64.StdEncoding.EncodeToString([]byte("{}")) + `","payloadType":"application/vnd.in-toto+json","signatures":[{}]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		fuzzLayer(t, v, layer{mediaType: typeEnvelope, content: content})
		if st, err := ReadStatement(content); (st == nil) == (err == nil) {
			t.Errorf("%+v %v", st, err)
		}
	})
}

// FuzzClassify parses a manifest: whatever counts as a trust artifact has no layer that anything could run.
func FuzzClassify(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[{"mediaType":"` + v03 + `","size":775,"digest":"` + imageA.String() + `"}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,"digest":"` + imageB.String() + `"},"artifactType":"` + v03 + `"}`))
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":9,"digest":"` + imageA.String() + `"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := registry.ParseManifest("", text, registry.ManifestLimits{})
		if err != nil {
			return
		}
		shape := Classify(m)
		if shape == ShapeNone {
			return
		}
		if (shape == ShapeReferrers) != (m.Kind == registry.KindIndex) {
			t.Errorf("%s of %s", shape, m.Kind)
		}
		total := int64(0)
		for _, l := range m.Layers {
			total += l.Size
			if strings.Contains(l.MediaType, "tar") || !strings.Contains(l.MediaType, "json") || l.Size <= 0 {
				t.Errorf("%s with a layer %s", shape, l.MediaType)
			}
		}
		if total > MaxArtifact {
			t.Errorf("%s of %d bytes", shape, total)
		}
	})
}

// FuzzStatement signs whatever it is given: what is taken of it stands in it, read by another parser too.
func FuzzStatement(f *testing.F) {
	p := fuzzPair(f)
	v := NewVerifier([]*Key{p.public}, nil)
	for _, payload := range []string{string(signatureOf(imageA)), string(statement(imageB, spdx, `{"n":[1,{"a":null}]}`)),
		`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"00"}},{"digest":{"sha512":"ff"},"annotations":{"a":"b"}}],"predicateType":"https://example.com/x"}`,
		`{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"x:y","predicateType":"x:z"}`} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) == 0 || len(payload) > maxPayload/2 {
			return
		}
		m, blobs := manifestOf(t, layer{mediaType: v03, content: encode(t, p.bundle(t, payload))})
		items, err := Read(t.Context(), carrier, m, blobs)
		if err != nil {
			t.Fatal(err)
		}
		all, err := v.Verify(t.Context(), items)
		if err != nil {
			t.Fatal(err)
		}
		said := map[string]bool{}
		var other any
		if json.Unmarshal(payload, &other) == nil {
			collect(said, other)
		}
		for _, e := range all {
			_, hex, _ := strings.Cut(e.Subject, ":")
			if e.Signer != nil && (!said[hex] || !said[e.PredicateType]) {
				t.Errorf("%+v is not said in %q", e, payload)
			}
		}
	})
}

// collect finds all texts in a document.
func collect(found map[string]bool, v any) {
	switch v := v.(type) {
	case string:
		found[v] = true
	case []any:
		for _, x := range v {
			collect(found, x)
		}
	case map[string]any:
		for _, x := range v {
			collect(found, x)
		}
	}
}

// FuzzTrustRoot: what is taken as a trust root can be used, and vouches for nobody whom it does not know.
func FuzzTrustRoot(f *testing.F) {
	f.Add(PublicGood())
	known, strange := newInstance(f), newInstance(f)
	text, err := known.root.material.MarshalJSON()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":[{}],"certificateAuthorities":[{}],"timestampAuthorities":[{}]}`))
	content := encode(f, strange.bundle(f, signatureOf(imageA)))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseTrustRoot(text)
		if (r == nil) == (err == nil) || err != nil && core.CodeOf(err) != core.CodeInvalid {
			t.Fatalf("%v %v", r, err)
		}
		if err != nil {
			return
		}
		m, blobs := manifestOf(t, layer{mediaType: v03, content: content})
		items, err := Read(t.Context(), carrier, m, blobs)
		if err != nil {
			t.Fatal(err)
		}
		all, err := NewVerifier(nil, map[string]*TrustRoot{"fuzzed": r}).Verify(t.Context(), items)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if e.Signer != nil || e.Problem == "" {
				t.Errorf("it vouches for a stranger: %+v", e)
			}
		}
	})
}

// FuzzKey: what is taken as a key can be used, is one key, and did not sign what somebody else did.
func FuzzKey(f *testing.F) {
	for _, private := range []any{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)), must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)), must(rsa.GenerateKey(rand.Reader, 2048))} {
		der, err := x509.MarshalPKIXPublicKey(private.(crypto.Signer).Public())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	message := []byte("a message")
	stranger := signWith(f, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), message)
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ParseKey(text)
		if (k == nil) == (err == nil) || err != nil && core.CodeOf(err) != core.CodeInvalid {
			t.Fatalf("%v %v", k, err)
		}
		if err != nil {
			return
		}
		if again, err := Fingerprint(text); err != nil || again != k.Fingerprint || k.Algorithm == "" {
			t.Errorf("%+v, then %s %v", k, again, err)
		}
		if _, ok := k.signed(message, stranger); ok {
			t.Errorf("%s signed what a stranger did", k.Algorithm)
		}
		if _, ok := k.signed(message, nil); ok {
			t.Errorf("%s signed nothing", k.Algorithm)
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// FuzzWellFormed: what is taken for content of a trust artifact is one JSON object, for another parser too.
func FuzzWellFormed(f *testing.F) {
	for _, s := range []string{`{}`, ` {"a":[1,"b",null]} `, `{"a":1,"a":2}`, `[]`, `{}{}`, "\ufeff{}", `{"a":"\ud800"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if WellFormed(bytes.NewReader(content)) != nil {
			return
		}
		var v map[string]any
		if err := json.Unmarshal(content, &v); err != nil || v == nil {
			t.Errorf("%q: %v", content, err)
		}
	})
}
