package trust

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	dssev1 "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/proto"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/registry"
)

func repeated[T any](n int, v T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = v
	}
	return out
}

// TestBounds stands at each limit of a bundle and one past it.
func TestBounds(t *testing.T) {
	in := newInstance(t)
	v := NewVerifier(nil, map[string]*TrustRoot{"house": in.root})
	base := in.bundle(t, signatureOf(imageA))
	body := entryOf(base).CanonicalizedBody
	var entries []*rekorv1.TransparencyLogEntry
	for i := range maxEntries + 1 {
		entries = append(entries, in.entry(t, body, int64(i)))
	}
	stamp := base.VerificationMaterial.TimestampVerificationData.Rfc3161Timestamps[0]
	cert := base.VerificationMaterial.GetX509CertificateChain().Certificates[0]
	change := func(f func(m *bundlev1.VerificationMaterial)) layer {
		b := proto.CloneOf(base)
		f(b.VerificationMaterial)
		return bundleLayer(t, b)
	}
	certs := func(n int) layer {
		return change(func(m *bundlev1.VerificationMaterial) { m.GetX509CertificateChain().Certificates = repeated(n, cert) })
	}
	stamps := func(n int) layer {
		return change(func(m *bundlev1.VerificationMaterial) {
			m.TimestampVerificationData.Rfc3161Timestamps = repeated(n, stamp)
		})
	}
	for name, tt := range map[string]struct {
		l    layer
		held bool
	}{
		"log entries":       {change(func(m *bundlev1.VerificationMaterial) { m.TlogEntries = entries[:maxEntries] }), true},
		"more log entries":  {change(func(m *bundlev1.VerificationMaterial) { m.TlogEntries = entries }), false},
		"certificates":      {certs(maxChain), true},
		"more certificates": {certs(maxChain + 1), false},
		"timestamps":        {stamps(maxTimestamps), true},
		"more timestamps":   {stamps(maxTimestamps + 1), false},
		"a large timestamp": {change(func(m *bundlev1.VerificationMaterial) {
			m.TimestampVerificationData.Rfc3161Timestamps[0].SignedTimestamp = make([]byte, maxTimestamp+1)
		}), false},
		"a large certificate": {change(func(m *bundlev1.VerificationMaterial) {
			m.GetX509CertificateChain().Certificates[0].RawBytes = make([]byte, maxCertificate+1)
		}), false},
		"no certificate": {change(func(m *bundlev1.VerificationMaterial) { m.GetX509CertificateChain().Certificates = nil }), false},
		"nothing":        {change(func(m *bundlev1.VerificationMaterial) { m.Content = nil }), false},
		"a large entry": {change(func(m *bundlev1.VerificationMaterial) {
			m.TlogEntries[0].CanonicalizedBody = []byte(`{"a":"` + strings.Repeat("x", maxEntryBody) + `"}`)
		}), false},
		"a deep entry": {change(func(m *bundlev1.VerificationMaterial) {
			m.TlogEntries[0].CanonicalizedBody = []byte(strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100))
		}), false},
		"a junk entry": {change(func(m *bundlev1.VerificationMaterial) {
			m.TlogEntries[0].CanonicalizedBody = []byte(`{"kind":"dsse","apiVersion":"0.0.1","spec":{"signatures":[]}}`)
		}), false},
		"an entry of no kind": {change(func(m *bundlev1.VerificationMaterial) { m.TlogEntries[0].KindVersion = nil }), false},
		"many hashes": {change(func(m *bundlev1.VerificationMaterial) {
			in.prove(t, m.TlogEntries[0])
			m.TlogEntries[0].InclusionProof.Hashes = repeated(maxProofHashes+1, []byte("x"))
		}), false},
	} {
		all := examine(t, v, tt.l)
		if !tt.held {
			mustBeRefused(t, name, all)
		} else if all[0].Signer == nil {
			t.Errorf("%s: %s", name, all[0].Problem)
		}
	}
}

