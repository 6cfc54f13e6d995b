package sandbox

import (
	"maps"
	"testing"
)

func TestCgroupSettings(t *testing.T) {
	got := settings(Limits{Memory: 2 << 30, CPUs: 2, Tasks: 256})
	want := map[string]string{"memory.max": "2147483648", "memory.swap.max": "0", "memory.oom.group": "1", "cpu.max": "200000 100000", "pids.max": "256"}
	if !maps.Equal(got, want) {
		t.Fatalf("%v", got)
	}
}

func TestCgroupsThatCannotBeUsed(t *testing.T) {
	if err := usable(t.TempDir()); err == nil {
		t.Error("a directory is no cgroup")
	}
	for controllers, fine := range map[string]bool{"cpuset cpu io memory pids\n": true, "cpu pids\n": false, "memory-x cpu pids": false, "": false} {
		if err := handsDown(controllers); (err == nil) != fine {
			t.Errorf("%q: %v", controllers, err)
		}
	}
	if _, err := NewBox(t.TempDir()); err == nil {
		t.Error("a cgroup that was named and cannot be used is an error, not a fallback")
	}
}
