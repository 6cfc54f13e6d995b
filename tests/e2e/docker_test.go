//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

var dockerDigest = regexp.MustCompile(`digest: (sha256:[0-9a-f]{64}) size: \d+`)

func testDocker(t *testing.T, s *stack) {
	needRoot(t, "dockerd")
	docker := debian(t, "clients", "docker")
	tarball := debianImage(t)
	c := newCLI(t, s, "e2e-docker")
	s.createProject(t, "e2e-docker-public", "public")
	startDocker(t, s, c)
	stranger := *c
	stranger.env = append(append([]string{}, c.env...), "DOCKER_CONFIG="+c.file(".stranger"))

	base := c.ref("debian", "v1")
	c.run(docker, "import", "--change", `CMD ["/bin/cat","/etc/os-release"]`, tarball, base)
	id := c.imageID(docker, base)

	stranger.refused(docker, "push", base)
	if r := c.try("not the password", docker, "login", "-u", s.user, "--password-stdin", s.addr); r.err == nil {
		t.Errorf("logged in with a wrong password: %v", r)
	}
	c.pipe(s.password, docker, "login", "-u", s.user, "--password-stdin", s.addr)

	// A real image out and in again, through an engine that has forgotten it.
	layers := c.pushed(docker, base, "debian", "v1")
	c.forget(docker, base)
	stranger.refused(docker, "pull", base)
	c.run(docker, "pull", base)
	c.same("image id after the pull", c.imageID(docker, base), id)
	c.run(docker, "push", base)
	c.ran(c.try("", docker, "run", "--rm", "--network", "none", base, "/bin/echo", "alive"), "alive")

	// An image on top of it, into another repository: the layer below is mounted there.
	c.write("derived/Dockerfile", []byte("FROM "+base+"\nCOPY built /built\nLABEL org.example.by=e2e\n"))
	c.write("derived/built", []byte("built on top\n"))
	derived := c.ref("team/derived", "v1")
	c.run(docker, "build", "--network", "none", "-t", derived, "derived")
	id = c.imageID(docker, derived)
	out := c.run(docker, "push", derived)
	if !strings.Contains(out, "Mounted from "+c.project+"/debian") {
		t.Errorf("the layer was not mounted from the other repository:\n%s", out)
	}
	above := c.pushed(docker, derived, "team/derived", "v1")
	if len(above) != 2 || above[0] != layers[0] {
		t.Errorf("layers %v, want two of which the first is %s", above, layers[0])
	}
	c.forget(docker, derived)
	c.run(docker, "pull", derived)
	c.same("image id after the pull", c.imageID(docker, derived), id)
	c.ran(c.try("", docker, "run", "--rm", "--network", "none", derived, "/bin/cat", "/built"), "built on top")

	testDockerPublic(c, &stranger, docker)
	c.run(docker, "logout", s.addr)
	c.refused(docker, "pull", base)
}

// testDockerPublic: anybody may pull from a public project, and nobody else may push.
func testDockerPublic(c, stranger *cli, docker string) {
	c.t.Helper()
	img := image(c.t)
	c.write("hello/Dockerfile", []byte("FROM scratch\nCOPY hello /hello\nENTRYPOINT [\"/hello\"]\n"))
	if err := os.Chmod(c.write("hello/hello", c.read(img.program[runtime.GOARCH])), 0o755); err != nil {
		c.t.Fatal(err)
	}
	public := c.s.addr + "/e2e-docker-public/hello:v1"
	c.run(docker, "build", "-t", public, "hello")
	id := c.imageID(docker, public)
	stranger.refused(docker, "push", public)
	c.run(docker, "push", public)
	c.forget(docker, public)
	stranger.run(docker, "pull", public)
	c.same("image id after an anonymous pull", c.imageID(docker, public), id)
	c.ran(c.try("", docker, "run", "--rm", "--network", "none", public), "hello from hallmark")
}

// pushed pushes an image and returns the digests of its layers. The client, the header
// and the bytes must agree on the digest of the manifest.
func (c *cli) pushed(docker, ref, repository, tag string) []string {
	c.t.Helper()
	out := c.run(docker, "push", ref)
	found := dockerDigest.FindStringSubmatch(out)
	if found == nil {
		c.t.Fatalf("docker push %s says no digest:\n%s", ref, out)
	}
	raw, digest := c.manifest(repository, tag)
	c.same("digest docker push prints", found[1], digest)
	var manifest ociManifest
	if err := json.Unmarshal(raw, &manifest); err != nil {
		c.t.Fatalf("%v\n%s", err, raw)
	}
	c.same("config of the pushed image", manifest.Config.Digest, c.imageID(docker, ref))
	if known := c.run(docker, "image", "inspect", "-f", "{{ .RepoDigests }}", ref); !strings.Contains(known, c.repo(repository)+"@"+digest) {
		c.t.Errorf("the engine knows the image as %s, want %s", known, digest)
	}
	var layers []string
	for _, layer := range manifest.Layers {
		layers = append(layers, layer.Digest)
	}
	if len(layers) == 0 {
		c.t.Fatalf("no layers: %s", raw)
	}
	return layers
}

func (c *cli) imageID(docker, ref string) string {
	c.t.Helper()
	return strings.TrimSpace(c.run(docker, "image", "inspect", "-f", "{{ .Id }}", ref))
}

// forget removes an image from the engine, and makes sure of it.
func (c *cli) forget(docker, ref string) {
	c.t.Helper()
	c.run(docker, "image", "rm", "-f", ref)
	if r := c.try("", docker, "image", "inspect", ref); r.err == nil {
		c.t.Fatalf("the engine still has %s", ref)
	}
}
