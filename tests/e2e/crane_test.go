//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

func testCrane(t *testing.T, s *stack) {
	crane := pinned(t, "crane")
	img := image(t)
	c := newCLI(t, s, "e2e-crane")
	app := c.ref("app", "v1")

	c.refused(crane, "push", img.layout, app)
	c.pipe(s.password, crane, "auth", "login", s.addr, "-u", s.user, "--password-stdin")

	// Push, and every way to read back.
	c.same("crane push", c.run(crane, "push", img.layout, app), c.repo("app")+"@"+img.index)
	raw, digest := c.manifest("app", "v1")
	c.same("digest on the hub", digest, img.index)
	if !bytes.Equal(raw, img.blob(t, img.index)) {
		t.Errorf("the hub's index differs from the pushed one:\n%s", raw)
	}
	c.same("crane digest", c.run(crane, "digest", app), img.index)
	c.same("crane digest --platform", c.run(crane, "digest", "--platform", "linux/arm64", app), img.arch["arm64"])
	c.same("crane manifest", c.run(crane, "manifest", app), string(raw))
	layer := img.layers["amd64"]
	if got := c.run(crane, "blob", c.repo("app")+"@"+layer); sha256Of([]byte(got)) != layer {
		t.Errorf("crane blob: %d bytes with digest %s, want %s", len(got), sha256Of([]byte(got)), layer)
	}
	c.run(crane, "validate", "--remote", app)
	c.run(crane, "pull", "--format", "oci", app, c.file("pulled"))
	c.sameBlobs(img.layout, c.file("pulled"))

	// Tags and copies.
	c.run(crane, "copy", app, c.ref("app", "v2"))
	c.run(crane, "tag", app, "v3")
	c.run(crane, "copy", app, c.ref("team/copied", "v1"))
	_, digest = c.manifest("team/copied", "v1")
	c.same("copied digest", digest, img.index)
	if got := strings.Fields(c.run(crane, "ls", c.repo("app"))); !slices.Equal(got, []string{"v1", "v2", "v3"}) {
		t.Errorf("crane ls: %q", got)
	}
	catalog := strings.Fields(c.run(crane, "catalog", s.addr))
	for _, want := range []string{"app", "team/copied"} {
		if !slices.Contains(catalog, c.project+"/"+want) {
			t.Errorf("crane catalog: no %s/%s in %q", c.project, want, catalog)
		}
	}

	craneIndex(c, crane, img)

	c.run(crane, "delete", c.repo("team/copied")+"@"+img.index)
	c.absent("team/copied", "v1")
	c.absent("team/copied", img.index)
	if _, digest = c.manifest("app", "v1"); digest != img.index {
		t.Errorf("deleting the copy changed the original: %s", digest)
	}
}

// craneIndex puts a multi-arch image together on the hub: one image per platform,
// then an index over both.
func craneIndex(c *cli, crane string, img *fixture) {
	c.t.Helper()
	args := []string{"index", "append", "-t", c.ref("built", "multi")}
	want := map[string]string{}
	for _, arch := range []string{"amd64", "arm64"} {
		ref := c.ref("built", arch)
		c.run(crane, "append", "--oci-empty-base", "-f", img.tars[arch], "-t", ref)
		c.run(crane, "mutate", "--set-platform", "linux/"+arch, "--entrypoint", "/hello", "-t", ref, ref)
		raw, digest := c.manifest("built", arch)
		var manifest ociManifest
		if err := json.Unmarshal(raw, &manifest); err != nil {
			c.t.Fatalf("%v\n%s", err, raw)
		}
		if len(manifest.Layers) != 1 || manifest.Layers[0].Digest != img.layers[arch] {
			c.t.Errorf("%s: layers %v, want only %s", arch, manifest.Layers, img.layers[arch])
		}
		want[arch] = digest
		args = append(args, "-m", c.repo("built")+"@"+digest)
	}
	c.run(crane, args...)
	raw, digest := c.manifest("built", "multi")
	var index ociIndex
	if err := json.Unmarshal(raw, &index); err != nil {
		c.t.Fatalf("%v\n%s", err, raw)
	}
	if len(index.Manifests) != 2 {
		c.t.Errorf("index with %d manifests, want 2: %s", len(index.Manifests), raw)
	}
	c.same("crane digest of the index", c.run(crane, "digest", c.ref("built", "multi")), digest)
	for arch, manifest := range want {
		c.same("digest of "+arch, c.run(crane, "digest", "--platform", "linux/"+arch, c.ref("built", "multi")), manifest)
	}
	c.run(crane, "validate", "--remote", c.ref("built", "multi"))

	// The program itself comes out as it went in.
	c.run(crane, "export", "--platform", "linux/arm64", c.ref("built", "multi"), c.file("export.tar"))
	program, err := fileOfTar(c.read(c.file("export.tar")), "hello")
	if err != nil {
		c.t.Fatal(err)
	}
	built, err := os.ReadFile(img.program["arm64"])
	if err != nil {
		c.t.Fatal(err)
	}
	if !bytes.Equal(program, built) {
		c.t.Errorf("the exported program differs from the built one (%d and %d bytes)", len(program), len(built))
	}
}
