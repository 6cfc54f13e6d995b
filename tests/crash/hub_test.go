//go:build crash && linux

package crash

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	password  = "crash-tests-only-7"
	startTime = 30 * time.Second // on a busy machine, under a tracer
	endTime   = 45 * time.Second // the hub gives requests in flight 30 s
)

// hub is a data directory and the addresses of the processes that work on it, one after the other.
type hub struct {
	t        testing.TB
	dir      string // log and history lie here, beside data
	data     string
	addr     string
	internal string
	env      []string
	log      *os.File

	proc *process
	// epoch is odd while a process is up and answering. A request during which it changed may have met a dying one.
	epoch   atomic.Int64
	slowest time.Duration // start so far
	closed  sync.Once
}

// process is one run of the binary, possibly below a tracer.
type process struct {
	cmd  *exec.Cmd
	pid  int // of the hub itself
	gone chan struct{}
	err  error // of Wait, after gone
}

func binary(t testing.TB) string {
	t.Helper()
	bin := os.Getenv("HALLMARK_BIN")
	if bin == "" {
		bin = filepath.Join("..", "..", "bin", "hallmark")
	}
	bin, err := filepath.Abs(bin)
	if err == nil {
		_, err = os.Stat(bin)
	}
	if err != nil {
		t.Fatalf("there is no binary to test (make build): %v", err)
	}
	return bin
}

// newHub makes a directory for a hub. It does not start it.
func newHub(t testing.TB) *hub {
	t.Helper()
	// Not t.TempDir: the hub's local socket lies in here, and the path of a socket is short.
	dir, err := os.MkdirTemp("", "hallmark-crash-")
	if err != nil {
		t.Fatal(err)
	}
	return newHubIn(t, dir)
}

// newHubIn makes a hub in an existing directory, which is its own from now on.
func newHubIn(t testing.TB, dir string) *hub {
	t.Helper()
	h := &hub{t: t, dir: dir, data: filepath.Join(dir, "data"), addr: freeAddr(t), internal: freeAddr(t)}
	var err error
	if h.log, err = os.OpenFile(filepath.Join(dir, "hub.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	return h
}

// close ends whatever still runs and removes the directory.
func (h *hub) close() {
	h.closed.Do(func() {
		if h.proc != nil {
			h.proc.kill()
			<-h.proc.gone
		}
		h.log.Close()
		if p := h.panics(); p != "" {
			h.t.Errorf("the hub panicked: %s", p)
		}
		if h.t.Failed() {
			h.t.Logf("the hub's last words:\n%s", h.tail(30))
			if os.Getenv("CRASH_KEEP") != "" {
				h.t.Logf("kept: %s", h.dir)
				return
			}
		}
		if err := os.RemoveAll(h.dir); err != nil {
			h.t.Errorf("clean up: %v", err)
		}
	})
}

func (h *hub) tail(lines int) string {
	b, err := os.ReadFile(h.log.Name())
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}

// panics returns the first panic of the log, with its stack. net/http survives them and tells only who asks for it.
func (h *hub) panics() string {
	b, err := os.ReadFile(h.log.Name())
	if err != nil {
		return ""
	}
	i := bytes.Index(b, []byte("panic"))
	if i < 0 {
		return ""
	}
	line, _, _ := bytes.Cut(b[i:], []byte("\n"))
	return strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(string(line[:min(len(line), 2000)]))
}

// command is the hub's command line below a prefix, on this data directory, with these addresses.
func (h *hub) command(addr, internal string, prefix ...string) *exec.Cmd {
	args := append(prefix, binary(h.t), "serve")
	cmd := exec.Command(args[0], args[1:]...)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "HALLMARK_") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, "HALLMARK_DATA="+h.data, "HALLMARK_LISTEN="+addr, "HALLMARK_INTERNAL_LISTEN="+internal,
		"HALLMARK_ADMIN_PASSWORD="+password, "HALLMARK_ACCESS_LOG=none", "HALLMARK_LOG_LEVEL=debug",
		"HALLMARK_BASELINE=off", // nobody signs what is pushed here
		"HALLMARK_SCANNER=off")
	cmd.Env = append(cmd.Env, h.env...)
	return h.watched(cmd)
}

