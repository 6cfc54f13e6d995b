package attack

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"
)

const (
	typeBundle    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	typeEmpty     = "application/vnd.oci.empty.v1+json"
	typeSimple    = "application/vnd.dev.cosign.simplesigning.v1+json"
	predicateSign = "https://sigstore.dev/cosign/sign/v1"
)

// gateHubs have the gate in force in new projects, which is what a hub does unless it is told otherwise.
var gateHubs = newHubs("HALLMARK_BASELINE=enforce")

// gated is a project in which the gate is in force, seen by somebody who may only pull.
type gated struct {
	*hub
	project, repo string
	guest         who
	key           *signer // registered as "release"
}

func (h *hub) gated(t testing.TB) *gated {
	t.Helper()
	g := &gated{hub: h, project: h.project(t, "gated", "private"), key: newSigner(t)}
	g.repo, g.guest = g.project+"/app", h.newMember(t, g.project, "guest")
	h.do(t, h.admin(), "PUT", "/api/v1/projects/"+g.project+"/authorities/release", map[string]any{"public_key": g.key.pem}, headers{"If-Match": "*"}).
		want(t, "register a key", 200, 201)
	return g
}

// routes are all ways to an image.
func (g *gated) routes(tag string, im image) map[string]string {
	return map[string]string{
		"the tag": manifestPath(g.repo, tag), "the digest": manifestPath(g.repo, im.digest.String()),
		"the config": blobPath(g.repo, digestOf(im.config)), "the layer": blobPath(g.repo, digestOf(im.layer)),
	}
}

// signer has a key.
type signer struct {
	key *ecdsa.PrivateKey
	pem string
}

func newSigner(t testing.TB) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{key, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
}

func (s *signer) sign(message []byte) []byte {
	sum := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, s.key, sum[:])
	if err != nil {
		panic(err) // there is no such key
	}
	return sig
}

// bundle is a signed statement as cosign 3 stores it.
func (s *signer) bundle(subject digest.Digest, predicateType string) []byte {
	payload, _ := json.Marshal(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": predicateType, "predicate": map[string]any{},
		"subject": []any{map[string]any{"digest": map[string]string{"sha256": subject.Encoded()}}},
	})
	const payloadType = "application/vnd.in-toto+json"
	// DSSE, "Pre-Authentication Encoding".
	sig := s.sign(fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload))
	b, _ := json.Marshal(map[string]any{
		"mediaType": typeBundle, "verificationMaterial": map[string]any{"publicKey": map[string]string{"hint": ""}},
		"dsseEnvelope": map[string]any{"payload": payload, "payloadType": payloadType, "signatures": []any{map[string]any{"sig": sig}}},
	})
	return b
}

// attach pushes content as cosign 3 does, and returns the digest of the manifest.
func (h *hub) attach(t testing.TB, p who, repo string, subject digest.Digest, content []byte) digest.Digest {
	t.Helper()
	h.pushBlob(t, p, repo, []byte("{}"))
	h.pushBlob(t, p, repo, content)
	m, _ := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": typeManifest, "artifactType": typeBundle,
		"config":  descriptor{typeEmpty, digestOf([]byte("{}")), 2},
		"layers":  []descriptor{{typeBundle, digestOf(content), len(content)}},
		"subject": descriptor{typeManifest, subject, 1},
	})
	h.putManifest(t, p, repo, "", typeManifest, m).want(t, "attach", 201)
	return digestOf(m)
}

// signed pushes a new image and its signature.
func (g *gated) signed(t testing.TB, tag string) image {
	t.Helper()
	im := g.pushImage(t, g.admin(), g.repo, tag, makeImage(nil))
	g.attach(t, g.admin(), g.repo, im.digest, g.key.bundle(im.digest, predicateSign))
	return im
}

// legacy is a signature as cosign 2 stores it under a tag: the manifest and its payload.
func (s *signer) legacy(subject digest.Digest, reference string) (manifest, config, payload []byte) {
	payload = fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`,
		reference, subject)
	config = fmt.Appendf(nil, `{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":[%q]}}`, digestOf(payload))
	manifest, _ = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": typeManifest, "config": descriptor{typeConfig, digestOf(config), len(config)},
		"layers": []any{map[string]any{"mediaType": typeSimple, "digest": digestOf(payload), "size": len(payload),
			"annotations": map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(s.sign(payload))}}},
	})
	return manifest, config, payload
}
