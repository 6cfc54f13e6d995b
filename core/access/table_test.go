package access

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
)

// party is a column of the expected table: who asks, and as what.
type party struct {
	name    string
	p       core.Principal
	role    core.Role
	public  bool
	foreign bool // the project is not the robot's
	none    bool // there is no such project
}

func grants(pattern string, actions ...core.Action) []core.Grant {
	return []core.Grant{{Repository: pattern, Actions: actions}}
}

// parties are the columns, in order. The repository is p/app, and the project's id is P.
func parties() []party {
	user := core.Principal{Kind: core.KindUser, ID: "u"}
	admin := core.Principal{Kind: core.KindUser, ID: "u", Admin: true}
	bound := func(p core.Principal, g []core.Grant, token bool) core.Principal {
		p.Grants, p.RegistryToken = g, token
		return p
	}
	robot := func(g ...core.Grant) core.Principal {
		return core.Principal{Kind: core.KindRobot, ID: "r", Project: "P", Grants: append([]core.Grant{}, g...)}
	}
	all := core.RepositoryActions()
	return []party{
		{name: "nobody, public", public: true},
		{name: "anonymous, private", p: *core.Anonymous()},
		{name: "anonymous, public", p: *core.Anonymous(), public: true},
		{name: "anonymous, none", p: *core.Anonymous(), none: true},
		{name: "stranger, private", p: user},
		{name: "stranger, public", p: user, public: true},
		{name: "user, none", p: user, none: true},
		{name: "guest", p: user, role: core.RoleGuest},
		{name: "developer", p: user, role: core.RoleDeveloper},
		{name: "maintainer", p: user, role: core.RoleMaintainer},
		{name: "owner", p: user, role: core.RoleOwner},
		{name: "unknown role", p: user, role: "god"},
		{name: "admin", p: admin},
		{name: "admin, none", p: admin, none: true},
		{name: "operator", p: *core.Operator()},
		{name: "system", p: *core.System()},
		{name: "robot, all actions", p: robot(core.Grant{Repository: "**", Actions: all})},
		{name: "robot, pull", p: robot(core.Grant{Repository: "app", Actions: []core.Action{core.ActionPull}})},
		{name: "robot, sign", p: robot(core.Grant{Repository: "a*", Actions: []core.Action{core.ActionSign}})},
		{name: "robot, another repository", p: robot(core.Grant{Repository: "web", Actions: all})},
		{name: "robot, whole name", p: robot(core.Grant{Repository: "p/app", Actions: all})},
		{name: "robot without permissions", p: robot()},
		{name: "robot, foreign private", p: robot(core.Grant{Repository: "**", Actions: all}), foreign: true},
		{name: "robot, foreign public", p: robot(core.Grant{Repository: "**", Actions: all}), foreign: true, public: true},
		{name: "robot's token, push", p: bound(robot(), grants("p/app", core.ActionPush), true)},
		{name: "robot's token, foreign", p: bound(robot(), grants("p/app", all...), true), foreign: true},
		{name: "robot's empty token, public", p: bound(robot(), nil, true), public: true},
		{name: "owner's token, pull", p: bound(user, grants("p/**", core.ActionPull), false), role: core.RoleOwner},
		{name: "owner's token, elsewhere", p: bound(user, grants("q/**", all...), false), role: core.RoleOwner},
		{name: "owner's token, another repository", p: bound(user, grants("p/web", all...), false), role: core.RoleOwner},
		{name: "guest's token, all actions", p: bound(user, grants("**", all...), false), role: core.RoleGuest},
		{name: "owner's empty token", p: bound(user, []core.Grant{}, false), role: core.RoleOwner},
		{name: "admin's token, delete", p: bound(admin, grants("p/app", core.ActionDelete), false)},
		{name: "registry token, push", p: bound(user, grants("p/app", core.ActionPush), true), role: core.RoleOwner},
		{name: "registry token without scopes", p: bound(user, nil, true), role: core.RoleOwner, public: true},
		{name: "anonymous token, pull", p: bound(*core.Anonymous(), grants("p/app", core.ActionPull), true), public: true},
		{name: "anonymous token, private", p: bound(*core.Anonymous(), grants("p/app", all...), true)},
		{name: "admin's registry token, catalog", p: bound(admin, grants(CatalogGrant, ActionAny), true)},
	}
}

