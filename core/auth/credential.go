package auth

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
)

// A principal is remembered together with the state of the account or robot it was made from, as the Directory answered
// it: the same pointer means that nothing about it, its tokens or its sessions has changed since. The state is asked for
// before the row of the credential is read, so that a change in between shows.

// proven is a principal and the generation of the password or secret it gave, "" for a personal token: what can be got
// with that ends with it (see store.Generation).
type proven struct {
	*core.Principal
	generation string
}

// binding is a principal and what it rests on.
type binding struct {
	account   *store.AccountState // of a user
	robot     *store.RobotState   // of a robot
	until     time.Time           // when a personal token or the old secret of a robot ends; zero: not by itself
	principal *core.Principal
}

const errGone = "this credential is not valid any more: log in again"

// liveAccount is the account of an id, if it may do anything.
func (a *Authenticator) liveAccount(ctx context.Context, id string) (*store.AccountState, error) {
	st, err := a.dir.Account(ctx, id)
	if err != nil {
		return nil, refused(err, errGone)
	}
	if st.Disabled {
		return nil, core.Errorf(core.CodeUnauthenticated, errGone)
	}
	return st, nil
}

// tokenPrincipal is the principal of a registry token as it is now: the account, robot or personal token it was got
// with may have gone since, and so may the password or the secret. There is no SQL as long as nothing about them changes.
func (a *Authenticator) tokenPrincipal(ctx context.Context, v *verifiedToken) (*core.Principal, error) {
	b, now := v.bound.Load(), a.store.Now()
	switch v.kind {
	case core.KindAnonymous:
		return b.principal, nil
	case core.KindUser:
		st, err := a.liveAccount(ctx, v.id)
		if err != nil {
			return nil, err
		}
		if b != nil && b.account == st && b.lasts(now) {
			return b.principal, nil
		}
		if b, err = a.bindUser(ctx, v, st); err != nil {
			return nil, err
		}
	case core.KindRobot:
		st, err := a.dir.Robot(ctx, v.id)
		if err != nil {
			return nil, refused(err, errGone)
		}
		if !st.Alive(now) {
			return nil, core.Errorf(core.CodeUnauthenticated, errGone)
		}
		if b != nil && b.robot == st && b.lasts(now) {
			return b.principal, nil
		}
		if b, err = a.bindRobot(ctx, v, st); err != nil {
			return nil, err
		}
	case core.KindJob:
		if b != nil && b.lasts(now) {
			return b.principal, nil
		}
		var err error
		if b, err = a.bindJob(ctx, v); err != nil {
			return nil, err
		}
	default:
		return nil, errToken()
	}
	v.bound.Store(b)
	return b.principal, nil
}

func (b *binding) lasts(now time.Time) bool { return b.until.IsZero() || now.Before(b.until) }

// bindRobot: the token ends with the secret it was got with. That this is no secret any more is never said from memory.
func (a *Authenticator) bindRobot(ctx context.Context, v *verifiedToken, st *store.RobotState) (*binding, error) {
	until, ok := st.Honours(v.Generation, a.store.Now())
	if !ok {
		live, err := a.dir.LiveRobot(ctx, v.id)
		if err != nil {
			return nil, refused(err, errGone)
		}
		if until, ok = live.Honours(v.Generation, a.store.Now()); !ok || !live.Alive(a.store.Now()) {
			return nil, core.Errorf(core.CodeUnauthenticated, errGone)
		}
	}
	p := *st.Principal
	p.Grants, p.Credential, p.RegistryToken, p.Owner = v.grants, v.Credential, true, st.Principal
	return &binding{robot: st, until: until, principal: &p}, nil
}

func (a *Authenticator) bindUser(ctx context.Context, v *verifiedToken, st *store.AccountState) (*binding, error) {
	b := &binding{account: st, principal: userPrincipal(st.ID, st.Username, st.Admin, v.Credential, v.grants)}
	b.principal.RegistryToken = true
	b.principal.Owner = userPrincipal(st.ID, st.Username, st.Admin, v.Credential, nil)
	id, ok := strings.CutPrefix(v.Credential, "token:")
	if !ok {
		return b, a.checkGeneration(ctx, v, st)
	}
	t, err := a.store.PersonalToken(ctx, st.ID, id)
	if err != nil {
		return nil, refused(err, errGone)
	}
	if b.until = t.ExpiresAt; a.expired(t) {
		return nil, core.Errorf(core.CodeUnauthenticated, errGone)
	}
	b.principal.Owner.Grants = t.Scopes
	return b, nil
}

// checkGeneration: the token ends with the password it was got with. That it is another one is never said from memory.
func (a *Authenticator) checkGeneration(ctx context.Context, v *verifiedToken, st *store.AccountState) error {
	if v.Generation != "" && v.Generation == st.Generation {
		return nil
	}
	live, err := a.dir.LiveAccount(ctx, v.id)
	if err != nil {
		return refused(err, errGone)
	}
	if live.Disabled || v.Generation == "" || v.Generation != live.Generation {
		return core.Errorf(core.CodeUnauthenticated, errGone)
	}
	return nil
}

func (a *Authenticator) expired(t *store.PersonalToken) bool {
	return !t.ExpiresAt.IsZero() && !a.store.Now().Before(t.ExpiresAt)
}

// personalEntry is a personal token that was found right.
type personalEntry struct {
	id      string
	account string
	binding
}

