package adapter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain is, in a child, a small adapter: it answers who presents its token, or a hub that runs one.
func TestMain(m *testing.M) {
	switch os.Getenv("ADAPTER_TEST") {
	case "serve":
		pretend()
	case "hub":
		hub()
	case "refuse":
		fmt.Fprintln(os.Stderr, "scanner-adapter: SCANNER_DATABASE: it cannot be read")
		os.Exit(2)
	default:
		os.Exit(m.Run())
	}
}

func pretend() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	secret := func(name string) string {
		b, err := os.ReadFile(os.Getenv(name + "_FILE"))
		if err != nil {
			panic(err)
		}
		return string(b)
	}
	token, basic := secret("SCANNER_TOKEN"), secret("SCANNER_DATABASE_BASIC")
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", os.Getenv("SCANNER_LISTEN"))
	if err != nil {
		panic(err)
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch r.URL.Path {
		case "/die":
			os.Exit(3)
		case "/basic":
			fmt.Fprint(w, basic)
		case "/environment":
			fmt.Fprint(w, strings.Join(os.Environ(), "\n"))
		case "/pid":
			fmt.Fprint(w, os.Getpid())
		}
	})
	fmt.Fprintln(os.Stderr, strings.Repeat("x", 3*maxLine))
	log.Info("ready", "address", l.Addr().String(), "trivy", "0")
	panic(http.Serve(l, nil)) //nolint:gosec // a test
}

// hub runs an adapter and tells where, and is killed then.
func hub() {
	a := New(Options{Binary: os.Args[0], Env: []string{"ADAPTER_TEST=serve"}, Secret: map[string]string{"SCANNER_DATABASE_BASIC": "x"},
		Log: slog.New(slog.DiscardHandler), Joined: func(_ context.Context, c Connection) error {
			fmt.Println(c.URL, c.Token)
			return nil
		}})
	a.Run(context.Background())
}

// running is an adapter under test.
type running struct {
	*Adapter
	t      *testing.T
	joined chan Connection
	log    *record
}

type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// runs runs an adapter; the test ends it by stop, which returns when it has ended.
func runs(t *testing.T, opt Options) (r *running, stop func()) {
	t.Helper()
	r = &running{t: t, joined: make(chan Connection, 10), log: &record{}}
	opt.Env = append(opt.Env, "HALLMARK=1")
	opt.Secret = map[string]string{"SCANNER_DATABASE_BASIC": "canary-5d1b"}
	opt.Log = slog.New(slog.NewTextHandler(r.log, nil))
	opt.patience = 5 * time.Millisecond
	if opt.Joined == nil {
		opt.Joined = func(_ context.Context, c Connection) error {
			r.joined <- c
			return nil
		}
	}
	r.Adapter = New(opt)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return r, stop
}

func ask(t *testing.T, c Connection, path string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// present makes the binary appear, as a build does.
func present(t *testing.T, path string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
}

// until waits for a state, which there is no signal for.
func (r *running) until(want Phase) State {
	r.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if s := r.State(); s.Phase == want {
			return s
		}
		select {
		case <-tick.C:
		case <-r.t.Context().Done():
			r.t.Fatalf("it never was %s: %s", want, r.log)
		}
	}
}

func TestBinaryThatComesLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scanner-adapter")
	if err := os.WriteFile(path+BuildingSuffix, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, stop := runs(t, Options{Binary: path, Env: []string{"ADAPTER_TEST=serve"}})
	r.until(Building)
	if err := os.Remove(path + BuildingSuffix); err != nil {
		t.Fatal(err)
	}
	r.until(Missing)
	present(t, path)
	c := <-r.joined
	r.until(Running)
	if said, err := ask(t, c, "/basic"); err != nil || said != "canary-5d1b" {
		t.Errorf("%q %v", said, err)
	}
	environment, err := ask(t, c, "/environment")
	for _, secret := range []string{c.Token, "canary-5d1b"} {
		if err != nil || strings.Contains(environment+r.log.String(), secret) {
			t.Errorf("a secret is in the environment or the log: %v\n%s\n%s", err, environment, r.log)
		}
	}
	if names := strings.Count(environment, "\n"); names != 4 { // one less than there are
		t.Errorf("the child has more of the environment than it was given:\n%s", environment)
	}
	stop()
	if _, err := ask(t, c, "/pid"); err == nil {
		t.Error("it answers after its end")
	}
}

func TestDiesAndIsStartedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scanner-adapter")
	present(t, path)
	r, _ := runs(t, Options{Binary: path, Env: []string{"ADAPTER_TEST=serve"}})
	first := <-r.joined
	_, _ = ask(t, first, "/die")
	second := <-r.joined
	if first.Token == second.Token {
		t.Error("the token is the same as before")
	}
	if _, err := ask(t, second, "/pid"); err != nil {
		t.Error(err)
	}
}

func TestRefusesToStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scanner-adapter")
	present(t, path)
	r, _ := runs(t, Options{Binary: path, Env: []string{"ADAPTER_TEST=refuse"}})
	if s := r.until(Failed); !strings.Contains(s.Problem, "SCANNER_DATABASE") || !strings.Contains(s.Problem, "exit status 2") {
		t.Error(s)
	}
}

func TestNoProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scanner-adapter")
	if err := os.WriteFile(path, []byte("half a program"), 0o700); err != nil {
		t.Fatal(err)
	}
	r, _ := runs(t, Options{Binary: path})
	if s := r.until(Failed); !strings.Contains(s.Problem, "cannot be started") {
		t.Error(s)
	}
}

// Who cannot be told yet that it runs is told again.
func TestJoinedLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scanner-adapter")
	present(t, path)
	times := 0
	r, _ := runs(t, Options{Binary: path, Env: []string{"ADAPTER_TEST=serve"}, Joined: func(context.Context, Connection) error {
		if times++; times < 3 {
			return errors.New("the database does not answer")
		}
		return nil
	}})
	r.until(Running)
	if times != 3 || !strings.Contains(r.log.String(), "the database does not answer") {
		t.Error(times, r.log)
	}
}

// A hub that is killed takes its adapter with it.
func TestEndsWithTheHub(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // only there a child hears of its parent's end
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = []string{"ADAPTER_TEST=hub"}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var c Connection
	if _, err := fmt.Fscan(out, &c.URL, &c.Token); err != nil {
		t.Fatal(err)
	}
	said, err := ask(t, c, "/pid")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(said)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for syscall.Kill(pid, 0) == nil && !zombie(pid) {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("the adapter outlives the hub")
		}
	}
}

// zombie reports whether a process has ended and nobody has asked how.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(b), ") Z ")
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in   string
		want line
	}{
		{`time=2026-01-01T00:00:00Z level=INFO msg=ready address=127.0.0.1:4711 trivy=0.74.0`,
			line{slog.LevelInfo, `msg=ready address=127.0.0.1:4711 trivy=0.74.0`, "127.0.0.1:4711"}},
		{`time=2026-01-01T00:00:00Z level=WARN msg="the database could not be refreshed" error=x`,
			line{slog.LevelWarn, `msg="the database could not be refreshed" error=x`, ""}},
		{`time=2026-01-01T00:00:00Z level=LOUD msg=x`, line{slog.LevelWarn, `time=2026-01-01T00:00:00Z level=LOUD msg=x`, ""}},
		{"panic: \xff", line{slog.LevelWarn, "panic: ?", ""}},
		{"", line{slog.LevelWarn, "", ""}},
	} {
		if got := parse(c.in); got != c.want {
			t.Errorf("%q: %+v", c.in, got)
		}
	}
}
