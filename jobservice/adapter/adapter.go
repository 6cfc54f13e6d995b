package adapter

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Options of an adapter.
type Options struct {
	Binary string            // path; it need not be there yet
	Env    []string          // SCANNER_X=value, and what else of the environment it is to have
	Secret map[string]string // SCANNER_X -> value, which goes through a pipe: neither a file nor an environment has it
	Log    *slog.Logger
	// Joined is called each time it answers requests. An error is told, and it is called again after a while.
	Joined func(ctx context.Context, c Connection) error

	patience time.Duration // between tries, at first; tests have less
}

// Connection is how to reach an adapter that runs.
type Connection struct{ URL, Token string }

// Phase is how far it is.
type Phase string

// The phases. Before Run there is none.
const (
	Missing  Phase = "missing"
	Building Phase = "building"
	Starting Phase = "starting"
	Running  Phase = "running"
	Failed   Phase = "failed"
)

// State is a phase and, of one that failed, why.
type State struct {
	Phase   Phase
	Problem string
}

// Adapter is a scanner adapter that Run keeps alive.
type Adapter struct {
	opt Options

	mu    sync.Mutex
	state State
}

// New returns an adapter. Nothing happens before Run.
func New(opt Options) *Adapter {
	if opt.patience == 0 {
		opt.patience = time.Second
	}
	return &Adapter{opt: opt}
}

// State says how it is.
func (a *Adapter) State() State {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state
}

func (a *Adapter) set(s State) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state != s && (s.Phase == Missing || s.Phase == Building) {
		a.opt.Log.Info("waiting for the scanner; it joins by itself", "binary", a.opt.Binary, "phase", s.Phase)
	}
	a.state = s
}

const (
	longestWait = time.Minute // between two starts
	steady      = time.Minute // who ran for so long is started again at once
)

// Run keeps the adapter alive until ctx ends, and then ends it.
func (a *Adapter) Run(ctx context.Context) {
	wait := a.opt.patience
	for ctx.Err() == nil {
		if p := a.present(); p != Starting {
			a.set(State{Phase: p})
			pause(ctx, a.opt.patience)
			continue
		}
		a.set(State{Phase: Starting})
		began := time.Now()
		err := a.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > steady {
			wait = a.opt.patience
		}
		a.set(State{Phase: Failed, Problem: err.Error()})
		a.opt.Log.Warn("the scanner ended and is started again", "error", err, "in", wait)
		pause(ctx, wait)
		wait = min(2*wait, longestWait)
	}
}

// BuildingSuffix is of a file beside the binary that is there while that is built: what is half written is not to be started.
const BuildingSuffix = ".building"

// present is Starting if the binary can be started.
func (a *Adapter) present() Phase {
	if _, err := os.Stat(a.opt.Binary + BuildingSuffix); err == nil {
		return Building
	}
	if st, err := os.Stat(a.opt.Binary); err != nil || !st.Mode().IsRegular() {
		return Missing
	}
	return Starting
}

// once runs one process to its end.
func (a *Adapter) once(ctx context.Context) error {
	token := rand.Text()
	p, err := a.start(ctx, token)
	if err != nil {
		return fmt.Errorf("it cannot be started: %w", err)
	}
	joining, stop := context.WithCancel(ctx)
	var joined sync.WaitGroup
	defer joined.Wait()
	defer stop()
	last := p.lines(func(l line) {
		a.opt.Log.Log(ctx, l.level, "scanner: "+l.text)
		if l.address != "" {
			joined.Go(func() { a.join(joining, Connection{URL: "http://" + l.address, Token: token}) })
		}
	})
	if err := p.wait(); err != nil {
		return fmt.Errorf("%w: %s", err, last)
	}
	return errors.New("it ended by itself: " + last)
}

// join tells who is to know that it answers, until they do.
func (a *Adapter) join(ctx context.Context, c Connection) {
	for wait := a.opt.patience; ctx.Err() == nil; wait = min(2*wait, longestWait) {
		err := a.opt.Joined(ctx, c)
		if err == nil {
			a.set(State{Phase: Running})
			return
		}
		if ctx.Err() == nil {
			a.opt.Log.Warn("the scanner runs and could not be joined yet", "error", err, "again_in", wait)
		}
		pause(ctx, wait)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
