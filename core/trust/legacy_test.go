package trust

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/hallmarkhub/hallmark/core"
)

func (p *pair) legacyLayer(t testing.TB, payload []byte) layer {
	t.Helper()
	return layer{mediaType: typeSimpleSigning, content: payload, annotations: map[string]string{
		annotationSignature: base64.StdEncoding.EncodeToString(p.sign(t, payload)),
	}}
}

type testEnvelope struct {
	Payload     []byte          `json:"payload"`
	PayloadType string          `json:"payloadType"`
	Signatures  []testSignature `json:"signatures"`
}

type testSignature struct {
	KeyID string `json:"keyid"`
	Sig   []byte `json:"sig"`
}

func envelopeLayer(t testing.TB, payload []byte, pairs ...*pair) layer {
	t.Helper()
	env := testEnvelope{Payload: payload, PayloadType: "application/vnd.in-toto+json"}
	for _, p := range pairs {
		env.Signatures = append(env.Signatures, testSignature{Sig: p.sign(t, dsse.PAE(env.PayloadType, payload))})
	}
	text, err := json.Marshal(env)
	if err != nil {
		t.Fatal(err)
	}
	return layer{mediaType: typeEnvelope, content: text, annotations: map[string]string{annotationSignature: "", "predicateType": core.PredicateSignature}}
}

func TestLegacySignature(t *testing.T) {
	for name, p := range allPairs(t) {
		l := p.legacyLayer(t, legacyPayload(imageA.String(), `{"env":"prod","n":1}`))
		e := one(t, NewVerifier([]*Key{ecdsaPair(t).public, p.public}, nil), l)
		if e.Signer == nil || e.Signer.Key != p.public.Fingerprint {
			t.Errorf("%s: %+v %s", name, e.Signer, e.Problem)
		}
		if e.Kind != core.EvidenceSignature || e.Format != core.FormatLegacySignature || e.Subject != imageA.String() ||
			e.Repository != "hub.example/p/app" || e.PredicateType != "" || e.Payload != e.Content || len(e.Annotations) != 1 || e.Annotations["env"] != "prod" {
			t.Errorf("%s: %+v", name, e)
		}
		mustBeRefused(t, name+", wrong key", examine(t, NewVerifier([]*Key{ecdsaPair(t).public}, nil), l))
		l.content = legacyPayload(imageB.String(), `{"env":"prod","n":1}`)
		mustBeRefused(t, name+", other payload", examine(t, NewVerifier([]*Key{p.public}, nil), l))
	}
}

func TestLegacyWithKeyAndLog(t *testing.T) {
	in, p := newInstance(t), ecdsaPair(t)
	v := NewVerifier([]*Key{p.public}, map[string]*TrustRoot{"house": in.root})
	l := p.legacyLayer(t, legacyPayload(imageA.String(), "null"))
	sig, _ := base64.StdEncoding.DecodeString(l.annotations[annotationSignature])
	l.annotations[annotationEntry] = legacyEntryText(t, in.entry(t, payloadBody(l.content, sig, publicPEM(t, p.private.Public())), 1))
	if e := one(t, v, l); e.Signer == nil || e.Signer.Key == "" || e.Signer.TrustRoot != "house" || len(e.Signer.Logs) != 1 || len(e.Signer.Times) != 1 {
		t.Errorf("%+v %s", e.Signer, e.Problem)
	}
	for name, value := range map[string]string{
		"junk": "{", "no log entry": "[]", "empty": "{}", "other kind": strings.Replace(l.annotations[annotationEntry], "logIndex", "logindex", 1),
	} {
		l.annotations[annotationEntry] = value
		mustBeRefused(t, name, examine(t, v, l))
	}
}

func TestLegacyKeyless(t *testing.T) {
	in := newInstance(t)
	v := NewVerifier(nil, map[string]*TrustRoot{"house": in.root})
	l := in.legacyLayer(t, legacyPayload(imageA.String(), "null"))
	e := one(t, v, l)
	if e.Signer == nil || e.Signer.Subject != who || len(e.Signer.Logs) != 1 || len(e.Signer.Times) != 2 {
		t.Errorf("%+v %s", e.Signer, e.Problem)
	}
	for _, name := range []string{annotationSignature, annotationCertificate, annotationTimestamp} {
		l := in.legacyLayer(t, legacyPayload(imageA.String(), "null"))
		l.annotations[name] = "%junk%"
		mustBeRefused(t, name, examine(t, v, l))
	}
	delete(l.annotations, annotationCertificate)
	mustBeRefused(t, "no certificate", examine(t, v, l))
}

