package auth

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/access"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
)

// Every credential at both doors: who comes in, and who does not.
func TestCredentialsAtBothDoors(t *testing.T) {
	onEach(t, func(t *testing.T, h *hub) {
		alice := h.user("alice")
		team := h.project("team", core.Private, alice)
		_, personal := h.personal(alice, "laptop", []core.Grant{grant("team/**", core.ActionPull)}, 0)
		_, robot := h.robot(team, "ci", grant("**", core.ActionPush))
		token := h.token("alice", goodPassword, "repository:team/app:pull")
		login := httptest.NewRecorder()
		if _, err := h.Login(login, request("POST", "/api/v1/sessions"), "alice", goodPassword); err != nil {
			t.Fatal(err)
		}
		cookie := request("GET", "/")
		cookie.AddCookie(login.Result().Cookies()[0])
		both := request("GET", "/")
		both.AddCookie(login.Result().Cookies()[0])
		both.SetBasicAuth("alice", "wrong")
		spoofed := request("GET", "/")
		for _, name := range []string{"X-Forwarded-User", "X-Remote-User", "X-Forwarded-For", "Remote-User", "X-Api-Key", "User-Agent", "X-Harbor-Csrf-Token"} {
			spoofed.Header.Set(name, "admin")
		}
		const refused = "-"
		for _, c := range []struct {
			name          string
			r             *http.Request
			registry, api string // credential expected, or refused
		}{
			{"nothing", request("GET", "/"), "", ""},
			{"headers of others", spoofed, "", ""},
			{"password", basic("alice", goodPassword), "password", "password"},
			{"password, name in capitals", basic("Alice", goodPassword), "password", "password"},
			{"wrong password", basic("alice", goodPassword+"x"), refused, refused},
			{"no password", basic("alice", ""), refused, refused},
			{"unknown user", basic("nobody", goodPassword), refused, refused},
			{"user with NUL", basic("ali\x00ce", goodPassword), refused, refused},
			{"personal token", basic("alice", personal), "token:", "token:"},
			{"personal token of another", basic("bob", personal), refused, refused},
			{"personal token mistyped", basic("alice", personal[:len(personal)-1]+"!"), refused, refused},
			{"personal token made up", basic("alice", seal.NewToken(seal.PersonalPrefix)), refused, refused},
			{"personal token as Bearer", bearer(personal), refused, "token:"},
			{"robot", basic("robot$team+ci", robot), "robot:", "robot:"},
			{"robot as Bearer", bearer(robot), refused, "robot:"},
			{"robot, wrong secret", basic("robot$team+ci", seal.NewToken(seal.RobotPrefix)), refused, refused},
			{"robot, unknown", basic("robot$team+cd", robot), refused, refused},
			{"robot, other project", basic("robot$other+ci", robot), refused, refused},
			{"robot's secret as password", basic("alice", robot), refused, refused},
			{"robot with password of a user", basic("robot$team+ci", goodPassword), refused, refused},
			{"registry token", bearer(token), "password", refused},
			{"registry token as password", basic("alice", token), refused, refused},
			{"session", cookie, "", "session:"},
			{"session beside wrong password", both, refused, refused},
			{"session cookie as Bearer", bearer(login.Result().Cookies()[0].Value), refused, refused},
		} {
			for door, ask := range map[string]func(*http.Request) (*core.Principal, error){"registry": h.Registry, "api": h.API} {
				want := c.registry
				if door == "api" {
					want = c.api
				}
				// W-04 has its own test; here nobody waits.
				h.forgetFailures()
				p, err := ask(c.r)
				switch {
				case want == refused:
					if p != nil || core.CodeOf(err) != core.CodeUnauthenticated {
						t.Errorf("%s at %s: %+v, %v", c.name, door, p, err)
					}
				case err != nil:
					t.Errorf("%s at %s: %v", c.name, door, err)
				case want == "" && (p.Kind != core.KindAnonymous || p.ID != "" || p.Admin):
					t.Errorf("%s at %s is %+v", c.name, door, p)
				case want != "" && (!strings.HasPrefix(p.Credential, want) || p.Admin || p.RegistryToken != (c.name == "registry token")):
					t.Errorf("%s at %s is %+v", c.name, door, p)
				}
			}
		}
	})
}

