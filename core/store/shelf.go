package store

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/maypok86/otter/v2"

	"github.com/hallmarkhub/hallmark/core/db"
)

// shelf is one cache of the Directory: what there is under a name or id, and never that there is nothing.
type shelf[T any] struct {
	db   *db.DB
	read func(ctx context.Context, id string) (*T, error) // one statement; nil: there is none
	// epoch is part of every key, so that "everything changed" also reaches what is being loaded at that moment.
	epoch atomic.Uint64
	cache *otter.Cache[shelfKey, *T]
}

type shelfKey struct {
	id    string
	epoch uint64
}

// newShelf makes a shelf that holds entries of this weight together.
func newShelf[T any](d *db.DB, weight uint64, weigh func(*T) int, read func(context.Context, string) (*T, error)) *shelf[T] {
	return &shelf[T]{db: d, read: read, cache: otter.Must(&otter.Options[shelfKey, *T]{
		MaximumWeight: weight,
		Weigher:       func(_ shelfKey, v *T) uint32 { return uint32(weigh(v)) },
	})}
}

func (s *shelf[T]) key(id string) shelfKey { return shelfKey{id: id, epoch: s.epoch.Load()} }

// peek answers from memory or not at all.
func (s *shelf[T]) peek(id string) (*T, bool) {
	if !s.db.Fresh() {
		return nil, false
	}
	return s.cache.GetIfPresent(s.key(id))
}

// get answers from memory, and fills it unless a change came in between. nil: there is none.
func (s *shelf[T]) get(ctx context.Context, id string) (*T, error) {
	if v, ok := s.peek(id); ok {
		return v, nil
	}
	if !s.db.Fresh() {
		return s.read(ctx, id)
	}
	v, err := s.cache.Get(ctx, s.key(id), otter.LoaderFunc[shelfKey, *T](func(ctx context.Context, k shelfKey) (*T, error) {
		// Others may wait for this, so it goes on when the first who asked gives up.
		v, err := s.read(context.WithoutCancel(ctx), k.id)
		if err == nil && v == nil {
			err = otter.ErrNotFound
		}
		return v, err
	}))
	if errors.Is(err, otter.ErrNotFound) {
		return nil, nil
	}
	return v, err
}

// ask answers from the database, by one statement in every case, and remembers what was not in memory yet.
func (s *shelf[T]) ask(ctx context.Context, id string) (*T, error) {
	if _, ok := s.peek(id); ok {
		return s.read(ctx, id)
	}
	return s.get(ctx, id)
}

func (s *shelf[T]) drop(id string) { s.cache.Invalidate(s.key(id)) }

func (s *shelf[T]) dropAll() {
	s.epoch.Add(1)
	s.cache.InvalidateAll() // the keys of the epoch before are out of reach already; this frees them
}
