package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/migrations"
)

const goodPassword = "four words make sense"

// cheapHash keeps tests fast; TestPasswordHash and the benchmarks use what is used in earnest.
func cheapHash() HashParams { return HashParams{MemoryKiB: 64, Passes: 1, Lanes: 1} }

// hub is one process.
type hub struct {
	*Authenticator
	t   testing.TB
	ctx context.Context
	db  *db.DB
	log *bytes.Buffer
}

func startHub(t testing.TB, d *db.DB) *hub {
	t.Helper()
	return startHubWith(t, d, Options{Hash: cheapHash()})
}

func startHubWith(t testing.TB, d *db.DB, opt Options) *hub {
	t.Helper()
	ctx := core.WithPrincipal(context.Background(), core.System())
	if err := migrations.Up(ctx, d); err != nil {
		t.Fatal(err)
	}
	ring, err := seal.New(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	log := &bytes.Buffer{}
	opt.Store = store.New(d)
	opt.Directory = store.NewDirectory(opt.Store)
	opt.Keyring, opt.Log = ring, slog.New(slog.NewTextHandler(&lockedWriter{w: log}, nil))
	a, err := New(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	if d.Engine() == db.Postgres && !d.Fresh() { // until then it believes nothing it has cached
		if err := d.Follow(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return &hub{Authenticator: a, t: t, ctx: ctx, db: d, log: log}
}

type lockedWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// onEach runs f on a hub on every engine.
func onEach(t *testing.T, f func(t *testing.T, h *hub)) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) { f(t, startHub(t, open(t))) })
}

func sqliteHub(t testing.TB) *hub {
	t.Helper()
	return startHub(t, dbtest.SQLite(t)(t))
}

func (h *hub) user(name string) *store.Account {
	h.t.Helper()
	hash, err := h.passwords.Hash(h.ctx, goodPassword)
	if err != nil {
		h.t.Fatal(err)
	}
	a, err := h.store.CreateAccount(h.ctx, store.NewAccount{Username: name, PasswordHash: hash})
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

// project makes a project whose owner is the account (nil: nobody).
func (h *hub) project(name string, v core.Visibility, owner *store.Account) *core.Project {
	h.t.Helper()
	ctx := core.WithPrincipal(h.ctx, core.System())
	if owner != nil {
		ctx = core.WithPrincipal(h.ctx, userPrincipal(owner.ID, owner.Username, owner.Admin, "password", nil))
	}
	p, err := h.store.CreateProject(ctx, store.NewProject{Name: name, Visibility: v})
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func (h *hub) personal(a *store.Account, name string, scopes []core.Grant, life time.Duration) (*store.PersonalToken, string) {
	h.t.Helper()
	t, secret, err := h.store.CreatePersonalToken(h.ctx, a.ID, name, scopes, life)
	if err != nil {
		h.t.Fatal(err)
	}
	return t, secret
}

func (h *hub) robot(p *core.Project, name string, grants ...core.Grant) (*store.Robot, string) {
	h.t.Helper()
	r, secret, err := h.store.CreateRobot(h.ctx, p, store.NewRobot{Name: name, Permissions: grants})
	if err != nil {
		h.t.Fatal(err)
	}
	return r, secret
}

func grant(repository string, actions ...core.Action) core.Grant {
	return core.Grant{Repository: repository, Actions: actions}
}

// request is one from this machine.
func request(method, target string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = "127.0.0.1:1234"
	return r
}

func basic(user, secret string) *http.Request {
	r := request("GET", "/v2/")
	r.SetBasicAuth(user, secret)
	return r
}

func bearer(token string) *http.Request {
	r := request("GET", "/v2/")
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// ask asks the token service; mod may change the request.
func (h *hub) ask(target string, mod func(*http.Request)) *httptest.ResponseRecorder {
	r := request("GET", target)
	if mod != nil {
		mod(r)
	}
	w := httptest.NewRecorder()
	h.TokenService(nil).ServeHTTP(w, r)
	return w
}

// token asks the token service as user (or anonymous, "") and expects to get one.
func (h *hub) token(user, secret string, scopes ...string) string {
	h.t.Helper()
	target := "/service/token?service=hallmark"
	for _, s := range scopes {
		target += "&scope=" + s
	}
	w := h.ask(target, func(r *http.Request) {
		if user != "" {
			r.SetBasicAuth(user, secret)
		}
	})
	var answer tokenAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK || answer.Token == "" || answer.Token != answer.AccessToken {
		h.t.Fatalf("token: %d %s", w.Code, w.Body)
	}
	return answer.Token
}

func wantCode(t testing.TB, err error, want core.ErrorCode) {
	t.Helper()
	if core.CodeOf(err) != want {
		t.Errorf("error %v, want code %q", err, want)
	}
}

// wantPrincipal checks that a request is somebody's.
func wantPrincipal(t testing.TB, p *core.Principal, err error, name, credential string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != name || !strings.HasPrefix(p.Credential, credential) {
		t.Fatalf("principal %+v, want %s by %s", p, name, credential)
	}
}
