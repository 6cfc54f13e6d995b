package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/sandbox"
)

// The test binary is its own child: what it does is its argument.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && strings.HasPrefix(os.Args[1], "child-") {
		childMain(os.Args[1])
		return
	}
	os.Exit(m.Run())
}

func childMain(what string) {
	sandbox.EndAtLimits()
	in, _ := io.ReadAll(os.Stdin)
	switch what {
	case "child-echo":
		_, _ = os.Stdout.Write(in)
	case "child-environment":
		own, _ := os.ReadFile("/proc/self/environ")
		fmt.Printf("%d %q %q", len(os.Environ()), own, os.Args[1:])
	case "child-hang":
		_ = syscall.Pause()
	case "child-spin":
		for n := 0; ; n++ {
			in = append(in[:0], byte(n))
		}
	case "child-eat":
		var all [][]byte
		for len(all) < 1<<20 {
			all = append(all, bytes.Repeat([]byte{1}, 1<<20))
		}
	case "child-write":
		f, _ := os.Create("large")
		for {
			_, _ = f.Write(make([]byte, 1<<20)) // as a scanner that looks away
		}
	case "child-write-many":
		for n := 0; ; n++ {
			_ = os.WriteFile(strconv.Itoa(n), make([]byte, 1<<20), 0o600)
		}
	case "child-talk":
		for {
			_, _ = os.Stdout.Write(bytes.Repeat([]byte("x"), 1<<16))
		}
	case "child-panic":
		panic("the token is " + string(in))
	case "child-fork", "child-escape": // leaves somebody behind who holds its output
		c := exec.Command("/proc/self/exe", "child-hang")
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: what == "child-escape"}
		c.Stdout = os.Stdout
		_, _ = c.StdinPipe()
		_ = c.Start()
		_ = os.WriteFile("left", []byte(strconv.Itoa(c.Process.Pid)), 0o600)
	case "child-seal":
		sealed(string(in))
	}
}

// sealed reports what a child still can when it is sealed.
func sealed(outside string) {
	_ = os.WriteFile("before", nil, 0o600)
	if err := sandbox.Seal("."); err != nil {
		fmt.Print(err)
		return
	}
	done := make(chan string)
	go func() { // on whatever thread
		_, dial := net.DialTimeout("tcp", "127.0.0.1:1", time.Second)
		run := syscall.Exec("/proc/self/exe", []string{"x"}, nil)
		inside := os.WriteFile("inside", []byte("x"), 0o600)
		out := os.WriteFile(outside, []byte("x"), 0o600)
		remove := os.Remove(outside + ".kept")
		done <- fmt.Sprintln(errors.Is(dial, syscall.EPERM), errors.Is(run, syscall.EPERM), inside, out != nil, remove != nil)
	}()
	fmt.Print(<-done)
}

func small() sandbox.Limits {
	return sandbox.Limits{Time: 20 * time.Second, Processor: 20 * time.Second, CPUs: 1, Memory: 256 << 20, Disk: 32 << 20, Output: 1 << 20, Tasks: 64}
}

func run(t *testing.T, what, input string, l sandbox.Limits) (string, error) {
	t.Helper()
	return runIn(t, t.Context(), t.TempDir(), what, input, l)
}

func runIn(t *testing.T, ctx context.Context, dir, what, input string, l sandbox.Limits) (string, error) {
	t.Helper()
	box, err := sandbox.NewBox("")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := box.Run(ctx, sandbox.Command{Path: self, Args: []string{what}, Dir: dir, Input: []byte(input)}, l)
	return string(out), err
}

func TestResultComesBack(t *testing.T) {
	if out, err := run(t, "child-echo", "hello", small()); err != nil || out != "hello" {
		t.Fatalf("%q, %v", out, err)
	}
}

// V-13: nothing of ours is in the child's environment or arguments.
func TestEnvironmentIsEmpty(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "canary-5e1f")
	out, err := run(t, "child-environment", "a token", small())
	if err != nil || out != `0 "" ["child-environment"]` {
		t.Fatalf("the child sees %s, %v", out, err)
	}
}

