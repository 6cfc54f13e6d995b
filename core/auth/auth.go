package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
)

const (
	// credentialCache is how many personal tokens, and how many sessions, are remembered with what they rest on.
	credentialCache = 10_000
	// DefaultService is the name of the token service, and the audience of its tokens, if none is configured.
	DefaultService = "hallmark"
)

// Options of New.
type Options struct {
	Store     *store.Store
	Directory *store.Directory
	Keyring   *seal.Keyring
	Proxies   *Proxies   // nil: no proxy is trusted
	Service   string     // what the challenge of /v2 calls the token service; "" means DefaultService
	Hash      HashParams // zero: DefaultHashParams
	// TokenLife is how long a registry token lives; 0 means the constant of that name. Processes on one database have the same.
	TokenLife time.Duration
	Log       *slog.Logger // nil: nothing is logged
}

// Authenticator turns requests into principals. Its methods may be called concurrently.
type Authenticator struct {
	store     *store.Store
	dir       *store.Directory
	guard     *access.Guard
	proxies   *Proxies
	service   string
	log       *slog.Logger
	passwords *Passwords
	tokens    *tokens
	devices   *devices
	usage     *usage
	personal  *otter.Cache[[sha256.Size]byte, *personalEntry]
	sessions  *otter.Cache[[sha256.Size]byte, *sessionEntry]
}

// New makes an Authenticator, and the first key for registry tokens if there is none. Make it before the database
// follows other processes (db.DB.Follow).
func New(ctx context.Context, opt Options) (*Authenticator, error) {
	a := &Authenticator{store: opt.Store, dir: opt.Directory, guard: access.NewGuard(opt.Directory), proxies: opt.Proxies,
		service: opt.Service, log: opt.Log, usage: newUsage()}
	if a.proxies == nil {
		a.proxies = &Proxies{}
	}
	if a.service == "" {
		a.service = DefaultService
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if opt.TokenLife == 0 {
		opt.TokenLife = TokenLife
	}
	var errs [5]error
	a.passwords, errs[0] = NewPasswords(opt.Hash, opt.Store.Now)
	a.devices, errs[1] = newDevices(opt.Store.Now)
	a.personal, errs[2] = otter.New(&otter.Options[[sha256.Size]byte, *personalEntry]{MaximumSize: credentialCache})
	a.sessions, errs[3] = otter.New(&otter.Options[[sha256.Size]byte, *sessionEntry]{MaximumSize: credentialCache})
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	a.tokens, errs[4] = newTokens(ctx, opt.Store, opt.Keyring, a.service, opt.TokenLife)
	return a, errs[4]
}

// Passwords is what hashes and judges passwords.
func (a *Authenticator) Passwords() *Passwords { return a.passwords }

// Service is the name of the token service, for the challenge of /v2.
func (a *Authenticator) Service() string { return a.service }

// Proxies is what tells where a request came from.
func (a *Authenticator) Proxies() *Proxies { return a.proxies }

// RotateKeys makes a new key for registry tokens. Tokens of the one before stay valid until they expire.
func (a *Authenticator) RotateKeys(ctx context.Context) error { return a.tokens.keys.rotate(ctx) }

const (
	runInterval   = time.Minute
	flushDeadline = 5 * time.Second
)

// Run writes down once a minute when credentials were last used and removes sessions and failed log-ins that are over,
// until ctx ends; then it writes down once more.
func (a *Authenticator) Run(ctx context.Context) {
	t := time.NewTicker(runInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushDeadline)
			defer cancel()
			a.logFailure("last use of credentials could not be written", a.usage.flush(last, a.store))
			return
		case <-t.C:
			a.logFailure("last use of credentials could not be written", a.usage.flush(ctx, a.store))
			a.logFailure("old sessions could not be removed", a.store.ExpireSessions(ctx, SessionIdle))
			a.logFailure("old failed log-ins could not be removed", a.store.ExpireLogins(ctx))
		}
	}
}

func (a *Authenticator) logFailure(what string, err error) {
	if err != nil {
		a.log.Warn(what, "error", err)
	}
}

// refused turns "there is no such thing" into "who are you": what is missing is no business of whoever asks.
func refused(err error, sentence string) error {
	if core.CodeOf(err) == core.CodeNotFound {
		return core.Errorf(core.CodeUnauthenticated, "%s", sentence)
	}
	return err
}
