package access

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
)

// A verb that registry.Registry gains is refused by the base until the wrapper, and this test, have thought about it.
func TestWrapperImplementsEveryVerb(t *testing.T) {
	iface := reflect.TypeFor[registry.Registry]()
	for i := range iface.NumMethod() {
		name := iface.Method(i).Name
		known := name == "Repositories"
		for _, v := range verbs() {
			known = known || v.name == name
		}
		if !known {
			t.Errorf("the verb %s is not in this test", name)
		}
	}
	if iface.NumMethod() != len(verbs())+1 {
		t.Errorf("registry.Registry has %d verbs, this test %d", iface.NumMethod(), len(verbs())+1)
	}
	h := openHub(t, dbtest.SQLite(t))
	next := &taker{}
	w := Wrap(next, h.dir)
	for _, v := range verbs() {
		h.ok(v.call(h.system, w, "p/app"))
	}
	_, err := w.Repositories(h.system, registry.RepositoryQuery{})
	h.ok(err)
	if len(next.verbs) != iface.NumMethod() {
		t.Errorf("of %d verbs these reach what is wrapped: %q", iface.NumMethod(), next.verbs)
	}
}

// Every verb for everybody: what is refused never reaches what is wrapped.
func TestWrapper(t *testing.T) {
	eachHub(t, func(t *testing.T, h *hub) {
		all := core.RepositoryActions()
		token := func(name, pattern string, actions ...core.Action) *core.Principal {
			return h.bound(name, true, core.Grant{Repository: pattern, Actions: actions})
		}
		pat := func(name, pattern string, actions ...core.Action) *core.Principal {
			return h.bound(name, false, core.Grant{Repository: pattern, Actions: actions})
		}
		for _, c := range []struct {
			name    string
			p       *core.Principal
			repo    string
			may     string // of pull, push and delete
			refusal registry.Code
		}{
			{"anonymous", h.who["anonymous"], "p/app", "", registry.CodeUnauthorized},
			{"anonymous", h.who["anonymous"], "open/app", "pull", registry.CodeUnauthorized},
			{"nobody", h.who["nobody"], "open/app", "", registry.CodeUnauthorized},
			{"stranger", h.who["stranger"], "p/app", "", registry.CodeDenied},
			{"stranger", h.who["stranger"], "open/app", "pull", registry.CodeDenied},
			{"stranger", h.who["stranger"], "nothing/app", "", registry.CodeDenied},
			{"guest", h.who["guest"], "p/app", "pull", registry.CodeDenied},
			{"developer", h.who["developer"], "p/app", "pull push", registry.CodeDenied},
			{"maintainer", h.who["maintainer"], "p/app", "pull push delete", ""},
			{"owner", h.who["owner"], "p/app", "pull push delete", ""},
			{"owner", h.who["owner"], "q/app", "", registry.CodeDenied},
			{"admin", h.who["admin"], "p/app", "pull push delete", ""},
			{"operator", h.who["operator"], "p/app", "pull push delete", ""},
			{"system", h.who["system"], "p/app", "pull push delete", ""},
			{"robot", h.who["robot"], "p/app", "pull push", registry.CodeDenied},
			{"robot", h.who["robot"], "open/app", "pull", registry.CodeDenied},
			{"robot", h.who["robot"], "nothing/app", "", registry.CodeDenied},
			{"token for another repository", token("owner", "p/web", all...), "p/app", "", registry.CodeUnauthorized},
			{"token to pull", token("owner", "p/app", core.ActionPull), "p/app", "pull", registry.CodeUnauthorized},
			{"token without scopes", token("owner", CatalogGrant, ActionAny), "open/app", "", registry.CodeUnauthorized},
			{"token of a guest who was more", token("guest", "p/app", all...), "p/app", "pull", registry.CodeDenied},
			{"token of nobody", token("anonymous", "open/app", core.ActionPull), "open/app", "pull", registry.CodeUnauthorized},
			{"personal token", pat("owner", "p/a*", core.ActionPull, core.ActionDelete), "p/app", "pull delete", registry.CodeDenied},
			{"personal token elsewhere", pat("owner", "q/**", all...), "p/app", "", registry.CodeDenied},
			{"administrator's personal token", pat("admin", "p/app", core.ActionPull), "p/app", "pull", registry.CodeDenied},
		} {
			for _, v := range verbs() {
				next := &taker{}
				err := v.call(as(c.p), Wrap(next, h.dir), c.repo)
				if slices.Contains(strings.Fields(c.may), string(v.needs)) {
					if err != nil || !slices.Equal(next.verbs, []string{v.name}) {
						t.Errorf("%s, %s of %s: %v, reached %q", c.name, v.name, c.repo, err, next.verbs)
					}
					for _, keep := range next.kept {
						if keep != slices.Contains(strings.Fields(c.may), "push") {
							t.Errorf("%s, %s of %s keeps: %v", c.name, v.name, c.repo, keep)
						}
					}
					continue
				}
				if len(next.verbs) > 0 || registry.CodeOf(err) != c.refusal {
					t.Errorf("%s, %s of %s: %v, want %s; reached %q", c.name, v.name, c.repo, err, c.refusal, next.verbs)
					continue
				}
				checkRefusal(t, c.p, v.needs, c.repo, err)
			}
		}
	})
}

