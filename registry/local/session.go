package local

import (
	"context"
	"encoding"
	"errors"
	"hash"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob"
)

// newID makes the id of a row; an upload's is also its name in the blob store, so it is never used twice.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// session is what this process remembers of an upload: the row, and the hash of what has arrived, so that no byte is
// read twice. The one in Registry.uploads is the only one that counts; what it knows is lost with the process, and then
// the row, or the store, tells it again.
type session struct {
	writing   sync.Mutex // held by the request that writes to the upload; nobody waits for it
	mu        sync.Mutex // guards the rest: who writes holds it all the time, who only asks for a moment
	id        string
	repo      string
	actor     string
	algorithm digest.Algorithm
	size      int64
	hash      hash.Hash // of the first size bytes; nil: not known
	begun     bool      // by this process: where it is the only one, it knows of every commit
	fresh     bool      // nothing was ever asked of the store under this id
	measured  bool      // size is what the store has, and not merely what the row says
	writer    string    // what this process wrote into the row's column of that name when it last claimed the upload
	noted     time.Time // when the row was last told that somebody is at work
	key       string    // where Commit put the bytes, or would have; "": it has not been asked
}

// purpose is what a request takes an upload for.
type purpose string

const (
	looking   purpose = ""
	appending purpose = " append"
	// finishing is kept apart in the row: an upload whose finisher fell silent may be committed at any moment, so
	// nobody takes it over.
	finishing purpose = " finish"
)

// writerLease is how long a process that writes may be silent before another one may go on with the upload.
const writerLease = 30 * time.Second

func uploadUnknown(id string) error {
	return registry.NewError(registry.CodeBlobUploadUnknown, "there is no upload "+id+": begin a new one.")
}

func busy(id string) error {
	return &registry.Error{Code: registry.CodeRangeInvalid, Message: "somebody else is writing to upload " + id + ": ask for its state and go on from there."}
}

// take finds an upload of this repository and this principal and holds it for a request. The caller lets it go.
func (l *Registry) take(ctx context.Context, repo, id string, p purpose) (*session, error) {
	s, err := l.lock(ctx, repo, id, p)
	if err != nil {
		return nil, err
	}
	if err = l.claim(ctx, s, p); err == nil && !s.measured {
		if err = l.measure(ctx, s); err != nil && p != looking {
			_ = l.release(ctx, s) // the first error is the one to tell; an unreleased claim ends by itself
		}
	}
	if err != nil {
		s.letGo(p)
		return nil, l.storeError(err)
	}
	return s, nil
}

// lock finds the session of an upload. For anybody but the one who began it, there, it does not exist.
func (l *Registry) lock(ctx context.Context, repo, id string, p purpose) (*session, error) {
	if _, err := uuid.Parse(id); err != nil || len(id) != 36 {
		return nil, registry.NewError(registry.CodeBlobUploadUnknown, "that is no upload: begin a new one.")
	}
	for {
		if _, ended := l.unsettled.Load(id); ended {
			return nil, uploadUnknown(id)
		}
		v, ok := l.uploads.Load(id)
		if !ok {
			s, err := l.loadSession(ctx, id)
			if err != nil {
				return nil, err
			}
			v, _ = l.uploads.LoadOrStore(id, s)
		}
		s := v.(*session)
		if s.repo != repo || s.actor != core.PrincipalFrom(ctx).Actor() {
			return nil, uploadUnknown(id)
		}
		if !s.hold(ctx, p) {
			return nil, busy(id)
		}
		if l.current(s) {
			return s, nil
		}
		s.letGo(p) // it ended, or was forgotten, just before
	}
}

// hold locks the session. Of two who want to write one is refused. Asking is not writing (V-59): who writes waits for who
// asks, which is soon over, and who asks waits a moment for who writes, because a client whose connection broke asks
// before the hub has noticed that the bytes end.
func (s *session) hold(ctx context.Context, p purpose) bool {
	if p != looking {
		free := s.writing.TryLock()
		if free {
			s.mu.Lock()
		}
		return free
	}
	const wait, step = 2 * time.Second, 5 * time.Millisecond
	for range wait / step {
		if s.mu.TryLock() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(step):
		}
	}
	return false
}

// letGo ends what hold began.
func (s *session) letGo(p purpose) {
	s.mu.Unlock()
	if p != looking {
		s.writing.Unlock()
	}
}

// current reports whether a session is still the one of its upload.
func (l *Registry) current(s *session) bool {
	v, ok := l.uploads.Load(s.id)
	return ok && v.(*session) == s
}

// loadSession makes a session from the row, for an upload that another process began or one before a restart.
func (l *Registry) loadSession(ctx context.Context, id string) (*session, error) {
	s := &session{id: id, measured: !l.store.Persistent(), noted: l.db.Now()}
	var state []byte
	err := l.db.QueryRow(ctx, `SELECT r.name, u.principal, u.algorithm, u.size, u.hash_state FROM upload u JOIN repository r ON r.id = u.repository_id WHERE u.id = $1`, id).
		Scan(&s.repo, &s.actor, &s.algorithm, &s.size, &state)
	if errors.Is(err, db.ErrNoRows) {
		return nil, uploadUnknown(id)
	}
	s.restore(s.size, state)
	return s, err
}

// measure asks a store that knows how much of an upload there is.
func (l *Registry) measure(ctx context.Context, s *session) error {
	w, err := l.store.Resume(ctx, s.id)
	switch {
	case errors.Is(err, blob.ErrNotFound):
		s.measured = true // opening it for writing finds out what that means
		return nil
	case err != nil:
		return err
	}
	if n := w.Size(); n != s.size {
		s.size, s.hash = n, nil
	}
	s.measured = true
	return w.Close()
}

