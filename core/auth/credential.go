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

// binding is a principal and what it rests on.
type binding struct {
	account   *store.AccountState // of a user
	robot     *store.RobotState   // of a robot
	until     time.Time           // when a personal token ends; zero: not before what it was made from changes
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
// with may have gone since. There is no SQL as long as nothing about them changes.
func (a *Authenticator) tokenPrincipal(ctx context.Context, v *verifiedToken) (*core.Principal, error) {
	b := v.bound.Load()
	switch v.kind {
	case core.KindAnonymous:
		return b.principal, nil
	case core.KindUser:
		st, err := a.liveAccount(ctx, v.id)
		if err != nil {
			return nil, err
		}
		if b != nil && b.account == st && (b.until.IsZero() || a.store.Now().Before(b.until)) {
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
		if !st.Alive(a.store.Now()) {
			return nil, core.Errorf(core.CodeUnauthenticated, errGone)
		}
		if b != nil && b.robot == st {
			return b.principal, nil
		}
		p := *st.Principal
		p.Grants, p.Credential, p.RegistryToken = v.grants, v.Credential, true
		b = &binding{robot: st, principal: &p}
	default:
		return nil, errToken()
	}
	v.bound.Store(b)
	return b.principal, nil
}

func (a *Authenticator) bindUser(ctx context.Context, v *verifiedToken, st *store.AccountState) (*binding, error) {
	b := &binding{account: st, principal: userPrincipal(st.ID, st.Username, st.Admin, v.Credential, v.grants)}
	b.principal.RegistryToken = true
	id, ok := strings.CutPrefix(v.Credential, "token:")
	if !ok {
		return b, nil
	}
	t, err := a.store.PersonalToken(ctx, st.ID, id)
	if err != nil {
		return nil, refused(err, errGone)
	}
	if b.until = t.ExpiresAt; a.expired(t) {
		return nil, core.Errorf(core.CodeUnauthenticated, errGone)
	}
	return b, nil
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
func (a *Authenticator) robotLogin(ctx context.Context, username, secret string) (*core.Principal, error) {
	project, name, ok := strings.Cut(strings.TrimPrefix(username, robotPrefix), "+")
	if !ok || !seal.IsToken(seal.RobotPrefix, secret) {
		return nil, core.Errorf(core.CodeUnauthenticated, errRobot)
	}
	l, err := a.store.RobotByName(ctx, project, name)
	return a.robotPrincipal(ctx, l, err, secret)
}

// robotSecret is the principal of a robot that gives its secret alone.
func (a *Authenticator) robotSecret(ctx context.Context, secret string) (*core.Principal, error) {
	if !seal.IsToken(seal.RobotPrefix, secret) {
		return nil, core.Errorf(core.CodeUnauthenticated, errRobot)
	}
	l, err := a.store.RobotBySecret(ctx, secret)
	return a.robotPrincipal(ctx, l, err, secret)
}

func (a *Authenticator) robotPrincipal(ctx context.Context, l *store.RobotLogin, err error, secret string) (*core.Principal, error) {
	if core.CodeOf(err) == core.CodeNotFound {
		l, err = &store.RobotLogin{}, nil // compared all the same
	}
	if err != nil {
		return nil, err
	}
	now := a.store.Now()
	if !l.Matches(secret, now) || l.Disabled || !now.Before(l.ExpiresAt) {
		return nil, core.Errorf(core.CodeUnauthenticated, errRobot)
	}
	st, err := a.dir.Robot(ctx, l.ID)
	if err != nil {
		return nil, refused(err, errRobot)
	}
	if !st.Alive(now) {
		return nil, core.Errorf(core.CodeUnauthenticated, errRobot)
	}
	a.usage.robot(l.ID, now)
	return st.Principal, nil
}

// basic is the principal of a user name and a password, personal token or robot's secret.
func (a *Authenticator) basic(ctx context.Context, client netip.Addr, user, secret string) (*core.Principal, error) {
	switch {
	case strings.HasPrefix(user, robotPrefix):
		return a.robotLogin(ctx, user, secret)
	case strings.HasPrefix(secret, seal.PersonalPrefix):
		p, err := a.personalToken(ctx, secret)
		if err == nil && !strings.EqualFold(p.Name, user) {
			return nil, core.Errorf(core.CodeUnauthenticated, "this personal token belongs to another user than the one named")
		}
		return p, err
	}
	account, err := a.passwordLogin(ctx, client, user, secret)
	if err != nil {
		return nil, err
	}
	return userPrincipal(account.ID, account.Username, account.Admin, "password", nil), nil
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
