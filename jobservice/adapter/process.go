package adapter

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// grace is how long an adapter has to end: it ends its scans first.
const grace = 8 * time.Second

// process is an adapter that was started.
type process struct {
	cmd *exec.Cmd
	out *os.File
}

// start starts the binary on a free port of loopback. Whoever starts it stays on its thread until wait has returned: the child is
// ended with the thread that made it.
func (a *Adapter) start(ctx context.Context, token string) (*process, error) {
	cmd := exec.CommandContext(ctx, a.opt.Binary, "serve")
	cmd.Env = append(slices.Clone(a.opt.Env), "SCANNER_LISTEN=127.0.0.1:0")
	own(cmd)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	secrets := maps.Clone(a.opt.Secret)
	if secrets == nil {
		secrets = map[string]string{}
	}
	secrets["SCANNER_TOKEN"] = token
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		r, err := piped(secrets[name])
		if err != nil {
			return nil, err
		}
		defer r.Close()
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s_FILE=/dev/fd/%d", name, 3+len(cmd.ExtraFiles)))
		cmd.ExtraFiles = append(cmd.ExtraFiles, r)
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	cmd.Stderr, cmd.Stdout = in, in
	runtime.LockOSThread()
	if err := cmd.Start(); err != nil {
		runtime.UnlockOSThread()
		return nil, errors.Join(err, out.Close())
	}
	return &process{cmd, out}, nil
}

// piped is the end of a pipe that text is read from.
func piped(text string) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(w, text) // a pipe holds more than any secret
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// wait waits until it has ended. It is called by who started it.
func (p *process) wait() error {
	defer runtime.UnlockOSThread()
	defer p.out.Close()
	return p.cmd.Wait()
}

// line is a line that an adapter logged.
type line struct {
	level   slog.Level
	text    string
	address string // where it answers, if that is what it says
}

// maxLine bounds a line of the log.
const maxLine = 4 << 10

// lines hands over what it logs until nobody writes any more, and returns the last line.
func (p *process) lines(each func(line)) string {
	last := "it said nothing"
	for r := bufio.NewReaderSize(p.out, maxLine); ; {
		b, more, err := r.ReadLine()
		if err != nil {
			return last
		}
		l := parse(string(b))
		for more && err == nil { // the rest of a line that is too long
			_, more, err = r.ReadLine()
		}
		if l.text == "" {
			continue
		}
		last = l.text
		each(l)
	}
}

// parse reads a line as log/slog writes it. Other lines are what a program says that is in trouble.
func parse(text string) line {
	l := line{level: slog.LevelWarn, text: strings.ToValidUTF8(strings.TrimSpace(text), "?")}
	rest, ok := strings.CutPrefix(l.text, "time=")
	if !ok {
		return l
	}
	_, rest, _ = strings.Cut(rest, " ")
	level, rest, _ := strings.Cut(strings.TrimPrefix(rest, "level="), " ")
	if l.level.UnmarshalText([]byte(level)) != nil {
		l.level = slog.LevelWarn
		return l
	}
	l.text = rest
	if after, ok := strings.CutPrefix(rest, "msg=ready address="); ok {
		l.address, _, _ = strings.Cut(after, " ")
	}
	return l
}