// claim makes sure that an upload still exists and, unless the request only looks, that no other process writes to it.
// On SQLite there is no other process, and what this one ends it forgets: no SQL. Elsewhere the row is the truth.
func (l *Registry) claim(ctx context.Context, s *session, p purpose) error {
	if l.db.Engine() == db.SQLite {
		return nil
	}
	if p == looking {
		return l.look(ctx, s)
	}
	var size int64
	var state []byte
	s.writer = l.process + string(p)
	now := l.db.Micros()
	err := l.db.WriteRow(ctx, `UPDATE upload SET writer = $2, writer_until = $3 WHERE id = $1 AND (writer = '' OR writer LIKE $4
			OR (writer_until < $5 AND writer NOT LIKE $6)) RETURNING size, hash_state`,
		[]any{s.id, s.writer, now + writerLease.Microseconds(), l.process + "%", now, "%" + string(finishing)}, &size, &state)
	if errors.Is(err, db.ErrNoRows) {
		return l.refused(ctx, s)
	}
	if err == nil {
		s.catchUp(size, state)
		s.noted = l.db.Now()
	}
	return err
}

// look reads how far other processes have come.
func (l *Registry) look(ctx context.Context, s *session) error {
	var size, until int64
	var state []byte
	var writer string
	err := l.db.QueryRow(ctx, `SELECT size, hash_state, writer, writer_until FROM upload WHERE id = $1`, s.id).Scan(&size, &state, &writer, &until)
	switch {
	case errors.Is(err, db.ErrNoRows):
		l.uploads.Delete(s.id)
		return uploadUnknown(s.id)
	case err != nil:
		return err
	case writer != "" && !strings.HasPrefix(writer, l.process) && until > l.db.Micros():
		return busy(s.id)
	}
	s.catchUp(size, state)
	// Who wrote last has noted how far it came. To ask the store as well would keep another process from writing (V-59).
	s.measured = s.measured || writer == ""
	return nil
}

// refused tells why an upload could not be claimed.
func (l *Registry) refused(ctx context.Context, s *session) error {
	var writer string
	var until int64
	err := l.db.QueryRow(ctx, `SELECT writer, writer_until FROM upload WHERE id = $1`, s.id).Scan(&writer, &until)
	switch {
	case errors.Is(err, db.ErrNoRows):
		l.uploads.Delete(s.id)
		return uploadUnknown(s.id)
	case err != nil:
		return err
	case until < l.db.Micros() && strings.HasSuffix(writer, string(finishing)):
		return l.lost(ctx, s)
	}
	return busy(s.id)
}

// catchUp takes over what another process has received meanwhile.
func (s *session) catchUp(size int64, state []byte) {
	if size > s.size {
		s.fresh = false
		s.restore(size, state)
	}
}

// restore takes size bytes and the saved state of their hash, if it can be read.
func (s *session) restore(size int64, state []byte) {
	s.size, s.hash = size, nil
	h := s.algorithm.Hash()
	if m, ok := h.(encoding.BinaryUnmarshaler); ok && len(state) > 0 && m.UnmarshalBinary(state) == nil {
		s.hash = h
	}
}

// state returns what has to be remembered of the hash between requests in different processes.
func (s *session) state() []byte {
	m, ok := s.hash.(encoding.BinaryMarshaler)
	if !ok {
		return nil
	}
	b, err := m.MarshalBinary()
	if err != nil {
		return nil
	}
	return b
}

// afterwards is the context of what has to be done however the request ended: a client that goes away must not leave
// an upload claimed, or bytes unaccounted for.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
}

// release notes how far an upload has come and lets others write to it.
func (l *Registry) release(ctx context.Context, s *session) error {
	if !l.current(s) {
		return l.lost(ctx, s)
	}
	if l.db.Engine() == db.SQLite && l.store.Persistent() {
		return l.note(ctx, s) // the length of the file says how far it is
	}
	return l.update(ctx, s, `UPDATE upload SET size = $4, hash_state = $5, writer = '', writer_until = 0, updated_at = $3 WHERE id = $1 AND writer = $2`,
		s.size, s.state())
}

// note tells the row now and then that somebody is at work, so that nobody takes the upload over or sweeps it.
func (l *Registry) note(ctx context.Context, s *session) error {
	every := time.Hour // only the sweeper asks
	if l.db.Engine() == db.Postgres {
		every = writerLease / 3
	}
	now := l.db.Now()
	if now.Sub(s.noted) < every {
		return nil
	}
	err := l.update(ctx, s, `UPDATE upload SET updated_at = $3, writer_until = $4 WHERE id = $1 AND writer = $2`,
		now.Add(writerLease).UnixMicro())
	if err == nil {
		s.noted = now
	}
	return err
}

// holds reports whether no other process can have taken the upload over.
func (l *Registry) holds(s *session) bool {
	return !l.db.Shared() || (l.current(s) && l.db.Now().Sub(s.noted) < writerLease)
}

// update changes the row of an upload that this process has claimed: $1 is the id, $2 the writer, $3 now.
func (l *Registry) update(ctx context.Context, s *session, query string, more ...any) error {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	var id string
	err := l.db.WriteRow(ctx, query+` RETURNING id`, append([]any{s.id, s.writer, l.db.Micros()}, more...), &id)
	if errors.Is(err, db.ErrNoRows) {
		return l.lost(ctx, s)
	}
	return err
}

// lost ends an upload that cannot go on. It was ended or taken over while this process was writing to it, and then two
// have written and nobody can vouch for what the store has; or nobody knows any more how far it has come.
func (l *Registry) lost(ctx context.Context, s *session) error {
	_, err := l.end(ctx, s)
	return errors.Join(uploadUnknown(s.id), err)
}