func TestLegacyPayloads(t *testing.T) {
	p := ecdsaPair(t)
	v := NewVerifier([]*Key{p.public}, nil)
	good := string(legacyPayload(imageA.String(), "null"))
	for name, payload := range map[string]string{
		"other type":       strings.Replace(good, payloadType, "atomic container signature", 1),
		"no digest":        strings.Replace(good, imageA.String(), "latest", 1),
		"upper-case":       strings.Replace(good, imageA.Encoded(), strings.ToUpper(imageA.Encoded()), 1),
		"twice":            strings.Replace(good, `"image":`, `"image":{"docker-manifest-digest":"`+imageB.String()+`"},"image":`, 1),
		"other case":       strings.Replace(good, `"image":`, `"Image":`, 1),
		"more after it":    good + "{}",
		"truncated":        good[:len(good)-2],
		"a statement":      string(signatureOf(imageA)),
		"not an object":    `"text"`,
		"wrong types":      `{"critical":[]}`,
		"many annotations": strings.Replace(good, "null", `{"a":"`+strings.Repeat("x", maxAnnotationBytes)+`"}`, 1),
	} {
		e := one(t, v, p.legacyLayer(t, []byte(payload)))
		if e.Kind != core.EvidenceUnreadable || e.Subject != "" || e.Signer != nil || e.Problem == "" {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func TestLegacyAttestation(t *testing.T) {
	a, b, stranger := ecdsaPair(t), ecdsaPair(t), ecdsaPair(t)
	v := NewVerifier([]*Key{a.public, b.public}, nil)
	for name, p := range allPairs(t) {
		e := one(t, NewVerifier([]*Key{p.public}, nil), envelopeLayer(t, statement(imageA, spdx, `{"n":1}`), p))
		if e.Signer == nil || e.Kind != core.EvidenceAttestation || e.Format != core.FormatLegacyAttestation || e.PredicateType != spdx || e.Subject != imageA.String() {
			t.Errorf("%s: %+v", name, e)
		}
	}
	all := examine(t, v, envelopeLayer(t, statement(imageA, spdx, "{}"), a, stranger, b))
	if len(all) != 3 || all[0].Signer == nil || all[1].Signer != nil || all[2].Signer == nil || all[0].Signer.Key == all[2].Signer.Key {
		t.Errorf("several signatures: %+v", all)
	}
	mustBeRefused(t, "stranger", examine(t, v, envelopeLayer(t, statement(imageA, spdx, "{}"), stranger)))
	mustBeRefused(t, "nobody", examine(t, v, envelopeLayer(t, statement(imageA, spdx, "{}"))))
	many := make([]*pair, maxSignatures+1)
	for i := range many {
		many[i] = a
	}
	if all := examine(t, v, envelopeLayer(t, signatureOf(imageA), many[1:]...)); len(all) != maxSignatures || all[0].Signer == nil {
		t.Errorf("at the limit: %+v", all)
	}
	mustBeRefused(t, "past the limit", examine(t, v, envelopeLayer(t, signatureOf(imageA), many...)))
}

func TestLegacyKeylessAttestation(t *testing.T) {
	in := newInstance(t)
	cert, private, err := in.GenerateLeafCert(who, issuer)
	if err != nil {
		t.Fatal(err)
	}
	env := envelope(t, private, statement(imageA, spdx, "{}"))
	text, err := json.Marshal(testEnvelope{Payload: env.Payload, PayloadType: env.PayloadType, Signatures: []testSignature{{Sig: env.Signatures[0].Sig}}})
	if err != nil {
		t.Fatal(err)
	}
	l := layer{mediaType: typeEnvelope, content: text, annotations: map[string]string{
		annotationCertificate: string(certPEM(cert)),
		annotationEntry:       legacyEntryText(t, in.entry(t, envelopeBody(env, certPEM(cert)), 5)),
	}}
	if e := one(t, NewVerifier(nil, map[string]*TrustRoot{"house": in.root}), l); e.Signer == nil || len(e.Signer.Logs) != 1 {
		t.Errorf("%+v %s", e.Signer, e.Problem)
	}
}
