package jobservice_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/jobservice"
)

// childURL is set in a worker process that a test started: the address of its database.
const childURL = "HALLMARK_TEST_CHILD_URL"

// child is a worker process: it takes one job, says so, waits for a line, and finishes.
func child() int {
	ctx := context.Background()
	d, err := db.Open(ctx, os.Getenv(childURL), db.Options{})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer d.Close()
	h := newHub(nil, d, mortal())
	ctx, cancel := context.WithCancel(ctx)
	h.Register("x", jobservice.Spec{Run: func(ctx context.Context, task *jobservice.Task) error {
		fmt.Println("started")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		err := task.Finish(context.WithoutCancel(ctx), func(tx *db.Tx) error { return effect(tx, task, "child") })
		fmt.Println("finish:", err)
		cancel()
		return err
	}})
	h.Run(ctx)
	return 0
}

type process struct {
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Scanner
}

func startChild(t *testing.T, address string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), childURL+"="+address)
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	return p
}

func (p *process) line(t *testing.T) string {
	t.Helper()
	if !p.out.Scan() {
		t.Fatal("the worker process ended", p.out.Err())
	}
	return p.out.Text()
}

func open(t *testing.T, address string) dbtest.Open {
	return func(testing.TB) *db.DB {
		d, err := db.Open(context.Background(), address, db.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		return d
	}
}

// parent is a hub that does the job if it gets it.
func parent(t *testing.T, address string) (*hub, string) {
	h := newHub(t, migrated(t, open(t, address)), mortal())
	h.Register("x", jobservice.Spec{Run: func(ctx context.Context, task *jobservice.Task) error {
		return task.Finish(ctx, func(tx *db.Tx) error { return effect(tx, task, "parent") })
	}})
	return h, h.enqueue(jobservice.Job{Kind: "x"})
}

// A worker process is killed in the middle of a job: another one takes it when the lease is over (F-14).
func TestKilledWorker(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, address string) {
		h, id := parent(t, address)
		p := startChild(t, address)
		if got := p.line(t); got != "started" {
			t.Fatal(got)
		}
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		h.start()
		s := h.untilState(id, jobservice.Done)
		if got := effects(t, h.db); !slices.Equal(got, []string{"parent"}) || s.Attempts != 2 {
			t.Errorf("effects %v after %d attempts", got, s.Attempts)
		}
	})
}

// A worker process is stopped beyond its lease and goes on afterwards: its finish is refused (F-15). On Postgres,
// because on SQLite there is one process, and one that is stopped within a write would stop the others.
func TestStoppedWorker(t *testing.T) {
	address := dbtest.PostgresURL(t)
	h, id := parent(t, address)
	p := startChild(t, address)
	if got := p.line(t); got != "started" {
		t.Fatal(got)
	}
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.untilState(id, jobservice.Done)
	if err := errors.Join(p.cmd.Process.Signal(syscall.SIGCONT)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(p.in)
	if got := p.line(t); !strings.Contains(got, jobservice.ErrLost.Error()) {
		t.Errorf("the stopped worker was told %q", got)
	}
	if got := effects(t, h.db); !slices.Equal(got, []string{"parent"}) {
		t.Errorf("effects %v", got)
	}
}
