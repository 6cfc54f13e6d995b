package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

// errLogin is the one answer to a wrong password, a user that is not there and one that is disabled.
func errLogin() *core.Error {
	return core.Errorf(core.CodeUnauthenticated, "user name or password is wrong, or the account is disabled")
}

// passwordLogin is what every password goes through: was it right a moment ago, has the account or the address failed too
// often, else one hash, also for a user that is not there. The same statements run and one hash is computed whatever is
// wrong. current is the hash in the row of the account, which may have been made anew of this very password.
func (a *Authenticator) passwordLogin(ctx context.Context, client netip.Addr, username, password string) (account *store.Account, current string, err error) {
	username = strings.ToLower(username)
	address := network(client)
	subject, addressSubject := "account:"+subjectHash(username), "ip:"+address
	byAccount, byAddress, err := a.store.LoginWaits(ctx, subject, addressSubject)
	if err != nil {
		return nil, "", err
	}
	account, hash, err := a.store.PasswordHash(ctx, username)
	if err != nil && core.CodeOf(err) != core.CodeNotFound {
		return nil, "", err
	}
	there := err == nil && !account.Disabled && hash != ""
	verified := a.passwords.verifiedKey(subject, hash, password, address)
	// Before any wait: somebody who guesses does not keep out those who share the address and gave theirs just now.
	if there && a.passwords.wasVerified(verified) {
		return account, hash, nil
	}
	if err := a.mustWait(byAddress); err != nil {
		return nil, "", err
	}
	device := a.passwords.verifiedKey(subject, "", "", address)
	// Somebody who guesses an account's password from elsewhere does not keep its owner out.
	if err := a.mustWait(byAccount); err != nil && !(there && a.devices.known(device)) {
		return nil, "", err
	}
	ok, err := a.passwords.Verify(ctx, hash, password)
	if err != nil {
		return nil, "", err
	}
	if !ok || !there {
		// It is refused whether or not that can be counted.
		a.logFailure("a failed log-in could not be counted", a.store.LoginFailed(ctx, subject, addressSubject))
		return nil, "", errLogin()
	}
	a.passwords.rememberVerified(verified)
	a.devices.remember(device)
	if byAccount.Failures > 0 {
		a.logFailure("failed log-ins could not be forgotten", a.store.LoginSucceeded(ctx, subject))
	}
	current, ok = a.upgradeHash(ctx, account.ID, hash, password)
	if !ok { // somebody was faster: what the row has now decides
		return a.passwordLogin(ctx, client, username, password)
	}
	return account, current, nil
}

// subjectHash stands for a name that somebody typed, which may well be a password.
func subjectHash(name string) string {
	h := sha256.Sum256([]byte(name))
	return hex.EncodeToString(h[:16])
}

func (a *Authenticator) mustWait(w store.LoginWait) error {
	wait := w.Until.Sub(a.store.Now())
	if w.Until.IsZero() || wait <= 0 {
		return nil
	}
	e := core.Errorf(core.CodeTooMany, "too many failed log-ins: try again in %s; personal tokens and robots need not wait", roundUp(wait))
	e.RetryAfter = wait
	return e
}

func roundUp(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }

// upgradeHash stores a hash with the costs of today, if the one that was just found right has others, and returns the one
// that is stored. ok is false if the password or its hash was changed meanwhile.
func (a *Authenticator) upgradeHash(ctx context.Context, accountID, old, password string) (current string, ok bool) {
	if !a.passwords.Outdated(old) {
		return old, true
	}
	hash, err := a.passwords.Hash(ctx, password)
	done := false
	if err == nil {
		done, err = a.store.UpgradePasswordHash(ctx, accountID, old, hash)
	}
	if err != nil {
		a.logFailure("a password hash could not be renewed", err)
		return old, true
	}
	return hash, done
}

// userPrincipal is an account as one who asks.
func userPrincipal(id, username string, admin bool, credential string, grants []core.Grant) *core.Principal {
	return &core.Principal{Kind: core.KindUser, ID: id, Name: username, Admin: admin, Grants: grants, Credential: credential}
}

const (
	deviceLife  = 24 * time.Hour
	deviceCount = 10_000
)

// devices remembers from which networks accounts have logged in with their password, by the keyed hash of both.
type devices struct {
	now   func() time.Time
	cache *otter.Cache[[sha256.Size]byte, time.Time] // until when
}

func newDevices(now func() time.Time) (*devices, error) {
	c, err := otter.New(&otter.Options[[sha256.Size]byte, time.Time]{MaximumSize: deviceCount})
	return &devices{now: now, cache: c}, err
}

func (d *devices) known(key [sha256.Size]byte) bool {
	until, ok := d.cache.GetIfPresent(key)
	return ok && d.now().Before(until)
}

func (d *devices) remember(key [sha256.Size]byte) { d.cache.Set(key, d.now().Add(deviceLife)) }
