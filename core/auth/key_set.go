package auth

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
)

const (
	// purposeToken is the purpose of the keys that sign registry tokens.
	purposeToken = "registry-token"
	// keyLead is how long the key before goes on signing after a rotation, where other processes have to learn of the
	// new one first. They do within a second.
	keyLead = 2 * time.Second
	// keyReload is how often at most an unknown key makes us look for new ones.
	keyReload = time.Second
)

// tokenKey is an Ed25519 key (RFC 8032) and how its tokens begin.
type tokenKey struct {
	header   string // of every token it signs, encoded
	private  ed25519.PrivateKey
	public   ed25519.PublicKey
	retireAt time.Time // zero: current
}

// keySet is the keys in force. A token names its key by its whole header: what does not begin exactly as we write it,
// with this algorithm, type and key id and nothing else, has no key. So there is nothing in a header to be believed.
type keySet struct {
	keys     []*tokenKey // the current one last
	byHeader map[string]*tokenKey
}

// signer is the oldest key that still signs.
func (s *keySet) signer(now time.Time) *tokenKey {
	for _, k := range s.keys {
		if k.retireAt.IsZero() || now.Before(k.retireAt) {
			return k
		}
	}
	return s.keys[len(s.keys)-1]
}

// verifies reports whether tokens that k signed can still be alive, if they live so long.
func (k *tokenKey) verifies(now time.Time, life time.Duration) bool {
	return k.retireAt.IsZero() || now.Before(k.retireAt.Add(life+tokenLeeway))
}

// keyRing loads the keys from the store and keeps them until they change.
type keyRing struct {
	store   *store.Store
	seal    *seal.Keyring
	life    time.Duration // of a token
	mu      sync.Mutex    // held while loading
	set     atomic.Pointer[keySet]
	changes atomic.Uint64
	looked  atomic.Int64 // when an unknown key last made us look, microseconds
}

// newKeyRing makes the first key if there is none. changed is called when the keys have changed.
func newKeyRing(ctx context.Context, s *store.Store, k *seal.Keyring, life time.Duration, changed func()) (*keyRing, error) {
	r := &keyRing{store: s, seal: k, life: life}
	s.DB().Subscribe(func(changes []db.Change) {
		for _, c := range changes {
			if c.Kind == "" || c == (db.Change{Kind: store.ChangeSecret, Key: purposeToken}) {
				r.changes.Add(1)
				r.set.Store(nil)
				changed()
				return
			}
		}
	})
	if _, err := s.EnsureSecret(core.WithPrincipal(ctx, core.System()), k, purposeToken, newTokenSeed()); err != nil {
		return nil, err
	}
	_, err := r.current(ctx)
	return r, err
}

func newTokenSeed() []byte {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	return seed
}

// current returns the keys in force.
func (r *keyRing) current(ctx context.Context) (*keySet, error) {
	if s := r.set.Load(); s != nil {
		return s, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.set.Load(); s != nil {
		return s, nil
	}
	return r.reload(ctx)
}

// reload reads the keys and keeps them, unless they changed meanwhile. The caller holds mu.
func (r *keyRing) reload(ctx context.Context) (*keySet, error) {
	before := r.changes.Load()
	s, err := r.load(ctx)
	if err != nil {
		return nil, err
	}
	r.set.Store(s)
	if r.changes.Load() != before { // what was just stored may be from before the change
		r.set.Store(nil)
	}
	return s, nil
}

// find returns the key whose tokens begin with header, nil if there is none. Another process may have made it a moment
// ago, so one look at the database is worth it, but not one for each forgery.
func (r *keyRing) find(ctx context.Context, header string) (*tokenKey, error) {
	s, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	if k := s.byHeader[header]; k != nil || !r.store.DB().Shared() {
		return k, nil
	}
	now, last := r.store.Now().UnixMicro(), r.looked.Load()
	if now-last < keyReload.Microseconds() || !r.looked.CompareAndSwap(last, now) {
		return nil, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, err = r.reload(ctx); err != nil {
		return nil, err
	}
	return s.byHeader[header], nil
}

func (r *keyRing) load(ctx context.Context) (*keySet, error) {
	secrets, err := r.store.Secrets(ctx, r.seal, purposeToken)
	if err != nil {
		return nil, err
	}
	s := &keySet{byHeader: map[string]*tokenKey{}}
	for _, sec := range secrets {
		if len(sec.Value) != ed25519.SeedSize {
			return nil, fmt.Errorf("key %s of purpose %s has a wrong length", sec.ID, purposeToken)
		}
		private := ed25519.NewKeyFromSeed(sec.Value)
		k := &tokenKey{private: private, public: private.Public().(ed25519.PublicKey), retireAt: sec.RetireAt,
			header: base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","kid":"` + sec.ID + `","typ":"` + tokenType + `"}`))}
		s.keys = append(s.keys, k)
		s.byHeader[k.header] = k
	}
	if len(s.keys) == 0 {
		return nil, fmt.Errorf("there is no key of purpose %s", purposeToken)
	}
	return s, nil
}

// rotate makes a new key.
func (r *keyRing) rotate(ctx context.Context) error {
	var lead time.Duration
	if r.store.DB().Shared() {
		lead = keyLead
	}
	_, err := r.store.RotateSecret(ctx, r.seal, purposeToken, newTokenSeed(), lead, r.life+tokenLeeway)
	return err
}
