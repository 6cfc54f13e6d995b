package redistest

import (
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limit is how long a server may take to start or to end.
const limit = 20 * time.Second

// URL is the server that all tests share: use keys of your own.
func URL(t testing.TB) string {
	t.Helper()
	url := os.Getenv("HALLMARK_TEST_REDIS")
	if url == "" {
		lacking(t, "HALLMARK_TEST_REDIS is not set; `make test` starts a server and sets it")
	}
	return url
}

func lacking(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// Server is one process.
type Server struct {
	t      testing.TB
	dir    string
	config []string
	Addr   string // host:port
	cmd    *exec.Cmd
	gone   chan struct{}
}

// Start starts a server without a password that keeps nothing, with more lines of its configuration file. Where the lines
// name a port themselves, Addr is that of "port" and "tls-port".
func Start(t testing.TB, config ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		lacking(t, "redis-server is not installed: run tests/tools/apt.sh db as root")
	}
	s := &Server{t: t, dir: t.TempDir(), config: config}
	s.Addr = "127.0.0.1:" + FreePort(t)
	s.Restart()
	t.Cleanup(s.Kill)
	return s
}

// Kill is kill -9.
func (s *Server) Kill() {
	select {
	case <-s.gone: // its id may be somebody else's by now
		return
	default:
	}
	_ = s.cmd.Process.Signal(syscall.SIGCONT)
	_ = s.cmd.Process.Kill()
	<-s.gone
}

// Restart starts the server again, on the same port: with what was saved, else empty.
func (s *Server) Restart() {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.Addr)
	lines := []string{"bind 127.0.0.1", `save ""`, "appendonly no", "daemonize no", "dir " + s.dir, "logfile " + filepath.Join(s.dir, "log")}
	own := func(line string) bool {
		return strings.HasPrefix(line, "port ") || strings.HasPrefix(line, "tls-port ")
	}
	if !slices.ContainsFunc(s.config, own) {
		lines = append(lines, "port "+port)
	}
	args := []string{filepath.Join(s.dir, "redis.conf")}
	for _, line := range s.config {
		line = strings.ReplaceAll(line, "$PORT", port)
		if strings.HasPrefix(line, "--") {
			args = append(args, line)
			continue
		}
		lines = append(lines, line)
	}
	if err := os.WriteFile(args[0], []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command("redis-server", args...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	gone := make(chan struct{})
	s.gone = gone
	go func() { _ = s.cmd.Wait(); close(gone) }()
	s.untilOpen()
}

func (s *Server) untilOpen() {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		if c, err := net.DialTimeout("tcp", s.Addr, time.Second); err == nil {
			c.Close()
			return
		}
		select {
		case <-s.gone:
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.t.Fatalf("redis-server ended instead of starting: %s", log)
		default:
		}
		if time.Since(began) > limit {
			s.t.Fatal("redis-server does not answer")
		}
	}
}

// Forget removes what SAVE has written, so that the next Restart begins empty.
func (s *Server) Forget() {
	s.t.Helper()
	if err := os.Remove(filepath.Join(s.dir, "dump.rdb")); err != nil {
		s.t.Fatal(err)
	}
}

// Hang stops the process; Resume lets it go on.
func (s *Server) Hang() { s.signal(syscall.SIGSTOP) }

// Resume ends Hang.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Do runs one command with redis-cli and returns what it says. password is that of the server.
func (s *Server) Do(password string, words ...string) string {
	s.t.Helper()
	host, port, _ := net.SplitHostPort(s.Addr)
	cmd := exec.Command("redis-cli", append([]string{"-e", "-h", host, "-p", port}, words...)...)
	cmd.Env = append(os.Environ(), "REDISCLI_AUTH="+password)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v, %s", words[0], err, out)
	}
	return strings.TrimSpace(string(out))
}

// FreePort is a port of loopback that nobody listens on. It lies below those that the kernel takes for outgoing connections:
// a client that dials a server that was killed could get the very port and talk to itself.
func FreePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(11000 + rand.IntN(4000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port between 11000 and 15000")
	return ""
}
