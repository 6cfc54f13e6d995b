package upstream

import (
	"context"
	"net/url"
	"sync"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry/remote"
)

// Endpoints are the existing registries as they are spoken to: one client for each revision of each. Its methods may be
// called concurrently.
type Endpoints struct {
	store   *store.Store
	keyring *seal.Keyring

	mu    sync.Mutex
	epoch uint64 // counts changes: what was read before one is not kept after it
	open  map[string]*endpoint
}

// endpoint is one of them under one revision. Uploads that were begun with it live in its client.
type endpoint struct {
	id       string
	revision int64
	sure     bool // it is the current one, as far as changes are known
	*remote.Registry
}

// NewEndpoints makes them. Make it before the database follows other processes (db.DB.Follow).
func NewEndpoints(s *store.Store, k *seal.Keyring) *Endpoints {
	e := &Endpoints{store: s, keyring: k, open: map[string]*endpoint{}}
	s.DB().Subscribe(e.drop)
	return e
}

// drop makes what changed be read again before it is used.
func (e *Endpoints) drop(changes []db.Change) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range changes {
		switch c.Kind {
		case store.ChangeRegistry:
			e.epoch++
			if o := e.open[c.Key]; o != nil {
				o.sure = false
			}
		case "":
			e.epoch++
			for _, o := range e.open {
				o.sure = false
			}
		}
	}
}

// get returns the client of a registry by name. The one there is stays as long as nothing about it changed.
func (e *Endpoints) get(ctx context.Context, name string) (*endpoint, error) {
	e.mu.Lock()
	have, epoch := e.open[name], e.epoch
	if have != nil && have.sure && e.store.DB().Fresh() {
		e.mu.Unlock()
		return have, nil
	}
	e.mu.Unlock()
	r, err := e.store.Registry(ctx, name)
	if err != nil {
		if core.CodeOf(err) == core.CodeNotFound {
			e.forget(name, epoch)
		}
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := e.open[name]; now != nil && now.id == r.ID && now.revision == r.Revision {
		now.sure = e.epoch == epoch
		return now, nil
	}
	o, err := e.dial(r)
	if err == nil && e.epoch == epoch {
		o.sure = true
		e.open[name] = o
	}
	return o, err
}

func (e *Endpoints) forget(name string, epoch uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.epoch == epoch {
		delete(e.open, name)
	}
}

// dial makes a client. It sends nothing yet.
func (e *Endpoints) dial(r *store.Registry) (*endpoint, error) {
	password, err := store.RegistryPassword(e.keyring, r)
	if err != nil {
		return nil, core.Errorf(core.CodeUnavailable, "the password of the registry %s cannot be read: give it again", r.Name)
	}
	base, err := url.Parse(r.URL)
	if err != nil {
		return nil, core.Errorf(core.CodeUnavailable, "the URL of the registry %s cannot be read: save it again", r.Name)
	}
	t, err := transport(base, r.CAPEM)
	if err != nil {
		return nil, err
	}
	opt := remote.Options{Transport: t, PlainHTTP: r.PlainHTTP, LogIn: r.Username != "",
		Retry: remote.Retry{Attempts: 2, Wait: 200 * time.Millisecond, MaxWait: 2 * time.Second}}
	if r.Username != "" {
		opt.Credentials = func(context.Context, string) (remote.Credentials, error) {
			return remote.Credentials{Username: r.Username, Password: password}, nil
		}
	}
	if r.TokenHost != "" {
		opt.AllowRealmHosts = []string{r.TokenHost}
	}
	client, err := remote.New(base, opt)
	return &endpoint{id: r.ID, revision: r.Revision, Registry: client}, err
}

// Save makes or changes a registry, as store.PutRegistry.
func (e *Endpoints) Save(ctx context.Context, name string, n store.RegistryPut, revision int64) (*store.Registry, bool, error) {
	return e.store.PutRegistry(ctx, e.keyring, name, n, revision)
}

// Check asks a registry whether it answers and takes the credentials; "" says that it does.
func (e *Endpoints) Check(ctx context.Context, name string) (string, error) {
	o, err := e.get(ctx, name)
	if err != nil {
		return "", err
	}
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = o.Ping(short)
	if err == nil {
		return "", nil
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return saidOf(short, o.Host(), err), nil
}
