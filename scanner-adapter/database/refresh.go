package database

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// firstWait is how long after a failure the source is asked again; it doubles up to the interval.
const firstWait = time.Minute

// longest is how long one attempt may take.
const longest = 30 * time.Minute

// Refresher brings a database in from its source again and again.
type Refresher struct {
	Store    *Store
	Kind     Kind
	Source   Source
	Interval time.Duration
	Log      *slog.Logger

	mu      sync.Mutex
	tried   time.Time
	problem string
}

// Run refreshes until ctx ends.
func (r *Refresher) Run(ctx context.Context) {
	wait, said := firstWait, ""
	for {
		next := r.Interval
		if err := r.Refresh(ctx); err != nil && ctx.Err() == nil {
			next = min(wait, r.Interval)
			wait *= 2
			if err.Error() != said { // a source that is asked every few seconds would fill the log
				said = err.Error()
				r.Log.Warn("the database could not be refreshed", "database", r.Kind.Name, "source", r.Source.Address, "error", err, "again_in", next)
			}
		} else {
			wait, said = firstWait, ""
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
	}
}

// Refresh asks the source once.
func (r *Refresher) Refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	err := r.Store.Load(ctx, r.Kind, r.Source)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tried, r.problem = time.Now().UTC(), ""
	if err != nil {
		r.problem = err.Error()
	}
	return err
}

// State is what people are told of a database.
type State struct {
	Present     bool       `json:"present"`
	UpdatedAt   *time.Time `json:"updated_at,omitempty"`
	NextUpdate  *time.Time `json:"next_update,omitempty"`
	ImportedAt  *time.Time `json:"imported_at,omitempty"`
	ImportedOf  string     `json:"imported_of,omitempty"`
	Source      string     `json:"source,omitempty"`
	LastAttempt *time.Time `json:"last_attempt,omitempty"`
	LastError   string     `json:"last_error,omitempty"`
	Hint        string     `json:"hint,omitempty"` // what to do
}

// stale is the age from which a database is said to be too old, whatever it says of itself.
const stale = 7 * 24 * time.Hour

// State says how old the database is, and what to do if that is a problem.
func (r *Refresher) State() State {
	r.mu.Lock()
	s := State{Source: r.Source.Address, LastError: r.problem}
	if !r.tried.IsZero() {
		tried := r.tried
		s.LastAttempt = &tried
	}
	r.mu.Unlock()
	a, ok := r.Store.Age(r.Kind)
	s.Present = ok
	if ok {
		s.UpdatedAt, s.NextUpdate, s.ImportedOf = &a.UpdatedAt, &a.NextUpdate, a.Source
		if !a.ImportedAt.IsZero() {
			s.ImportedAt = &a.ImportedAt
		}
	}
	switch {
	case !ok && r.Kind == Java():
		s.Hint = "Images with Java archives are not scanned without it. Set java_database, or: scanner-adapter database import --java FILE."
	case !ok:
		s.Hint = "Nothing is scanned without it. " + howTo
	case s.LastError != "":
		s.Hint = "The source cannot be used; scans go on with the database that is there. Check the source, or bring one in: scanner-adapter database import FILE."
	case time.Since(a.UpdatedAt) > stale:
		s.Hint = "It is older than a week. " + howTo
	}
	return s
}
