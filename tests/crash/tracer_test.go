//go:build crash && linux

package crash

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// A tracer is a process between the test and the hub that kills the hub at its n-th system call of some kinds, before
// the call does anything. strace can kill too (inject=..:signal=SIGKILL:when=N), but counts the calls of each thread by
// themselves, and a Go program's threads take turns: there would be no way to come by all of them.
//
// The process is this test's binary, and its command line is the hub's. On its standard input it takes a number: count
// from now and kill at that one, 0 for never. On its standard output it says "call" and what, for every call counted.

// From linux/ptrace.h; package syscall lacks them.
const (
	ptraceGetSyscallInfo = 0x420e
	ptraceExitKill       = 0x100000
	ptraceSysGood        = 0x1
	syscallStop          = syscall.SIGTRAP | 0x80
	syscallEntry         = 1
)

// syscallInfo is struct ptrace_syscall_info at the entry of a call, the same on every architecture.
type syscallInfo struct {
	op   uint8
	_    [3]uint8
	arch uint32
	ip   uint64
	sp   uint64
	nr   uint64
	args [6]uint64
	_    [2]uint64
}

func tracerMain() int {
	runtime.LockOSThread() // one thread traces: the one that began it
	if err := trace(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "tracer:", err)
		return 1
	}
	return 0
}

func trace(args []string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &ws, syscall.WALL, nil); err != nil {
		return err
	}
	options := ptraceExitKill | ptraceSysGood | syscall.PTRACE_O_TRACECLONE | syscall.PTRACE_O_TRACEFORK | syscall.PTRACE_O_TRACEVFORK
	if err := syscall.PtraceSetOptions(pid, options); err != nil {
		return err
	}
	var target atomic.Int64
	target.Store(-1)
	go func() {
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			if n, err := strconv.ParseInt(lines.Text(), 10, 64); err == nil {
				target.Store(n)
			}
		}
		_ = syscall.Kill(pid, syscall.SIGKILL) // nobody wants it any more
	}()
	counted := int64(0)
	for tid, signal := pid, 0; ; {
		if err := syscall.PtraceSyscall(tid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		var err error
		if tid, err = wait(&ws); errors.Is(err, syscall.ECHILD) {
			return nil
		} else if err != nil {
			return err
		}
		switch signal = 0; ws.StopSignal() {
		case syscallStop:
			n := target.Load()
			if n < 0 {
				break
			}
			if what := interesting(pid, tid); what != "" {
				counted++
				if counted == n {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
				if counted <= n || n == 0 {
					fmt.Println("call", what)
				}
			}
		case syscall.SIGTRAP, syscall.SIGSTOP: // a new thread
		default:
			signal = int(ws.StopSignal())
		}
	}
}

// wait returns the next thread that has stopped, or ECHILD when all have ended.
func wait(ws *syscall.WaitStatus) (int, error) {
	for {
		tid, err := syscall.Wait4(-1, ws, syscall.WALL, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || ws.Stopped() {
			return tid, err
		}
	}
}

// interesting says which call a thread is about to make, if it is one that writes data, syncs it, moves names, or
// answers a client. That the calls before an answer are killed, too, makes every acknowledgement a point of its own.
func interesting(pid, tid int) string {
	var in syscallInfo
	_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, ptraceGetSyscallInfo, uintptr(tid), unsafe.Sizeof(in), uintptr(unsafe.Pointer(&in)), 0, 0)
	if errno != 0 || in.op != syscallEntry {
		return ""
	}
	fd := func() string {
		path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, in.args[0]))
		if err != nil {
			return ""
		}
		return path
	}
	data := os.Getenv("HALLMARK_DATA")
	below := func(call, path string) string {
		if rest, ok := strings.CutPrefix(path, data); ok {
			return call + " " + rest
		}
		return ""
	}
	switch in.nr {
	case syscall.SYS_WRITE:
		if memory(pid, in.args[1], 7) == "HTTP/1." {
			return "answer " + strings.TrimSpace(memory(pid, in.args[1]+9, 3))
		}
		return below("write", fd())
	case syscall.SYS_PWRITE64:
		return below("pwrite64", fd())
	case syscall.SYS_FSYNC:
		return below("fsync", fd())
	case syscall.SYS_FDATASYNC:
		return below("fdatasync", fd())
	case syscall.SYS_FTRUNCATE:
		return below("ftruncate", fd())
	case syscall.SYS_MKDIRAT:
		return below("mkdirat", text(pid, in.args[1]))
	case syscall.SYS_UNLINKAT:
		return below("unlinkat", text(pid, in.args[1]))
	case syscall.SYS_RENAMEAT:
		return below("renameat", text(pid, in.args[1]))
	case syscall.SYS_OPENAT:
		if in.args[2]&syscall.O_CREAT != 0 {
			return below("create", text(pid, in.args[1]))
		}
	}
	return ""
}

// memory reads from the hub's memory.
func memory(pid int, at uint64, n int) string {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, n)
	got, err := f.ReadAt(b, int64(at))
	if err != nil && !errors.Is(err, io.EOF) && got == 0 {
		return ""
	}
	return string(b[:got])
}

// text reads a string that ends with a zero byte.
func text(pid int, at uint64) string {
	s := []byte(memory(pid, at, 512))
	if i := bytes.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	return string(s)
}
