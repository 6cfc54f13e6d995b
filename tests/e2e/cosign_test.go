//go:build e2e

package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

const (
	typeBundle    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	typeSimple    = "application/vnd.dev.cosign.simplesigning.v1+json"
	typeDSSE      = "application/vnd.dsse.envelope.v1+json"
	predicateSign = "https://sigstore.dev/cosign/sign/v1"
	predicateSPDX = "https://spdx.dev/Document"
)

// signer is one cosign with the flags that make it store things in one way, without
// a transparency log or a timestamp authority: the tests have no network.
type signer struct {
	*cli
	tool         string
	sign, attest []string // flags
	verify       []string
}

func testCosign3(t *testing.T, s *stack) {
	c := newCosign(t, s, "e2e-cosign3", pinned(t, "cosign"))
	c.run(c.tool, "signing-config", "create", "--out", c.file("signing.json"))
	c.sign = []string{"--signing-config", c.file("signing.json"), "--yes"}
	c.attest = c.sign
	// A trusted root of our own, though empty, keeps verify from asking for sigstore's.
	c.run(c.tool, "trusted-root", "create", "--out", c.file("root.json"))
	c.verify = []string{"--insecure-ignore-tlog=true", "--trusted-root", c.file("root.json")}
	c.bundles("bundle")

	c.sign = []string{"--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false", "--yes"}
	c.attest = c.sign
	c.verify = []string{"--new-bundle-format=false", "--insecure-ignore-tlog=true"}
	c.legacy("legacy")
}

func testCosign2(t *testing.T, s *stack) {
	c := newCosign(t, s, "e2e-cosign2", pinned(t, "cosign2"))
	c.sign = []string{"--tlog-upload=false", "--yes"}
	c.attest = c.sign
	c.verify = []string{"--insecure-ignore-tlog=true"}
	c.legacy("legacy")

	// The new format was optional in v2.
	c.run(c.tool, "trusted-root", "create", "--out", c.file("root.json"))
	c.sign = []string{"--new-bundle-format", "--tlog-upload=false", "--yes"}
	c.attest = c.sign
	c.verify = []string{"--new-bundle-format", "--insecure-ignore-tlog=true", "--trusted-root", c.file("root.json")}
	c.bundles("bundle")
}

// newCosign logs in and makes two key pairs: one to sign with, and a stranger's.
func newCosign(t *testing.T, s *stack, project, tool string) *signer {
	t.Helper()
	return cosignOf(newCLI(t, s, project), tool)
}

// cosignOf is newCosign for a project that is there.
func cosignOf(base *cli, tool string) *signer {
	t, s := base.t, base.s
	t.Helper()
	c := &signer{cli: base, tool: tool}
	c.env = append(c.env, "COSIGN_PASSWORD="+secret(t))
	c.pipe(s.password, tool, "login", s.addr, "-u", s.user, "--password-stdin")
	c.run(tool, "generate-key-pair", "--output-key-prefix", "ours")
	c.run(tool, "generate-key-pair", "--output-key-prefix", "stranger")
	c.write("sbom.json", []byte(`{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"hello","packages":[]}`))
	return c
}

// pushImage brings the multi-arch image to a repository; that is not cosign's business.
func (c *signer) pushImage(repository string) *fixture {
	c.t.Helper()
	img := image(c.t)
	c.run(pinned(c.t, "crane"), "push", img.layout, c.ref(repository, "v1"))
	return img
}

// signed runs what both formats have in common: the image is not signed, is signed by
// one key and not by another, carries an SBOM, and its index is signed with all below.
func (c *signer) signed(repository string, img *fixture) {
	c.t.Helper()
	amd64 := c.repo(repository) + "@" + img.arch["amd64"]
	verify := func(key, ref string) result {
		c.t.Helper()
		args := append([]string{"verify", "--key", key}, c.verify...)
		return c.try("", c.tool, append(args, "--output", "json", ref)...)
	}
	if r := verify("ours.pub", amd64); r.err == nil {
		c.t.Fatalf("an image nobody signed verifies: %v", r)
	}
	c.run(c.tool, append(append([]string{"sign", "--key", "ours.key"}, c.sign...), amd64)...)
	c.verified(verify("ours.pub", amd64), img.arch["amd64"])
	if r := verify("stranger.pub", amd64); r.err == nil {
		c.t.Errorf("verifies with the wrong key: %v", r)
	}
	if r := verify("ours.pub", c.repo(repository)+"@"+img.arch["arm64"]); r.err == nil {
		c.t.Errorf("the other platform verifies, too: %v", r)
	}

	c.run(c.tool, append(append([]string{"attest", "--key", "ours.key", "--type", "spdxjson", "--predicate", "sbom.json"}, c.attest...), amd64)...)
	args := append([]string{"verify-attestation", "--key", "ours.pub", "--type", "spdxjson"}, c.verify...)
	c.attested(c.run(c.tool, append(args, amd64)...), img.arch["amd64"])

	c.run(c.tool, append(append([]string{"sign", "-r", "--key", "ours.key"}, c.sign...), c.repo(repository)+"@"+img.index)...)
	for _, digest := range []string{img.index, img.arch["amd64"], img.arch["arm64"]} {
		c.verified(verify("ours.pub", c.repo(repository)+"@"+digest), digest)
	}
	c.verified(verify("ours.pub", c.ref(repository, "v1")), img.index)
}