func (h *hub) forgetFailures() {
	h.t.Helper()
	err := h.db.Write(h.ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`DELETE FROM login_failure`)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// V-22: whatever life a token has left, its owner's end is its end.
func TestV22WhatIsGoneIsRefused(t *testing.T) {
	yes := true
	for name, end := range map[string]func(h *hub, alice *store.Account, tok *store.PersonalToken, team *core.Project, r *store.Robot) error{
		"user disabled": func(h *hub, alice *store.Account, _ *store.PersonalToken, _ *core.Project, _ *store.Robot) error {
			_, err := h.store.UpdateAccount(h.ctx, alice.ID, store.AccountPatch{Disabled: &yes}, store.AnyRevision)
			return err
		},
		"user deleted": func(h *hub, alice *store.Account, _ *store.PersonalToken, _ *core.Project, _ *store.Robot) error {
			return h.store.DeleteAccount(h.ctx, alice.ID, store.AnyRevision, false)
		},
		"token deleted": func(h *hub, alice *store.Account, tok *store.PersonalToken, _ *core.Project, _ *store.Robot) error {
			return h.store.DeletePersonalToken(h.ctx, alice.ID, tok.ID)
		},
		"robot disabled": func(h *hub, _ *store.Account, _ *store.PersonalToken, team *core.Project, r *store.Robot) error {
			_, err := h.store.UpdateRobot(h.ctx, team, r.ID, store.RobotPatch{Disabled: &yes}, store.AnyRevision)
			return err
		},
		"robot deleted": func(h *hub, _ *store.Account, _ *store.PersonalToken, team *core.Project, r *store.Robot) error {
			return h.store.DeleteRobot(h.ctx, team, r.ID, store.AnyRevision)
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, h *hub) {
				h.user("root") // so that alice is not needed
				alice := h.user("alice")
				team := h.project("team", core.Private, h.user("owner"))
				tok, personal := h.personal(alice, "laptop", nil, 0)
				r, secret := h.robot(team, "ci", grant("**", core.ActionPull))
				byUser := map[string]func() error{
					"registry token by password": h.asker(h.Registry, bearer(h.token("alice", goodPassword))),
					"password":                   h.asker(h.Registry, basic("alice", goodPassword)),
				}
				byToken := map[string]func() error{
					"registry token by personal token": h.asker(h.Registry, bearer(h.token("alice", personal))),
					"personal token":                   h.asker(h.Registry, basic("alice", personal)),
					"personal token, api":              h.asker(h.API, bearer(personal)),
				}
				byRobot := map[string]func() error{
					"registry token by robot": h.asker(h.Registry, bearer(h.token("robot$team+ci", secret))),
					"robot":                   h.asker(h.Registry, basic("robot$team+ci", secret)),
					"robot, api":              h.asker(h.API, bearer(secret)),
				}
				all := maps.Clone(byUser)
				maps.Copy(all, byToken)
				maps.Copy(all, byRobot)
				for range 2 { // so that everything is warm
					for what, ask := range all {
						if err := ask(); err != nil {
							t.Fatalf("%s before: %v", what, err)
						}
					}
				}
				if err := end(h, alice, tok, team, r); err != nil {
					t.Fatal(err)
				}
				for what, ask := range all {
					_, user := byUser[what]
					_, token := byToken[what]
					_, robot := byRobot[what]
					gone := strings.HasPrefix(name, "user") && (user || token) || strings.HasPrefix(name, "token") && token || strings.HasPrefix(name, "robot") && robot
					err := ask()
					if gone {
						wantCode(t, err, core.CodeUnauthenticated)
					} else if err != nil {
						t.Errorf("%s is refused too: %v", what, err)
					}
				}
			})
		})
	}
}

func (h *hub) asker(door func(*http.Request) (*core.Principal, error), r *http.Request) func() error {
	return func() error {
		_, err := door(r)
		return err
	}
}

