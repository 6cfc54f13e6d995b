//go:build e2e

package e2e

import (
	"runtime"
	"strings"
	"testing"
)

func testCtr(t *testing.T, s *stack) {
	needRoot(t, "containerd")
	ctr := debian(t, "clients", "ctr")
	img := image(t)
	c := newCLI(t, s, "e2e-ctr")
	c.env = append(c.env, "CONTAINERD_ADDRESS="+startContainerd(t, s, c, "ctr"), "CONTAINERD_NAMESPACE=e2e")
	login := []string{"--plain-http", "--user", s.user + ":" + s.password}
	images := func(verb string, args ...string) []string { return append([]string{"images", verb}, args...) }
	// The native snapshotter copies; it works on every file system.
	pull := func(ref string, flags ...string) {
		t.Helper()
		c.run(ctr, images("pull", append(append([]string{"--snapshotter", "native"}, flags...), append(login, ref)...)...)...)
	}
	known := func(ref string) string {
		t.Helper()
		for line := range strings.Lines(c.run(ctr, images("ls", "name=="+ref)...)) {
			if fields := strings.Fields(line); len(fields) > 2 && fields[0] == ref {
				return fields[2]
			}
		}
		t.Fatalf("ctr does not list %s", ref)
		return ""
	}
	app := c.ref("app", "v1")

	// The archive names the image "v1"; the rest of the name is given here.
	c.run(ctr, images("import", "--no-unpack", "--all-platforms", "--digests", "--base-name", c.repo("app"), img.archive)...)
	c.same("imported digest", known(app), img.index)
	c.refused(ctr, images("push", "--plain-http", app)...)
	c.run(ctr, images("push", append(login, app)...)...)
	_, digest := c.manifest("app", "v1")
	c.same("digest on the hub", digest, img.index)

	// Forget everything, and fetch it again: both platforms.
	list := strings.Fields(c.run(ctr, images("ls", "-q")...))
	c.run(ctr, images("rm", append([]string{"--sync"}, list...)...)...)
	if left := strings.TrimSpace(c.run(ctr, "content", "ls", "-q")); left != "" {
		t.Fatalf("containerd still has content: %s", left)
	}
	c.refused(ctr, images("pull", "--plain-http", app)...)
	pull(app, "--all-platforms")
	c.same("pulled digest", known(app), img.index)
	content := c.run(ctr, "content", "ls", "-q")
	for _, want := range []string{img.index, img.arch["amd64"], img.arch["arm64"], img.layers["amd64"], img.layers["arm64"]} {
		if !strings.Contains(content, want) {
			t.Errorf("%s was not pulled:\n%s", want, content)
			continue
		}
		c.same("bytes of "+want, sha256Of([]byte(c.run(ctr, "content", "get", want))), want)
	}

	// By digest, and run it.
	byDigest := c.repo("app") + "@" + img.arch[runtime.GOARCH]
	pull(byDigest)
	c.same("digest of a pull by digest", known(byDigest), img.arch[runtime.GOARCH])
	c.ran(c.try("", ctr, "run", "--rm", "--snapshotter", "native", app, "hello-"+s.name), "hello from hallmark")
}
