package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

//go:embed wrk.lua
var wrkLua []byte

// load is one request that is sent over and over.
type load struct {
	method, target string
	headers        []string
	conns          int
	dur            time.Duration
}

// wrk sends a load with the program wrk.
func (p procSet) wrk(ctx context.Context, l load) (map[string]float64, error) {
	script, err := os.CreateTemp("", "wrk*.lua")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(script.Name()) }()
	_, err = script.Write(wrkLua)
	if err := errors.Join(err, script.Close()); err != nil {
		return nil, err
	}
	secs := max(1, int(l.dur.Seconds())) // wrk knows no parts of a second
	cmd := exec.CommandContext(ctx, "wrk", fmt.Sprintf("-t%d", min(*threads, l.conns)), fmt.Sprintf("-c%d", l.conns), fmt.Sprintf("-d%ds", secs),
		"--timeout", "10s", "-s", script.Name(), l.target)
	cmd.Env = append(os.Environ(), "METHOD="+l.method, "HEADERS="+strings.Join(l.headers, "|"))
	m := p.begin()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("wrk: %w: %s", err, out)
	}
	_, result, ok := bytes.Cut(out, []byte("RESULT "))
	if !ok {
		return nil, fmt.Errorf("wrk: %s", out)
	}
	var n, size, micros, bad, broken, p50, p99 float64
	if _, err := fmt.Sscan(string(result), &n, &size, &micros, &bad, &broken, &p50, &p99); err != nil {
		return nil, fmt.Errorf("wrk: %w: %s", err, out)
	}
	if n == 0 {
		return nil, fmt.Errorf("wrk: no request finished: %s", out)
	}
	r := m.end(n, size)
	// wrk's own time is without its start.
	r["secs"] = micros / 1e6
	r["ops_s"] = n / r["secs"]
	r["mb_s"] = size / 1e6 / r["secs"]
	r["p50_ms"], r["p99_ms"] = p50/1e3, p99/1e3
	r["bad"] = bad + broken
	if bad+broken > n/1000 {
		return r, fmt.Errorf("%s: %.0f of %.0f answers were errors", l.target, bad+broken, n)
	}
	return r, nil
}
