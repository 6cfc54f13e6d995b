//go:build e2e

package e2e

import (
	"encoding/json"
	"slices"
	"testing"
)

func testSkopeo(t *testing.T, s *stack) {
	skopeo := debian(t, "clients", "skopeo")
	img := image(t)
	c := newCLI(t, s, "e2e-skopeo")
	policy := c.write("policy.json", []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`))
	run := func(args ...string) string {
		t.Helper()
		return c.run(skopeo, append([]string{"--policy", policy}, args...)...)
	}
	app := "docker://" + c.ref("app", "v1")

	c.refused(skopeo, "--policy", policy, "copy", "--all", "--dest-tls-verify=false", "oci:"+img.layout+":v1", app)
	c.pipe(s.password, skopeo, "login", "--tls-verify=false", "-u", s.user, "--password-stdin", s.addr)

	// The whole index in, its digest and bytes unchanged.
	run("copy", "--all", "--preserve-digests", "--dest-tls-verify=false", "oci:"+img.layout+":v1", app)
	raw, digest := c.manifest("app", "v1")
	c.same("digest on the hub", digest, img.index)
	c.same("skopeo inspect --raw", run("inspect", "--raw", "--tls-verify=false", app), string(raw))
	for _, arch := range img.arch {
		_, digest := c.manifest("app", arch)
		c.same("digest of a platform", digest, arch)
	}

	// Inside the hub, then out again.
	copied := "docker://" + c.ref("copied", "v1")
	run("copy", "--all", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false", app, copied)
	_, digest = c.manifest("copied", "v1")
	c.same("copied digest", digest, img.index)
	run("copy", "--all", "--preserve-digests", "--src-tls-verify=false", copied, "oci:"+c.file("pulled")+":v1")
	c.sameBlobs(img.layout, c.file("pulled"))

	// As Docker schema 2: another manifest over the same layer.
	run("copy", "--override-arch", "amd64", "--format", "v2s2", "--src-tls-verify=false", "--dest-tls-verify=false", app, "docker://"+c.ref("app", "schema2"))
	raw, _ = c.manifest("app", "schema2")
	var manifest ociManifest
	if err := json.Unmarshal(raw, &manifest); err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	if manifest.MediaType != "application/vnd.docker.distribution.manifest.v2+json" {
		t.Errorf("schema 2 manifest became %s", manifest.MediaType)
	}
	if len(manifest.Layers) != 1 || manifest.Layers[0].Digest != img.layers["amd64"] {
		t.Errorf("schema 2 layers: %v, want %s", manifest.Layers, img.layers["amd64"])
	}

	var listing struct{ Tags []string }
	if err := json.Unmarshal([]byte(run("list-tags", "--tls-verify=false", "docker://"+c.repo("app"))), &listing); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(listing.Tags, []string{"schema2", "v1"}) {
		t.Errorf("skopeo list-tags: %q", listing.Tags)
	}
	run("delete", "--tls-verify=false", copied)
	c.absent("copied", "v1")
}