func TestJunkBundles(t *testing.T) {
	p := ecdsaPair(t)
	v := NewVerifier([]*Key{p.public}, nil)
	good := p.bundle(t, signatureOf(imageA))
	text := string(encode(t, good))
	file := proto.CloneOf(good)
	file.Content = &bundlev1.Bundle_MessageSignature{MessageSignature: &commonv1.MessageSignature{
		MessageDigest: &commonv1.HashOutput{Algorithm: commonv1.HashAlgorithm_SHA2_256, Digest: make([]byte, 32)}, Signature: []byte("x")}}
	signed := func(payload string) string { return string(encode(t, p.bundle(t, []byte(payload)))) }
	sigs := func(n int) string {
		b := proto.CloneOf(good)
		b.GetDsseEnvelope().Signatures = repeated(n, &dssev1.Signature{Sig: b.GetDsseEnvelope().Signatures[0].Sig})
		return string(encode(t, b))
	}
	statementText := string(signatureOf(imageA))
	for name, content := range map[string]string{
		"empty object":         "{}",
		"null":                 "null",
		"truncated":            text[:len(text)/2],
		"more follows":         text + text,
		"member twice":         strings.Replace(text, "{", `{"mediaType":"x",`, 1),
		"unknown member":       strings.Replace(text, "{", `{"extra":1,`, 1),
		"deep":                 strings.Repeat(`{"a":`, 1000) + "1" + strings.Repeat("}", 1000),
		"many tokens":          `{"a":[` + strings.Repeat("1,", bundleTokens) + `1]}`,
		"a signed file":        string(encode(t, file)),
		"no signature":         sigs(0),
		"two signatures":       sigs(2),
		"other statement type": signed(strings.Replace(statementText, statementV1, "https://in-toto.io/Statement/v2", 1)),
		"no subject":           signed(strings.Replace(statementText, `"subject"`, `"object"`, 1)),
		"no predicate type":    signed(strings.Replace(statementText, `"predicateType"`, `"predicatetype"`, 1)),
		"type with a space":    signed(strings.Replace(statementText, core.PredicateSignature, core.PredicateSignature+" ", 1)),
		"type with a NUL":      signed(strings.Replace(statementText, core.PredicateSignature, core.PredicateSignature+`\u0000`, 1)),
		"long type":            signed(strings.Replace(statementText, core.PredicateSignature, "x:"+strings.Repeat("y", maxName-1), 1)),
		"subject twice":        signed(strings.Replace(statementText, "{", `{"subject":[],`, 1)),
		"short digest":         signed(strings.Replace(statementText, imageA.Encoded(), imageA.Encoded()[1:], 1)),
		"no JSON":              signed("hello"),
		"list":                 signed("[]"),
		"subject is a text":    signed(`{"_type":"` + statementV1 + `","subject":"x","predicateType":"x"}`),
		"subject of numbers":   signed(`{"_type":"` + statementV1 + `","subject":[1],"predicateType":"x"}`),
		"digest of numbers":    signed(`{"_type":"` + statementV1 + `","subject":[{"digest":{"sha256":1}}],"predicateType":"x"}`),
	} {
		e := one(t, v, layer{mediaType: v03, content: []byte(content)})
		if e.Kind != core.EvidenceUnreadable || e.Subject != "" || e.Signer != nil {
			t.Errorf("%s: %+v", name, e)
		}
	}
	// Readable, but with a member that differs in case, which sigstore-go takes for the same: two readings, no signer.
	twoReadings := strings.TrimSuffix(statementText, "}") + `,"PREDICATETYPE":"` + spdx + `"}`
	e := one(t, v, layer{mediaType: v03, content: []byte(signed(twoReadings))})
	if e.Signer != nil || e.PredicateType != core.PredicateSignature || !strings.Contains(e.Problem, "another than the one that was read") {
		t.Errorf("two readings: %+v", e)
	}
	unknown := proto.CloneOf(good)
	unknown.MediaType = typeBundlePrefix + ".v0.9+json"
	mustBeRefused(t, "unknown version", examine(t, v, bundleLayer(t, unknown)))
	unsigned := proto.CloneOf(good)
	unsigned.GetDsseEnvelope().Signatures[0].Sig = nil
	mustBeRefused(t, "empty signature", examine(t, v, bundleLayer(t, unsigned)))
	unsigned.GetDsseEnvelope().Signatures[0].Sig = make([]byte, maxSignature+1)
	mustBeRefused(t, "large signature", examine(t, v, bundleLayer(t, unsigned)))
}

