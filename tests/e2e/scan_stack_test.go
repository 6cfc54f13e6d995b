//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// adapterBinary returns the scanner as `make scanner` builds it. As the hub, it is never skipped.
func adapterBinary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("ADAPTER_BIN")
	if path == "" {
		path = filepath.Join("..", "..", "bin", "scanner-adapter")
	}
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatal(fmt.Errorf("no scanner to test (%w); build it with: make scanner, or set ADAPTER_BIN", err))
	}
	return path
}

// adapterCommand runs a Go command in the module of the scanner.
func adapterCommand(t testing.TB, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = filepath.Join("..", "..", "scanner-adapter", dir)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=jsonv2")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
}

// scanSettings are what a hub is told besides: only scans decide here; a webhook may go to this machine, and each read is in the log.
func scanSettings() []string {
	return []string{"HALLMARK_BASELINE=off", "HALLMARK_WEBHOOK_ALLOW=127.0.0.0/8", "HALLMARK_ACCESS_LOG=all"}
}

// startScanStack starts a hub with a scanner: one that the hub runs itself; and on Postgres, with Redis, a process that serves, two
// that work off jobs, and a scanner by itself.
func startScanStack(t *testing.T, name string) *stack {
	t.Helper()
	adapter := adapterBinary(t)
	if name != "postgres" {
		return startStack(t, name, append(scanSettings(), "HALLMARK_SCANNER=exec:"+adapter)...)
	}
	at, token := freeAddr(t), secret(t)
	s := startStack(t, name, append(scanSettings(), "HALLMARK_QUEUE="+startRedis(t), "HALLMARK_ROLES=core",
		"HALLMARK_SCANNER=http://"+at, "HALLMARK_SCANNER_TOKEN="+token)...)
	// It fetches from the process that serves, whichever worker asks it.
	registry := "http://" + s.addr
	for _, worker := range []string{"worker-1", "worker-2"} {
		s.worker(t, worker, "HALLMARK_SCANNER_REGISTRY="+registry)
	}
	cmd := exec.Command(adapter, "serve")
	cmd.Env = []string{"SCANNER_LISTEN=" + at, "SCANNER_TOKEN=" + token, "SCANNER_DATA=" + filepath.Join(t.TempDir(), "scanner"), "SCANNER_REGISTRIES=" + registry,
		"SCANNER_DATABASE=oci://" + s.addr + "/system/trivy-db:2", "SCANNER_JAVA_DATABASE=oci://" + s.addr + "/system/trivy-java-db:1",
		"SCANNER_DATABASE_INTERVAL=20s", "SCANNER_DATABASE_BASIC=" + s.databaseRobot(t)}
	p := start(t, s.logs, "scanner", cmd)
	p.ready(t, 30*time.Second, answers("http://"+at+"/probe/healthy"))
	return s
}

// worker starts a process that works off jobs.
func (s *stack) worker(t *testing.T, name string, settings ...string) {
	t.Helper()
	internal := freeAddr(t)
	cmd := exec.Command(hubBinary(t), "serve")
	cmd.Dir = t.TempDir()
	cmd.Env = append(append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "HALLMARK_DATA=" + filepath.Join(t.TempDir(), "data")}, s.settings...),
		"HALLMARK_ROLES=jobservice", "HALLMARK_INTERNAL_LISTEN="+internal)
	cmd.Env = append(cmd.Env, settings...)
	p := start(t, s.logs, name, cmd)
	p.ready(t, 60*time.Second, answers("http://"+internal+"/readyz"))
}

// databaseRobot makes the account with which a scanner reads its databases, as docs/scanner.md says, and returns user:password.
func (s *stack) databaseRobot(t *testing.T) string {
	t.Helper()
	res, answer := s.do(t, http.MethodPost, "/api/v1/projects/system/robots",
		[]byte(`{"name":"scanner","permissions":[{"repository":"trivy-*","actions":["pull"]}]}`), http.Header{"Content-Type": {"application/json"}})
	var robot struct{ Username, Secret string }
	if err := json.Unmarshal(answer, &robot); err != nil || res.StatusCode != http.StatusCreated || robot.Secret == "" {
		t.Fatalf("%s: %v\n%s", res.Status, err, answer)
	}
	return robot.Username + ":" + robot.Secret
}

// startRedis starts a Redis that keeps nothing and returns its URL.
func startRedis(t *testing.T) string {
	t.Helper()
	server := debian(t, "db", "redis-server")
	addr, password := freeAddr(t), secret(t)
	host, port, _ := strings.Cut(addr, ":")
	dir := t.TempDir()
	config := filepath.Join(dir, "redis.conf")
	text := fmt.Sprintf("bind %s\nport %s\nrequirepass %s\nsave \"\"\nappendonly no\ndir %s\n", host, port, password, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, dir, "redis", exec.Command(server, config))
	p.ready(t, 20*time.Second, dials("tcp", addr))
	return (&url.URL{Scheme: "redis", User: url.UserPassword("", password), Host: addr, Path: "/0"}).String()
}

// publishDatabase pushes databases to the hub as Trivy's own are published. more: with one vulnerability that was not known before.
func (c *cli) publishDatabase(age time.Duration, more bool) {
	c.t.Helper()
	dir := filepath.Dir(c.write(fmt.Sprintf("db-%t/made", more), nil))
	adapterCommand(c.t, ".", "run", "./scannertest/makedb", "-age", age.String(), fmt.Sprintf("-more=%t", more), dir)
	oras := pinned(c.t, "oras")
	c.pipe(c.s.password, oras, "login", "--plain-http", "-u", c.s.user, "--password-stdin", c.s.addr)
	for _, db := range [][3]string{{"trivy-db:2", "db.tar.gz", "db"}, {"trivy-java-db:1", "javadb.tar.gz", "javadb"}} {
		c.write(db[1], c.read(filepath.Join(dir, db[1]))) // oras wants a path below the directory it is in
		c.run(oras, "push", "--plain-http", "--no-tty", "--artifact-type", "application/vnd.aquasec.trivy.config.v1+json",
			c.s.addr+"/system/"+db[0], db[1]+":application/vnd.aquasec.trivy."+db[2]+".layer.v1.tar+gzip")
	}
}

// told waits until an answer of the API has all these words.
func (s *stack) told(t testing.TB, within time.Duration, path string, words ...string) string {
	t.Helper()
	var said string
	eventually(t, fmt.Sprintf("GET %s to say %q", path, words), within, func() error {
		res, answer := s.do(t, http.MethodGet, path, nil, nil)
		if said = string(answer); res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %.2000s", res.Status, said)
		}
		if lacking := without(said, words); lacking != "" {
			return fmt.Errorf("no %q in %.2000s", lacking, said)
		}
		return nil
	})
	return said
}

// fetched is how many blobs of a project were read so far by others than somebody: by scanners.
func (s *stack) fetched(t testing.TB, project, somebody string) int {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.logs, "hallmark.log"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(raw)) {
		if strings.Contains(line, `"method":"GET"`) && strings.Contains(line, `"path":"/v2/`+project+`/`) && strings.Contains(line, "/blobs/") && !strings.Contains(line, `"who":"`+somebody+`"`) {
			n++
		}
	}
	return n
}

// receiver takes what is sent to it.
func receiver(t *testing.T, take func(header http.Header, body []byte)) string {
	t.Helper()
	addr := freeAddr(t)
	server := &http.Server{Addr: addr, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		take(r.Header, body)
		w.WriteHeader(http.StatusNoContent)
	})}
	go func() { _ = server.ListenAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) })
	return "http://" + addr + "/hook"
}
