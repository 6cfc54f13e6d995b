package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// EndAtLimits makes this process end when it meets a limit of the kernel: a file that may not grow any more would be a
// mere error otherwise, which a scanner may pass over. What it says is what Run looks for.
func EndAtLimits() {
	met := make(chan os.Signal, 1)
	signal.Notify(met, unix.SIGXFSZ, unix.SIGXCPU)
	go func() {
		name := "SIGXCPU"
		if <-met == unix.SIGXFSZ {
			name = "SIGXFSZ"
		}
		_, _ = os.Stderr.WriteString(name)
		os.Exit(1)
	}()
}

// Seal gives up, for all threads of this process and for good, what work on hostile content does not need: sockets, other
// programs, other processes' memory, and, where the kernel has Landlock, writing anywhere but below dir. It is called
// when everything that comes over the network is there.
func Seal(dir string) error {
	if err := landlock(dir); err != nil {
		return fmt.Errorf("writing could not be confined to the work directory: %w", err)
	}
	if err := filterCalls(); err != nil {
		return fmt.Errorf("the network could not be given up: %w", err)
	}
	return nil
}

// forbidden are the system calls that are refused from then on.
func forbidden() []uint32 {
	return []uint32{
		unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT4, unix.SYS_SENDTO, unix.SYS_SENDMSG,
		unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD,
		unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MKNODAT,
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN,
		unix.SYS_IO_URING_SETUP, unix.SYS_ADD_KEY, unix.SYS_KEYCTL, unix.SYS_REQUEST_KEY, unix.SYS_USERFAULTFD, unix.SYS_REBOOT,
	}
}

// architectures are the kernel's names (linux/audit.h) of those we know the numbers of.
func architecture() (uint32, error) {
	switch runtime.GOARCH {
	case "amd64":
		return unix.AUDIT_ARCH_X86_64, nil
	case "arm64":
		return unix.AUDIT_ARCH_AARCH64, nil
	}
	return 0, errors.New("there is no filter of system calls for " + runtime.GOARCH)
}

// filterCalls installs a seccomp filter on all threads.
func filterCalls() error {
	arch, err := architecture()
	if err != nil {
		return err
	}
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	answer := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	const number, archOffset = 0, 4 // struct seccomp_data
	program := []unix.SockFilter{
		load(archOffset),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: arch, Jt: 1},
		answer(unix.SECCOMP_RET_KILL_PROCESS), // 32-bit calls have other numbers
		load(number),
	}
	if runtime.GOARCH == "amd64" { // x32 calls too
		program = append(program, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: 0x40000000, Jf: 1}, answer(unix.SECCOMP_RET_KILL_PROCESS))
	}
	for _, n := range forbidden() {
		program = append(program, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: n, Jf: 1},
			answer(unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM)))
	}
	program = append(program, answer(unix.SECCOMP_RET_ALLOW))
	if err := noNewPrivileges(); err != nil {
		return err
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&filter)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return errno
	}
	if r != 0 {
		return fmt.Errorf("thread %d refused the filter", r)
	}
	return nil
}

func noNewPrivileges() error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Confines reports whether this kernel can confine writing to a directory (Landlock, since 5.13).
func Confines() bool { return landlockVersion() > 0 }

func landlockVersion() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}

// landlock confines writing to dir. A kernel without it leaves that to file permissions.
func landlock(dir string) error {
	version := landlockVersion()
	if version == 0 {
		return nil
	}
	writes := uint64(unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_SYM)
	if version >= 2 {
		writes |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		writes |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	// The first field alone: older kernels know no others.
	rules, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&writes)), unsafe.Sizeof(writes), 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(rules))
	at, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	beneath := unix.LandlockPathBeneathAttr{Allowed_access: writes, Parent_fd: int32(at)}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, rules, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&beneath)), 0, 0, 0); errno != 0 {
		return errno
	}
	if err := noNewPrivileges(); err != nil {
		return err
	}
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
