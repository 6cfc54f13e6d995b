package attack

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/trust/signertest"
)

const (
	typeBundle    = signertest.TypeBundle
	typeEmpty     = "application/vnd.oci.empty.v1+json"
	typeSimple    = "application/vnd.dev.cosign.simplesigning.v1+json"
	predicateSign = signertest.PredicateSign
)

// gateHubs have the gate in force in new projects, which is what a hub does unless it is told otherwise.
var gateHubs = newHubs("HALLMARK_BASELINE=enforce")

// gated is a project in which the gate is in force, seen by somebody who may only pull.
type gated struct {
	*hub
	project, repo string
	guest         who
	key           *signertest.Signer // registered as "release"
}

func (h *hub) gated(t testing.TB) *gated {
	t.Helper()
	g := &gated{hub: h, project: h.project(t, "gated", "private"), key: signertest.New()}
	g.repo, g.guest = g.project+"/app", h.newMember(t, g.project, "guest")
	h.do(t, h.admin(), "PUT", "/api/v1/projects/"+g.project+"/authorities/release", map[string]any{"public_key": g.key.PEM}, headers{"If-Match": "*"}).
		want(t, "register a key", 200, 201)
	return g
}

// ungated is a project in which nothing is asked for.
func (h *hub) ungated(t testing.TB) string {
	t.Helper()
	open := h.project(t, "open", "private")
	h.do(t, h.admin(), "PATCH", "/api/v1/projects/"+open, map[string]any{"baseline": "off"}, headers{"If-Match": "*"}).want(t, "lower the baseline", 200)
	return open
}

// routes are all ways to an image.
func (g *gated) routes(tag string, im image) map[string]string {
	return map[string]string{
		"the tag": manifestPath(g.repo, tag), "the digest": manifestPath(g.repo, im.digest.String()),
		"the config": blobPath(g.repo, digestOf(im.config)), "the layer": blobPath(g.repo, digestOf(im.layer)),
	}
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
	g.attach(t, g.admin(), g.repo, im.digest, g.key.Bundle(im.digest, predicateSign, map[string]any{}))
	return im
}

// legacy is a signature as cosign 2 stores it under a tag: the manifest and its payload.
func legacySignature(s *signertest.Signer, subject digest.Digest, reference string) (manifest, config, payload []byte) {
	payload = fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`,
		reference, subject)
	config = fmt.Appendf(nil, `{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":[%q]}}`, digestOf(payload))
	manifest, _ = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": typeManifest, "config": descriptor{typeConfig, digestOf(config), len(config)},
		"layers": []any{map[string]any{"mediaType": typeSimple, "digest": digestOf(payload), "size": len(payload),
			"annotations": map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(s.Sign(payload))}}},
	})
	return manifest, config, payload
}