func TestSubjectLimits(t *testing.T) {
	p := ecdsaPair(t)
	v := NewVerifier([]*Key{p.public}, nil)
	list := func(n int, annotations string) layer {
		var subjects []string
		for i := range n {
			subjects = append(subjects, fmt.Sprintf(`{"digest":{"sha256":%q}%s}`, digest.FromString(fmt.Sprint(i)).Encoded(), annotations))
		}
		return bundleLayer(t, p.bundle(t, fmt.Appendf(nil, `{"_type":%q,"predicateType":%q,"subject":[%s]}`, statementV1, spdx, strings.Join(subjects, ","))))
	}
	digests := func(n int) string {
		var b strings.Builder
		for i := range n - 1 {
			fmt.Fprintf(&b, `,"alg%d":"00"`, i)
		}
		return b.String()
	}
	if all := examine(t, v, list(maxSubjects, "")); len(all) != maxSubjects || all[maxSubjects-1].Signer == nil {
		t.Errorf("%d of %d subjects", len(all), maxSubjects)
	}
	mustBeRefused(t, "too many subjects", examine(t, v, list(maxSubjects+1, "")))
	for n, held := range map[int]bool{maxDigests: true, maxDigests + 1: false} {
		payload := strings.Replace(string(signatureOf(imageA)), `"}`, `"`+digests(n)+`}`, 1)
		if all := examine(t, v, bundleLayer(t, p.bundle(t, []byte(payload)))); (all[0].Signer != nil) != held {
			t.Errorf("%d digests: %+v", n, all[0])
		}
	}
	notes := func(n int) string {
		var b []string
		for i := range n {
			b = append(b, fmt.Sprintf(`"a%d":"x"`, i))
		}
		return `,"annotations":{` + strings.Join(b, ",") + "}"
	}
	if all := examine(t, v, list(1, `,"name":"a\u0000\u202eb`+strings.Repeat("é", maxName)+`","annotations":{"a":"\u0000","b":"c"}`)); len(all[0].Annotations) != 1 ||
		!strings.HasPrefix(all[0].Repository, "a??bé") || len(all[0].Repository) != maxName {
		t.Errorf("%+v", all)
	}
	if all := examine(t, v, list(1, notes(maxAnnotations))); all[0].Signer == nil || len(all[0].Annotations) != maxAnnotations {
		t.Errorf("%+v", all)
	}
	mustBeRefused(t, "too many annotations", examine(t, v, list(1, notes(maxAnnotations+1))))
}

// TestLargePredicate: an SBOM of a few MiB is evidence like any other.
func TestLargePredicate(t *testing.T) {
	p := ecdsaPair(t)
	predicate := `{"packages":[` + strings.Repeat(`{"name":"a","versionInfo":"1.0","licenses":["MIT"]},`, 60_000) + `{}]}`
	l := bundleLayer(t, p.bundle(t, statement(imageA, spdx, predicate)))
	if e := one(t, NewVerifier([]*Key{p.public}, nil), l); e.Signer == nil {
		t.Error(e.Problem)
	}
	st, err := ReadStatement(l.content)
	if err != nil || string(st.Predicate) != predicate || st.PredicateType != spdx {
		t.Errorf("%v", err)
	}
}

func TestItemLimit(t *testing.T) {
	p := ecdsaPair(t)
	var layers []layer
	for i := range MaxItems + 1 {
		layers = append(layers, p.legacyLayer(t, legacyPayload(imageA.String(), fmt.Sprintf(`{"n":"%d"}`, i))))
	}
	v := NewVerifier([]*Key{p.public}, nil)
	if all := examine(t, v, layers[1:]...); len(all) != MaxItems || all[MaxItems-1].Signer == nil {
		t.Errorf("%d items", len(all))
	}
	all := examine(t, v, layers...)
	if len(all) != MaxItems+1 || all[0].Annotations["n"] != fmt.Sprint(MaxItems) || all[MaxItems].Kind != core.EvidenceUnreadable {
		t.Errorf("%d items, first %+v", len(all), all[0])
	}
}

