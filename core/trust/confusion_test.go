package trust

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/proto"

	"github.com/hallmarkhub/hallmark/core"
)

// enumerate calls f with every choice of one of three for each of n parts.
func enumerate(n int, f func(choice []int, original bool)) {
	choice := make([]int, n)
	for {
		f(choice, len(slices.Compact(slices.Clone(choice))) == 1)
		i := 0
		for ; i < n; i++ {
			if choice[i]++; choice[i] < 3 {
				break
			}
			choice[i] = 0
		}
		if i == n {
			return
		}
	}
}

// part moves one part of a bundle from one to another.
type part func(to, from *bundlev1.Bundle)

func partCertificate(to, from *bundlev1.Bundle) {
	to.VerificationMaterial.Content = from.VerificationMaterial.Content
}
func partPayload(to, from *bundlev1.Bundle) {
	to.GetDsseEnvelope().Payload = from.GetDsseEnvelope().Payload
}
func partSignature(to, from *bundlev1.Bundle) {
	to.GetDsseEnvelope().Signatures = from.GetDsseEnvelope().Signatures
}
func partStamp(to, from *bundlev1.Bundle) {
	to.VerificationMaterial.TimestampVerificationData = from.VerificationMaterial.TimestampVerificationData
}
func partPromise(to, from *bundlev1.Bundle) {
	entryOf(to).InclusionPromise = entryOf(from).InclusionPromise
}
func partProof(to, from *bundlev1.Bundle) { entryOf(to).InclusionProof = entryOf(from).InclusionProof }
func partEntry(to, from *bundlev1.Bundle) {
	promise, proof := entryOf(to).InclusionPromise, entryOf(to).InclusionProof
	to.VerificationMaterial.TlogEntries = []*rekorv1.TransparencyLogEntry{proto.CloneOf(entryOf(from))}
	entryOf(to).InclusionPromise, entryOf(to).InclusionProof = promise, proof
}
func entryOf(b *bundlev1.Bundle) *rekorv1.TransparencyLogEntry {
	return b.VerificationMaterial.TlogEntries[0]
}

func mixAll(t *testing.T, v *Verifier, from [3]*bundlev1.Bundle, parts []part) {
	t.Helper()
	mixed := 0
	enumerate(len(parts), func(choice []int, original bool) {
		b := proto.CloneOf(from[0])
		for i, p := range parts {
			p(b, proto.CloneOf(from[choice[i]]))
		}
		all := examine(t, v, bundleLayer(t, b))
		if original {
			if len(all) != 1 || all[0].Signer == nil || len(all[0].Signer.Logs) != 1 {
				t.Errorf("the original %d does not hold: %+v", choice[0], all)
			}
			return
		}
		mixed++
		mustBeRefused(t, fmt.Sprint("mixture ", choice), all)
	})
	t.Logf("%d mixtures", mixed)
}

// payloads are three that differ in subject or type.
func payloads() [3][]byte {
	return [3][]byte{signatureOf(imageA), statement(imageA, spdx, `{"spdxVersion":"SPDX-2.3"}`), signatureOf(imageB)}
}

// TestMixedKeyless holds V-33: of three valid bundles every mixture of parts is refused.
func TestMixedKeyless(t *testing.T) {
	in := newInstance(t)
	var from [3]*bundlev1.Bundle
	for i, p := range payloads() {
		from[i] = in.bundle(t, p)
		in.prove(t, entryOf(from[i]))
		entryOf(from[i]).LogIndex = 7
		from[i].MediaType = typeBundlePrefix + "+json;version=0.2"
	}
	mixAll(t, NewVerifier(nil, map[string]*TrustRoot{"house": in.root}), from,
		[]part{partCertificate, partPayload, partSignature, partEntry, partPromise, partProof, partStamp})
}

