package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
)

// Lives of a session (security.md, e): without a request, at most, and how long after the password was asked for
// dangerous changes need it no second time.
const (
	SessionIdle     = 30 * time.Minute
	SessionMax      = 12 * time.Hour
	SessionVerified = 5 * time.Minute
)

// Names of the session cookie. The first one (RFC 6265bis, 4.1.3.2) is accepted by browsers over TLS from this very
// host only; the second one serves plain http on this machine.
const (
	secureCookie = "__Host-hallmark"
	plainCookie  = "hallmark"
)

const credentialSession = "session:"

// sessionEntry is a session that was found alive.
type sessionEntry struct {
	row     *store.Session
	used    atomic.Int64 // microseconds; the row's is up to a minute late
	account *store.AccountState
	p       *core.Principal
}

// Login checks a password and begins a session: its cookie is set, and a session that the request had before is ended,
// so that an id somebody planted is worth nothing.
func (a *Authenticator) Login(w http.ResponseWriter, r *http.Request, username, password string) (*store.Session, error) {
	if _, err := a.cookieName(r); err != nil {
		return nil, err
	}
	account, hash, err := a.passwordLogin(r.Context(), a.proxies.Client(r), username, password)
	if err != nil {
		return nil, err
	}
	ctx := core.WithPrincipal(r.Context(), userPrincipal(account.ID, account.Username, account.Admin, "password", nil))
	replaces := ""
	if old := a.cookie(r); old != "" {
		replaces = seal.HashToken(old)
	}
	secret := rand.Text() + rand.Text() // 2 x 130 bits
	s, err := a.store.CreateSession(ctx, account.ID, hash, seal.HashToken(secret), replaces, r.UserAgent(), SessionMax)
	if err != nil {
		return nil, err
	}
	a.setCookie(w, r, secret, SessionMax)
	return s, nil
}

// Reauthenticate asks for the password of the session's user again. The session counts as verified for SessionVerified
// and has another cookie from now on.
func (a *Authenticator) Reauthenticate(w http.ResponseWriter, r *http.Request, p *core.Principal, password string) error {
	id, ok := strings.CutPrefix(p.Credential, credentialSession)
	if !ok {
		return core.Errorf(core.CodeInvalid, "only a session can be verified again; send the password with the request itself")
	}
	if err := a.CheckPassword(r, p, password); err != nil {
		return err
	}
	secret := rand.Text() + rand.Text()
	if err := a.store.VerifySession(r.Context(), p.ID, id, seal.HashToken(secret)); err != nil {
		return refused(err, errGone)
	}
	a.setCookie(w, r, secret, SessionMax)
	return nil
}

// CheckPassword checks the password of a user who is logged in already.
func (a *Authenticator) CheckPassword(r *http.Request, p *core.Principal, password string) error {
	if p.Kind != core.KindUser {
		return core.Errorf(core.CodeForbidden, "only a user has a password")
	}
	_, _, err := a.passwordLogin(r.Context(), a.proxies.Client(r), p.Name, password)
	return err
}

// Verified reports whether the password was given with this request or, in its session, within SessionVerified.
func (a *Authenticator) Verified(ctx context.Context, p *core.Principal) (bool, error) {
	if p.Credential == "password" && !p.RegistryToken {
		return true, nil
	}
	id, ok := strings.CutPrefix(p.Credential, credentialSession)
	if !ok {
		return false, nil
	}
	s, err := a.store.Session(ctx, p.ID, id)
	if err != nil {
		return false, refused(err, errGone)
	}
	return a.store.Now().Sub(s.VerifiedAt) <= SessionVerified, nil
}

// SetPassword changes the password of an account and ends all its sessions. Whoever calls it has asked who may.
func (a *Authenticator) SetPassword(ctx context.Context, accountID, username, password string) error {
	if err := a.passwords.CheckNew("/password", username, password); err != nil {
		return err
	}
	hash, err := a.passwords.Hash(ctx, password)
	if err != nil {
		return err
	}
	return a.store.SetPasswordHash(ctx, accountID, hash)
}

