package remote_test

import (
	"bufio"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/registrytest"
	"github.com/hallmarkhub/hallmark/registry/remote"
)

// TestDistribution runs the contract over another vendor's server, with what is known of it.
func TestDistribution(t *testing.T) {
	binary := tool(t, "distribution")
	registrytest.Run(t, registrytest.Subject{
		Open:  func(t *testing.T) registry.Registry { return open(t, startDistribution(t, binary)) },
		Seeds: []uint64{1, 5, 13}, // each takes seconds of fsync there
		Refuses: registrytest.Refusals{
			SHA512:         registry.CodeUnsupported, // it computes sha256, whatever it is asked for
			AutomaticMount: registry.CodeBlobUnknown, // remote does not ask for it, see MountBlob
			IndexOfBlobs:   registry.CodeManifestBlobUnknown,
			UntaggedTags:   registry.CodeNameUnknown, // a repository without a tag is none in its list
		},
		Allows: registrytest.Leniencies{
			BlobInUse:       true,
			AnyPrincipal:    true, // contexts say nothing to another registry
			RepositoryOrder: true, // it walks directories: a/b before a-b
			// It looks for the repository only when the list is read from its start.
			UnknownRepositoryPages: true,
		},
	})
}

// tool returns the path of a test tool, or ends the test: in CI nothing may be left out.
func tool(t *testing.T, name string) string {
	t.Helper()
	cache := os.Getenv("HALLMARK_TOOLS")
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			t.Fatalf("finding the tools of the tests: %v", err)
		}
		cache = filepath.Join(dir, "hallmark", "tools")
	}
	path := filepath.Join(cache, "bin", name)
	if _, err := os.Stat(path); err != nil {
		reason := fmt.Sprintf("%s is missing; install it with: bash tests/tools/build.sh %s", path, name)
		if os.Getenv("CI") == "true" {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	return path
}

func open(t *testing.T, base string) *remote.Registry {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	r, err := remote.New(u, remote.Options{PlainHTTP: true, Retry: remote.Retry{Wait: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const distributionConfig = `
version: 0.1
log:
  level: info
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: %s
  delete:
    enabled: true
  maintenance:
    uploadpurging:
      enabled: false
http:
  addr: 127.0.0.1:0
  secret: only-for-this-test
validation:
  manifests:
    urls:
      allow: ["^https://"]
`

// startDistribution starts a server on a port of its own choice and returns its address. It ends with the test.
func startDistribution(t *testing.T, binary string) string {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, distributionConfig, filepath.Join(dir, "data")), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", config)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", binary, err)
	}
	address := make(chan string, 1)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		announce(stderr, address)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-drained
		_ = cmd.Wait()
	})
	select {
	case a, ok := <-address:
		if !ok {
			t.Fatalf("%s ended before it listened", binary)
		}
		return "http://" + a
	case <-time.After(30 * time.Second):
		t.Fatalf("%s does not listen after 30 s", binary)
	}
	return ""
}

// announce sends the address that a server's log names, and reads the log to its end so that the server never waits.
func announce(log io.Reader, address chan<- string) {
	listening := regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)
	sent := false
	for lines := bufio.NewScanner(log); lines.Scan(); {
		if m := listening.FindStringSubmatch(lines.Text()); m != nil && !sent {
			address <- m[1]
			sent = true
		}
	}
	if !sent {
		close(address)
	}
}
