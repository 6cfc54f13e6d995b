package work

import (
	"context"
	"log/slog"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
)

const (
	// gather is waited for what comes with the first change: a push is several.
	gather = 200 * time.Millisecond
	// lookAgain is after how long a job that was asked for should have taken what was due; idle how long nothing is looked for.
	lookAgain = time.Second
	idle      = time.Minute
)

// Waker asks for jobs when there is something for them to do, and for none otherwise.
type Waker struct {
	log  *slog.Logger
	what string // there may be, for the log
	look func(ctx context.Context) (time.Duration, error)
	owed chan struct{}
}

// newWaker makes a waker that looks after changes of a kind, and whenever look says. Make it before the database follows other
// processes (db.DB.Follow).
func newWaker(s *store.Store, log *slog.Logger, kind, what string, look func(ctx context.Context) (time.Duration, error)) *Waker {
	w := &Waker{log: log, what: what, look: look, owed: make(chan struct{}, 1)}
	s.DB().Subscribe(func(changes []db.Change) {
		for _, c := range changes {
			if c.Kind == kind || c.Kind == "" {
				select {
				case w.owed <- struct{}{}:
				default:
				}
				return
			}
		}
	})
	return w
}

// Run asks until ctx ends.
func (w *Waker) Run(ctx context.Context) {
	ctx = core.WithPrincipal(ctx, core.System())
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.owed:
			next.Reset(gather)
			continue
		case <-next.C:
		}
		wait, err := w.look(ctx)
		if err != nil && ctx.Err() == nil {
			w.log.Warn("it could not be found out whether there is something to do", "what", w.what, "error", err)
			wait = idle
		}
		next.Reset(wait)
	}
}