// verified asserts that cosign verified a signature over this digest.
func (c *signer) verified(r result, digest string) {
	c.t.Helper()
	if r.err != nil {
		c.t.Fatalf("%v", r)
	}
	if !strings.Contains(r.stdout, digest) {
		c.t.Errorf("does not name %s: %v", digest, r)
	}
}

// attested asserts that the statement cosign printed is the SBOM of this digest.
func (c *signer) attested(printed, digest string) {
	c.t.Helper()
	var envelope struct{ Payload []byte }
	if err := json.NewDecoder(strings.NewReader(printed)).Decode(&envelope); err != nil {
		c.t.Fatalf("%v\n%s", err, printed)
	}
	var statement struct {
		PredicateType string
		Subject       []struct{ Digest map[string]string }
		Predicate     struct{ Name string }
	}
	if err := json.Unmarshal(envelope.Payload, &statement); err != nil {
		c.t.Fatalf("%v\n%s", err, envelope.Payload)
	}
	if statement.PredicateType != predicateSPDX || statement.Predicate.Name != "hello" ||
		len(statement.Subject) != 1 || "sha256:"+statement.Subject[0].Digest["sha256"] != digest {
		c.t.Errorf("not the SBOM of %s: %s", digest, envelope.Payload)
	}
}

// bundles signs in the format that stores a sigstore bundle as a referrer.
func (c *signer) bundles(repository string) {
	c.t.Helper()
	img := c.pushImage(repository)
	c.signed(repository, img)

	// amd64 was signed by itself, attested, and signed again with its index.
	want := map[string]map[string]int{
		img.index:         {predicateSign: 1},
		img.arch["amd64"]: {predicateSign: 2, predicateSPDX: 1},
		img.arch["arm64"]: {predicateSign: 1},
	}
	for digest, predicates := range want {
		got := map[string]int{}
		for _, d := range c.referrers(repository, digest) {
			if d.ArtifactType != typeBundle {
				c.t.Errorf("referrer of %s has artifact type %q", digest, d.ArtifactType)
			}
			got[d.Annotations["dev.sigstore.bundle.predicateType"]]++
			c.bundle(repository, d, digest)
		}
		for predicate, n := range predicates {
			if got[predicate] != n {
				c.t.Errorf("referrers of %s: %v, want %v", digest, got, predicates)
			}
		}
		// A registry with a referrers API gets no tag of the old scheme.
		c.absent(repository, strings.Replace(digest, ":", "-", 1))
	}
}

// bundle asserts that a descriptor of the referrers answer is that of the stored
// manifest, which in turn holds a bundle and points to its subject.
func (c *signer) bundle(repository string, d descriptor, subject string) {
	c.t.Helper()
	raw, digest := c.manifest(repository, d.Digest)
	if digest != d.Digest || len(raw) != d.Size || d.MediaType != typeManifest {
		c.t.Errorf("referrer %+v is %s with %d bytes", d, digest, len(raw))
	}
	var manifest ociManifest
	if err := json.Unmarshal(raw, &manifest); err != nil {
		c.t.Fatalf("%v\n%s", err, raw)
	}
	if manifest.Subject == nil || manifest.Subject.Digest != subject || len(manifest.Layers) != 1 || manifest.Layers[0].MediaType != typeBundle {
		c.t.Errorf("not a bundle of %s: %s", subject, raw)
	}
}

// legacy signs in the format that stores signatures under tags named after the image.
func (c *signer) legacy(repository string) {
	c.t.Helper()
	img := c.pushImage(repository)
	c.signed(repository, img)
	for _, want := range []struct {
		digest, suffix, mediaType string
		layers                    int
	}{
		{img.index, ".sig", typeSimple, 1},
		{img.arch["amd64"], ".sig", typeSimple, 1}, // the same key and payload: replaced, not added
		{img.arch["arm64"], ".sig", typeSimple, 1},
		{img.arch["amd64"], ".att", typeDSSE, 1},
	} {
		raw, _ := c.manifest(repository, strings.Replace(want.digest, ":", "-", 1)+want.suffix)
		var manifest ociManifest
		if err := json.Unmarshal(raw, &manifest); err != nil {
			c.t.Fatalf("%v\n%s", err, raw)
		}
		if len(manifest.Layers) != want.layers || manifest.Layers[0].MediaType != want.mediaType {
			c.t.Errorf("%s of %s: want %d layers of %s\n%s", want.suffix, want.digest, want.layers, want.mediaType, raw)
		}
	}
}
