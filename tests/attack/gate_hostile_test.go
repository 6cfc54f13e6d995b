package attack

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/trust/signertest"
)

// hostile are bundles that do not vouch for the image, though each has something that could make a verifier say so, or
// make it fail, or keep it busy. Where one has a signature of the registered key, that is over something else.
func hostile(key *signertest.Signer, subject digest.Digest) map[string][]byte {
	b64 := base64.StdEncoding.EncodeToString
	other := digest.FromString("another image")
	fine := string(key.Bundle(subject, predicateSign, map[string]any{}))
	elsewhere := string(key.Bundle(other, predicateSign, map[string]any{}))
	statement := signertest.Statement(subject, predicateSign, map[string]any{})
	bundle := func(material, content string) []byte {
		return fmt.Appendf(nil, `{"mediaType":%q,"verificationMaterial":{%s},%s}`, typeBundle, material, content)
	}
	envelope := func(signatures string) string {
		return fmt.Sprintf(`"dsseEnvelope":{"payload":%q,"payloadType":%q,"signatures":%s}`, b64(statement), signertest.PayloadType, signatures)
	}
	const byKey = `"publicKey":{"hint":""}`
	many := func(n int, s string) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }
	genuine := func(statement string) []byte { return key.Envelope([]byte(statement)) }
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write([]byte(fine)) // into memory
	_ = w.Close()
	of := func(d digest.Digest) string { return fmt.Sprintf(`{"digest":{"sha256":%q}}`, d.Encoded()) }
	return map[string][]byte{
		"empty": {' '}, "null": []byte("null"), "a list": []byte("[]"), "a number": []byte("1e400"), "NULs": make([]byte, 4096),
		"a byte order mark": []byte("\ufeff" + fine), "zipped": zipped.Bytes(), "two documents": []byte(elsewhere + fine),
		"not UTF-8":           []byte(strings.Replace(fine, `"hint":""`, "\"hint\":\"\xff\xfe\"", 1) + "\xff"),
		"spaces":              bytes.Repeat([]byte{' '}, 8<<20),
		"too large":           append([]byte(fine), bytes.Repeat([]byte{' '}, 17<<20)...),
		"deep lists":          []byte(strings.Repeat("[", 1<<20)),
		"deep objects":        []byte(strings.Repeat(`{"a":`, 1<<20)),
		"a million numbers":   bundle(byKey, `"n":[`+many(1_000_000, "1")+`]`),
		"a million keys":      []byte(`{` + many(1_000_000, `"a":0`) + `}`),
		"an unknown version":  []byte(strings.Replace(fine, "v0.3+json", "v9.9+json", 1)),
		"no version":          []byte(strings.Replace(fine, typeBundle, "", 1)),
		"no signatures":       bundle(byKey, envelope(`[]`)),
		"no signature in it":  bundle(byKey, envelope(`[{}]`)),
		"null as signature":   bundle(byKey, envelope(`[null]`)),
		"many signatures":     bundle(byKey, envelope(`[`+many(50_000, `{"sig":"MEUCIQ=="}`)+`]`)),
		"a long signature":    bundle(byKey, envelope(`[{"sig":"`+b64(make([]byte, 6<<20))+`"}]`)),
		"no content":          bundle(byKey, `"messageSignature":{}`),
		"of the digest alone": bundle(byKey, fmt.Sprintf(`"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":%q},"signature":%q}`, b64([]byte(subject.Encoded())), b64(key.Sign([]byte(subject.String()))))),
		"certificates":        bundle(`"x509CertificateChain":{"certificates":[`+many(10_000, `{"rawBytes":"MIIB"}`)+`]}`, envelope(`[{"sig":"MEUCIQ=="}]`)),
		"a damaged one":       bundle(`"certificate":{"rawBytes":"`+b64(randomBytes(512))+`"}`, envelope(`[{"sig":"MEUCIQ=="}]`)),
		"log entries":         bundle(byKey+`,"tlogEntries":[`+many(20_000, `{}`)+`]`, envelope(`[{"sig":"MEUCIQ=="}]`)),
		"proofs": bundle(byKey+`,"tlogEntries":[{"logIndex":"9223372036854775807","logId":{"keyId":"AA=="},"kindVersion":{"kind":"dsse","version":"0.0.1"},"canonicalizedBody":"`+
			b64([]byte(strings.Repeat("[", 100_000)))+`","inclusionProof":{"logIndex":"-1","treeSize":"-1","hashes":[`+many(50_000, `"AA=="`)+`],"checkpoint":{"envelope":"\n\n"}}}]`, envelope(`[{"sig":"MEUCIQ=="}]`)),
		"times":                     bundle(byKey+`,"timestampVerificationData":{"rfc3161Timestamps":[`+many(20_000, `{"signedTimestamp":"MIIB"}`)+`]}`, envelope(`[{"sig":"MEUCIQ=="}]`)),
		"two envelopes, this last":  []byte(strings.TrimSuffix(elsewhere, "}") + "," + envelope(`[{"sig":"MEUCIQ=="}]`) + "}"),
		"two envelopes, this first": bundle(byKey, envelope(`[{"sig":"MEUCIQ=="}]`)+","+elsewhere[strings.Index(elsewhere, `"dsseEnvelope"`):strings.LastIndex(elsewhere, `,"mediaType"`)]),
		"two payloads":              []byte(strings.Replace(elsewhere, `"payload":`, `"payload":"`+b64(statement)+`","payload":`, 1)),
		"another type of payload":   []byte(strings.Replace(fine, signertest.PayloadType, "text/plain", 1)),
		// Signed by the key that is registered, and no signature of this image.
		"no subject":           genuine(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"` + predicateSign + `","predicate":{}}`),
		"subjects of nothing":  genuine(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"` + predicateSign + `","subject":[` + many(5_000, "{}") + `],"predicate":{}}`),
		"two lists":            genuine(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"` + predicateSign + `","subject":[` + of(subject) + `],"subject":[` + of(other) + `],"predicate":{}}`),
		"two types":            genuine(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"` + predicateSign + `","predicateType":"https://example.com/failed","subject":[` + of(subject) + `],"predicate":{}}`),
		"types in other cases": genuine(`{"_type":"https://in-toto.io/Statement/v1","PredicateType":"` + predicateSign + `","Subject":[` + of(subject) + `],"predicate":{}}`),
		"half a digest":        genuine(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"` + predicateSign + `","subject":[{"digest":{"sha256":"` + subject.Encoded()[:32] + `"}}],"predicate":{}}`),
		"the name of it":       genuine(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"` + predicateSign + `","subject":[{"name":"` + subject.String() + `","digest":{"sha256":"` + other.Encoded() + `"}}],"predicate":{}}`),
		"another hash of it":   genuine(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"` + predicateSign + `","subject":[{"digest":{"sha1":"` + subject.Encoded() + `","gitCommit":"` + subject.Encoded() + `"}}],"predicate":{}}`),
		"not a statement":      genuine(`{"subject":[` + of(subject) + `],"predicateType":"` + predicateSign + `"}`),
		"deep predicate":       genuine(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"` + predicateSign + `","subject":[` + of(other) + `],"predicate":` + strings.Repeat(`[`, 200_000) + strings.Repeat(`]`, 200_000) + `}`),
	}
}