func checkRefusal(t *testing.T, p *core.Principal, a core.Action, repo string, err error) {
	t.Helper()
	var e *registry.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is not a refusal", err)
	}
	wantScope := ""
	if e.Code == registry.CodeUnauthorized {
		wantScope = "repository:" + repo + ":" + map[core.Action]string{core.ActionPull: "pull", core.ActionPush: "pull,push", core.ActionDelete: "delete"}[a]
	}
	if e.Scope != wantScope || e.InsufficientScope != (p.RegistryToken && e.Code == registry.CodeUnauthorized) {
		t.Errorf("%s of %s: scope %q, insufficient %v; want %q", a, repo, e.Scope, e.InsufficientScope, wantScope)
	}
	if !strings.Contains(e.Message, repo) {
		t.Errorf("%q does not say what was refused", e.Message)
	}
}

// V-18: private and missing answer the same, after the same statements.
func TestRefusalsTellNothing(t *testing.T) {
	eachHub(t, func(t *testing.T, h *hub) {
		for _, name := range []string{"secret", "absent"} {
			if name == "secret" {
				_, err := h.s.CreateProject(h.system, store.NewProject{Name: name})
				h.ok(err)
			}
		}
		token := func(name string) *core.Principal {
			return h.bound(name, true, core.Grant{Repository: "*/app", Actions: core.RepositoryActions()})
		}
		for _, p := range []*core.Principal{h.who["anonymous"], h.who["stranger"], h.who["owner"], h.who["robot"], token("stranger"), token("anonymous"), token("robot")} {
			for _, v := range verbs() {
				for _, warm := range []bool{false, true} {
					var errs [2]error
					var counts [2]int
					for i, project := range []string{"secret", "absent"} {
						if warm {
							_, err := h.dir.Standing(context.Background(), core.System(), project)
							h.ok(err)
						}
						counts[i] = h.statements(func() { errs[i] = v.call(as(p), Wrap(&taker{}, h.dir), project+"/app") })
						var e *registry.Error
						if !errors.As(errs[i], &e) {
							t.Fatalf("%s, %s of %s: %v", p.Name, v.name, project, errs[i])
						}
						e.Message = strings.ReplaceAll(e.Message, project, "X")
						e.Scope = strings.ReplaceAll(e.Scope, project, "X")
					}
					if !reflect.DeepEqual(errs[0], errs[1]) || counts[0] != counts[1] {
						t.Errorf("%s, %s: %+v after %d statements, and %+v after %d", p.Name, v.name, errs[0], counts[0], errs[1], counts[1])
					}
				}
			}
		}
	})
}

