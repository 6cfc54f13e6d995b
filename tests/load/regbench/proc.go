package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// procSet is a set of root processes; figures cover them and all their descendants.
type procSet []int

func parsePids(s string) (procSet, error) {
	var p procSet
	for _, f := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' }) {
		n, err := strconv.Atoi(f)
		if err != nil {
			return nil, err
		}
		p = append(p, n)
	}
	return p, nil
}

// stat returns the fields of /proc/PID/stat after the command name; index 0 is the state (field 3).
func stat(pid int) ([]string, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, false
	}
	i := strings.LastIndexByte(string(b), ')')
	f := strings.Fields(string(b[i+1:]))
	return f, len(f) > 21
}

func (p procSet) tree() []int {
	kids := map[int][]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(d))
		if f, ok := stat(pid); ok {
			pp, _ := strconv.Atoi(f[1])
			kids[pp] = append(kids[pp], pid)
		}
	}
	var out []int
	seen := map[int]bool{}
	todo := append([]int(nil), p...)
	for len(todo) > 0 {
		x := todo[0]
		todo = todo[1:]
		if seen[x] {
			continue
		}
		seen[x] = true
		out = append(out, x)
		todo = append(todo, kids[x]...)
	}
	return out
}

const tick = 0.01 // USER_HZ is 100 on Linux

// cpu returns user and system seconds used so far; ended children count once, through their parent's cutime/cstime.
func (p procSet) cpu() (user, sys float64) {
	for _, pid := range p.tree() {
		f, ok := stat(pid)
		if !ok {
			continue
		}
		v := func(i int) float64 { n, _ := strconv.ParseFloat(f[i], 64); return n * tick }
		user += v(11) + v(13)
		sys += v(12) + v(14)
	}
	return
}

// nanos is cpu in nanoseconds, for what is shorter than many ticks. Time of threads that have ended is missing, so that it
// only serves to compare: Go ends few.
func (p procSet) nanos() (sum float64) {
	for _, pid := range p.tree() {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, f := range files {
			b, _ := os.ReadFile(f)
			first, _, _ := strings.Cut(string(b), " ")
			n, _ := strconv.ParseFloat(first, 64)
			sum += n
		}
	}
	return sum
}

func statusKB(pid int, key string) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, l := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(l, key+":"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}

// memory sums a status key (VmRSS, VmHWM, RssAnon) over the tree, in MiB. Shared pages count once per process.
func (p procSet) memory(key string) float64 {
	var kb int64
	for _, pid := range p.tree() {
		kb += statusKB(pid, key)
	}
	return float64(kb) / 1024
}

// resetPeak restarts VmHWM accounting (needs to be the same user or root).
func (p procSet) resetPeak() {
	for _, pid := range p.tree() {
		// Of a process that is not ours the mark stays: then the peak is that of its whole life.
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
	}
}