// TestV36HostileBundles: whatever a pusher attaches, what does not vouch for an image lets nobody pull it, hides nothing
// that does, and costs the hub neither its life nor its memory.
func TestV36HostileBundles(t *testing.T) {
	gateHubs.on(t, func(t *testing.T, h *hub) {
		g := h.gated(t)
		pusher := h.newMember(t, g.project, "developer")
		bad := g.pushImage(t, g.admin(), g.repo, "bad", makeImage(nil))
		refused := func(what string) {
			t.Helper()
			for way, path := range g.routes("bad", bad) {
				if a := h.do(t, g.guest, "GET", path, nil); a.status != 403 || a.code() != "DENIED" {
					t.Errorf("%s: %s: %s", what, way, a)
				}
			}
		}
		const most = 256 << 20
		h.frugal(t, most, func() {
			for what, content := range hostile(g.key, bad.digest) {
				h.attach(t, pusher, g.repo, bad.digest, content)
				refused(what)
			}
		})
		// The old format, where everything stands in annotations.
		for what, annotations := range map[string]map[string]string{
			"no signature":     {},
			"no base64":        {"dev.cosignproject.cosign/signature": "%%%"},
			"empty":            {"dev.cosignproject.cosign/signature": ""},
			"a certificate":    {"dev.cosignproject.cosign/signature": "MEUCIQ==", "dev.sigstore.cosign/certificate": "-----BEGIN CERTIFICATE-----\n" + random(200) + "\n-----END CERTIFICATE-----"},
			"a deep log entry": {"dev.cosignproject.cosign/signature": "MEUCIQ==", "dev.sigstore.cosign/bundle": strings.Repeat("[", 100_000)},
			"a timestamp":      {"dev.cosignproject.cosign/signature": "MEUCIQ==", "dev.sigstore.cosign/rfc3161timestamp": `{"SignedRFC3161Timestamp":"` + random(100) + `"}`},
		} {
			manifest, config, payload := legacySignature(g.key, bad.digest, h.addr+"/"+g.repo)
			var m map[string]any
			if err := json.Unmarshal(manifest, &m); err != nil {
				t.Fatal(err)
			}
			m["layers"].([]any)[0].(map[string]any)["annotations"] = annotations
			manifest, _ = json.Marshal(m)
			g.pushBlob(t, pusher, g.repo, config)
			g.pushBlob(t, pusher, g.repo, payload)
			g.putManifest(t, pusher, g.repo, "sha256-"+bad.digest.Encoded()+".sig", typeManifest, manifest).want(t, "push "+what, 201, 400)
			refused("in the old format, " + what)
		}
		g.attach(t, g.admin(), g.repo, bad.digest, g.key.Bundle(bad.digest, predicateSign, map[string]any{}))
		h.do(t, g.guest, "GET", manifestPath(g.repo, "bad"), nil).want(t, "beside all that, it is signed", 200)
	})
}

