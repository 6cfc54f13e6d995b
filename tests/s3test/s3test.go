// Package s3test runs a real S3 server, versitygw on a temporary directory, for tests of the object store.
//
// Imports the standard library only. Start is all there is.
package s3test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	bucket    = "hallmark"
	accessKey = "hallmark-test"
	secretKey = "hallmark-test-secret"
)

// Start runs a server with one empty bucket until the test ends and returns the URL for registry/blob/driver,
// s3://bucket/prefix?region=..&endpoint=.. It puts the credentials into AWS_ACCESS_KEY_ID
// and AWS_SECRET_ACCESS_KEY of this process, for child processes as well, so the test must not be parallel.
//
// The program is $HALLMARK_TOOLS/bin/versitygw; HALLMARK_TOOLS defaults to ~/.cache/hallmark/tools. If it is missing,
// the test is skipped, but fails where it must run: with CI=true or HALLMARK_TEST_S3=1.
func Start(t testing.TB) string {
	t.Helper()
	program := find(t)
	t.Setenv("AWS_ACCESS_KEY_ID", accessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true") // never ask the network who we are
	root := t.TempDir()
	// A directory of the back end is a bucket; its owner is then the root account.
	for _, dir := range []string{"data", "data/" + bucket, "meta"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// Between choosing a port and using it another process may take it.
	var problem error
	for range 5 {
		var address string
		if address, problem = run(t, program, root); problem == nil {
			query := url.Values{"region": {"us-east-1"}, "endpoint": {"http://" + address}, "forcepathstyle": {"true"}}
			return "s3://" + bucket + "/registry?" + query.Encode()
		}
	}
	t.Fatalf("s3test: versitygw does not start: %v", problem)
	return ""
}

func find(t testing.TB) string {
	t.Helper()
	tools := os.Getenv("HALLMARK_TOOLS")
	if tools == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		tools = filepath.Join(cache, "hallmark", "tools")
	}
	program := filepath.Join(tools, "bin", "versitygw")
	if _, err := os.Stat(program); err != nil {
		const advice = "needs an S3 server: run tests/tools/build.sh versitygw, or set HALLMARK_TOOLS"
		if os.Getenv("CI") == "true" || os.Getenv("HALLMARK_TEST_S3") != "" {
			t.Fatalf("%s (%v)", advice, err)
		}
		t.Skip(advice)
	}
	return program
}

// run starts the server on a free port and returns its address when it answers.
func run(t testing.TB, program, root string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	address := l.Addr().String()
	l.Close()

	var output bytes.Buffer
	cmd := exec.Command(program, "--port", address, "--access", accessKey, "--secret", secretKey,
		"--quiet", "--keep-alive", "--health", "/healthy",
		"posix", "--sidecar", filepath.Join(root, "meta"), filepath.Join(root, "data"))
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); cancel(); close(exited) }()
	stop := func() { _ = cmd.Process.Kill(); <-exited }
	if err := healthy(ctx, "http://"+address+"/healthy"); err != nil {
		stop()
		return "", fmt.Errorf("%w; it said: %s", err, strings.TrimSpace(output.String()))
	}
	t.Cleanup(stop)
	return address, nil
}

// healthy returns when a GET of u is answered with 200, or with the last error when ctx ends.
func healthy(ctx context.Context, u string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(ctx, u)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func probe(ctx context.Context, u string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", u, response.Status)
	}
	return nil
}
