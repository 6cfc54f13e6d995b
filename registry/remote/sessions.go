package remote

import (
	"context"
	"crypto/rand"
	"maps"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hallmarkhub/hallmark/registry"
)

// An upload is a row in the memory of this process, and its id says nothing about the other side: an address in it
// would let whoever holds the id send our credentials to any path there.
const (
	maxSessions = 4096
	sessionIdle = 24 * time.Hour
)

type sessions struct {
	mu sync.Mutex
	by map[string]*session
}

// session is an upload. Whoever holds busy may use location and stale: who writes all the time, who only asks how far it
// has come for one request.
type session struct {
	id, repo string
	used     time.Time  // under sessions.mu
	writing  sync.Mutex // held by who writes; nobody waits for it
	busy     chan struct{}
	size     atomic.Int64
	location *url.URL // where the next part goes; the other side may change it with each answer
	stale    bool     // a request broke: what has arrived is not known
}

func newSessions() *sessions { return &sessions{by: map[string]*session{}} }

// add makes a session. When there are too many, the one that was idle longest has to go.
func (s *sessions) add(repo string, location *url.URL) *session {
	u := &session{id: rand.Text(), repo: repo, location: location, busy: make(chan struct{}, 1), used: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.by, func(_ string, old *session) bool { return u.used.Sub(old.used) > sessionIdle })
	if len(s.by) >= maxSessions {
		oldest := u
		for _, old := range s.by {
			if old.used.Before(oldest.used) {
				oldest = old
			}
		}
		delete(s.by, oldest.id)
	}
	s.by[u.id] = u
	return u
}

func (s *sessions) remove(u *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, u.id)
}

// find returns a session of that repository. For another repository it does not exist (V-28).
func (s *sessions) find(repo, id string) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.by[id]
	if u == nil || u.repo != repo {
		return nil, registry.NewError(registry.CodeBlobUploadUnknown, "There is no such upload in this repository. Begin a new one.")
	}
	u.used = time.Now()
	return u, nil
}

// take makes the caller the only one who writes to the session: a second writer is refused (V-59). Who asks how far it has
// come is waited for.
func (s *sessions) take(ctx context.Context, repo, id string) (*session, error) {
	u, err := s.find(repo, id)
	if err != nil {
		return nil, err
	}
	if !u.writing.TryLock() {
		return u, u.misplaced("Somebody else is writing to this upload.")
	}
	select {
	case u.busy <- struct{}{}:
	case <-ctx.Done():
		u.writing.Unlock()
		return nil, ctx.Err()
	}
	if _, err := s.find(repo, id); err != nil { // it was ended while we looked
		u.release()
		return nil, err
	}
	return u, nil
}

func (u *session) release() {
	<-u.busy
	u.writing.Unlock()
}

func (u *session) upload() registry.Upload { return registry.Upload{ID: u.id, Size: u.size.Load()} }

// misplaced is the refusal that says where the upload stands.
func (u *session) misplaced(message string) error {
	e := registry.NewError(registry.CodeRangeInvalid, message+" Ask for its status, and go on from there.")
	state := u.upload()
	e.Upload = &state
	return e
}
