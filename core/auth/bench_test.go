package auth

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
)

// benchOn runs f on both engines, with the hash that is used in earnest.
func benchOn(b *testing.B, f func(b *testing.B, h *hub)) {
	for engine, open := range map[db.Engine]func(testing.TB) dbtest.Open{db.SQLite: dbtest.SQLite, db.Postgres: dbtest.Postgres} {
		b.Run(string(engine), func(b *testing.B) {
			h := startHubWith(b, open(b)(b), Options{})
			h.project("team", core.Private, h.user("alice"))
			h.project("open", core.Public, nil)
			f(b, h)
		})
	}
}

// BenchmarkVerifyCached is what each request with a registry token pays: at most 1 us.
func BenchmarkVerifyCached(b *testing.B) {
	benchOn(b, func(b *testing.B, h *hub) {
		r := bearer(h.token("alice", goodPassword, "repository:team/app:pull,push"))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := h.Registry(r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkVerifyCold(b *testing.B) {
	h := sqliteHub(b)
	token := h.token("", "", "registry:catalog:*")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.tokens.open(h.ctx, token); err != nil {
			b.Fatal(err)
		}
	}
}

func benchToken(b *testing.B, h *hub, target string, mod func(*http.Request)) {
	handler := h.TokenService(nil)
	r := request("GET", target)
	mod(r)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
	}
}

// BenchmarkTokenPasswordWarm is a token for a password that was right within the last minute: at most 1 ms.
func BenchmarkTokenPasswordWarm(b *testing.B) {
	benchOn(b, func(b *testing.B, h *hub) {
		benchToken(b, h, "/service/token?service=hallmark&scope=repository:team/app:pull,push", func(r *http.Request) {
			r.SetBasicAuth("alice", goodPassword)
		})
	})
}

// BenchmarkTokenAnonymous is a token for a public image: at most 0.2 ms.
func BenchmarkTokenAnonymous(b *testing.B) {
	benchOn(b, func(b *testing.B, h *hub) {
		benchToken(b, h, "/service/token?service=hallmark&scope=repository:open/app:pull", func(*http.Request) {})
	})
}

func BenchmarkPasswordHash(b *testing.B) {
	p := newPasswords(b, HashParams{})
	for b.Loop() {
		if _, err := p.Verify(b.Context(), "", "x"); err != nil {
			b.Fatal(err)
		}
	}
}