// TestV36DamagedBundles: a bundle that vouches for one image, however it is damaged, vouches for no other one.
func TestV36DamagedBundles(t *testing.T) {
	gateHubs.on(t, func(t *testing.T, h *hub) {
		g := h.gated(t)
		pusher := h.newMember(t, g.project, "developer")
		good, bad := g.pushImage(t, g.admin(), g.repo, "good", makeImage(nil)), g.pushImage(t, g.admin(), g.repo, "bad", makeImage(nil))
		whole := g.key.Bundle(good.digest, predicateSign, map[string]any{})
		seed := mathrand.Uint64()
		r := mathrand.New(mathrand.NewPCG(seed, seed))
		for i := range 150 {
			content := bytes.Clone(whole)
			for range r.IntN(3) + 1 {
				switch at := r.IntN(len(content)); r.IntN(4) {
				case 0:
					content[at] ^= 1 << r.IntN(8)
				case 1:
					content = append(content[:at], content[min(len(content), at+r.IntN(20)+1):]...)
				case 2:
					content = append(content[:at], append([]byte(bad.digest.Encoded()[:r.IntN(64)+1]), content[at:]...)...)
				case 3: // of what is signed, encoded anew
					text := strings.Replace(string(signertest.Statement(good.digest, predicateSign, map[string]any{})), good.digest.Encoded(), bad.digest.Encoded(), 1)
					content = bytes.Replace(content, []byte(base64.StdEncoding.EncodeToString(signertest.Statement(good.digest, predicateSign, map[string]any{}))),
						[]byte(base64.StdEncoding.EncodeToString([]byte(text))), 1)
				}
				if len(content) == 0 {
					content = []byte("{}")
				}
			}
			h.attach(t, pusher, g.repo, bad.digest, content)
			if a := h.do(t, g.guest, "GET", manifestPath(g.repo, "bad"), nil); a.status != 403 {
				t.Fatalf("seed %d, trial %d: %s\n%s", seed, i, a, content)
			}
		}
		h.attach(t, pusher, g.repo, good.digest, whole)
		h.do(t, g.guest, "GET", manifestPath(g.repo, "good"), nil).want(t, "what it does vouch for", 200)
	})
}