// expected lists, for each party in order, the actions it may: everything else it may not. "*" is every action.
const expected = `
nobody, public:
anonymous, private:
anonymous, public: pull project.read
anonymous, none:
stranger, private: self hub.info.read hub.project.create
stranger, public: self hub.info.read hub.project.create pull project.read
user, none: self hub.info.read hub.project.create
guest: self hub.info.read hub.project.create pull project.read
developer: self hub.info.read hub.project.create pull project.read push sign artifact.label
maintainer: self hub.info.read hub.project.create pull project.read push sign artifact.label delete scan repository.write label.write project.write audit.read member.read robot.read
owner: self hub.info.read hub.project.create pull project.read push sign artifact.label delete scan repository.write label.write project.write audit.read member.read robot.read project.policy project.delete member.write robot.write webhook.write
unknown role: self hub.info.read hub.project.create
admin: *
admin, none: *
operator: *
system: *
robot, all actions: pull push delete sign scan project.read hub.info.read
robot, pull: pull project.read hub.info.read
robot, sign: sign project.read hub.info.read
robot, another repository: project.read hub.info.read
robot, whole name: project.read hub.info.read
robot without permissions: project.read hub.info.read
robot, foreign private: hub.info.read
robot, foreign public: pull project.read hub.info.read
robot's token, push: push sign project.read hub.info.read
robot's token, foreign: hub.info.read
robot's empty token, public: hub.info.read
owner's token, pull: pull project.read hub.info.read
owner's token, elsewhere: hub.info.read
owner's token, another repository: project.read hub.info.read
guest's token, all actions: pull project.read hub.info.read
owner's empty token: hub.info.read
admin's token, delete: delete project.read hub.info.read
registry token, push: push sign project.read hub.info.read
registry token without scopes: hub.info.read
anonymous token, pull: pull project.read
anonymous token, private:
admin's registry token, catalog: hub.info.read
`

// allActions are all that core knows, and some it does not.
func allActions() []core.Action {
	return []core.Action{core.ActionPull, core.ActionPush, core.ActionDelete, core.ActionSign, core.ActionScan, core.ActionProjectRead,
		core.ActionProjectWrite, core.ActionProjectPolicy, core.ActionProjectDelete, core.ActionMemberRead, core.ActionMemberWrite,
		core.ActionRobotRead, core.ActionRobotWrite, core.ActionLabelWrite, core.ActionArtifactLabel, core.ActionRepoWrite,
		core.ActionAuditRead, core.ActionHubProjectCreate, core.ActionHubQuotaWrite, core.ActionHubUserRead, core.ActionHubUserWrite,
		core.ActionHubAuditRead, core.ActionHubJobRead, core.ActionHubJobWrite, core.ActionHubKeyRotate, core.ActionHubInfoRead,
		core.ActionHubHealthRead, core.ActionHubTrustWrite, core.ActionHubRegistryRead, core.ActionHubRegistryWrite,
		core.ActionHubScannerRead, core.ActionHubScannerWrite, core.ActionHubAliasWrite, core.ActionWebhookWrite, core.ActionHubWebhookWrite, core.ActionSelf}
}

// The lists of this test are complete: an action that core gains has to be thought about here.
func TestTableKnowsEveryAction(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../action.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		found++
		text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil || !slices.Contains(allActions(), core.Action(text)) {
			t.Errorf("core's action %s is not in the test", v.Values[0].(*ast.BasicLit).Value)
		}
		return true
	})
	if found != len(allActions()) {
		t.Errorf("core has %d actions, the test %d", found, len(allActions()))
	}
}

