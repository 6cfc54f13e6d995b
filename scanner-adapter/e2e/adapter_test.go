package e2e

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/scannertest"
	"github.com/hallmarkhub/hallmark/scanner-adapter/scannertest/vulndb"
	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
)

// bench is what the tests share: the binary, and databases. They are only read.
type bench struct{ binary, database, java string }

// shared makes them once. ADAPTER_BIN is a binary that is there already.
var shared = sync.OnceValues(func() (*bench, error) {
	dir, err := os.MkdirTemp("", "scanner-e2e-")
	if err != nil {
		return nil, err
	}
	b := &bench{binary: os.Getenv("ADAPTER_BIN"), database: filepath.Join(dir, "db.tar.gz"), java: filepath.Join(dir, "javadb.tar.gz")}
	if b.binary == "" {
		b.binary = filepath.Join(dir, "scanner-adapter")
		out, err := exec.Command("go", "build", "-ldflags", "-s -w", "-o", b.binary, "..").CombinedOutput()
		if err != nil {
			return nil, &buildError{out}
		}
	}
	return b, nil
})

type buildError struct{ out []byte }

func (e *buildError) Error() string { return string(e.out) }

func TestMain(m *testing.M) {
	status := m.Run()
	if b, err := shared(); err == nil {
		os.RemoveAll(filepath.Dir(b.database))
	}
	os.Exit(status)
}

// made is when the database of the tests was made: long ago enough to be in the past, and recent enough not to be stale.
func made() time.Time { return time.Now().Add(-time.Hour).UTC().Truncate(time.Second) }

var databases sync.Once

func tools(t testing.TB) *bench {
	t.Helper()
	b, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	databases.Do(func() {
		dir := t.TempDir()
		vulndb.Build(t, dir, made(), append(vulndb.Debian(), vulndb.Go(t, "../testdata/go-vulndb-osv.tar.gz")...))
		vulndb.Pack(t, dir, b.database, "trivy.db", "metadata.json")
		vulndb.BuildJava(t, dir, made())
		vulndb.Pack(t, dir, b.java, "trivy-java.db", "metadata.json")
	})
	return b
}

// adapter is a running scanner-adapter.
type adapter struct {
	t    testing.TB
	url  string
	data string
	cmd  *exec.Cmd
	log  *record
}

// record keeps what a process writes, and says when a word came up.
type record struct {
	mu    sync.Mutex
	lines []string
	ready chan string
}

func (r *record) read(from io.Reader) {
	for s := bufio.NewScanner(from); s.Scan(); {
		r.mu.Lock()
		r.lines = append(r.lines, s.Text())
		r.mu.Unlock()
		if _, rest, ok := strings.Cut(s.Text(), "msg=ready address="); ok {
			r.ready <- strings.Fields(rest)[0]
		}
	}
	close(r.ready)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// command runs the binary to its end.
func command(t testing.TB, env []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tools(t).binary, args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// start starts an adapter with the databases of the tests in the directory data.
func start(t testing.TB, r *scannertest.Registry, data string, settings ...string) *adapter {
	t.Helper()
	b := tools(t)
	env := append([]string{"SCANNER_DATA=" + data, "SCANNER_LISTEN=127.0.0.1:0", "SCANNER_REGISTRIES=" + r.URL, "SCANNER_TOKEN=canary-a0c4b611",
		"AWS_SECRET_ACCESS_KEY=canary-11d9", "HOME=/nonexistent"}, settings...)
	if _, err := os.Stat(filepath.Join(data, "database")); err != nil {
		for _, args := range [][]string{{"database", "import", b.database}, {"database", "import", "--java", b.java}} {
			if out, err := command(t, env, args...); err != nil {
				t.Fatal(out)
			}
		}
	}
	a := &adapter{t: t, data: data, log: &record{ready: make(chan string, 1)}, cmd: exec.Command(b.binary, "serve")}
	a.cmd.Env = env
	stderr, err := a.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go a.log.read(stderr)
	t.Cleanup(a.stop)
	address, ok := <-a.log.ready
	if !ok {
		t.Fatal("it did not start: " + a.log.String())
	}
	a.url = "http://" + address
	return a
}

func (a *adapter) stop() {
	if a.cmd.ProcessState == nil {
		_ = a.cmd.Process.Signal(syscall.SIGTERM)
		_ = a.cmd.Wait()
	}
}

// kill ends it as a crash would.
func (a *adapter) kill() {
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
}

func (a *adapter) do(method, path, mediaType string, body io.Reader) (*http.Response, []byte) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.url+path, body)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer canary-a0c4b611")
	if method == http.MethodGet {
		req.Header.Set("Accept", mediaType)
	} else {
		req.Header.Set("Content-Type", mediaType)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp, b
}

// ask asks for a scan and returns its id.
func (a *adapter) ask(r *scannertest.Registry, digest string, capabilities ...spec.EnabledCapability) string {
	a.t.Helper()
	body, err := json.Marshal(spec.Request{
		Registry:     spec.Registry{URL: r.URL, Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte(r.User+":"+r.Password))},
		Artifact:     spec.Artifact{Repository: "team/app", Digest: digest, MediaType: spec.ImageOCI},
		Capabilities: capabilities,
	})
	if err != nil {
		a.t.Fatal(err)
	}
	resp, b := a.do(http.MethodPost, "/api/v1/scan", "application/vnd.scanner.adapter.scan.request+json; version=1.0", bytes.NewReader(body))
	var accepted spec.Accepted
	if err := json.Unmarshal(b, &accepted); err != nil || resp.StatusCode != http.StatusAccepted {
		a.t.Fatalf("%s: %s", resp.Status, b)
	}
	return accepted.ID
}

// wait asks for a report until it is there, or the scan has failed.
func (a *adapter) wait(id, mediaType, query string) (int, []byte) {
	a.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, b := a.do(http.MethodGet, "/api/v1/scan/"+id+"/report"+query, mediaType, nil)
		if resp.StatusCode != http.StatusFound {
			return resp.StatusCode, b
		}
		if resp.Header.Get("Refresh-After") == "" {
			a.t.Fatal("a scan that runs does not say when to ask again")
		}
		<-tick.C
	}
}

// failed scans an image that cannot be scanned and returns why.
func (a *adapter) failed(r *scannertest.Registry, digest string) string {
	a.t.Helper()
	status, b := a.wait(a.ask(r, digest), spec.ReportHarbor, "")
	var f spec.Failure
	if err := json.Unmarshal(b, &f); err != nil || status != http.StatusInternalServerError {
		a.t.Fatalf("%d: %.1000s", status, b)
	}
	return f.Error.Message
}

// scanned scans an image and returns its vulnerabilities.
func (a *adapter) scanned(r *scannertest.Registry, digest string) spec.Report {
	a.t.Helper()
	status, b := a.wait(a.ask(r, digest), spec.ReportHarbor, "")
	var report spec.Report
	if err := json.Unmarshal(b, &report); err != nil || status != http.StatusOK {
		a.t.Fatalf("%d: %.1000s", status, b)
	}
	return report
}

// damaged is an archive of a database whose pages are not what they were.
func damaged(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	vulndb.Build(t, dir, made(), vulndb.Debian())
	path := filepath.Join(dir, "trivy.db")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 3 * os.Getpagesize(); at < len(b); at++ { // behind the two pages that say where everything is
		b[at] ^= 0x5a
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	vulndb.Pack(t, dir, filepath.Join(dir, "bad.tar.gz"), "trivy.db", "metadata.json")
	if b, err = os.ReadFile(filepath.Join(dir, "bad.tar.gz")); err != nil {
		t.Fatal(err)
	}
	return b
}
