package attack

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
)

func TestMain(m *testing.M) {
	code := m.Run()
	failed := make(chan error)
	stops := atEnd.take()
	for _, stop := range stops {
		go func() { failed <- stop() }()
	}
	for range stops {
		if err := <-failed; err != nil {
			fmt.Fprintln(os.Stderr, "FAIL:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// ends is what has to be done when all tests are over.
type ends struct {
	mu   sync.Mutex
	todo []func() error
}

var atEnd ends

func (e *ends) add(f func() error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.todo = append(e.todo, f)
}

func (e *ends) take() []func() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.todo
}

// hubs are the hubs that the tests of one file share: one for each database, started when it is first asked for.
type hubs struct {
	settings []string // HALLMARK_..=..
	unset    []string // settings that a hub otherwise gets from here
	mu       sync.Mutex
	running  map[string]*hub
}

func newHubs(settings ...string) *hubs { return &hubs{settings: settings, running: map[string]*hub{}} }

// on runs f against a hub on each database.
func (g *hubs) on(t *testing.T, f func(t *testing.T, h *hub)) {
	t.Run("sqlite", func(t *testing.T) { f(t, g.get(t, "sqlite")) })
	t.Run("postgres", func(t *testing.T) {
		if os.Getenv("HALLMARK_TEST_POSTGRES") == "" {
			const how = "HALLMARK_TEST_POSTGRES is not set; `make test` starts a server and sets it"
			if os.Getenv("CI") != "" {
				t.Fatal(how)
			}
			t.Skip(how)
		}
		f(t, g.get(t, "postgres"))
	})
}

func (g *hubs) get(t *testing.T, database string) *hub {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.running[database]
	if h == nil {
		h = startHub(t, database, g.settings, g.unset)
		g.running[database] = h
	}
	return h
}

// hub is a running hub.
type hub struct {
	database string
	dir      string // its data directory
	dbURL    string
	addr     string // host:port of the public listener
	internal string
	password string // of admin
	cmd      *exec.Cmd
	done     chan struct{}
	err      error // valid once done is closed
	log      *record
	secrets  *secrets
	clean    []func() error
}

func binary(t testing.TB) string {
	t.Helper()
	if testing.Short() && os.Getenv("CI") == "" {
		t.Skip("-short: this needs the built binary and takes its time; `make test` runs it")
	}
	path := os.Getenv("HALLMARK_BIN")
	if path == "" {
		path = filepath.Join("..", "..", "bin", "hallmark")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make build`, or name the binary in HALLMARK_BIN", err)
	}
	return path
}

var readyLine = regexp.MustCompile(`(?m)^Hallmark is ready at https?://(\S+)$`)

// startHub starts a hub on fresh data. It ends when all tests are over.
func startHub(t testing.TB, database string, settings, unset []string) *hub {
	t.Helper()
	dir, err := os.MkdirTemp("", "hallmark-attack-")
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{database: database, dir: dir, done: make(chan struct{}), log: &record{}, internal: freeAddress(t),
		secrets: &secrets{all: map[string]string{}}}
	h.password = h.secrets.add("the administrator's password", random(18))
	env := map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": dir, "HALLMARK_DATA": dir, "HALLMARK_LISTEN": "127.0.0.1:0",
		"HALLMARK_INTERNAL_LISTEN": h.internal, "HALLMARK_ADMIN_PASSWORD": h.password,
		// What these attacks are after is not guarded by the gate: it must hold without it.
		"HALLMARK_BASELINE":  "off",
		"HALLMARK_LOG_LEVEL": "debug", "HALLMARK_LOG_FORMAT": "json", "HALLMARK_ACCESS_LOG": "all",
		"HALLMARK_MASTER_KEY": h.secrets.add("the master key", base64.StdEncoding.EncodeToString(randomBytes(32))),
	}
	env["HALLMARK_DB"] = "sqlite://" + filepath.Join(dir, "hallmark.db")
	if database == "postgres" {
		env["HALLMARK_DB"] = h.schema(t)
	}
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		env[name] = value
	}
	for _, name := range unset {
		delete(env, name)
	}
	h.dbURL = env["HALLMARK_DB"]
	h.cmd = exec.Command(binary(t), "serve")
	for name, value := range env {
		h.cmd.Env = append(h.cmd.Env, name+"="+value)
	}
	h.cmd.Dir = dir
	out := &record{}
	h.cmd.Stdout, h.cmd.Stderr = out, h.log
	dieWithParent(h.cmd)
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		h.err = h.cmd.Wait()
		close(h.done)
	}()
	atEnd.add(h.stop)
	eventually(t, "the hub to be ready", 30*time.Second, func() error {
		select {
		case <-h.done:
			t.Fatalf("the hub ended: %v\n%s", h.err, h.log)
		default:
		}
		m := readyLine.FindStringSubmatch(out.String())
		if m == nil {
			return fmt.Errorf("it says: %s%s", out, h.log)
		}
		h.addr = m[1]
		return nil
	})
	return h
}

// setting is what a hub was given in its environment.
func (h *hub) setting(name string) string {
	for _, e := range h.cmd.Env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

// beside starts a second hub on the same Postgres database and the same blobs.
func (h *hub) beside(t testing.TB) *hub {
	t.Helper()
	// What the harness makes for it is replaced: a schema of its own would be dropped, this one is the first hub's.
	two := startHub(t, "second", []string{"HALLMARK_DB=" + h.dbURL, "HALLMARK_MASTER_KEY=" + h.setting("HALLMARK_MASTER_KEY"), "HALLMARK_BLOBS=file://" + filepath.Join(h.dir, "blobs")}, nil)
	two.database, two.password, two.secrets = h.database, h.password, h.secrets
	t.Cleanup(func() { // before the first one, which takes the database away
		if err := two.stop(); err != nil {
			t.Error(err)
		}
	})
	return two
}

// stop ends a hub and looks whether it has told any of the secrets that it was given or has made. Only its own process
// is signalled: others may run hubs on this machine.
func (h *hub) stop() error {
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	var err error
	select {
	case <-h.done:
		if h.err != nil {
			err = fmt.Errorf("the hub on %s ended with %w", h.database, h.err)
		}
	case <-time.After(35 * time.Second):
		_ = h.cmd.Process.Kill()
		<-h.done
		err = fmt.Errorf("the hub on %s did not end within 35 s of SIGTERM", h.database)
	}
	text := h.log.String()
	if e := h.secrets.in("V-45: the log on "+h.database, text); e != nil && err == nil {
		err = e
	}
	for _, bad := range []string{"panic:", "fatal error:", "DATA RACE", "goroutine "} {
		if i := strings.Index(text, bad); i >= 0 && err == nil {
			err = fmt.Errorf("the log on %s has: %s", h.database, text[i:min(len(text), i+3000)])
		}
	}
	for _, f := range h.clean {
		if e := f(); e != nil && err == nil {
			err = e
		}
	}
	if e := os.RemoveAll(h.dir); e != nil && err == nil {
		err = e
	}
	return err
}

// schema makes a schema of its own in the test server and returns its address.
func (h *hub) schema(t testing.TB) string {
	t.Helper()
	base := os.Getenv("HALLMARK_TEST_POSTGRES")
	admin, err := db.Open(t.Context(), base, db.Options{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	name := "a" + hex.EncodeToString(randomBytes(8))
	if _, err := admin.Pool().Exec(`CREATE SCHEMA ` + name); err != nil {
		t.Fatal(err)
	}
	h.clean = append(h.clean, func() error {
		defer admin.Close()
		_, err := admin.Pool().Exec(`DROP SCHEMA ` + name + ` CASCADE`)
		return err
	})
	sep := "?"
	if strings.Contains(base, "?") {
		sep = "&"
	}
	return base + sep + "search_path=" + name
}
