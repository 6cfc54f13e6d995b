package store_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
)

// directory is a hub with a warm Directory: alice is developer in the private project team, robot ci belongs to it.
type directory struct {
	*hub
	dir   *store.Directory
	sql   *db.Recorder
	team  *core.Project
	alice *core.Principal
	robot *core.Principal
}

func openDirectory(h *hub) *directory {
	d := &directory{hub: h, dir: store.NewDirectory(h.Store), sql: &db.Recorder{}}
	h.ok(h.db.Follow(context.Background()))
	d.team = h.project(h.admin, "team", core.Private)
	a := h.user("alice", false)
	d.alice = core.PrincipalFrom(h.signIn(a))
	_, _, err := h.PutMember(h.admin, d.team, "alice", core.RoleDeveloper, 0)
	h.ok(err)
	r, _, err := h.CreateRobot(h.admin, d.team, store.NewRobot{Name: "ci", Permissions: []core.Grant{{Repository: "**", Actions: []core.Action{core.ActionPull}}}})
	h.ok(err)
	d.robot = &core.Principal{Kind: core.KindRobot, ID: r.ID, Project: d.team.ID, Grants: r.Permissions}
	h.db.Record(d.sql)
	d.warm()
	return d
}

func (d *directory) warm() {
	d.t.Helper()
	for _, p := range []*core.Principal{d.alice, d.robot, core.Anonymous()} {
		_, err := d.dir.Standing(context.Background(), p, "team")
		d.ok(err)
	}
	d.sql.Take()
}

// statements runs f and counts the statements it took, besides those that follow other processes.
func (d *directory) statements(f func()) (n int) {
	d.sql.Take()
	f()
	for _, text := range d.sql.Take() {
		if strings.Contains(text, "FROM account") || strings.Contains(text, "FROM project") || strings.Contains(text, "FROM robot") {
			n++
		}
	}
	return n
}

func TestWarmDirectoryRunsNoSQL(t *testing.T) {
	eachHub(t, func(h *hub) {
		d := openDirectory(h)
		// A machine so busy that this process has not heard of the others for a second believes nothing; then again.
		for range 20 {
			d.warm()
			n := d.statements(func() { d.lookEverythingUp() })
			if n == 0 {
				for _, p := range []*core.Principal{d.alice, d.robot, core.Anonymous()} {
					if st, ok := d.dir.CachedStanding(p, "team"); ok && (!st.Alive || st.Project.ID != d.team.ID) {
						h.t.Errorf("%s: %+v", p.Kind, st)
					}
				}
				return
			}
			if h.db.Fresh() && !h.db.Shared() {
				h.t.Fatalf("warm look-ups ran %d statements", n)
			}
		}
		h.t.Fatal("no warm look-up without statements")
	})
}

func (d *directory) lookEverythingUp() {
	d.t.Helper()
	ctx := context.Background()
	a, err := d.dir.Account(ctx, d.alice.ID)
	d.ok(err)
	r, err := d.dir.Robot(ctx, d.robot.ID)
	d.ok(err)
	if a.Role(d.team.ID) != core.RoleDeveloper || a.Username != "alice" || r.Project != "team" || r.Principal.Name != "robot$team+ci" {
		d.t.Errorf("account %+v, robot %+v", a, r)
	}
}