// personalToken is the principal of a personal token.
func (a *Authenticator) personalToken(ctx context.Context, secret string) (*core.Principal, error) {
	if !seal.IsToken(seal.PersonalPrefix, secret) {
		return nil, core.Errorf(core.CodeUnauthenticated, "this is no personal token: a part of it is missing or mistyped")
	}
	sum := sha256.Sum256([]byte(secret))
	if e, ok := a.personal.GetIfPresent(sum); ok {
		st, err := a.liveAccount(ctx, e.account)
		if err != nil {
			return nil, err
		}
		if st == e.binding.account && a.store.Now().Before(e.until) {
			a.usage.token(e.id, a.store.Now())
			return e.principal, nil
		}
	}
	e, err := a.readPersonalToken(ctx, secret)
	if err != nil {
		return nil, err
	}
	a.personal.Set(sum, e)
	a.usage.token(e.id, a.store.Now())
	return e.principal, nil
}

func (a *Authenticator) readPersonalToken(ctx context.Context, secret string) (*personalEntry, error) {
	const wrong = "this personal token is not valid: it was deleted or is of another hub"
	hash := seal.HashToken(secret)
	t, err := a.store.PersonalTokenByHash(ctx, hash)
	if err != nil {
		return nil, refused(err, wrong)
	}
	st, err := a.liveAccount(ctx, t.AccountID)
	if err != nil {
		return nil, err
	}
	// Again, now that the state it rests on is known.
	if t, err = a.store.PersonalToken(ctx, t.AccountID, t.ID); err != nil {
		return nil, refused(err, wrong)
	}
	if a.expired(t) {
		return nil, core.Errorf(core.CodeUnauthenticated, "this personal token expired on %s: make a new one", t.ExpiresAt.Format(time.DateOnly))
	}
	e := &personalEntry{id: t.ID, account: t.AccountID, binding: binding{account: st, until: t.ExpiresAt,
		principal: userPrincipal(st.ID, st.Username, st.Admin, "token:"+t.ID, t.Scopes)}}
	if e.until.IsZero() {
		e.until = a.store.Now().Add(store.MaxTokenLife)
	}
	return e, nil
}

// robotPrefix begins the user name of a robot: robot$project+name.
const robotPrefix = "robot$"

const errRobot = "robot name or secret is wrong, or the robot is disabled or has expired"

// robotLogin is the principal of a robot that gives its name and secret.
func (a *Authenticator) robotLogin(ctx context.Context, username, secret string) (proven, error) {
	project, name, ok := strings.Cut(strings.TrimPrefix(username, robotPrefix), "+")
	if !ok || !seal.IsToken(seal.RobotPrefix, secret) {
		return proven{}, core.Errorf(core.CodeUnauthenticated, errRobot)
	}
	l, err := a.store.RobotByName(ctx, project, name)
	return a.robotPrincipal(ctx, l, err, secret)
}

// robotSecret is the principal of a robot that gives its secret alone.
func (a *Authenticator) robotSecret(ctx context.Context, secret string) (proven, error) {
	if !seal.IsToken(seal.RobotPrefix, secret) {
		return proven{}, core.Errorf(core.CodeUnauthenticated, errRobot)
	}
	l, err := a.store.RobotBySecret(ctx, secret)
	return a.robotPrincipal(ctx, l, err, secret)
}

func (a *Authenticator) robotPrincipal(ctx context.Context, l *store.RobotLogin, err error, secret string) (proven, error) {
	if core.CodeOf(err) == core.CodeNotFound {
		l, err = &store.RobotLogin{}, nil // compared all the same
	}
	if err != nil {
		return proven{}, err
	}
	now := a.store.Now()
	if !l.Matches(secret, now) || l.Disabled || !now.Before(l.ExpiresAt) {
		return proven{}, core.Errorf(core.CodeUnauthenticated, errRobot)
	}
	st, err := a.dir.Robot(ctx, l.ID)
	if err != nil {
		return proven{}, refused(err, errRobot)
	}
	if !st.Alive(now) {
		return proven{}, core.Errorf(core.CodeUnauthenticated, errRobot)
	}
	a.usage.robot(l.ID, now)
	return proven{st.Principal, store.Generation(seal.HashToken(secret))}, nil
}

// basic is the principal of a user name and a password, personal token or robot's secret.
func (a *Authenticator) basic(ctx context.Context, client netip.Addr, user, secret string) (proven, error) {
	switch {
	case strings.HasPrefix(user, robotPrefix):
		return a.robotLogin(ctx, user, secret)
	case strings.HasPrefix(secret, seal.PersonalPrefix):
		p, err := a.personalToken(ctx, secret)
		if err == nil && !strings.EqualFold(p.Name, user) {
			return proven{}, core.Errorf(core.CodeUnauthenticated, "this personal token belongs to another user than the one named")
		}
		return proven{Principal: p}, err
	}
	account, hash, err := a.passwordLogin(ctx, client, user, secret)
	if err != nil {
		return proven{}, err
	}
	return proven{userPrincipal(account.ID, account.Username, account.Admin, "password", nil), store.Generation(hash)}, nil
}

// scopesOf turns the access claim back into what core/access granted. A name that could be taken for a pattern is
// refused: no repository has one.
func scopesOf(entries []accessEntry) ([]access.Scope, bool) {
	out := make([]access.Scope, 0, len(entries))
	for _, e := range entries {
		if strings.Contains(e.Name, "*") {
			return nil, false
		}
		s := access.Scope{Type: e.Type, Class: e.Class, Name: e.Name}
		for _, action := range e.Actions {
			s.Actions = append(s.Actions, core.Action(action))
		}
		out = append(out, s)
	}
	return out, true
}

// entriesOf is the access claim of what was granted.
func entriesOf(granted []access.Scope) []accessEntry {
	out := make([]accessEntry, 0, len(granted))
	for _, s := range granted {
		e := accessEntry{Type: s.Type, Class: s.Class, Name: s.Name}
		for _, action := range s.Actions {
			e.Actions = append(e.Actions, string(action))
		}
		out = append(out, e)
	}
	return out
}
