//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a server that lives as long as the test which started it.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has exited
	err  error         // valid once done is closed
}

// start runs cmd in the background, writes what it prints to logs/name.log and
// stops it when the test ends. The end of the log is shown if the test failed.
func start(t testing.TB, logs, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: name, log: filepath.Join(logs, name+".log"), cmd: cmd, done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		_ = out.Close()
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = cmd.Wait()
		_ = out.Close()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("end of the log of %s:\n%s", name, tail(p.log, 25))
		}
	})
	return p
}

// stop asks the process we started to end, and insists after a while. Only its own
// pid is signalled: other people's servers may run on the same machine.
func (p *process) stop(t testing.TB) {
	select {
	case <-p.done:
		return
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		t.Errorf("%s did not stop within 30 s of SIGTERM", p.name)
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// ready waits until check succeeds, and fails at once when the process is gone.
func (p *process) ready(t testing.TB, timeout time.Duration, check func() error) {
	t.Helper()
	eventually(t, p.name+" to become ready", timeout, func() error {
		select {
		case <-p.done:
			return giveUp{fmt.Errorf("%s exited: %w\n%s", p.name, p.exit(), tail(p.log, 40))}
		default:
			return check()
		}
	})
}

// exit says how a process that is done ended; servers end with an error or not at all.
func (p *process) exit() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// giveUp tells eventually that waiting longer is of no use.
type giveUp struct{ error }

// eventually is the only place that waits for something without an event to wait on.
func eventually(t testing.TB, what string, timeout time.Duration, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		var final giveUp
		if errors.As(err, &final) {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited %s for %s: %v", timeout, what, err)
		}
	}
}

// answers is a check for ready: GET url has status 200.
func answers(url string) func() error {
	client := &http.Client{Timeout: 2 * time.Second}
	return func() error {
		res, err := client.Get(url)
		if err != nil {
			return err
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s: %s", url, res.Status)
		}
		return nil
	}
}

// dials is a check for ready: somebody listens on address.
func dials(network, address string) func() error {
	return func() error {
		conn, err := net.DialTimeout(network, address, 2*time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

var givenPorts sync.Map

// freeAddr returns a loopback address nobody listens on. It is below the range the
// kernel takes for outgoing connections: one of the clients running beside this test
// could get the port before the server does. No port is given out twice.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		if _, taken := givenPorts.LoadOrStore(addr, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
	t.Fatal("no free port between 20000 and 32000")
	return ""
}

// sharedDir is a directory other users may enter: t.TempDir is closed to them, and
// Postgres refuses to run as root.
func sharedDir(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hallmark-e2e-"+name+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// tail returns the last lines of a log, each cut to a readable length.
func tail(file string, lines int) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	all = all[max(0, len(all)-lines):]
	for i, line := range all {
		all[i] = line[:min(len(line), 400)]
	}
	return strings.Join(all, "\n")
}
