package memory

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry/blob"
)

// Options choose which kind of back end is modelled.
type Options struct {
	// Buffered models an object store: what a Writer received joins the upload only when it is closed, Persistent
	// is false, and what an earlier session left cannot be read back.
	Buffered bool
}

// Store keeps blobs in memory. Several Stores may share one place, see Again. Safe for concurrent use.
type Store struct {
	place  *place
	faults *Faults
}

// place is what would be the disk.
type place struct {
	options Options

	mu       sync.Mutex
	boot     int // grows with each Crash; Writers of an earlier boot are dead
	uploads  map[string]*upload
	contents map[string]content
}

type upload struct {
	data     []byte
	modified time.Time
	held     bool // by a Writer
}

type content struct {
	data     []byte
	modified time.Time
}

// New returns an empty store.
func New(opt Options) *Store {
	return &Store{
		faults: new(Faults),
		place:  &place{options: opt, uploads: map[string]*upload{}, contents: map[string]content{}},
	}
}

// Again returns another store over the same content, as another process would open it. It has no faults yet.
func (s *Store) Again() *Store { return &Store{place: s.place, faults: new(Faults)} }

// Faults are what will go wrong with this Store.
func (s *Store) Faults() *Faults { return s.faults }

// Crash is a power loss: every upload that was not committed is gone, and Writers that are still held return errors
// from then on.
func (s *Store) Crash() {
	s.place.mu.Lock()
	defer s.place.mu.Unlock()
	s.place.boot++
	s.place.uploads = map[string]*upload{}
}

// Create implements blob.Store.
func (s *Store) Create(ctx context.Context, id string) (blob.Writer, error) {
	return s.begin(ctx, Create, id)
}

// Resume implements blob.Store.
func (s *Store) Resume(ctx context.Context, id string) (blob.Writer, error) {
	return s.begin(ctx, Resume, id)
}

func (s *Store) begin(ctx context.Context, op Op, id string) (blob.Writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := blob.CheckUpload(id); err != nil {
		return nil, err
	}
	fate, err := s.faults.strike(ctx, op)
	if err != nil {
		return nil, err
	}
	p := s.place
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.uploads[id]
	switch {
	case op == Create && u != nil:
		return nil, fmt.Errorf("blob: upload %s exists", id)
	case op == Create:
		u = &upload{modified: time.Now()}
		p.uploads[id] = u
	case u == nil:
		return nil, fmt.Errorf("%w: upload %s", blob.ErrNotFound, id)
	case u.held:
		return nil, blob.ErrBusy
	}
	if fate.after != nil {
		return nil, fate.after
	}
	u.held = true
	return &writer{ctx: ctx, store: s, id: id, upload: u, boot: p.boot, open: true}, nil
}

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, key string) (blob.Content, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := blob.CheckKey(key); err != nil {
		return nil, err
	}
	fate, err := s.faults.strike(ctx, Open)
	if err != nil {
		return nil, err
	}
	s.place.mu.Lock()
	defer s.place.mu.Unlock()
	c, ok := s.place.contents[key]
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: %s", blob.ErrNotFound, key)
	case fate.after != nil:
		return nil, fate.after
	}
	return reader{bytes.NewReader(c.data)}, nil
}

// reader is content; committed bytes never change, so nothing is copied.
type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }

// URL implements blob.Store: there is none.
func (s *Store) URL(context.Context, string, time.Duration) (string, error) { return "", nil }

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	check := blob.CheckKey
	if blob.IsUpload(name) {
		check = blob.CheckUpload
	}
	if err := check(name); err != nil {
		return err
	}
	fate, err := s.faults.strike(ctx, Delete)
	if err != nil {
		return err
	}
	s.place.mu.Lock()
	defer s.place.mu.Unlock()
	delete(s.place.uploads, name)
	delete(s.place.contents, name)
	return fate.after
}

// List implements blob.Store. f may call the store.
func (s *Store) List(ctx context.Context, f func(blob.Info) error) error {
	for _, info := range s.place.infos() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f(info); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (p *place) infos() []blob.Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []blob.Info
	for _, id := range slices.Sorted(maps.Keys(p.uploads)) {
		u := p.uploads[id]
		out = append(out, blob.Info{Key: id, Size: int64(len(u.data)), Modified: u.modified})
	}
	for _, key := range slices.Sorted(maps.Keys(p.contents)) {
		c := p.contents[key]
		out = append(out, blob.Info{Key: key, Size: int64(len(c.data)), Modified: c.modified, Committed: true})
	}
	return out
}

// Persistent implements blob.Store.
func (s *Store) Persistent() bool { return !s.place.options.Buffered }

// Key is the key that Commit will return for an upload with this digest, which must be valid.
func (s *Store) Key(upload string, d digest.Digest) string {
	return d.Algorithm().String() + "/" + d.Encoded()[:2] + "/" + d.Encoded() + "." + upload
}
