package trust

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
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