// V-04: the walk over every party and every action.
func TestTable(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(expected), "\n")
	columns := parties()
	if len(lines) != len(columns) {
		t.Fatalf("%d parties, %d lines of what is expected", len(columns), len(lines))
	}
	for i, c := range columns {
		name, may, _ := strings.Cut(lines[i], ":")
		if name != c.name {
			t.Fatalf("line %d is of %q, want %q", i, name, c.name)
		}
		allowed := map[core.Action]bool{}
		for a := range strings.FieldsSeq(may) {
			allowed[core.Action(a)] = true
		}
		o := Object{Project: &core.Project{ID: "P", Name: "p", Visibility: core.Private}, Role: c.role, Repository: "p/app"}
		switch {
		case c.none:
			o.Project = nil
		case c.foreign:
			o.Project.ID = "Q"
		}
		if c.public {
			o.Project.Visibility = core.Public
		}
		for _, a := range allActions() {
			if got, want := Can(&c.p, a, o), allowed[a] || allowed["*"]; got != want {
				t.Errorf("%s, %s: %v, want %v", c.name, a, got, want)
			}
		}
		for _, a := range []core.Action{"", "*", "pull ", "PULL", "hub", "hub.everything", "registry"} {
			if Can(&c.p, a, o) {
				t.Errorf("%s may do %q, which is no action", c.name, a)
			}
		}
	}
}

// Can is total, and refuses questions that contradict themselves.
func TestTableRefusesNonsense(t *testing.T) {
	p := &core.Project{ID: "P", Name: "p", Visibility: core.Public}
	if Can(nil, core.ActionPull, Object{Project: p, Repository: "p/app"}) {
		t.Error("nobody at all may pull")
	}
	for _, repository := range []string{"", "p", "p/", "/app", "q/app", "pp/app"} {
		if Can(core.System(), core.ActionPull, Object{Project: p, Repository: repository}) {
			t.Errorf("the repository %q of project p may be pulled", repository)
		}
	}
	for _, kind := range []core.PrincipalKind{"", "root", "Operator"} {
		if Can(&core.Principal{Kind: kind, Admin: true}, core.ActionPull, Object{Project: p, Repository: "p/app"}) {
			t.Errorf("kind %q may pull", kind)
		}
	}
	unknown := &core.Project{ID: "P", Name: "p", Visibility: "internal"}
	if Can(core.Anonymous(), core.ActionPull, Object{Project: unknown, Repository: "p/app"}) {
		t.Error("a visibility nobody knows is public")
	}
}

// More rights never take one away, and a bound never gives one.
func TestTableIsMonotonous(t *testing.T) {
	roles := []core.Role{core.RoleNone, core.RoleGuest, core.RoleDeveloper, core.RoleMaintainer, core.RoleOwner}
	for _, v := range []core.Visibility{core.Private, core.Public} {
		o := Object{Project: &core.Project{ID: "P", Name: "p", Visibility: v}, Repository: "p/app"}
		for _, a := range allActions() {
			before := false
			for _, r := range roles {
				o.Role = r
				u := &core.Principal{Kind: core.KindUser}
				may := Can(u, a, o)
				if before && !may {
					t.Errorf("%s %s: %q may not what the role before it may", v, a, r)
				}
				before = may
				for _, g := range [][]core.Grant{{}, grants("**", core.RepositoryActions()...), grants("p/*", core.ActionPush), grants("q/**", a)} {
					if Can(&core.Principal{Kind: core.KindUser, Grants: g}, a, o) && !may {
						t.Errorf("%s %s %q: the bound %v allows what the user may not", v, a, r, g)
					}
				}
			}
		}
	}
}

func TestTableAllocatesNothing(t *testing.T) {
	o := Object{Project: &core.Project{ID: "P", Name: "p", Visibility: core.Private}, Role: core.RoleGuest, Repository: "p/team/app"}
	p := &core.Principal{Kind: core.KindUser, Grants: grants("p/**/a*", core.ActionPull), RegistryToken: true}
	if !Can(p, core.ActionPull, o) {
		t.Fatal("refused")
	}
	if n := testing.AllocsPerRun(1000, func() { Can(p, core.ActionPull, o) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
