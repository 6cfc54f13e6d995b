//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cli runs the commands of one client test: with a home of its own, so that neither
// the user's logins nor those of the tests beside it matter.
type cli struct {
	t       *testing.T
	s       *stack
	project string
	home    string
	env     []string
}

// newCLI creates the private project the client works in, and an empty home.
func newCLI(t *testing.T, s *stack, project string) *cli {
	t.Helper()
	s.createProject(t, project, "private")
	return &cli{t: t, s: s, project: project, home: t.TempDir()}
}

// file is a path in the home of this client.
func (c *cli) file(elem ...string) string {
	return filepath.Join(append([]string{c.home}, elem...)...)
}

// write makes a file in the home and returns its path.
func (c *cli) write(name string, content []byte) string {
	c.t.Helper()
	path := c.file(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		c.t.Fatal(err)
	}
	return path
}

func (c *cli) read(path string) []byte {
	c.t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	return raw
}

// repo is the name of a repository as clients write it; ref adds a tag to it.
func (c *cli) repo(name string) string { return c.s.addr + "/" + c.project + "/" + name }

func (c *cli) ref(name, tag string) string { return c.repo(name) + ":" + tag }

// result is what a command printed.
type result struct {
	line           string
	stdout, stderr string
	err            error
}

func (r result) String() string {
	return fmt.Sprintf("$ %s\n%s%s(%v)", r.line, r.stdout, r.stderr, r.err)
}

// try runs a command that may fail.
func (c *cli) try(stdin, name string, args ...string) result {
	c.t.Helper()
	// Cleanups run before t.Context ends a command of theirs, hence Background.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.home
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin",
		"HOME=" + c.home,
		"TMPDIR=" + c.home,
		"XDG_CONFIG_HOME=" + c.file(".config"),
		"XDG_CACHE_HOME=" + c.file(".cache"),
		"XDG_DATA_HOME=" + c.file(".local"),
		"XDG_RUNTIME_DIR=" + c.home,
		"DOCKER_CONFIG=" + c.file(".docker"),
		"REGISTRY_AUTH_FILE=" + c.file("auth.json"),
		// The hub is on loopback, whatever proxy the machine has.
		"NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1",
	}, c.env...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A grandchild that keeps the pipes open must not hold up the test.
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	return result{filepath.Base(name) + " " + strings.Join(args, " "), stdout.String(), stderr.String(), err}
}

// run runs a command that must succeed and returns what it printed to stdout.
func (c *cli) run(name string, args ...string) string {
	c.t.Helper()
	return c.pipe("", name, args...)
}

func (c *cli) pipe(stdin, name string, args ...string) string {
	c.t.Helper()
	r := c.try(stdin, name, args...)
	if r.err != nil {
		c.t.Fatalf("%v", r)
	}
	return r.stdout
}

// refused runs a command the hub must refuse, in words its user can act on: clients
// show a parse error or a bare status when the answer is not the one of the protocol.
func (c *cli) refused(name string, args ...string) {
	c.t.Helper()
	r := c.try("", name, args...)
	if r.err == nil {
		c.t.Fatalf("was not refused: %v", r)
	}
	said := strings.ToLower(r.stdout + r.stderr)
	for _, bad := range []string{"invalid character", "unexpected eof", "unexpected http", "panic"} {
		if strings.Contains(said, bad) {
			c.t.Errorf("refused without a readable reason: %v", r)
		}
	}
	for _, word := range []string{"denied", "unauthorized", "authentication required", "not authorized", "authorization failed"} {
		if strings.Contains(said, word) {
			return
		}
	}
	c.t.Errorf("refused, but not for lack of rights: %v", r)
}

// manifest asks the hub, without any client in between, for the manifest a reference
// names. Its digest must be the one the hub and the bytes agree on.
func (c *cli) manifest(repository, reference string) (raw []byte, digest string) {
	c.t.Helper()
	path := "/v2/" + c.project + "/" + repository + "/manifests/" + reference
	res, raw := c.s.do(c.t, http.MethodGet, path, nil, http.Header{"Accept": {
		"application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json",
	}})
	if res.StatusCode != http.StatusOK {
		c.t.Fatalf("GET %s: %s\n%v\n%s", path, res.Status, res.Header, raw)
	}
	digest = sha256Of(raw)
	if got := res.Header.Get("Docker-Content-Digest"); got != digest {
		c.t.Errorf("GET %s: Docker-Content-Digest is %q, the body is %s", path, got, digest)
	}
	return raw, digest
}

// absent asserts that the hub does not know a reference.
func (c *cli) absent(repository, reference string) {
	c.t.Helper()
	path := "/v2/" + c.project + "/" + repository + "/manifests/" + reference
	if res, raw := c.s.do(c.t, http.MethodGet, path, nil, nil); res.StatusCode != http.StatusNotFound {
		c.t.Errorf("GET %s: %s, want 404\n%s", path, res.Status, raw)
	}
}

// referrers asks the hub what refers to a digest.
func (c *cli) referrers(repository, digest string) []descriptor {
	c.t.Helper()
	path := "/v2/" + c.project + "/" + repository + "/referrers/" + digest
	res, raw := c.s.do(c.t, http.MethodGet, path, nil, nil)
	if res.StatusCode != http.StatusOK {
		c.t.Fatalf("GET %s: %s\n%s", path, res.Status, raw)
	}
	var index ociIndex
	if err := json.Unmarshal(raw, &index); err != nil {
		c.t.Fatalf("GET %s: %v\n%s", path, err, raw)
	}
	return index.Manifests
}

func (c *cli) same(what, got, want string) {
	c.t.Helper()
	if got = strings.TrimSpace(got); got != want {
		c.t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}