func TestLimitsEndAChildWithAReason(t *testing.T) {
	for what, tt := range map[string]struct {
		set  func(*sandbox.Limits)
		code string
	}{
		"child-hang":       {func(l *sandbox.Limits) { l.Time = time.Second }, sandbox.CodeTime},
		"child-spin":       {func(l *sandbox.Limits) { l.Processor = time.Second }, sandbox.CodeProcessor},
		"child-eat":        {func(*sandbox.Limits) {}, sandbox.CodeMemory},
		"child-write":      {func(*sandbox.Limits) {}, sandbox.CodeDisk},
		"child-write-many": {func(l *sandbox.Limits) { l.Disk = 8 << 20 }, sandbox.CodeDisk},
		"child-talk":       {func(*sandbox.Limits) {}, sandbox.CodeOutput},
		"child-panic":      {func(*sandbox.Limits) {}, sandbox.CodeCrash},
	} {
		t.Run(what, func(t *testing.T) {
			l := small()
			tt.set(&l)
			_, err := run(t, what, "canary-5e1f", l)
			var failed *sandbox.Failure
			if !errors.As(err, &failed) || failed.Code != tt.code {
				t.Fatalf("the error is %v, not %s", err, tt.code)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Fatalf("the error tells what the child was told: %v", err)
			}
		})
	}
}

func TestOutputAtTheLimit(t *testing.T) {
	l := small()
	l.Output = 5
	if out, err := run(t, "child-echo", "12345", l); err != nil || out != "12345" {
		t.Fatalf("%q, %v", out, err)
	}
	if _, err := run(t, "child-echo", "123456", l); err == nil {
		t.Fatal("one byte more was taken")
	}
}

func TestStopEndsTheChild(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := runIn(t, ctx, t.TempDir(), "child-hang", "", small())
	var failed *sandbox.Failure
	if !errors.As(err, &failed) || failed.Code != sandbox.CodeStopped {
		t.Fatal(err)
	}
}

// What a child leaves behind holds its result back until the time is over, and is ended with it.
func TestNobodyIsLeft(t *testing.T) {
	l := small()
	l.Time = 3 * time.Second
	dir := t.TempDir()
	if _, err := runIn(t, t.Context(), dir, "child-fork", "", l); err == nil {
		t.Fatal("a child whose end is not the end of it has a result")
	}
	pid, err := os.ReadFile(filepath.Join(dir, "left"))
	if err != nil || len(pid) == 0 {
		t.Fatal(err)
	}
	// It has ended, or is dead and waits for somebody to notice.
	if b, err := os.ReadFile("/proc/" + string(pid) + "/cmdline"); err == nil && len(b) > 0 {
		t.Fatalf("process %s is still there: %q", pid, b)
	}
}

// Nobody can leave the group when it is sealed; one who did before does not keep the next scan waiting.
func TestOneWhoLeftIsNotWaitedFor(t *testing.T) {
	l := small()
	l.Time = time.Second
	dir := t.TempDir()
	_, err := runIn(t, t.Context(), dir, "child-escape", "", l)
	pid, e := os.ReadFile(filepath.Join(dir, "left"))
	if err == nil || e != nil {
		t.Fatal(err, e)
	}
	n, e := strconv.Atoi(string(pid))
	if e != nil {
		t.Fatal(e)
	}
	if e := syscall.Kill(n, syscall.SIGKILL); e != nil {
		t.Fatal("it did not outlive the scan: the test tests nothing: ", e)
	}
}

func TestSealedChildCanOnlyWork(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(outside+".kept", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := run(t, "child-seal", outside, small())
	if err != nil {
		t.Fatal(err)
	}
	want := "true true <nil> true true\n"
	if !sandbox.Confines() {
		want = "true true <nil> false false\n"
	}
	if out != want {
		t.Fatalf("no network, no programs, may write inside, not outside, not remove outside: %s", out)
	}
}
