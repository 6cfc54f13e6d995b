package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Box is where children run.
type Box struct {
	cgroup string // a directory of cgroup v2 that we may write to, or ""
}

// NewBox looks what this machine offers. parent is a directory of cgroup v2 delegated to us; "" looks for our own.
func NewBox(parent string) (*Box, error) {
	if parent != "" {
		if err := usable(parent); err != nil {
			return nil, fmt.Errorf("children cannot be limited by the cgroup %s: %w", parent, err)
		}
		return &Box{cgroup: parent}, nil
	}
	b := &Box{}
	if own := ownCgroup(); own != "" && usable(own) == nil {
		b.cgroup = own
	}
	return b, nil
}

// Cgroup is the cgroup that children run below; "" means that the watchdog alone limits their memory.
func (b *Box) Cgroup() string { return b.cgroup }

// group is a running child and whatever it starts.
type group struct {
	pid    int
	cgroup string
}

func (b *Box) start(cmd *exec.Cmd, l Limits) (*group, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	g := &group{}
	if b.cgroup != "" {
		dir, err := makeCgroup(b.cgroup, l)
		if err != nil {
			return nil, err
		}
		g.cgroup = dir
		f, err := os.Open(dir)
		if err != nil {
			return nil, errors.Join(err, os.Remove(dir))
		}
		defer f.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(f.Fd())
	}
	if err := cmd.Start(); err != nil {
		g.end()
		return nil, err
	}
	g.pid = cmd.Process.Pid
	// Before it is told what to do: until then it only waits.
	if err := restrict(g.pid, l); err != nil {
		g.kill()
		_ = cmd.Wait()
		g.end()
		return nil, err
	}
	return g, nil
}

// restrict sets the kernel's limits of a process.
func restrict(pid int, l Limits) error {
	seconds := uint64(l.Processor.Seconds())
	for which, limit := range map[int]unix.Rlimit{
		unix.RLIMIT_CPU:    {Cur: seconds, Max: seconds + 1}, // a signal that says why, and a second later one that ends it
		unix.RLIMIT_FSIZE:  {Cur: uint64(l.Disk), Max: uint64(l.Disk)},
		unix.RLIMIT_NOFILE: {Cur: 4096, Max: 4096},
		unix.RLIMIT_CORE:   {},
	} {
		if err := unix.Prlimit(pid, which, &limit, nil); err != nil {
			return fmt.Errorf("its limits could not be set: %w", err)
		}
	}
	return nil
}

// kill ends all of the group. The leader is not reaped before Run does so: its id is still its own.
func (g *group) kill() {
	if g.pid > 0 {
		_ = syscall.Kill(-g.pid, syscall.SIGKILL)
	}
	if g.cgroup != "" {
		_ = os.WriteFile(g.cgroup+"/cgroup.kill", []byte("1"), 0)
	}
}

// end removes what the group needed.
func (g *group) end() {
	if g.cgroup != "" {
		removeCgroup(g.cgroup)
	}
}

// memory is what the child has of its own: pages of the database belong to all.
func (g *group) memory() (int64, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(g.pid) + "/status")
	if err != nil {
		return 0, err
	}
	var sum int64
	for line := range strings.Lines(string(status)) {
		if name, rest, _ := strings.Cut(line, ":"); name == "RssAnon" || name == "RssShmem" {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0, err
			}
			sum += kib << 10
		}
	}
	return sum, nil
}

// explain says why a child that nobody stopped did not end well.
func (g *group) explain(err error, l Limits, tail string) *Failure {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fail(CodeCrash, "The scanner could not be run: %v", err)
	}
	status, _ := exit.Sys().(syscall.WaitStatus)
	switch {
	case g.outOfMemory():
		return fail(CodeMemory, "The scan needs more than %d MiB of memory. Raise limits.memory if you trust the image.", l.Memory>>20)
	case strings.Contains(tail, "SIGXCPU"), status.Signaled() && status.Signal() == syscall.SIGXCPU,
		status.Signaled() && status.Signal() == syscall.SIGKILL && exit.UserTime()+exit.SystemTime() >= l.Processor:
		return fail(CodeProcessor, "The scan needs more than %s of processor time. Raise limits.time if the image is that large.", l.Processor)
	case strings.Contains(tail, "SIGXFSZ"), status.Signaled() && status.Signal() == syscall.SIGXFSZ:
		return fail(CodeDisk, "The scan writes a file of more than %d MiB. Raise limits.disk if you trust the image.", l.Disk>>20)
	}
	return fail(CodeCrash, "The scanner ended without a result (%v).", exit)
}

// outOfMemory reports whether the kernel ended the child for its cgroup's limit.
func (g *group) outOfMemory() bool {
	if g.cgroup == "" {
		return false
	}
	events, err := os.ReadFile(g.cgroup + "/memory.events")
	return err == nil && bytes.Contains(events, []byte("oom_kill ")) && !bytes.Contains(events, []byte("oom_kill 0\n"))
}