func TestReadingBlobs(t *testing.T) {
	p := ecdsaPair(t)
	m, blobs := manifestOf(t, bundleLayer(t, p.bundle(t, signatureOf(imageA))))
	broken := errors.New("disk")
	for name, open := range map[string]Blobs{
		"open fails": func(context.Context, digest.Digest) (io.ReadCloser, error) { return nil, broken },
		"read fails": func(context.Context, digest.Digest) (io.ReadCloser, error) {
			return io.NopCloser(iotest.ErrReader(broken)), nil
		},
	} {
		if _, err := Read(t.Context(), carrier, m, open); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	flipped := func(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
		r, err := blobs(ctx, d)
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(r)
		b[len(b)-1] ^= 1
		return io.NopCloser(strings.NewReader(string(b))), err
	}
	if _, err := Read(t.Context(), carrier, m, flipped); err == nil {
		t.Error("damaged bytes were read")
	}
	absent := func(context.Context, digest.Digest) (io.ReadCloser, error) {
		return nil, registry.NewError(registry.CodeBlobUnknown, "There is no such blob.")
	}
	items, err := Read(t.Context(), carrier, m, absent)
	if err != nil || len(items) != 1 || items[0].Evidence()[0].Kind != core.EvidenceUnreadable {
		t.Errorf("absent: %v %v", items, err)
	}
	for _, size := range []int64{1, m.Layers[0].Size - 1, m.Layers[0].Size + 1} {
		lie := *m
		lie.Layers = append(lie.Layers[:0:0], m.Layers...)
		lie.Layers[0].Size = size
		items, err := Read(t.Context(), carrier, &lie, blobs)
		if err != nil || len(items) != 1 || items[0].Evidence()[0].Kind != core.EvidenceUnreadable {
			t.Errorf("size %d: %v %v", size, items, err)
		}
	}
	m.Layers[0].Digest = "nonsense"
	if items, err := Read(t.Context(), carrier, m, blobs); err != nil || items[0].Evidence()[0].Kind != core.EvidenceUnreadable {
		t.Errorf("no digest: %v %v", items, err)
	}
	m.Layers[0].MediaType = "application/vnd.oci.image.layer.v1.tar"
	if items, err := Read(t.Context(), carrier, m, blobs); err != nil || len(items) != 0 {
		t.Errorf("ordinary manifest: %v %v", items, err)
	}
}

func TestReadStatement(t *testing.T) {
	p := ecdsaPair(t)
	payload := statement(imageA, vuln, `{"scanner":{"n":1}}`)
	for name, content := range map[string][]byte{"bundle": encode(t, p.bundle(t, payload)), "envelope": envelopeLayer(t, payload, p).content} {
		st, err := ReadStatement(content)
		if err != nil || string(st.Raw) != string(payload) || string(st.Predicate) != `{"scanner":{"n":1}}` ||
			st.PredicateType != vuln || len(st.Subjects) != 1 || st.Subjects[0].Digest["sha256"] != imageA.Encoded() {
			t.Errorf("%s: %+v %v", name, st, err)
		}
	}
	for name, content := range map[string]string{
		"legacy payload": string(legacyPayload(imageA.String(), "null")), "empty": "", "list": "[]", "junk bundle": `{"mediaType":"x"}`,
		"predicate twice": string(encode(t, p.bundle(t, []byte(strings.Replace(string(payload), "{", `{"predicate":1,`, 1))))),
		"too long":        strings.Repeat(" ", MaxArtifact+1),
		"other type":      `{"payload":"` + base64.StdEncoding.EncodeToString(payload) + `","payloadType":"text/plain","signatures":[{"sig":"AAAA"}]}`,
	} {
		if st, err := ReadStatement([]byte(content)); err == nil || st != nil {
			t.Errorf("%s: %+v", name, st)
		}
	}
}
