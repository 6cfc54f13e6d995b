package access

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
)

func TestParseScope(t *testing.T) {
	for text, want := range map[string]string{
		"repository:p/app:pull,push":          "repository:p/app:pull,push",
		"repository:p/team/app:pull":          "repository:p/team/app:pull",
		"repository:app:pull":                 "repository:library/app:pull",
		"repository(plugin):p/app:pull":       "repository(plugin):p/app:pull",
		"repository:p/app:pull,pull,,push":    "repository:p/app:pull,push",
		"repository:p/app:":                   "repository:p/app:",
		"repository:p/app:*":                  "repository:p/app:*",
		"registry:catalog:*":                  "registry:catalog:*",
		"something:else:entirely":             "something:else:entirely",
		"repository:p/app:metadata_read,pull": "repository:p/app:metadata_read,pull",
		"repository:*:pull":                   "",
		"repository::pull":                    "",
		"repository:P/app:pull":               "",
		"repository:p/../q:pull":              "",
		"repository:p/app":                    "",
		"repository":                          "",
		"":                                    "",
		":::":                                 "::::",
		"repository:host:5000/p/app:pull":     "",
		"repository:p/app\x00:pull":           "",
		"repository:p/" + strings.Repeat("a", 300) + ":pull": "",
	} {
		s, err := ParseScope(text)
		switch {
		case text == ":::":
			if err == nil && s.Type != "" {
				t.Errorf("%q is %+v", text, s)
			}
		case want == "":
			if core.CodeOf(err) != core.CodeInvalid {
				t.Errorf("%q: %+v, %v; want it refused", text, s, err)
			}
		case err != nil || s.String() != want:
			t.Errorf("%q is %q, %v; want %q", text, s, err, want)
		}
	}
}

func TestParseScopes(t *testing.T) {
	got, err := ParseScopes([]string{"repository:p/app:pull repository:p/web:pull", "repository:p/app:push,pull", "  "})
	if err != nil || len(got) != 2 || got[0].String() != "repository:p/app:pull,push" {
		t.Fatalf("%v, %v", got, err)
	}
	var many []string
	for i := range MaxScopes {
		many = append(many, "repository:p/a"+strings.Repeat("x", i)+":pull")
	}
	if _, err := ParseScopes(many); err != nil {
		t.Fatal(err)
	}
	if _, err := ParseScopes(append(many, "repository:p/b:pull")); core.CodeOf(err) != core.CodeInvalid {
		t.Fatalf("one too many: %v", err)
	}
}

func TestGranted(t *testing.T) {
	eachHub(t, func(t *testing.T, h *hub) {
		for _, c := range []struct {
			who             *core.Principal
			requested, want string
		}{
			{h.who["anonymous"], "repository:p/app:pull repository:open/app:pull,push registry:catalog:*", "repository:open/app:pull registry:catalog:*"},
			{h.who["guest"], "repository:p/app:pull,push", "repository:p/app:pull"},
			{h.who["developer"], "repository:p/app:push,pull", "repository:p/app:pull,push"},
			{h.who["developer"], "repository:p/app:*", "repository:p/app:pull,push"},
			{h.who["owner"], "repository:p/app:* repository:nothing/app:pull", "repository:p/app:pull,push,delete,scan"},
			{h.who["owner"], "repository:p/app:sign", "repository:p/app:sign"},
			{h.who["stranger"], "repository:p/app:pull repository:nothing/app:pull", ""},
			{h.who["admin"], "repository:nothing/app:push registry:catalog:*", "repository:nothing/app:push registry:catalog:*"},
			{h.who["robot"], "repository:p/app:pull,push,delete repository:open/app:pull,push", "repository:p/app:pull,push repository:open/app:pull"},
			{h.who["robot"], "registry:catalog:*", "registry:catalog:*"},
			{h.who["signer"], "repository:p/app:pull,push", "repository:p/app:pull,sign"},
			{h.who["signer"], "repository:p/web:pull,push", ""},
			{h.who["nobody"], "repository:open/app:pull", ""},
			{h.who["owner"], "registry:catalog:pull registry:other:* something:p/app:pull repository:p/app:everything", ""},
			{h.bound("owner", false, core.Grant{Repository: "p/a*", Actions: []core.Action{core.ActionPull}}),
				"repository:p/app:pull,push repository:p/web:pull repository:open/app:pull registry:catalog:*", "repository:p/app:pull"},
			{h.bound("stranger", false, core.Grant{Repository: "**", Actions: core.RepositoryActions()}), "repository:p/app:pull repository:open/x:pull", "repository:open/x:pull"},
		} {
			requested, err := ParseScopes([]string{c.requested})
			h.ok(err)
			granted, err := NewGuard(h.dir).Granted(context.Background(), c.who, requested)
			h.ok(err)
			var got []string
			for _, s := range granted {
				got = append(got, s.String())
			}
			if g := strings.Join(got, " "); g != c.want {
				t.Errorf("%s %v asks for %q: granted %q, want %q", c.who.Name, c.who.Grants, c.requested, g, c.want)
			}
		}
	})
}