// Who may push everywhere is told what is missing.
func TestPushWithoutProject(t *testing.T) {
	h := openHub(t, dbtest.SQLite(t))
	for _, v := range verbs() {
		next := &taker{}
		err := v.call(as(h.who["admin"]), Wrap(next, h.dir), "nothing/app")
		if v.needs != core.ActionPush {
			if err != nil || len(next.verbs) != 1 {
				t.Errorf("%s: %v", v.name, err)
			}
			continue
		}
		if registry.CodeOf(err) != registry.CodeNameUnknown || !strings.Contains(err.Error(), "hallmark create project nothing") || len(next.verbs) > 0 {
			t.Errorf("%s: %v", v.name, err)
		}
	}
}

// V-22: a disabled account is refused at once, whatever its token says.
func TestDisabledIsRefused(t *testing.T) {
	eachHub(t, func(t *testing.T, h *hub) {
		w := Wrap(&taker{}, h.dir)
		p := h.bound("owner", true, core.Grant{Repository: "p/app", Actions: core.RepositoryActions()})
		_, err := w.Manifest(as(p), "p/app", registry.Reference{Tag: "v1"}, false)
		h.ok(err)
		yes := true
		_, err = h.s.UpdateAccount(h.system, p.ID, store.AccountPatch{Disabled: &yes, LeaveOwnerless: true}, store.AnyRevision)
		h.ok(err)
		for _, v := range verbs() {
			for _, repo := range []string{"p/app", "open/app", "nothing/app"} {
				if err := v.call(as(p), w, repo); registry.CodeOf(err) != registry.CodeUnauthorized {
					t.Errorf("%s of %s: %v", v.name, repo, err)
				}
			}
		}
		if _, err := w.Repositories(as(p), registry.RepositoryQuery{}); registry.CodeOf(err) != registry.CodeUnauthorized {
			t.Errorf("the catalog: %v", err)
		}
	})
}

// V-23: what may not be pulled from has no blob.
func TestMount(t *testing.T) {
	h := openHub(t, dbtest.SQLite(t))
	_, err := h.s.CreateProject(h.system, store.NewProject{Name: "secret"})
	h.ok(err)
	for _, source := range []string{"", "p/web", "secret/app", "open/app"} {
		next := &taker{}
		everything := func(context.Context, string) bool { return true }
		_, err := Wrap(next, h.dir).MountBlob(as(h.who["developer"]), "p/app", someDigest, registry.MountSource{Repository: source, Allowed: everything})
		h.ok(err)
		if next.mount.Repository != source {
			t.Errorf("asked for %q, got %q", source, next.mount.Repository)
		}
		for repo, want := range map[string]bool{"p/web": true, "open/app": true, "secret/app": false, "nothing/app": false, "p": false, "": false} {
			if got := next.mount.Allowed(context.Background(), repo); got != want {
				t.Errorf("mounting from %q is allowed: %v", repo, got)
			}
		}
	}
}

