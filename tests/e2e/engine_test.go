//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// startContainerd starts a containerd of our own and returns its socket. An engine of
// the machine is never used: it has images, logins and mirrors we do not know.
func startContainerd(t *testing.T, s *stack, c *cli, user string) string {
	t.Helper()
	daemon := debian(t, "clients", "containerd")
	debian(t, "clients", "runc")
	// Socket paths may have about 100 characters, which a test's own directory uses up.
	dir := sharedDir(t, user)
	socket := filepath.Join(dir, "c.sock")
	config := c.write("containerd.toml", []byte(fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = %q
[ttrpc]
  address = %q
`, filepath.Join(dir, "root"), filepath.Join(dir, "state"), socket, socket+".ttrpc")))
	p := start(t, s.logs, user+"-containerd", exec.Command(daemon, "--config", config))
	p.ready(t, 30*time.Second, dials("unix", socket))
	return socket
}

// startDocker starts an engine of our own and points the client's commands to it.
func startDocker(t *testing.T, s *stack, c *cli) {
	t.Helper()
	daemon := debian(t, "clients", "dockerd")
	containerd := startContainerd(t, s, c, "docker")
	dir := sharedDir(t, "dockerd")
	socket := filepath.Join(dir, "d.sock")
	// Nothing of the host's network is touched. Registries on loopback need no TLS by
	// default. vfs works on every file system, also inside of containers.
	p := start(t, s.logs, "dockerd", exec.Command(daemon,
		"--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs", "--containerd", containerd,
		"--config-file", c.write("daemon.json", []byte("{}")),
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "-H", "unix://"+socket))
	c.env = append(c.env, "DOCKER_HOST=unix://"+socket, "DOCKER_BUILDKIT=0", "DOCKER_CLI_HINTS=false")
	client := debian(t, "clients", "docker")
	p.ready(t, 60*time.Second, func() error { return c.try("", client, "version").err })
}

// ran says whether a container ran. Some machines allow pulling, but not running;
// that is only accepted where tests may be skipped at all.
func (c *cli) ran(r result, want string) {
	c.t.Helper()
	switch {
	case r.err == nil:
		c.same("printed by the container", r.stdout+r.stderr, want)
	case required():
		c.t.Errorf("%v", r)
	default:
		c.t.Logf("containers do not run here: %v", r)
	}
}

var rootfs = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("../tools/rootfs.sh").Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w\n%s", err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
})

// debianImage returns the tarball of a Debian root file system, made once per machine.
func debianImage(t testing.TB) string {
	t.Helper()
	path, err := rootfs()
	if err != nil {
		lacking(t, "no Debian image: %v", err)
	}
	return path
}
