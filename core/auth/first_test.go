package auth

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
)

// V-01: no default password.
func TestV01FirstStart(t *testing.T) {
	onEach(t, func(t *testing.T, h *hub) {
		path := filepath.Join(t.TempDir(), "admin-secret")
		for _, bad := range []string{"admin", "Harbor12345", "password", "PasswordPassword", "administrator1", "elevenchars", "admin1234567"} {
			_, err := h.FirstStart(h.ctx, bad, path)
			if err == nil || !strings.HasPrefix(err.Error(), "HALLMARK_ADMIN_PASSWORD is not acceptable: ") || strings.Contains(err.Error(), bad) && bad != "password" && bad != "admin" {
				t.Errorf("%q: %v", bad, err)
			}
		}
		if n, _ := h.store.CountAccounts(h.ctx); n != 0 {
			t.Fatal("an account all the same")
		}
		got, err := h.FirstStart(h.ctx, "", path)
		if err != nil || got != path {
			t.Fatalf("%q, %v", got, err)
		}
		st, err := os.Stat(path)
		if err != nil || st.Mode() != 0o600 {
			t.Errorf("%v, %v", st.Mode(), err)
		}
		b, _ := os.ReadFile(path)
		secret := strings.TrimSpace(string(b))
		if len(secret) != 26 || strings.Contains(h.log.String(), secret) {
			t.Errorf("the secret has %d characters", len(secret))
		}
		p, err := h.API(basic("admin", secret))
		wantPrincipal(t, p, err, "admin", "password")
		if !p.Admin {
			t.Error("no administrator")
		}
		for _, guess := range []string{"admin", "Harbor12345", "password", ""} {
			h.forgetFailures()
			_, err := h.API(basic("admin", guess))
			wantCode(t, err, core.CodeUnauthenticated)
		}
		// Later starts change nothing, whatever is configured.
		if got, err := h.FirstStart(h.ctx, "bad", path); got != "" || err != nil {
			t.Errorf("second start: %q, %v", got, err)
		}
	})
}

func TestFirstStartWithPassword(t *testing.T) {
	h := sqliteHub(t)
	path := filepath.Join(t.TempDir(), "admin-secret")
	if got, err := h.FirstStart(h.ctx, goodPassword, path); got != "" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a secret was written all the same")
	}
	p, err := h.API(basic("admin", goodPassword))
	wantPrincipal(t, p, err, "admin", "password")
}

// A start that was interrupted after the file goes on with it.
func TestFirstStartInterrupted(t *testing.T) {
	h := sqliteHub(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "admin-secret")
	for text, mode := range map[string]os.FileMode{"long enough to be one\n": 0o644, "short\n": 0o600} {
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := h.FirstStart(h.ctx, "", path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", text, err)
		}
		os.Remove(path)
	}
	if err := os.WriteFile(path, []byte("SECRETOFANEARLIERSTART1234\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := h.FirstStart(h.ctx, "", path); got != path || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	p, err := h.API(basic("admin", "SECRETOFANEARLIERSTART1234"))
	wantPrincipal(t, p, err, "admin", "password")
	if _, err := sqliteHub(t).FirstStart(h.ctx, "", filepath.Join(dir, "no", "such", "dir")); err == nil || !strings.Contains(err.Error(), "HALLMARK_ADMIN_PASSWORD") {
		t.Errorf("no directory: %v", err)
	}
}