// In another process it is in force within a second.
func TestV22Elsewhere(t *testing.T) {
	open := dbtest.Postgres(t)
	one, two := startHub(t, open(t)), startHub(t, open(t))
	alice := one.user("alice")
	tok, personal := one.personal(alice, "laptop", nil, 0)
	registry := one.token("alice", personal)
	changed := make(chan struct{}, 8)
	two.db.Subscribe(func([]db.Change) { changed <- struct{}{} })
	asks := []func() error{two.asker(two.Registry, bearer(registry)), two.asker(two.API, bearer(personal))}
	for range 2 {
		for _, ask := range asks {
			if err := ask(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for len(changed) > 0 {
		<-changed
	}
	if err := one.store.DeletePersonalToken(one.ctx, alice.ID, tok.ID); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(10 * time.Second) // it takes 250 ms; how long exactly is measured elsewhere
	for _, ask := range asks {
		for ask() == nil {
			select {
			case <-changed:
			case <-deadline:
				t.Fatal("a deleted token is still good elsewhere")
			}
		}
	}
}

// Warm requests run no SQL.
func TestNoStatementsWhenWarm(t *testing.T) {
	onEach(t, func(t *testing.T, h *hub) {
		alice := h.user("alice")
		team := h.project("team", core.Private, alice)
		_, personal := h.personal(alice, "laptop", nil, 0)
		_, robot := h.robot(team, "ci", grant("**", core.ActionPull))
		w := httptest.NewRecorder()
		if _, err := h.Login(w, request("POST", "/"), "alice", goodPassword); err != nil {
			t.Fatal(err)
		}
		cookie := request("GET", "/")
		cookie.AddCookie(w.Result().Cookies()[0])
		asks := map[string]func() error{
			"by password":       h.asker(h.Registry, bearer(h.token("alice", goodPassword, "repository:team/app:pull"))),
			"by personal token": h.asker(h.Registry, bearer(h.token("alice", personal))),
			"by robot":          h.asker(h.Registry, bearer(h.token("robot$team+ci", robot))),
			"anonymous token":   h.asker(h.Registry, bearer(h.token("", ""))),
			"anonymous":         h.asker(h.Registry, request("GET", "/v2/")),
			"personal token":    h.asker(h.API, bearer(personal)),
			"session":           h.asker(h.API, cookie),
		}
		recorder := &db.Recorder{}
		h.db.Record(recorder)
		defer h.db.Record(nil)
		for what, ask := range asks {
			for i := range 3 {
				recorder.Take()
				if err := ask(); err != nil {
					t.Fatal(err)
				}
				if q := recorder.Take(); i > 0 && len(q) > 0 {
					t.Errorf("%s: %q", what, q)
				}
			}
		}
	})
}

// V-21: what is granted was asked for and is allowed, for random principals and scopes.
func TestV21GrantedIsRequestedAndPermitted(t *testing.T) {
	h := sqliteHub(t)
	alice, bob := h.user("alice"), h.user("bob")
	h.project("alpha", core.Private, alice)
	h.project("beta", core.Public, bob)
	_, bounded := h.personal(alice, "bounded", []core.Grant{grant("alpha/a*", core.ActionPull), grant("beta/**", core.ActionPull, core.ActionPush)}, 0)
	_, empty := h.personal(alice, "empty", []core.Grant{}, 0)
	who := [][2]string{{"", ""}, {"alice", goodPassword}, {"bob", goodPassword}, {"alice", bounded}, {"alice", empty}}
	names := []string{"alpha/app", "alpha/b", "beta/app", "gamma/app", "app"}
	rnd := rand.New(rand.NewPCG(1, 2))
	guard := access.NewGuard(h.dir)
	for range 300 {
		w := who[rnd.IntN(len(who))]
		var scopes []string
		asked := map[string]bool{}
		for range 1 + rnd.IntN(3) {
			name := names[rnd.IntN(len(names))]
			var actions []string
			for _, a := range []string{"pull", "push", "delete", "sign", "root", "project.write"} {
				if rnd.IntN(2) == 0 {
					actions = append(actions, a)
					asked[name+":"+a] = true
				}
			}
			scopes = append(scopes, "repository:"+name+":"+strings.Join(actions, ","))
		}
		p, err := h.Registry(bearer(h.token(w[0], w[1], scopes...)))
		if err != nil {
			t.Fatal(err)
		}
		source := request("GET", "/")
		if w[0] != "" {
			source = basic(w[0], w[1])
		}
		self, err := h.Registry(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			for _, action := range core.RepositoryActions() {
				full := strings.Replace("library/"+name, "library/"+name, name, 1)
				if !strings.Contains(name, "/") {
					full = "library/" + name
				}
				may, _, err := guard.May(h.ctx, self, action, full)
				if err != nil {
					t.Fatal(err)
				}
				wanted := asked[name+":"+string(action)] || action == core.ActionSign && asked[name+":push"]
				got, _, err := guard.May(h.ctx, p, action, full)
				if err != nil {
					t.Fatal(err)
				}
				if got != (may && wanted) {
					t.Fatalf("%s asks %v: %s on %s is %v, permitted %v, asked %v", w[0], scopes, action, full, got, may, wanted)
				}
			}
		}
	}
}

func TestTokenOfNothingIsNotATokenOfEverything(t *testing.T) {
	h := sqliteHub(t)
	h.user("alice")
	for _, scope := range [][]string{nil, {"repository:nowhere/app:pull"}, {"registry:other:*"}, {"aquarium:fish:feed"}} {
		p, err := h.Registry(bearer(h.token("alice", goodPassword, scope...)))
		if err != nil || p.Grants == nil || len(p.Grants) != 0 || !p.RegistryToken {
			t.Errorf("%v: %+v, %v", scope, p, err)
		}
	}
	p, err := h.Registry(bearer(h.token("", "", "registry:catalog:*")))
	if err != nil || len(p.Grants) != 1 || p.Grants[0].Repository != access.CatalogGrant || !slices.Contains(p.Grants[0].Actions, access.ActionAny) {
		t.Errorf("catalog: %+v, %v", p, err)
	}
}

func TestLastUse(t *testing.T) {
	onEach(t, func(t *testing.T, h *hub) {
		alice := h.user("alice")
		team := h.project("team", core.Private, alice)
		tok, personal := h.personal(alice, "laptop", nil, 0)
		r, secret := h.robot(team, "ci", grant("**", core.ActionPull))
		for _, req := range []*http.Request{basic("alice", personal), basic("robot$team+ci", secret)} {
			if _, err := h.Registry(req); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.usage.flush(h.ctx, h.store); err != nil {
			t.Fatal(err)
		}
		if got, err := h.store.PersonalToken(h.ctx, alice.ID, tok.ID); err != nil || got.LastUsedAt.IsZero() {
			t.Errorf("token: %+v, %v", got, err)
		}
		if got, err := h.store.Robot(h.ctx, team, r.ID); err != nil || got.LastUsedAt.IsZero() {
			t.Errorf("robot: %+v, %v", got, err)
		}
		if n := fmt.Sprint(h.usage.tokens, h.usage.robots, h.usage.sessions); n != "map[] map[] map[]" {
			t.Errorf("it keeps %s", n)
		}
	})
}
