//go:build e2e

package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func testOras(t *testing.T, s *stack) {
	oras := pinned(t, "oras")
	img := image(t)
	c := newCLI(t, s, "e2e-oras")
	files := c.ref("files", "v1")
	text, binary := strings.Repeat("a line of text\n", 50), random(t, 3<<20)
	c.write("notes.txt", []byte(text))
	c.write("data.bin", binary)

	c.refused(oras, "push", "--plain-http", files, "notes.txt")
	c.pipe(s.password, oras, "login", "--plain-http", "-u", s.user, "--password-stdin", s.addr)

	// Files in, and out again.
	type answer struct{ Digest, Reference, MediaType, ArtifactType string }
	var pushed answer
	c.parse(c.run(oras, "push", "--plain-http", "--no-tty", "--format", "json", "--artifact-type", "application/vnd.example.files",
		files, "notes.txt:text/plain", "data.bin:application/octet-stream"), &pushed)
	raw, digest := c.manifest("files", "v1")
	c.same("pushed digest", pushed.Digest, digest)
	c.same("oras resolve", c.run(oras, "resolve", "--plain-http", files), digest)
	c.same("oras manifest fetch", c.run(oras, "manifest", "fetch", "--plain-http", files), string(raw))
	c.run(oras, "pull", "--plain-http", "--no-tty", "-o", c.file("out"), c.repo("files")+"@"+digest)
	c.same("notes.txt", sha256Of(c.read(c.file("out", "notes.txt"))), sha256Of([]byte(text)))
	c.same("data.bin", sha256Of(c.read(c.file("out", "data.bin"))), sha256Of(binary))
	c.run(oras, "blob", "fetch", "--plain-http", "--no-tty", "--output", c.file("blob"), c.repo("files")+"@"+sha256Of(binary))
	c.same("oras blob fetch", sha256Of(c.read(c.file("blob"))), sha256Of(binary))

	// Something attached to it, and something attached to that.
	var sbom, approval answer
	c.write("sbom.json", []byte(`{"packages":[]}`))
	c.parse(c.run(oras, "attach", "--plain-http", "--no-tty", "--format", "json", "--artifact-type", "application/vnd.example.sbom",
		"--annotation", "org.example.by=e2e", files, "sbom.json:application/json"), &sbom)
	c.write("approval.txt", []byte("yes\n"))
	c.parse(c.run(oras, "attach", "--plain-http", "--no-tty", "--format", "json", "--artifact-type", "application/vnd.example.approval",
		c.repo("files")+"@"+sbom.Digest, "approval.txt:text/plain"), &approval)
	refers := func(repository, subject, digest, artifactType string) {
		t.Helper()
		got := c.referrers(repository, subject)
		if len(got) != 1 || got[0].Digest != digest || got[0].ArtifactType != artifactType {
			t.Errorf("referrers of %s: %+v, want %s of type %s", subject, got, digest, artifactType)
		}
	}
	refers("files", digest, sbom.Digest, "application/vnd.example.sbom")
	refers("files", sbom.Digest, approval.Digest, "application/vnd.example.approval")
	tree := c.run(oras, "discover", "--plain-http", "--format", "json", files)
	for _, want := range []string{sbom.Digest, approval.Digest} {
		if !strings.Contains(tree, want) {
			t.Errorf("oras discover does not show %s:\n%s", want, tree)
		}
	}

	// A recursive copy takes the tree along.
	c.run(oras, "cp", "-r", "--from-plain-http", "--to-plain-http", "--no-tty", files, c.ref("copied", "v1"))
	_, copied := c.manifest("copied", "v1")
	c.same("copied digest", copied, digest)
	refers("copied", digest, sbom.Digest, "application/vnd.example.sbom")
	refers("copied", sbom.Digest, approval.Digest, "application/vnd.example.approval")

	// An index from a layout, and back to one.
	c.run(oras, "cp", "--from-oci-layout", "--to-plain-http", "--no-tty", img.layout+":v1", c.ref("app", "v1")+",v2")
	_, digest = c.manifest("app", "v1")
	c.same("index digest", digest, img.index)
	c.same("oras resolve --platform", c.run(oras, "resolve", "--plain-http", "--platform", "linux/arm64", c.ref("app", "v2")), img.arch["arm64"])
	c.run(oras, "cp", "--from-plain-http", "--to-oci-layout", "--no-tty", c.ref("app", "v1"), c.file("layout")+":v1")
	c.sameBlobs(img.layout, c.file("layout"))
	if got := strings.Fields(c.run(oras, "repo", "tags", "--plain-http", c.repo("app"))); !slices.Equal(got, []string{"v1", "v2"}) {
		t.Errorf("oras repo tags: %q", got)
	}
	if got := strings.Fields(c.run(oras, "repo", "ls", "--plain-http", s.addr)); !slices.Contains(got, c.project+"/files") {
		t.Errorf("oras repo ls: %q", got)
	}
	c.run(oras, "manifest", "delete", "--plain-http", "--force", c.repo("app")+"@"+img.index)
	c.absent("app", "v1")
	c.absent("app", "v2")
}

// parse reads what a client printed as JSON.
func (c *cli) parse(printed string, value any) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(printed), value); err != nil {
		c.t.Fatalf("%v\n%s", err, printed)
	}
}