func TestMixedKeyed(t *testing.T) {
	in := newInstance(t)
	var from [3]*bundlev1.Bundle
	var keys []*Key
	for i, payload := range payloads() {
		p := ecdsaPair(t)
		keys = append(keys, p.public)
		from[i] = p.bundle(t, payload)
		from[i].MediaType = v01
		env := from[i].GetDsseEnvelope()
		from[i].VerificationMaterial.TlogEntries = []*rekorv1.TransparencyLogEntry{in.entry(t, envelopeBody(env, publicPEM(t, p.private.Public())), 3)}
		from[i].VerificationMaterial.TimestampVerificationData = in.stamp(t, env.Signatures[0].Sig)
	}
	parts := []part{partPayload, partSignature, partEntry, partPromise, partStamp}
	mixAll(t, NewVerifier(keys, map[string]*TrustRoot{"house": in.root}), from, parts)

	// Where the log and the authority are not registered, a foreign entry or timestamp is noticed all the same.
	v := NewVerifier(keys, nil)
	for _, p := range []part{partEntry, partStamp} {
		b := proto.CloneOf(from[0])
		p(b, proto.CloneOf(from[1]))
		mustBeRefused(t, "unregistered log", examine(t, v, bundleLayer(t, b)))
	}
}

// TestMixedLegacy does the same with the annotations of legacy signatures.
func TestMixedLegacy(t *testing.T) {
	in := newInstance(t)
	v := NewVerifier(nil, map[string]*TrustRoot{"house": in.root})
	var from [3]layer
	for i, d := range []string{imageA.String(), imageB.String(), carrier.String()} {
		from[i] = in.legacyLayer(t, legacyPayload(d, `{"n":"`+fmt.Sprint(i)+`"}`))
	}
	parts := []string{"content", annotationSignature, annotationCertificate, "promise", "entry", annotationTimestamp}
	mixed := 0
	enumerate(len(parts), func(choice []int, original bool) {
		l := layer{mediaType: typeSimpleSigning, annotations: map[string]string{}}
		var entry, promise legacyBundle
		for i, p := range parts {
			f := from[choice[i]]
			switch p {
			case "content":
				l.content = f.content
			case "entry":
				mustDecode(t, f.annotations[annotationEntry], &entry)
			case "promise":
				mustDecode(t, f.annotations[annotationEntry], &promise)
			default:
				l.annotations[p] = f.annotations[p]
			}
		}
		entry.SignedEntryTimestamp = promise.SignedEntryTimestamp
		text, _ := json.Marshal(entry)
		l.annotations[annotationEntry] = string(text)
		all := examine(t, v, l)
		if original {
			if len(all) != 1 || all[0].Signer == nil {
				t.Errorf("the original does not hold: %+v", all)
			}
			return
		}
		mixed++
		mustBeRefused(t, fmt.Sprint("mixture ", choice), all)
	})
	t.Logf("%d mixtures", mixed)
}

type legacyBundle struct {
	SignedEntryTimestamp []byte
	Payload              struct {
		Body           []byte `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogIndex       int64  `json:"logIndex"`
		LogID          string `json:"logID"`
	}
}

func mustDecode(t testing.TB, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

func legacyPayload(d, optional string) []byte {
	return fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":"hub.example/p/app"},"image":{"docker-manifest-digest":%q},`+
		`"type":"cosign container image signature"},"optional":%s}`, d, optional)
}

