//go:build crash && linux

package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// run is one history with its hub.
type run struct {
	t       testing.TB
	seed    uint64
	hub     *hub
	history *history
	shared  []blob // layers that many images have
	loose   []blob // layers that are deleted as soon as they can be
	stop    context.CancelFunc
	token   atomic.Pointer[string]
	since   time.Time // the token's birth

	mu         sync.Mutex
	violations []string
	tugged     []placed // images of loose layers
}

const (
	repositories = 3
	tags         = 4
	sharedLayers = 8
	looseLayers  = 2
	// enough violations to see a pattern; after them the run ends
	enough = 5
)

func repoName(n int) string { return fmt.Sprintf("library/crash-%d", n) }

// client returns a client with a token: passwords are hashed so slowly that, with a restart each half second, little else
// would happen.
func (r *run) client() *client {
	c := newClient(r.hub)
	c.token = &r.token
	return c
}

// renew gets a token when there is none or it may soon be too old.
func (r *run) renew() error {
	if time.Since(r.since) < 2*time.Minute {
		return nil
	}
	query := "/service/token?scope=repository:" + overwrittenRepo + ":pull,push"
	for n := range repositories {
		query += "&scope=repository:" + repoName(n) + ":pull,push,delete"
	}
	a := newClient(r.hub).do(context.Background(), http.MethodGet, query, nil)
	var got struct{ Token string }
	if err := json.Unmarshal(a.body, &got); err != nil || got.Token == "" {
		return fmt.Errorf("no token: %v, %w", a, err)
	}
	r.token.Store(&got.Token)
	r.since = time.Now()
	return nil
}

// violation notes that a promise was broken. It may be called from any goroutine.
func (r *run) violation(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if text := fmt.Sprintf(format, args...); len(r.violations) < enough && !slices.Contains(r.violations, text) {
		r.violations = append(r.violations, text)
	}
	if len(r.violations) == enough {
		r.stop()
	}
}

// expect reports answers that a hub in good health does not give. One that was killed during the request gives none; a
// hub that is up has none but these and 429. started is the epoch in which the request began.
func (r *run) expect(started int64, what string, a answer, statuses ...int) {
	now, _ := r.hub.up()
	switch {
	case slices.Contains(statuses, a.status), a.status == http.StatusTooManyRequests:
	case a.status == 0 && (now != started || started%2 == 0):
	default:
		r.violation("%s: %v", what, a)
	}
}
