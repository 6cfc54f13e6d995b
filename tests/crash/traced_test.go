//go:build crash && linux

package crash

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// traced is a hub below a tracer.
type traced struct {
	in io.WriteCloser

	mu    sync.Mutex
	calls []string
}

// startTraced starts the hub below a tracer that is not counting yet.
func (h *hub) startTraced() *traced {
	h.t.Helper()
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := h.command(h.addr, h.internal)
	cmd = withPrefix(cmd, self)
	cmd.Env = append(cmd.Env, role+"=tracer")
	x := &traced{}
	out, err := cmd.StdoutPipe()
	if err == nil {
		x.in, err = cmd.StdinPipe()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	// Not launch: Wait closes the pipe that is still being read.
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	p := &process{cmd: cmd, pid: cmd.Process.Pid, gone: make(chan struct{})}
	h.proc = p
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if call, ok := strings.CutPrefix(lines.Text(), "call "); ok {
				x.mu.Lock()
				x.calls = append(x.calls, call)
				x.mu.Unlock()
			}
		}
		p.err = cmd.Wait()
		close(p.gone)
	}()
	until(h.t, startTime, "a traced hub is ready", func() bool { return p.ended() || h.ready() == 200 })
	if p.ended() {
		h.t.Fatalf("the traced hub ended: %v\n%s", p.err, h.tail(20))
	}
	if p.pid, err = onlyChild(p.pid); err != nil {
		lacking(h.t, "no children in /proc", err)
	}
	h.epoch.Add(1)
	return x
}

func withPrefix(cmd *exec.Cmd, program string) *exec.Cmd {
	cmd.Args = append([]string{program}, cmd.Args...)
	cmd.Path = program
	return cmd
}

// arm begins to count, and to wait for the n-th call; 0 never comes.
func (x *traced) arm(t testing.TB, n int) {
	t.Helper()
	if _, err := fmt.Fprintln(x.in, n); err != nil {
		t.Fatal(err)
	}
}

func (x *traced) seen() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]string(nil), x.calls...)
}

// quiet waits until no counted call was made for a while: what a hub does after its start is done.
func (x *traced) quiet() {
	last, since := -1, time.Now()
	poll(context.Background(), 5*time.Second, func() bool {
		if n := len(x.seen()); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 100*time.Millisecond
	})
}
