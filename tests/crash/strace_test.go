//go:build crash && linux

package crash

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// strace finds the program or leaves the test.
func strace(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		lacking(t, "strace is needed (tests/tools/apt.sh crash)", err)
	}
	return path
}

// call is one system call of a trace. It began on line begin and ended on line end, so that one call certainly came after
// another if it began where that had ended already.
type call struct {
	name, args, result string
	begin, end         int
}

func (c call) String() string {
	return fmt.Sprintf("%d-%d %s(%s = %s", c.begin, c.end, c.name, c.args, c.result)
}

func (c call) ok() bool { return !strings.HasPrefix(c.result, "-1") }

var (
	callBegins  = regexp.MustCompile(`^(\d+) +(\w+)\((.*)$`)
	callResumes = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)$`)
	descriptorP = regexp.MustCompile(`^\d+<([^>]*)>`)
	quotedP     = regexp.MustCompile(`"([^"]*)"`)
)

// path is where a call on a file descriptor goes, as strace -y tells.
func (c call) path() string {
	if m := descriptorP.FindStringSubmatch(c.args); m != nil {
		return m[1]
	}
	return ""
}

// names are the paths, or the data, that a call has as strings.
func (c call) names() []string {
	var out []string
	for _, m := range quotedP.FindAllStringSubmatch(c.args, -1) {
		out = append(out, m[1])
	}
	return out
}

// readTrace reads the file of strace -f.
func readTrace(t testing.TB, path string) []call {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var calls []call
	open := map[string]int{} // thread -> index of the call it is in
	for n, line := range strings.Split(string(b), "\n") {
		if m := callResumes.FindStringSubmatch(line); m != nil {
			if i, ok := open[m[1]]; ok {
				calls[i].finish(calls[i].args+m[3], n)
				delete(open, m[1])
			}
			continue
		}
		m := callBegins.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		c := call{name: m[2], begin: n}
		if args, unfinished := strings.CutSuffix(m[3], " <unfinished ...>"); unfinished {
			c.args, c.end, c.result = args, 1<<30, "never"
			open[m[1]] = len(calls)
		} else {
			c.finish(m[3], n)
		}
		calls = append(calls, c)
	}
	return calls
}

func (c *call) finish(rest string, line int) {
	c.end = line
	if i := strings.LastIndex(rest, " = "); i >= 0 {
		c.args, c.result = rest[:i], rest[i+3:]
	} else {
		c.args, c.result = rest, "unknown"
	}
}

// find returns the calls that a condition holds for.
func find(calls []call, is func(call) bool) []call {
	var out []call
	for _, c := range calls {
		if is(c) {
			out = append(out, c)
		}
	}
	return out
}

// on matches a successful call of one of some names on a file descriptor of path.
func on(path string, names ...string) func(call) bool {
	return func(c call) bool { return c.ok() && slices.Contains(names, c.name) && c.path() == path }
}

// sync matches what makes a file or directory durable.
func syncOf(path string) func(call) bool { return on(path, "fsync", "fdatasync") }

// attach makes strace inject an error into a call on some paths of a hub that runs. The function it returns takes it off.
func (h *hub) attach(inject string, paths ...string) (detach func()) {
	h.t.Helper()
	name, _, _ := strings.Cut(inject, ":")
	out := filepath.Join(h.dir, "inject.trace")
	args := []string{"-f", "-y", "-o", out, "-p", strconv.Itoa(h.proc.pid), "-e", "trace=" + name, "-e", "inject=" + inject}
	for _, p := range paths {
		args = append(args, "-P", p)
	}
	cmd := exec.Command(strace(h.t), args...)
	cmd.Stderr = h.log
	p, err := launch(cmd)
	if err != nil {
		h.t.Fatal(err)
	}
	detach = func() {
		if !p.ended() {
			_ = cmd.Process.Signal(os.Interrupt) // strace lets go of the hub, which lives on
		}
		until(h.t, 10*time.Second, "strace has let go", p.ended)
	}
	h.t.Cleanup(func() {
		if !p.ended() {
			_ = cmd.Process.Kill()
			<-p.gone
		}
	})
	until(h.t, 10*time.Second, "strace has attached", func() bool { return p.ended() || allTraced(h.proc.pid) })
	if p.ended() {
		lacking(h.t, "strace may not attach", p.err)
	}
	return detach
}

// allTraced reports whether every thread of a process has a tracer.
func allTraced(pid int) bool {
	status, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(status) == 0 {
		return false
	}
	for _, s := range status {
		b, err := os.ReadFile(s)
		if err == nil && strings.Contains(string(b), "\nTracerPid:\t0\n") {
			return false
		}
	}
	return true
}
