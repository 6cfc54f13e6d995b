package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ownCgroup is the directory of our cgroup v2, "" without one.
func ownCgroup() string {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Join("/sys/fs/cgroup", path)
		}
	}
	return ""
}

// usable reports why children cannot be limited below dir: it has to be cgroup v2, hand memory, cpu and pids down, and
// take directories from us.
func usable(dir string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return err
	}
	if fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return errors.New("it is not cgroup v2")
	}
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	if err != nil {
		return err
	}
	if err := handsDown(string(b)); err != nil {
		return err
	}
	return unix.Access(dir, unix.W_OK)
}

func handsDown(controllers string) error {
	have := strings.Fields(controllers)
	for _, want := range []string{"memory", "cpu", "pids"} {
		found := false
		for _, h := range have {
			found = found || h == want
		}
		if !found {
			return fmt.Errorf("its cgroup.subtree_control lacks %s", want)
		}
	}
	return nil
}

// makeCgroup makes a cgroup for one child.
func makeCgroup(parent string, l Limits) (string, error) {
	dir, err := os.MkdirTemp(parent, "scan-")
	if err != nil {
		return "", err
	}
	for name, value := range settings(l) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			if name == "memory.swap.max" && errors.Is(err, os.ErrNotExist) {
				continue // a kernel without swap accounting
			}
			return "", errors.Join(err, os.Remove(dir))
		}
	}
	return dir, nil
}

// settings are the files of a child's cgroup.
func settings(l Limits) map[string]string {
	const period = 100_000 // microseconds
	return map[string]string{
		"memory.max":       strconv.FormatInt(l.Memory, 10),
		"memory.swap.max":  "0",
		"memory.oom.group": "1",
		"cpu.max":          fmt.Sprintf("%d %d", l.CPUs*period, period),
		"pids.max":         strconv.Itoa(l.Tasks),
	}
}

// removeCgroup removes a cgroup as soon as the kernel has buried those who were in it.
func removeCgroup(dir string) {
	for range 100 {
		if err := os.Remove(dir); err == nil || errors.Is(err, os.ErrNotExist) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