func legacyEntryText(t testing.TB, e *rekorv1.TransparencyLogEntry) string {
	t.Helper()
	var b legacyBundle
	b.SignedEntryTimestamp = e.InclusionPromise.SignedEntryTimestamp
	b.Payload.Body, b.Payload.IntegratedTime, b.Payload.LogIndex = e.CanonicalizedBody, e.IntegratedTime, e.LogIndex
	b.Payload.LogID = hex.EncodeToString(e.LogId.KeyId)
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// legacyLayer is a keyless signature as cosign 2 writes it.
func (in *instance) legacyLayer(t testing.TB, payload []byte) layer {
	t.Helper()
	cert, private, err := in.GenerateLeafCert(who, issuer)
	if err != nil {
		t.Fatal(err)
	}
	sig := signWith(t, private, payload)
	stamp, err := json.Marshal(map[string][]byte{"SignedRFC3161Timestamp": in.stamp(t, sig).Rfc3161Timestamps[0].SignedTimestamp})
	if err != nil {
		t.Fatal(err)
	}
	return layer{mediaType: typeSimpleSigning, content: payload, annotations: map[string]string{
		annotationSignature:   base64.StdEncoding.EncodeToString(sig),
		annotationCertificate: string(certPEM(cert)),
		annotationEntry:       legacyEntryText(t, in.entry(t, payloadBody(payload, sig, certPEM(cert)), 11)),
		annotationTimestamp:   string(stamp),
	}}
}

// TestDistinct holds V-35: a log or an authority counts once, however often it appears.
func TestDistinct(t *testing.T) {
	in := newInstance(t)
	v := NewVerifier(nil, map[string]*TrustRoot{"house": in.root})
	b := in.bundle(t, signatureOf(imageA))
	body := entryOf(b).CanonicalizedBody
	b.VerificationMaterial.TlogEntries = append(b.VerificationMaterial.TlogEntries, in.entry(t, body, 8), in.entry(t, body, 9))
	stamps := b.VerificationMaterial.TimestampVerificationData
	again := in.stamp(t, b.GetDsseEnvelope().Signatures[0].Sig)
	stamps.Rfc3161Timestamps = append(stamps.Rfc3161Timestamps, stamps.Rfc3161Timestamps[0], again.Rfc3161Timestamps[0])
	e := one(t, v, bundleLayer(t, b))
	if e.Signer == nil || len(e.Signer.Logs) != 1 || len(e.Signer.Times) != 2 {
		t.Errorf("%+v %s", e.Signer, e.Problem)
	}
	b.VerificationMaterial.TlogEntries = append(b.VerificationMaterial.TlogEntries, in.entry(t, body, 9))
	mustBeRefused(t, "the same entry twice", examine(t, v, bundleLayer(t, b)))
}

// TestOneLogUnderTwoNames: a trust root may list one key under two ids, but it is one log.
func TestOneLogUnderTwoNames(t *testing.T) {
	in := newInstance(t)
	logs := in.logs(t)
	for _, l := range in.logs(t) {
		l.ID = []byte("another id of the same log 32 by")
		logs[hex.EncodeToString(l.ID)] = l
	}
	r := makeRoot(t, in.FulcioCertificateAuthorities(), in.TimestampingAuthorities(), logs)
	b := in.bundle(t, signatureOf(imageA))
	b.VerificationMaterial.TlogEntries = append(b.VerificationMaterial.TlogEntries,
		in.entryAs(t, entryOf(b).CanonicalizedBody, 8, hex.EncodeToString([]byte("another id of the same log 32 by"))))
	e := one(t, NewVerifier(nil, map[string]*TrustRoot{"house": r}), bundleLayer(t, b))
	// sigstore-go counts ids and is asked for one; the second id of the key is not counted.
	if e.Signer == nil || len(e.Signer.Logs) != 1 || slices.ContainsFunc(e.Signer.Times[1:], func(s core.SignedTime) bool { return s.Source == core.TimeLog }) {
		t.Errorf("%+v %s", e.Signer, e.Problem)
	}
}

// TestEnvelopeIsSignedWhole: neither type nor payload can be exchanged under a signature.
func TestEnvelopeIsSignedWhole(t *testing.T) {
	p := ecdsaPair(t)
	v := NewVerifier([]*Key{p.public}, nil)
	b := p.bundle(t, signatureOf(imageA))
	env := b.GetDsseEnvelope()
	env.Signatures[0].Sig = p.sign(t, dsse.PAE("text/plain", env.Payload))
	mustBeRefused(t, "signed as another type", examine(t, v, bundleLayer(t, b)))
	env.Signatures[0].Sig = p.sign(t, env.Payload)
	mustBeRefused(t, "signed without its type", examine(t, v, bundleLayer(t, b)))
	env.PayloadType = "text/plain"
	mustBeRefused(t, "another type", examine(t, v, bundleLayer(t, b)))
}
