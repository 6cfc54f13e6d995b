package auth

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hallmarkhub/hallmark/core/store"
)

// usage collects when credentials were last used, so that a pull writes nothing.
type usage struct {
	mu                       sync.Mutex
	tokens, robots, sessions map[string]time.Time
}

func newUsage() *usage {
	return &usage{tokens: map[string]time.Time{}, robots: map[string]time.Time{}, sessions: map[string]time.Time{}}
}

func (u *usage) token(id string, at time.Time)   { u.note(u.tokens, id, at) }
func (u *usage) robot(id string, at time.Time)   { u.note(u.robots, id, at) }
func (u *usage) session(id string, at time.Time) { u.note(u.sessions, id, at) }

func (u *usage) note(m map[string]time.Time, id string, at time.Time) {
	u.mu.Lock()
	m[id] = at
	u.mu.Unlock()
}

// flush writes down what was collected. What cannot be written is forgotten: it is only for people to look at, but for
// the idle time of sessions, which errs on the side of ending them.
func (u *usage) flush(ctx context.Context, s *store.Store) error {
	take := func(m map[string]time.Time) map[string]time.Time {
		out := make(map[string]time.Time, len(m))
		for k, v := range m {
			out[k] = v
		}
		clear(m)
		return out
	}
	u.mu.Lock()
	tokens, robots, sessions := take(u.tokens), take(u.robots), take(u.sessions)
	u.mu.Unlock()
	return errors.Join(s.TouchPersonalTokens(ctx, tokens), s.TouchRobots(ctx, robots), s.TouchSessions(ctx, sessions))
}