// child is another program that belongs to this hub.
func (h *hub) child(program string, args ...string) *exec.Cmd {
	return h.watched(exec.Command(program, args...))
}

func (h *hub) watched(cmd *exec.Cmd) *exec.Cmd {
	// When this binary ends by its own time limit, no Cleanup runs.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = h.log // what it says to a newcomer on its standard output is of no use here
	return cmd
}

// launch starts a command and watches it end.
func launch(cmd *exec.Cmd) (*process, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, pid: cmd.Process.Pid, gone: make(chan struct{})}
	go func() { p.err = cmd.Wait(); close(p.gone) }()
	return p, nil
}

// kill is kill -9 of the hub itself and, should it have hung, of its tracer.
func (p *process) kill() {
	select {
	case <-p.gone: // its id may be somebody else's by now
		return
	default:
	}
	_ = syscall.Kill(p.pid, syscall.SIGKILL)
	if p.pid != p.cmd.Process.Pid && !poll(context.Background(), 5*time.Second, p.ended) {
		_ = p.cmd.Process.Kill()
	}
}

func (p *process) ended() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// start starts the hub and waits until it is ready.
func (h *hub) start(prefix ...string) {
	h.t.Helper()
	if err := h.tryStart(prefix...); err != nil {
		h.t.Fatalf("%v\n%s", err, h.tail(20))
	}
}

// tryStart is start for goroutines that may not end the test.
func (h *hub) tryStart(prefix ...string) error {
	began := time.Now()
	p, err := launch(h.command(h.addr, h.internal, prefix...))
	if err != nil {
		return err
	}
	h.proc = p
	if !poll(context.Background(), startTime, func() bool { return p.ended() || h.ready() == http.StatusOK }) {
		return fmt.Errorf("the hub was not ready after %v", startTime)
	}
	if p.ended() {
		return fmt.Errorf("the hub ended instead of starting: %w", p.err)
	}
	if len(prefix) > 0 {
		if p.pid, err = onlyChild(p.pid); err != nil {
			return err
		}
	}
	h.slowest = max(h.slowest, time.Since(began))
	h.epoch.Add(1)
	return nil
}

// ready is the status of /readyz, 0 if there is no answer.
func (h *hub) ready() int {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return newClient(h).do(ctx, http.MethodGet, "/readyz", nil).status
}

func onlyChild(pid int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// kill is kill -9, now.
func (h *hub) kill() {
	h.epoch.Add(1)
	h.proc.kill()
	<-h.proc.gone
}

// stop asks the hub to end and expects it to do so well.
func (h *hub) stop() {
	h.t.Helper()
	h.epoch.Add(1)
	if err := syscall.Kill(h.proc.pid, syscall.SIGTERM); err != nil {
		h.t.Fatalf("SIGTERM: %v", err)
	}
	h.ends(endTime)
}

// ends waits for the process, which has been asked to end, and looks at its exit status.
func (h *hub) ends(within time.Duration) {
	h.t.Helper()
	until(h.t, within, "ended", h.proc.ended)
	if h.proc.err != nil {
		h.t.Fatalf("the hub did not end well: %v\n%s", h.proc.err, h.tail(20))
	}
}

// up reports whether a process is known to answer, and in which epoch.
func (h *hub) up() (int64, bool) {
	e := h.epoch.Load()
	return e, e%2 == 1
}

var givenPorts sync.Map

// freeAddr returns a loopback address nobody listens on. It lies below the range the kernel takes for outgoing
// connections: a client that dials a hub that is down could get the very port and talk to itself.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(16000))
		if _, taken := givenPorts.LoadOrStore(addr, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port between 15000 and 31000")
	return ""
}