// V-60: who may nothing costs the database one look at each project, however many scopes and actions they name; who may
// costs none when the directory is warm.
func TestGrantedStatements(t *testing.T) {
	eachHub(t, func(t *testing.T, h *hub) {
		every := "*,pull,push,delete,sign,scan"
		var one, each []string
		for i := range MaxScopes {
			one = append(one, fmt.Sprintf("repository:p/r%d:%s", i, every))
			each = append(each, fmt.Sprintf("repository:none%d/app:%s", i, every))
		}
		for _, c := range []struct {
			who    string
			scopes []string
			want   int
		}{
			{"anonymous", one, 1},          // the project
			{"anonymous", each, MaxScopes}, // each project
			{"stranger", one, 2},           // and the account
			{"stranger", each, 2 * MaxScopes},
			{"robot", one, 2},
			{"guest", []string{"repository:p/a:pull,push", "repository:p/b:pull,push"}, 2},
			{"guest", []string{"repository:p/a:pull", "repository:p/b:pull"}, 0},
			{"admin", []string{"repository:p/a:" + every}, 0},
		} {
			requested, err := ParseScopes(c.scopes)
			h.ok(err)
			guard := NewGuard(h.dir)
			_, _, err = guard.May(context.Background(), h.who[c.who], core.ActionPull, "p/a") // warm
			h.ok(err)
			if n := h.statements(func() { _, err = guard.Granted(context.Background(), h.who[c.who], requested) }); n != c.want || err != nil {
				t.Errorf("%s, %d scopes such as %s: %d statements, want %d (%v)", c.who, len(requested), requested[0], n, c.want, err)
			}
		}
	})
}

