package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// Codes of failures.
const (
	CodeTime      = "time"
	CodeProcessor = "processor"
	CodeMemory    = "memory"
	CodeDisk      = "disk"
	CodeOutput    = "output"
	CodeCrash     = "crash"
	CodeStopped   = "stopped"
)

// Failure is why a child gave no result.
type Failure struct{ Code, Message string }

func (f *Failure) Error() string { return f.Message }

func fail(code, format string, args ...any) *Failure {
	return &Failure{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Limits of one child.
type Limits struct {
	Time      time.Duration
	Processor time.Duration // of all its threads together
	CPUs      int           // enforced by the cgroup; without one it is a request
	Memory    int64         // anonymous bytes
	Disk      int64         // bytes in its directory, and of a single file
	Output    int64         // bytes of its result
	Tasks     int           // threads; enforced by the cgroup
}

// Command is a child: what runs, where, and what it is told through its standard input.
type Command struct {
	Path  string
	Args  []string
	Dir   string
	Input []byte
}

// How often a child is looked at. Memory grows by a gigabyte in a fraction of a second, directories take longer.
const (
	watchMemory = 50 * time.Millisecond
	watchDisk   = 500 * time.Millisecond
)

// patience is how long somebody who left the group may hold the child's output after its end.
const patience = 2 * time.Second

// maxTail is how much of what a crashing child says is kept.
const maxTail = 4 << 10

// Run runs a child to its end and returns what it wrote to its standard output. When it returns no process of the child's
// group is left. The error is a *Failure.
func (b *Box) Run(ctx context.Context, c Command, l Limits) ([]byte, error) {
	var result bytes.Buffer
	err := b.Converse(ctx, c, l, func(in io.Writer) { _, _ = in.Write(c.Input) }, func(out io.Reader) *Failure {
		if n, _ := io.Copy(&result, io.LimitReader(out, l.Output+1)); n > l.Output {
			return fail(CodeOutput, "The scanner's result has more than %d bytes. Raise limits.report if you trust the image.", l.Output)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return result.Bytes(), nil
}

// Converse is Run for a child that is told things and answers: tell writes to its standard input until there is no more to
// say, hear reads its standard output until that ends, or returns why the child is to be stopped. Writing fails when the
// child is gone; tell may then still wait for something else, and is not waited for.
func (b *Box) Converse(ctx context.Context, c Command, l Limits, tell func(io.Writer), hear func(io.Reader) *Failure) error {
	// The child dies with the thread that started it, so that a killed adapter leaves nothing behind. That thread has
	// to stay until then.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = c.Dir, []string{}, patience
	tail := &lastBytes{}
	cmd.Stderr = tail
	in, err := cmd.StdinPipe()
	if err != nil {
		return fail(CodeCrash, "The scanner could not be started: %v", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fail(CodeCrash, "The scanner could not be started: %v", err)
	}
	group, err := b.start(cmd, l)
	if err != nil {
		return fail(CodeCrash, "The scanner could not be started: %v", err)
	}
	defer group.end()

	ctx, cancel := context.WithTimeout(ctx, l.Time)
	defer cancel()
	failed := make(chan *Failure, 1) // the first reason
	stop := func(f *Failure) {
		select {
		case failed <- f:
		default:
		}
		group.kill()
		time.AfterFunc(patience, func() { out.Close() })
	}
	watched := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(watched)
		watch(ctx, group, c.Dir, l, ended, stop)
	}()
	go func() { // it may never read; killing it ends this
		tell(in)
		in.Close()
	}()
	if f := hear(out); f != nil {
		stop(f)
	}
	_, _ = io.Copy(io.Discard, out)
	group.kill() // whoever it started and left
	err = cmd.Wait()
	close(ended)
	<-watched
	select {
	case f := <-failed:
		return f
	default:
	}
	if err != nil {
		return group.explain(err, l, tail.String())
	}
	return nil
}

// watch looks at a child until it ended and stops it when it is too much.
func watch(ctx context.Context, g *group, dir string, l Limits, ended <-chan struct{}, stop func(*Failure)) {
	memory, disk := time.NewTicker(watchMemory), time.NewTicker(watchDisk)
	defer memory.Stop()
	defer disk.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				stop(fail(CodeTime, "The scan took longer than %s. Raise limits.time if the image is that large.", l.Time))
			} else {
				stop(fail(CodeStopped, "The scan was stopped."))
			}
			<-ended
			return
		case <-memory.C:
			if n, err := g.memory(); err == nil && n > l.Memory {
				stop(fail(CodeMemory, "The scan needs more than %d MiB of memory. Raise limits.memory if you trust the image.", l.Memory>>20))
			}
		case <-disk.C:
			if n := used(dir); n > l.Disk {
				stop(fail(CodeDisk, "The scan needs more than %d MiB of disk. Raise limits.disk if you trust the image.", l.Disk>>20))
			}
		}
	}
}

// used is how many bytes the files below dir have. Files come and go while it looks.
func used(dir string) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				sum += info.Size()
			}
		}
		return nil
	})
	return sum
}

// lastBytes keeps the end of what is written to it.
type lastBytes struct{ kept []byte }

func (t *lastBytes) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*maxTail {
		t.kept = append([]byte(nil), t.kept[len(t.kept)-maxTail:]...)
	}
	return len(p), nil
}

func (t *lastBytes) String() string { return string(t.kept) }
