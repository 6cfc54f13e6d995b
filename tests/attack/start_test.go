package attack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestV01NoDefaultPassword: a fresh hub has one administrator, whose password nobody can guess.
func TestV01NoDefaultPassword(t *testing.T) {
	g := newHubs()
	g.unset = []string{"HALLMARK_ADMIN_PASSWORD"}
	g.on(t, func(t *testing.T, h *hub) {
		file := filepath.Join(h.dir, "admin-secret")
		st, err := os.Stat(file)
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Fatalf("%s: %v, %v", file, st, err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		secret := h.secrets.add("the administrator's secret", strings.TrimSpace(string(b)))
		if len(secret) < 26 { // of 32 different characters: 130 bits
			t.Errorf("the secret has %d characters", len(secret))
		}
		for _, guess := range []string{"admin", "Harbor12345", "password", ""} {
			p := basic("admin", guess)
			h.do(t, p, "GET", "/v2/", nil).want(t, "guess "+guess, 401)
		}
		p := basic("admin", secret)
		h.do(t, p, "GET", "/v2/", nil).want(t, "the secret", 200)
		h.do(t, p, "GET", "/service/token?service=hallmark", nil).want(t, "the secret", 200)
		h.do(t, p, "GET", "/api/v1/users/me", nil).want(t, "the secret", 200)
		// There is no other account to guess.
		var users []struct{ Username string }
		h.do(t, p, "GET", "/api/v1/users", nil).want(t, "list users", 200).decode(t, &users)
		if len(users) != 1 || users[0].Username != "admin" {
			t.Errorf("a fresh hub has users %v", users)
		}
		if err := h.secrets.in("the log", h.log.String()); err != nil {
			t.Error(err)
		}
	})
}