// V-21: whatever is asked for by whomever, what is granted was asked for and is allowed, and the token that says so
// allows exactly that.
func TestGrantedIsRequestedAndPermitted(t *testing.T) {
	h := openHub(t, dbtest.SQLite(t))
	guard := NewGuard(h.dir)
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(s []string) string { return s[rnd.IntN(len(s))] }
	people := []string{"anonymous", "stranger", "guest", "developer", "maintainer", "owner", "admin", "robot", "signer", "nobody"}
	repositories := []string{"p/app", "p/web", "p/app/debug", "open/app", "nothing/app", "library/app"}
	patterns := []string{"**", "p/*", "p/app", "open/**", "*/app", "nothing/app"}
	actions := append(core.RepositoryActions(), ActionAny, "everything")
	some := func(from []core.Action) (out []core.Action) {
		for range 1 + rnd.IntN(3) {
			if a := from[rnd.IntN(len(from))]; !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
		return out
	}
	for range 500 {
		p := h.who[pick(people)]
		if p.Kind == core.KindUser && rnd.IntN(2) == 0 {
			p = h.bound(p.Name, false, core.Grant{Repository: pick(patterns), Actions: some(core.RepositoryActions())})
		}
		var requested []Scope
		for range 1 + rnd.IntN(3) {
			requested = merge(requested, Scope{Type: TypeRepository, Name: pick(repositories), Actions: some(actions)})
		}
		granted, err := guard.Granted(context.Background(), p, requested)
		h.ok(err)
		token := *p
		token.Grants, token.RegistryToken = Grants(granted), true
		for _, repository := range repositories {
			for _, a := range core.RepositoryActions() {
				asked := slices.ContainsFunc(requested, func(s Scope) bool {
					return s.Name == repository && (slices.Contains(s.Actions, a) || slices.Contains(s.Actions, ActionAny) ||
						a == core.ActionSign && slices.Contains(s.Actions, core.ActionPush))
				})
				permitted, _, err := guard.May(context.Background(), p, a, repository)
				h.ok(err)
				got, _, err := guard.May(context.Background(), &token, a, repository)
				h.ok(err)
				if got != (asked && permitted) {
					t.Fatalf("%s %v asked for %v and was granted %v: %s of %s is %v, asked %v, permitted %v",
						p.Name, p.Grants, requested, granted, a, repository, got, asked, permitted)
				}
			}
		}
	}
}

// V-22: a token is worth no more than its holder is right now.
func TestTokenFollowsItsHolder(t *testing.T) {
	eachHub(t, func(t *testing.T, h *hub) {
		guard := NewGuard(h.dir)
		push := core.Grant{Repository: "p/app", Actions: []core.Action{core.ActionPull, core.ActionPush, core.ActionDelete}}
		may := func(p *core.Principal, a core.Action) bool {
			t.Helper()
			ok, _, err := guard.May(context.Background(), p, a, "p/app")
			h.ok(err)
			return ok
		}
		developer, admin := h.bound("developer", true, push), h.bound("admin", true, push)
		robot := h.bound("robot", true, core.Grant{Repository: "p/app", Actions: []core.Action{core.ActionPull, core.ActionPush}})
		for _, p := range []*core.Principal{developer, admin, robot} {
			if !may(p, core.ActionPush) || !may(p, core.ActionPull) {
				t.Fatalf("%s may not push", p.Name)
			}
		}
		_, _, err := h.s.PutMember(h.system, h.private, "developer", core.RoleGuest, store.AnyRevision)
		h.ok(err)
		if may(developer, core.ActionPush) || !may(developer, core.ActionPull) {
			t.Error("a demoted developer is a guest")
		}
		no := false
		_, err = h.s.CreateAccount(h.system, store.NewAccount{Username: "root", Admin: true})
		h.ok(err)
		_, err = h.s.UpdateAccount(h.system, admin.ID, store.AccountPatch{Admin: &no}, store.AnyRevision)
		h.ok(err)
		if may(admin, core.ActionPull) || may(h.who["admin"], core.ActionHubUserWrite) {
			t.Error("a demoted administrator is a stranger")
		}
		narrow := []core.Grant{{Repository: "app", Actions: []core.Action{core.ActionPull}}}
		_, err = h.s.UpdateRobot(h.system, h.private, robot.ID, store.RobotPatch{Permissions: &narrow}, store.AnyRevision)
		h.ok(err)
		if may(robot, core.ActionPush) || !may(robot, core.ActionPull) {
			t.Error("a robot whose permissions were narrowed may pull")
		}
		h.ok(h.s.DeleteRobot(h.system, h.private, robot.ID, store.AnyRevision))
		h.ok(h.s.DeleteAccount(h.system, developer.ID, store.AnyRevision, false))
		for _, p := range []*core.Principal{robot, developer, h.who["robot"], h.who["developer"]} {
			if may(p, core.ActionPull) {
				t.Errorf("%s was deleted and may pull", p.Name)
			}
		}
	})
}