// Logout ends the session of the principal and takes its cookie away.
func (a *Authenticator) Logout(w http.ResponseWriter, r *http.Request, p *core.Principal) error {
	id, ok := strings.CutPrefix(p.Credential, credentialSession)
	if !ok {
		return core.Errorf(core.CodeInvalid, "this request has no session to end")
	}
	err := a.store.DeleteSession(r.Context(), p.ID, id)
	if err != nil && core.CodeOf(err) != core.CodeNotFound { // ended by somebody else: just as well
		return err
	}
	a.setCookie(w, r, "", -time.Second)
	return nil
}

// Sessions lists the sessions of an account, newest first; see store.Store.Sessions.
func (a *Authenticator) Sessions(ctx context.Context, accountID, after string, n int) ([]*store.Session, bool, error) {
	return a.store.Sessions(ctx, accountID, SessionIdle, after, n)
}

// sessionPrincipal is the principal of a session cookie.
func (a *Authenticator) sessionPrincipal(ctx context.Context, secret string) (*core.Principal, error) {
	sum, now := sha256.Sum256([]byte(secret)), a.store.Now()
	if e, ok := a.sessions.GetIfPresent(sum); ok {
		st, err := a.liveAccount(ctx, e.account.ID)
		if err != nil {
			return nil, err
		}
		// That a session has been idle is not said from memory: it may have been used through another process.
		if st == e.account && now.Before(e.row.ExpiresAt) && now.UnixMicro()-e.used.Load() < SessionIdle.Microseconds() {
			e.used.Store(now.UnixMicro())
			a.usage.session(e.row.ID, now)
			return e.p, nil
		}
	}
	e, err := a.readSession(ctx, secret)
	if err != nil {
		return nil, err
	}
	a.sessions.Set(sum, e)
	e.used.Store(now.UnixMicro())
	a.usage.session(e.row.ID, now)
	return e.p, nil
}

func (a *Authenticator) readSession(ctx context.Context, secret string) (*sessionEntry, error) {
	const over = "the session is over: log in again"
	s, err := a.store.SessionByHash(ctx, seal.HashToken(secret))
	if err != nil {
		return nil, refused(err, over)
	}
	st, err := a.liveAccount(ctx, s.AccountID)
	if err != nil {
		return nil, err
	}
	// Again, now that the state it rests on is known. By its hash: it may have got another one.
	if s, err = a.store.SessionByHash(ctx, seal.HashToken(secret)); err != nil {
		return nil, refused(err, over)
	}
	now := a.store.Now()
	if !now.Before(s.ExpiresAt) || now.Sub(s.LastUsedAt) >= SessionIdle {
		return nil, core.Errorf(core.CodeUnauthenticated, over)
	}
	return &sessionEntry{row: s, account: st, p: userPrincipal(st.ID, st.Username, st.Admin, credentialSession+s.ID, nil)}, nil
}

// cookie is the secret in the session cookie of a request, "" if there is none.
func (a *Authenticator) cookie(r *http.Request) string {
	name, err := a.cookieName(r)
	if err != nil {
		return ""
	}
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// cookieName is the name the cookie has on this connection. Where others can listen there is none.
func (a *Authenticator) cookieName(r *http.Request) (string, error) {
	switch {
	case a.proxies.Secure(r):
		return secureCookie, nil
	case a.proxies.Client(r).IsLoopback():
		return plainCookie, nil
	}
	return "", core.Errorf(core.CodeForbidden, "over plain http anybody on the way could take over the session: use https (behind a proxy that does, set HALLMARK_TRUSTED_PROXIES)")
}

// setCookie gives the browser a cookie for life, or takes it away when life is negative.
func (a *Authenticator) setCookie(w http.ResponseWriter, r *http.Request, value string, life time.Duration) {
	name, err := a.cookieName(r)
	if err != nil {
		return
	}
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second), HttpOnly: true,
		Secure: name == secureCookie, SameSite: http.SameSiteLaxMode})
}
