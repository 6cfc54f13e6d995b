package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
)

// FirstAdmin is the user that is made at first start.
const FirstAdmin = "admin"

// FirstStart makes the administrator if there is no account at all. Its password is the given one
// (HALLMARK_ADMIN_PASSWORD) or, if that is empty, a random secret of 130 bits in a file at path with mode 0600; then
// path is returned, else "". A password that everybody tries first is refused, and with it the start.
func (a *Authenticator) FirstStart(ctx context.Context, password, path string) (string, error) {
	n, err := a.store.CountAccounts(ctx)
	if err != nil || n > 0 {
		return "", err
	}
	written := ""
	if password == "" {
		// The file comes first: after a crash in between it is found and used, where an account would lock all out.
		if password, err = adminSecret(path); err != nil {
			return "", err
		}
		written = path
	} else if err := a.passwords.CheckNew("", FirstAdmin, password); err != nil {
		var e *core.Error
		errors.As(err, &e)
		return "", fmt.Errorf("HALLMARK_ADMIN_PASSWORD is not acceptable: %s", e.Message)
	}
	hash, err := a.passwords.Hash(ctx, password)
	if err != nil {
		return "", err
	}
	_, err = a.store.CreateAccount(core.WithPrincipal(ctx, core.System()), store.NewAccount{Username: FirstAdmin, PasswordHash: hash, Admin: true})
	if core.CodeOf(err) == core.CodeConflict { // another process started at the same moment, and its password is the one
		if written != "" {
			return "", os.Remove(written)
		}
		return "", nil
	}
	return written, err
}

// adminSecret makes the file with the secret, or reads it if it is there already.
func adminSecret(path string) (string, error) {
	secret := rand.Text()
	err := seal.WriteFile(path, []byte(secret+"\n"))
	if err == nil {
		return secret, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("the administrator's secret could not be written to %s, give the hub the right to or set HALLMARK_ADMIN_PASSWORD: %w", path, err)
	}
	st, err := os.Lstat(path)
	if err == nil && (!st.Mode().IsRegular() || st.Mode().Perm()&0o077 != 0) {
		err = errors.New("it is not a file that only its owner can read")
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	if secret = strings.TrimSpace(string(b)); err == nil && len(secret) < MinPassword {
		err = errors.New("it holds no secret")
	}
	if err != nil {
		return "", fmt.Errorf("%s is there from an earlier start but cannot be used, remove it: %w", path, err)
	}
	return secret, nil
}
