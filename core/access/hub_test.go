package access

import (
	"context"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/migrations"
)

// hub is a directory of two projects, p (private) and open (public), and of everybody who may ask for them.
type hub struct {
	t       testing.TB
	s       *store.Store
	db      *db.DB
	dir     *store.Directory
	sql     *db.Recorder
	system  context.Context
	private *core.Project
	public  *core.Project
	who     map[string]*core.Principal
}

func eachHub(t *testing.T, f func(t *testing.T, h *hub)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) { f(t, openHub(t, open)) })
}

func openHub(t testing.TB, open dbtest.Open) *hub {
	t.Helper()
	d := open(t)
	h := &hub{t: t, s: store.New(d), db: d, sql: &db.Recorder{}, who: map[string]*core.Principal{}}
	h.ok(migrations.Up(context.Background(), d))
	h.dir = store.NewDirectory(h.s)
	h.ok(d.Follow(context.Background()))
	h.system = core.WithPrincipal(context.Background(), core.System())
	var err error
	h.private, err = h.s.CreateProject(h.system, store.NewProject{Name: "p", Visibility: core.Private})
	h.ok(err)
	h.public, err = h.s.CreateProject(h.system, store.NewProject{Name: "open", Visibility: core.Public})
	h.ok(err)
	h.who["anonymous"], h.who["system"], h.who["operator"], h.who["nobody"] = core.Anonymous(), core.System(), core.Operator(), &core.Principal{}
	h.user("admin", core.RoleNone, true)
	h.user("stranger", core.RoleNone, false)
	for _, r := range []core.Role{core.RoleGuest, core.RoleDeveloper, core.RoleMaintainer, core.RoleOwner} {
		h.user(string(r), r, false)
	}
	h.robot("robot", "**", core.ActionPull, core.ActionPush)
	h.robot("signer", "app", core.ActionPull, core.ActionSign)
	d.Record(h.sql)
	return h
}

func (h *hub) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) user(name string, role core.Role, admin bool) {
	a, err := h.s.CreateAccount(h.system, store.NewAccount{Username: name, Admin: admin})
	h.ok(err)
	if role != core.RoleNone {
		_, _, err = h.s.PutMember(h.system, h.private, name, role, 0)
		h.ok(err)
	}
	h.who[name] = &core.Principal{Kind: core.KindUser, ID: a.ID, Name: name, Admin: admin}
}

func (h *hub) robot(name, pattern string, actions ...core.Action) {
	r, _, err := h.s.CreateRobot(h.system, h.private, store.NewRobot{Name: name, Permissions: []core.Grant{{Repository: pattern, Actions: actions}}})
	h.ok(err)
	h.who[name] = &core.Principal{Kind: core.KindRobot, ID: r.ID, Name: r.Username(), Project: h.private.ID, Grants: r.Permissions}
}

// bound is somebody with a personal token, or with a registry token, for these grants.
func (h *hub) bound(name string, registryToken bool, g ...core.Grant) *core.Principal {
	p := *h.who[name]
	p.Grants, p.RegistryToken = append([]core.Grant{}, g...), registryToken
	return &p
}

// statements counts the statements that look for somebody's rights.
func (h *hub) statements(f func()) (n int) {
	h.sql.Take()
	f()
	for _, text := range h.sql.Take() {
		if strings.Contains(text, "FROM account") || strings.Contains(text, "FROM project") || strings.Contains(text, "FROM robot") {
			n++
		}
	}
	return n
}

func as(p *core.Principal) context.Context { return core.WithPrincipal(context.Background(), p) }