func TestCatalog(t *testing.T) {
	eachHub(t, func(t *testing.T, h *hub) {
		catalogToken := func(name string) *core.Principal {
			return h.bound(name, true, core.Grant{Repository: CatalogGrant, Actions: []core.Action{ActionAny}})
		}
		for _, c := range []struct {
			name                string
			p                   *core.Principal
			all, public, narrow bool
			projects            string
		}{
			{"anonymous with token", catalogToken("anonymous"), false, true, false, ""},
			{"stranger", h.who["stranger"], false, true, false, ""},
			{"guest", h.who["guest"], false, true, false, "p"},
			{"guest with token", catalogToken("guest"), false, true, false, "p"},
			{"admin", h.who["admin"], true, false, false, ""},
			{"admin with token", catalogToken("admin"), true, false, false, ""},
			{"system", h.who["system"], true, false, false, ""},
			{"signer", h.who["signer"], false, false, true, "p"},
			{"signer with token", catalogToken("signer"), false, false, true, "p"},
			{"owner's personal token", h.bound("owner", false, core.Grant{Repository: "p/app", Actions: []core.Action{core.ActionPull}}), false, true, true, "p"},
			{"admin's personal token", h.bound("admin", false, core.Grant{Repository: "p/app", Actions: []core.Action{core.ActionPull}}), true, false, true, ""},
		} {
			next := &taker{}
			// What the caller says of what is to be seen counts for nothing.
			_, err := Wrap(next, h.dir).Repositories(as(c.p), registry.RepositoryQuery{After: "a", N: 7, All: true, Public: true, Projects: []string{"secret"},
				Match: func(name string) bool { return name != "p/hidden" }})
			h.ok(err)
			q := next.query
			if q.All != c.all || q.Public != c.public || strings.Join(q.Projects, " ") != c.projects || q.After != "a" || q.N != 7 {
				t.Errorf("%s: %+v", c.name, q)
			}
			if !q.Match("p/app") || q.Match("p/web") == c.narrow || q.Match("p/hidden") {
				t.Errorf("%s: app %v, web %v, hidden %v", c.name, q.Match("p/app"), q.Match("p/web"), q.Match("p/hidden"))
			}
		}
		for _, p := range []*core.Principal{h.who["anonymous"], h.bound("owner", true), h.bound("admin", true, core.Grant{Repository: "**", Actions: core.RepositoryActions()}), h.who["nobody"]} {
			next := &taker{}
			_, err := Wrap(next, h.dir).Repositories(as(p), registry.RepositoryQuery{N: 7})
			var e *registry.Error
			if !errors.As(err, &e) || e.Code != registry.CodeUnauthorized || e.Scope != "registry:catalog:*" || len(next.verbs) > 0 {
				t.Errorf("%s with a token for other things: %v", p.Name, err)
			}
		}
	})
}

// A warm pull asks the database nothing and allocates nothing.
func TestWarmPull(t *testing.T) {
	h := openHub(t, dbtest.SQLite(t))
	w := Wrap(&still{}, h.dir)
	for name, p := range map[string]*core.Principal{
		"token":     h.bound("guest", true, core.Grant{Repository: "p/team/app", Actions: []core.Action{core.ActionPull}}),
		"robot":     h.who["robot"],
		"developer": h.who["developer"],
	} {
		ctx := as(p)
		pull := func() {
			if _, err := w.Manifest(ctx, "p/team/app", registry.Reference{Tag: "v1"}, true); err != nil {
				t.Fatal(err)
			}
			if _, err := w.StatBlob(ctx, "p/team/app", someDigest, true); err != nil {
				t.Fatal(err)
			}
		}
		pull()
		if n := h.statements(pull); n != 0 {
			t.Errorf("%s: %d statements", name, n)
		}
		h.db.Record(nil)
		if n := testing.AllocsPerRun(1000, pull); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
		h.db.Record(h.sql)
	}
}

// still answers without doing anything.
type still struct{ registry.Unsupported }

func (*still) Manifest(context.Context, string, registry.Reference, bool) (*registry.Manifest, error) {
	return nil, nil
}
func (*still) StatBlob(context.Context, string, digest.Digest, bool) (int64, error) { return 0, nil }

func BenchmarkWarmPull(b *testing.B) {
	h := openHub(b, dbtest.SQLite(b))
	h.db.Record(nil)
	w := Wrap(&still{}, h.dir)
	ctx := as(h.bound("guest", true, core.Grant{Repository: "p/team/app", Actions: []core.Action{core.ActionPull}}))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Manifest(ctx, "p/team/app", registry.Reference{Tag: "v1"}, false); err != nil {
			b.Fatal(err)
		}
	}
}
