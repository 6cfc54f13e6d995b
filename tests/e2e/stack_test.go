//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
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

// stack is one running hub with whatever it stands on.
type stack struct {
	name     string
	addr     string // host:port the clients talk to
	user     string
	password string
	logs     string
	settings []string // what every process of it is told
}

// stacks maps the names E2E_STACKS knows to what starts the servers below the hub, and
// returns the environment that tells it about them.
var stacks = map[string]func(t *testing.T, logs string) []string{
	"sqlite":   func(*testing.T, string) []string { return nil },
	"postgres": startPostgresAndS3,
}

// startStack starts a hub on fresh data, with these settings; it ends with the test.
func startStack(t *testing.T, name string, settings ...string) *stack {
	t.Helper()
	below, known := stacks[name]
	if !known {
		t.Fatalf("E2E_STACKS: no stack named %q", name)
	}
	logs := t.TempDir()
	if keep := os.Getenv("E2E_LOGS"); keep != "" {
		logs = filepath.Join(keep, name)
		if err := os.MkdirAll(logs, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := &stack{name: name, addr: freeAddr(t), user: "admin", password: secret(t), logs: logs}
	s.settings = append(below(t, logs), append([]string{
		"HALLMARK_ADMIN_PASSWORD=" + s.password,
		"HALLMARK_MASTER_KEY=" + base64.StdEncoding.EncodeToString(random(t, 32)),
	}, settings...)...)
	s.serve(t, "hallmark")
	if os.Getenv("E2E_TRACE") != "" {
		s.addr = startTrace(t, s.addr, filepath.Join(logs, "trace.log"))
	}
	return s
}

// beside starts one more process of the hub; they share database and blobs. This one sends who pulls to the object store,
// which has another name there, as it has for those outside of a cluster.
func (s *stack) beside(t *testing.T) *stack {
	t.Helper()
	other := *s
	other.addr, other.settings = freeAddr(t), nil
	for _, setting := range s.settings {
		if blobs, ok := strings.CutPrefix(setting, "HALLMARK_BLOBS="); ok {
			u, err := url.Parse(blobs)
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			q.Set("redirect", "true")
			q.Set("redirectendpoint", strings.Replace(q.Get("endpoint"), "127.0.0.1", "localhost", 1))
			u.RawQuery = q.Encode()
			setting = "HALLMARK_BLOBS=" + u.String()
		}
		other.settings = append(other.settings, setting)
	}
	other.serve(t, "hallmark-beside")
	return &other
}

func (s *stack) serve(t *testing.T, log string) {
	t.Helper()
	cmd := exec.Command(hubBinary(t), "serve")
	cmd.Dir = t.TempDir()
	// Only what the hub is told: a HALLMARK_ variable of the shell must not decide a test.
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + cmd.Dir,
		"HALLMARK_DATA=" + filepath.Join(t.TempDir(), "data"),
		"HALLMARK_LISTEN=" + s.addr,
		"HALLMARK_INTERNAL_LISTEN=" + freeAddr(t),
		"HALLMARK_SCANNER=off", // unless a test is about it
	}, s.settings...)
	p := start(t, s.logs, log, cmd)
	p.ready(t, 60*time.Second, answers("http://"+s.addr+"/readyz"))
}

func random(t testing.TB, n int) []byte {
	t.Helper()
	raw := make([]byte, n)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	return raw
}

func secret(t testing.TB) string {
	return base64.RawURLEncoding.EncodeToString(random(t, 18))
}

// createProject makes the project a test pushes to.
func (s *stack) createProject(t testing.TB, name, visibility string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"name": name, "visibility": visibility})
	if err != nil {
		t.Fatal(err)
	}
	res, answer := s.do(t, http.MethodPost, "/api/v1/projects", body, http.Header{"Content-Type": {"application/json"}})
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("POST /api/v1/projects %s: %s\n%s", body, res.Status, answer)
	}
}

// do sends a request as the administrator and returns the answer with its body.
func (s *stack) do(t testing.TB, method, path string, body []byte, header http.Header) (*http.Response, []byte) {
	t.Helper()
	return s.as(t, s.user, s.password, method, path, body, header)
}

// as is do as somebody else.
func (s *stack) as(t testing.TB, user, password, method, path string, body []byte, header http.Header) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+s.addr+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for key, values := range header {
		req.Header[key] = values
	}
	req.SetBasicAuth(user, password)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return res, answer
}
