package scripts

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// mounted marks the second half of on-disk. Names that begin so are none of the hub's settings.
const mounted = "HALLMARK_TEST_MOUNTED"

// onDisk is the program on-disk OPTIONS DIR PROGRAM ARGS...: it runs a program for which DIR is a file system of its own
// (tmpfs with these mount options: size=32m is a disk that is nearly full, ro one that nobody can write to). Only this
// program sees it, so there is nothing to unmount, and without root a user namespace does as well.
func onDisk() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: on-disk OPTIONS DIR PROGRAM ARGS...")
		os.Exit(125)
	}
	if os.Getenv(mounted) != "" {
		mountAndRun(os.Args[1], os.Args[2], os.Args[3], os.Args[4:])
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(125)
	}
	c := exec.Command(self)
	c.Args = os.Args
	c.Env = append(os.Environ(), mounted+"=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := c.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "on-disk: no mount namespace can be had here:", err)
		os.Exit(noDisk)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		for s := range signals {
			c.Process.Signal(s)
		}
	}()
	err = c.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	os.Exit(0)
}

func mountAndRun(options, dir, program string, args []string) {
	err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	if err == nil {
		flags := uintptr(0)
		if options == "ro" {
			options, flags = "", syscall.MS_RDONLY
		}
		err = syscall.Mount("tmpfs", dir, "tmpfs", flags, options)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "on-disk: nothing can be mounted here:", err)
		os.Exit(noDisk)
	}
	if program == "hallmark" {
		program = os.Getenv("HALLMARK_BIN")
	}
	os.Unsetenv(mounted)
	become(program, args)
}

// canMount says whether on-disk works here.
func canMount() bool {
	self, err := os.Executable()
	if err != nil {
		return false
	}
	dir, err := os.MkdirTemp("", "on-disk")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	c := exec.Command(self)
	c.Args = []string{"on-disk", "size=1m", dir, "/bin/true"}
	return c.Run() == nil
}

// dieWithParent ends this process when the test does, however that ends.
func dieWithParent() {
	syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0)
}
