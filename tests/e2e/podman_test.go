//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// storage is podman or buildah on an image store of our own.
type storage struct {
	*cli
	tool  string
	flags []string
}

func newStorage(t *testing.T, s *stack, name string, flags ...string) *storage {
	t.Helper()
	return storageOf(newCLI(t, s, "e2e-"+name), name, flags...)
}

// storageOf is the tool called name in the home of c.
func storageOf(c *cli, name string, flags ...string) *storage {
	t := c.t
	t.Helper()
	needRoot(t, name)
	tool := debian(t, "clients", name)
	// Nothing of the machine's own configuration: mirrors, policies, short names.
	dir := sharedDir(t, name)
	root, run := filepath.Join(dir, "root"), filepath.Join(dir, "run")
	c.write("auth.json", []byte("{}"))
	c.env = append(c.env,
		"CONTAINERS_CONF="+c.write("containers.conf", nil),
		"CONTAINERS_REGISTRIES_CONF="+c.write("registries.conf", nil),
		"CONTAINERS_STORAGE_CONF="+c.write("storage.conf",
			fmt.Appendf(nil, "[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n", root, run)))
	c.write(".config/containers/policy.json", []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`))
	return &storage{cli: c, tool: tool, flags: append([]string{"--root", root, "--runroot", run, "--storage-driver", "vfs"}, flags...)}
}

func (c *storage) do(args ...string) string {
	c.t.Helper()
	return strings.TrimSpace(c.run(c.tool, append(append([]string{}, c.flags...), args...)...))
}

func (c *storage) attempt(args ...string) result {
	c.t.Helper()
	return c.try("", c.tool, append(append([]string{}, c.flags...), args...)...)
}

func (c *storage) deny(args ...string) {
	c.t.Helper()
	c.refused(c.tool, append(append([]string{}, c.flags...), args...)...)
}

func (c *storage) login() {
	c.t.Helper()
	c.pipe(c.s.password, c.tool, append(append([]string{}, c.flags...), "login", "--tls-verify=false", "-u", c.s.user, "--password-stdin", c.s.addr)...)
}

func testPodman(t *testing.T, s *stack) {
	// runc, because crun refuses the hybrid of cgroups v1 and v2 some machines have.
	c := newStorage(t, s, "podman", "--runtime", debian(t, "clients", "runc"), "--cgroup-manager", "cgroupfs", "--events-backend", "file",
		"--tmpdir", filepath.Join(sharedDir(t, "podman"), "tmp"))
	img := image(t)
	c.write("context/Containerfile", []byte("FROM scratch\nCOPY hello /hello\nENTRYPOINT [\"/hello\"]\n"))
	if err := os.Chmod(c.write("context/hello", c.read(img.program[runtime.GOARCH])), 0o755); err != nil {
		t.Fatal(err)
	}
	app := c.ref("app", "v1")
	c.do("build", "--isolation", "chroot", "-t", app, "context")
	id := c.do("image", "inspect", "-f", "{{ .Id }}", app)

	c.deny("push", "--tls-verify=false", app)
	c.login()
	c.do("push", "--tls-verify=false", "--digestfile", c.file("digest"), app)
	_, digest := c.manifest("app", "v1")
	c.same("digest podman push writes", string(c.read(c.file("digest"))), digest)
	c.do("image", "rm", "-f", app)
	if r := c.attempt("image", "exists", app); r.err == nil {
		t.Fatal("podman still has the image")
	}
	c.do("pull", "--tls-verify=false", app)
	c.same("image id after the pull", c.do("image", "inspect", "-f", "{{ .Id }}", app), id)
	c.same("digest after the pull", c.do("image", "inspect", "-f", "{{ .Digest }}", app), digest)
	// podman raises limits to what only a full root may.
	c.ran(c.attempt("run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096", app), "hello from hallmark")

	// A manifest list of both platforms.
	multi := c.ref("app", "multi")
	c.do("manifest", "create", "multi")
	c.do("manifest", "add", "--all", "multi", "oci:"+img.layout+":v1")
	c.do("manifest", "push", "--all", "--format", "oci", "--tls-verify=false", "--digestfile", c.file("digest"), "multi", "docker://"+multi)
	raw, digest := c.manifest("app", "multi")
	c.same("digest podman manifest push writes", string(c.read(c.file("digest"))), digest)
	c.platforms(raw, img)
	c.do("pull", "--tls-verify=false", "--arch", "arm64", multi)
	c.same("architecture", c.do("image", "inspect", "-f", "{{ .Architecture }}", multi), "arm64")
	if known := c.do("image", "inspect", "-f", "{{ .RepoDigests }}", multi); !strings.Contains(known, img.arch["arm64"]) && !strings.Contains(known, digest) {
		t.Errorf("podman knows the arm64 image as %s", known)
	}
	c.do("logout", s.addr)
	c.deny("pull", "--tls-verify=false", app)
}

func testBuildah(t *testing.T, s *stack) {
	c := newStorage(t, s, "buildah")
	img := image(t)
	program := c.read(img.program[runtime.GOARCH])
	app := c.ref("app", "v1")
	working := c.do("from", "scratch")
	c.do("copy", "--chmod", "755", working, img.program[runtime.GOARCH], "/hello")
	c.do("config", "--entrypoint", `["/hello"]`, "--label", "org.example.by=e2e", working)
	c.do("commit", "--rm", working, app)

	c.deny("push", "--tls-verify=false", app)
	c.login()
	c.do("push", "--tls-verify=false", "--digestfile", c.file("digest"), app)
	_, digest := c.manifest("app", "v1")
	c.same("digest buildah push writes", string(c.read(c.file("digest"))), digest)
	c.do("rmi", "--all", "--force")

	working = c.do("from", "--tls-verify=false", "--pull-always", c.repo("app")+"@"+digest)
	mounted := c.do("mount", working)
	if got := c.read(filepath.Join(mounted, "hello")); !bytes.Equal(got, program) {
		t.Errorf("the program came back with %d bytes and digest %s, want %s", len(got), sha256Of(got), sha256Of(program))
	}
	c.do("umount", working)

	// From the pulled image on, into another repository, straight to the hub.
	c.do("config", "--env", "A=b", working)
	c.do("commit", "--tls-verify=false", working, "docker://"+c.ref("team/derived", "v1"))
	raw, _ := c.manifest("team/derived", "v1")
	if !json.Valid(raw) {
		t.Errorf("not a manifest: %s", raw)
	}
	c.do("manifest", "create", "multi")
	c.do("manifest", "add", "--all", "multi", "oci:"+img.layout+":v1")
	c.do("manifest", "push", "--all", "--format", "oci", "--tls-verify=false", "multi", "docker://"+c.ref("app", "multi"))
	raw, _ = c.manifest("app", "multi")
	c.platforms(raw, img)
}

// platforms asserts that an index on the hub is made of the manifests of the fixture.
func (c *cli) platforms(raw []byte, img *fixture) {
	c.t.Helper()
	var index ociIndex
	if err := json.Unmarshal(raw, &index); err != nil {
		c.t.Fatalf("%v\n%s", err, raw)
	}
	for arch, want := range img.arch {
		found := false
		for _, d := range index.Manifests {
			found = found || d.Digest == want && d.Platform != nil && d.Platform.Architecture == arch
		}
		if !found {
			c.t.Errorf("no %s for %s in the index: %s", want, arch, raw)
		}
	}
	if len(index.Manifests) != len(img.arch) {
		c.t.Errorf("%d manifests in the index: %s", len(index.Manifests), raw)
	}
}