func TestWarmDirectoryAllocatesNothing(t *testing.T) {
	d := openDirectory(openHub(t, dbtest.SQLite(t)))
	d.db.Record(nil)
	ctx := context.Background()
	for name, f := range map[string]func(){
		"standing of a user":  func() { d.dir.CachedStanding(d.alice, "team") },
		"standing of a robot": func() { d.dir.CachedStanding(d.robot, "team") },
		"account":             func() { _, _ = d.dir.Account(ctx, d.alice.ID) },
		"robot":               func() { _, _ = d.dir.Robot(ctx, d.robot.ID) },
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}

// V-22, I10: what is taken away is gone when the write returns.
func TestDirectoryForgetsWhatChanged(t *testing.T) {
	eachHub(t, func(h *hub) {
		d := openDirectory(h)
		standing := func(p *core.Principal) store.Standing {
			t.Helper()
			st, ok := d.dir.CachedStanding(p, "team")
			if !ok {
				var err error
				st, err = d.dir.Standing(context.Background(), p, "team")
				h.ok(err)
			}
			return st
		}
		_, _, err := h.PutMember(h.admin, d.team, "alice", core.RoleGuest, store.AnyRevision)
		h.ok(err)
		if st := standing(d.alice); st.Role != core.RoleGuest {
			t.Errorf("after the demotion: %q", st.Role)
		}
		h.ok(h.DeleteMember(h.admin, d.team, "alice", store.AnyRevision))
		if st := standing(d.alice); st.Role != core.RoleNone || !st.Alive {
			t.Errorf("after the removal: %+v", st)
		}
		_, err = h.UpdateProject(h.admin, d.team, store.ProjectPatch{Visibility: ptr(core.Public)}, store.AnyRevision)
		h.ok(err)
		if st := standing(d.alice); !st.Project.Public() {
			t.Error("the project was opened")
		}
		_, err = h.UpdateRobot(h.admin, d.team, d.robot.ID, store.RobotPatch{Disabled: ptr(true)}, store.AnyRevision)
		h.ok(err)
		if st := standing(d.robot); st.Alive {
			t.Error("the robot was disabled")
		}
		h.ok(h.DeleteRobot(h.admin, d.team, d.robot.ID, store.AnyRevision))
		_, err = d.dir.Robot(context.Background(), d.robot.ID)
		h.refused(err, core.CodeNotFound)
		_, err = h.UpdateAccount(h.admin, d.alice.ID, store.AccountPatch{Disabled: ptr(true)}, store.AnyRevision)
		h.ok(err)
		if st := standing(d.alice); st.Alive {
			t.Error("alice was disabled")
		}
		h.ok(h.DeleteAccount(h.admin, d.alice.ID, store.AnyRevision, false))
		_, err = d.dir.Account(context.Background(), d.alice.ID)
		h.refused(err, core.CodeNotFound)
		h.ok(h.DeleteProject(h.admin, d.team, store.AnyRevision))
		if st := standing(core.Anonymous()); st.Project != nil {
			t.Errorf("the project is gone: %+v", st.Project)
		}
	})
}

// V-18: asking for what is private and for what does not exist takes the same statements, warm or cold.
func TestStandingTakesTheSameStatements(t *testing.T) {
	eachHub(t, func(h *hub) {
		d := openDirectory(h)
		stranger := core.PrincipalFrom(h.signIn(h.user("stranger", false)))
		h.project(h.admin, "never-read", core.Private)
		for _, p := range []*core.Principal{core.Anonymous(), stranger, d.robot} {
			count := func(project string) int {
				return d.statements(func() {
					if _, ok := d.dir.CachedStanding(p, project); ok && project == "nothing" {
						t.Errorf("%s: it is remembered that there is no %s", p.Kind, project)
					}
					_, err := d.dir.Standing(context.Background(), p, project)
					h.ok(err)
				})
			}
			warm, cold, none, again := count("team"), count("never-read"), count("nothing"), count("nothing")
			if warm != cold || cold != none || none != again {
				t.Errorf("%s: %d statements for a private project in memory, %d for one that is not, %d and %d for none", p.Kind, warm, cold, none, again)
			}
		}
	})
}

func TestLiveStandingReadsTheDatabase(t *testing.T) {
	d := openDirectory(openHub(t, dbtest.SQLite(t)))
	for _, p := range []*core.Principal{d.alice, d.robot} {
		if n := d.statements(func() {
			st, err := d.dir.LiveStanding(context.Background(), p, "team")
			d.ok(err)
			if !st.Alive || st.Project == nil {
				t.Errorf("%+v", st)
			}
		}); n != 2 {
			t.Errorf("%s: %d statements, want 2", p.Kind, n)
		}
	}
}

// A robot that has expired is refused without anybody having changed it.
func TestRobotExpires(t *testing.T) {
	d := openDirectory(openHub(t, dbtest.SQLite(t)))
	r, err := d.dir.Robot(context.Background(), d.robot.ID)
	d.ok(err)
	if !r.Alive(r.ExpiresAt.Add(-time.Second)) || r.Alive(r.ExpiresAt) {
		t.Fatal("a robot lives until it expires")
	}
}

func TestVisibleProjects(t *testing.T) {
	eachHub(t, func(h *hub) {
		d := openDirectory(h)
		h.project(h.signIn(&store.Account{ID: d.alice.ID, Username: "alice"}), "alpha", core.Private)
		for _, c := range []struct {
			p    *core.Principal
			want []string
		}{{d.alice, []string{"alpha", "team"}}, {d.robot, []string{"team"}}, {core.Anonymous(), nil}, {&core.Principal{}, nil}} {
			got, err := d.dir.VisibleProjects(context.Background(), c.p)
			h.ok(err)
			if len(got) != len(c.want) || len(got) > 0 && got[0] != c.want[0] {
				t.Errorf("%s sees %q, want %q", c.p.Kind, got, c.want)
			}
		}
	})
}

// Readers beside a writer never keep what the writer has changed.
func TestDirectoryBesideWrites(t *testing.T) {
	eachHub(t, func(h *hub) {
		d := openDirectory(h)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := d.dir.Standing(context.Background(), d.alice, "team"); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for i := range 50 {
			want := core.RoleGuest
			if i%2 == 0 {
				want = core.RoleMaintainer
			}
			_, _, err := h.PutMember(h.admin, d.team, "alice", want, store.AnyRevision)
			h.ok(err)
			if a, err := d.dir.Account(context.Background(), d.alice.ID); err != nil || a.Role(d.team.ID) != want {
				t.Errorf("after change %d the account is %+v, want role %q (%v)", i, a, want, err)
			}
		}
		close(stop)
		wg.Wait()
	})
}

// Another process hears of a change within a second, and one that hears nothing believes nothing.
func TestDirectoryOfAnotherProcess(t *testing.T) {
	open := dbtest.Postgres(t)
	h := openHub(t, open)
	d := openDirectory(h)
	other := open(t)
	heard := make(chan struct{}, 16)
	dir := store.NewDirectory(store.New(other))
	other.Subscribe(func([]db.Change) { heard <- struct{}{} })
	h.ok(other.Follow(context.Background()))
	st, err := dir.Standing(context.Background(), d.alice, "team")
	h.ok(err)
	if st.Role != core.RoleDeveloper {
		t.Fatalf("%+v", st)
	}
	h.ok(h.DeleteMember(h.admin, d.team, "alice", store.AnyRevision))
	select {
	case <-heard:
	case <-time.After(10 * time.Second):
		t.Fatal("the other process heard nothing")
	}
	if st, ok := dir.CachedStanding(d.alice, "team"); ok {
		t.Fatalf("it still believes %+v", st)
	}
	if st, err = dir.Standing(context.Background(), d.alice, "team"); err != nil || st.Role != core.RoleNone {
		t.Fatalf("%+v, %v", st, err)
	}
}
