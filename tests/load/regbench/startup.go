package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit = 60 * time.Second // for a server to become ready
	idleTime   = 2 * time.Second  // after which its idle memory is read
)

// startup runs the server command, waits until it answers, lets it idle, and ends it. "{run}" in the command is replaced
// by the number of the run, so that each can have a directory of its own.
func startup(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("startup: no server command")
	}
	for run := 1; run <= *runs; run++ {
		mine := make([]string, len(args))
		for i, a := range args {
			mine[i] = strings.ReplaceAll(a, "{run}", strconv.Itoa(run))
		}
		if err := startOnce(ctx, mine, run); err != nil {
			return err
		}
	}
	return nil
}

func startOnce(ctx context.Context, args []string, run int) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	var failed error // why it ended
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { failed = cmd.Wait(); close(ended) }()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for !answers(ctx, client, *base+*ready) {
		select {
		case <-ended:
			return fmt.Errorf("the server ended before it was ready: %w", orClean(failed))
		case <-time.After(2 * time.Millisecond):
		}
		if time.Since(began) > startLimit {
			stop(cmd, ended)
			return fmt.Errorf("the server was not ready after %s", startLimit)
		}
	}
	took := time.Since(began)
	p := procSet{cmd.Process.Pid}
	select {
	case <-ended:
		return fmt.Errorf("the server ended: %w", orClean(failed))
	case <-time.After(idleTime):
	}
	user, sys := p.cpu()
	emit(record{Test: "startup", Run: run, M: map[string]float64{"ready_ms": float64(took.Microseconds()) / 1e3,
		"idle_rss_mib": p.memory("VmRSS"), "idle_anon_mib": p.memory("RssAnon"), "cpu_s": user + sys}})
	stop(cmd, ended)
	return ctx.Err()
}

func stop(cmd *exec.Cmd, ended chan struct{}) {
	if cmd.Process.Signal(syscall.SIGTERM) != nil {
		return // it has ended
	}
	select {
	case <-ended:
	case <-time.After(startLimit):
		_ = cmd.Process.Kill()
		<-ended
	}
}

func answers(ctx context.Context, c *http.Client, target string) bool {
	req, err := http.NewRequestWithContext(ctx, "GET", target, nil)
	if err != nil {
		return false
	}
	resp, err := c.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusUnauthorized
}

// orClean is an error even if a server, which is never to end by itself, ended without one.
func orClean(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}
