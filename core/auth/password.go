package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/crypto/argon2"

	"github.com/hallmarkhub/hallmark/core"
)

// Length of a new password in characters, and of any password in bytes: what is longer is not even hashed.
const (
	MinPassword      = 12
	MaxPassword      = 128
	maxPasswordBytes = 4 * MaxPassword
)

const (
	saltLength = 16
	hashLength = 32
	// maxWaiting is how many log-ins may wait for a core. One more is told to come back.
	maxWaiting = 32
	hashRetry  = time.Second
	// verifiedLife is how long a password that was right needs no hash again.
	verifiedLife  = time.Minute
	verifiedCount = 10_000
)

// Passwords hashes and checks passwords, as many at once as there are cores. Its methods may be called concurrently.
type Passwords struct {
	params   HashParams
	slots    chan struct{}
	waiting  atomic.Int64
	runs     atomic.Int64
	unknown  string // a hash that no password has, for users that are not there
	now      func() time.Time
	key      [32]byte
	verified *otter.Cache[[32]byte, time.Time] // until when
	breached map[string]struct{}
}

// NewPasswords makes a Passwords for new hashes with these costs; the zero value means DefaultHashParams.
func NewPasswords(params HashParams, now func() time.Time) (*Passwords, error) {
	if params == (HashParams{}) {
		params = DefaultHashParams()
	}
	if err := params.check(); err != nil {
		return nil, err
	}
	p := &Passwords{params: params, slots: make(chan struct{}, runtime.GOMAXPROCS(0)), now: now, breached: breachedSet()}
	rand.Read(p.key[:])
	salt, none := make([]byte, saltLength), make([]byte, hashLength)
	rand.Read(salt)
	rand.Read(none)
	p.unknown = encodeHash(params, salt, none)
	var err error
	p.verified, err = otter.New(&otter.Options[[32]byte, time.Time]{MaximumSize: verifiedCount})
	return p, err
}

// Hash returns the PHC string of a password for a row. It waits for a core as Verify does.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltLength)
	rand.Read(salt)
	sum, err := p.run(ctx, p.params, password, salt, hashLength)
	if err != nil {
		return "", err
	}
	return encodeHash(p.params, salt, sum), nil
}

// Verify reports whether password has this hash. An empty hash (the user is not there, or has no password) costs the
// same as a wrong password. The error is core.CodeTooMany if too many are waiting for a core.
func (p *Passwords) Verify(ctx context.Context, hash, password string) (bool, error) {
	none := hash == "" || len(password) > maxPasswordBytes
	if none {
		hash, password = p.unknown, "none"
	}
	params, salt, want, err := decodeHash(hash)
	if err != nil {
		return false, err
	}
	got, err := p.run(ctx, params, password, salt, uint32(len(want)))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && !none, nil
}

// Outdated reports whether a hash was made with other costs than new ones are.
func (p *Passwords) Outdated(hash string) bool {
	params, _, _, err := decodeHash(hash)
	return err != nil || params != p.params
}

// Runs is how many hashes have been computed.
func (p *Passwords) Runs() int64 { return p.runs.Load() }

// run computes one hash when a core is free.
func (p *Passwords) run(ctx context.Context, h HashParams, password string, salt []byte, length uint32) ([]byte, error) {
	select {
	case p.slots <- struct{}{}:
	default:
		if p.waiting.Add(1) > maxWaiting {
			p.waiting.Add(-1)
			e := core.Errorf(core.CodeTooMany, "too many log-ins at once, try again in a second; a personal token or robot needs no waiting")
			e.RetryAfter = hashRetry
			return nil, e
		}
		select {
		case p.slots <- struct{}{}:
			p.waiting.Add(-1)
		case <-ctx.Done():
			p.waiting.Add(-1)
			return nil, ctx.Err()
		}
	}
	defer func() { <-p.slots }()
	p.runs.Add(1)
	return argon2.IDKey([]byte(password), salt, h.Passes, h.MemoryKiB, h.Lanes, length), nil
}

// verifiedKey is what a verified password is remembered by: an HMAC under a key of this process, so that the memory
// holds nothing to guess passwords with. It covers the hash of the row, so a new password makes the old one unknown, and
// the address, so that a stranger who guesses never meets it.
func (p *Passwords) verifiedKey(account, hash, password, address string) [32]byte {
	m := hmac.New(sha256.New, p.key[:])
	for _, s := range []string{account, hash, password, address} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		m.Write(n[:])
		m.Write([]byte(s))
	}
	return [32]byte(m.Sum(nil))
}

func (p *Passwords) wasVerified(key [32]byte) bool {
	until, ok := p.verified.GetIfPresent(key)
	return ok && p.now().Before(until)
}

func (p *Passwords) rememberVerified(key [32]byte) { p.verified.Set(key, p.now().Add(verifiedLife)) }
