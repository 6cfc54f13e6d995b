package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
)

func TestIdempotencyKey(t *testing.T) {
	h := sqliteHub(t)
	alice, bob := h.user("alice", false), h.user("bob", false)
	body := `{"name": "team", "visibility": "private"}`
	first := h.call(alice, "POST", "/projects", body, "Idempotency-Key", "k1").want(201)
	again := h.call(alice, "POST", "/projects", body, "Idempotency-Key", "k1").want(201)
	if string(first.Body) != string(again.Body) || again.Header.Get("ETag") != first.Header.Get("ETag") || again.Header.Get("Location") != first.Header.Get("Location") ||
		again.Header.Get("Idempotency-Replayed") != "true" || first.Header.Get("Idempotency-Replayed") != "" {
		t.Errorf("%v %s\n%v %s", first.Header, first.Body, again.Header, again.Body)
	}
	h.call(alice, "POST", "/projects", strings.Replace(body, "team", "other", 1), "Idempotency-Key", "k1").wantProblem(409, core.CodeConflict)
	h.call(bob, "POST", "/projects", strings.Replace(body, "team", "bobs", 1), "Idempotency-Key", "k1").want(201) // keys are one's own
	h.call(alice, "POST", "/projects", body, "Idempotency-Key", "").wantProblem(400, core.CodeInvalid)
	h.call(alice, "POST", "/projects", body, "Idempotency-Key", strings.Repeat("k", 129)).wantProblem(400, core.CodeInvalid)

	// What failed may be tried again.
	h.call(alice, "POST", "/projects", body, "Idempotency-Key", "k2").wantProblem(409, core.CodeConflict)
	h.call(alice, "DELETE", "/projects/team", "", "If-Match", "*").want(204)
	h.call(alice, "POST", "/projects", body, "Idempotency-Key", "k2").want(201)
}

// The answer of a handler that takes long is kept all the same, and what failed late may be tried again.
func TestIdempotencyKeyOfSlowHandler(t *testing.T) {
	open := dbtest.SQLite(t)
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, open(t))
		op := h.api.spec.Operation("POST", "/projects")
		do := func(key string, status int) *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(h.ctx, "POST", "/api/v1/projects", nil)
			r.Header.Set("Idempotency-Key", key)
			w := httptest.NewRecorder()
			err := h.api.once(w, r, &call{op: op}, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				<-time.After(2 * onceDeadline)
				w.WriteHeader(status)
			}))
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
		for key, status := range map[string]int{"done": 201, "failed": 503} {
			do(key, status)
			if w := do(key, 200); w.Code != 200 && w.Code != 201 || (w.Header().Get("Idempotency-Replayed") == "true") != (key == "done") {
				t.Errorf("%s: again %d %v", key, w.Code, w.Header())
			}
		}
	})
}

// A secret is neither kept nor shown a second time.
func TestIdempotencyKeyAndSecrets(t *testing.T) {
	h := sqliteHub(t)
	alice := h.user("alice", false)
	var made TokenCreated
	h.call(alice, "POST", "/users/me/tokens", `{"name": "x"}`, "Idempotency-Key", "k").want(201).into(&made)
	again := h.call(alice, "POST", "/users/me/tokens", `{"name": "x"}`, "Idempotency-Key", "k")
	again.wantProblem(409, core.CodeConflict)
	if strings.Contains(string(again.Body), made.Token) {
		t.Error("the token was shown again")
	}
	var kept int
	if err := h.db.QueryRow(h.ctx, `SELECT count(*) FROM idempotency WHERE length(coalesce(body, '')) > 0`).Scan(&kept); err != nil || kept != 0 {
		t.Errorf("%d bodies are kept, %v", kept, err)
	}
}

// Of many at once one is done.
func TestIdempotencyKeyRace(t *testing.T) {
	h := sqliteHub(t)
	alice := h.user("alice", false)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			r := h.call(alice, "POST", "/projects", `{"name": "team", "visibility": "private"}`, "Idempotency-Key", "k")
			if r.Status != 201 && (r.Status != 409 || !strings.Contains(r.problem().Detail, "being worked on")) {
				t.Errorf("%d %s", r.Status, r.Body)
			}
		})
	}
	all.Wait()
}

// age makes the sessions of a user ten minutes old.
func (h *hub) age(user string) {
	h.t.Helper()
	err := h.db.Write(h.ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE session SET verified_at = verified_at - 600000000 WHERE account_id = $1`, h.accountID(user))
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
}
