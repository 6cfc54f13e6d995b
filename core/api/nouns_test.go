package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/web"
)

func TestUsers(t *testing.T) {
	h := sqliteHub(t)
	admin := h.user("admin", true)
	r := h.call(admin, "POST", "/users", `{"username": "alice", "password": "four words make sense", "email": "a@example.org"}`).want(201)
	if r.Header.Get("Location") != "/api/v1/users/alice" || r.Header.Get("ETag") != `"1"` || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", r.Header)
	}
	var u User
	r.into(&u)
	if u.Username != "alice" || u.Email != "a@example.org" || u.Admin || u.Disabled || strings.Contains(string(r.Body), "password") {
		t.Errorf("%s", r.Body)
	}
	h.call(admin, "POST", "/users", `{"username": "alice", "password": "four words make sense"}`).wantProblem(409, core.CodeConflict)
	for body, pointer := range map[string]string{
		`{"username": "bob", "password": "short"}`:                            "/password",
		`{"username": "bob", "password": "` + strings.Repeat("p", 129) + `"}`: "/password",
		`{"username": "Bob", "password": "four words make sense"}`:            "/username",
		`{"username": "me", "password": "four words make sense"}`:             "/username",
		`{"username": "bob"}`: "/password",
		`{"username": "bob", "password": "four words make sense", "admin": true}`:         "/admin",
		`{"username": "bob", "password": "four words make sense", "email": "no"}`:         "/email",
		`{"username": "bob", "password": "password1234"}`:                                 "/password",
		`{"username": "` + strings.Repeat("b", 65) + `", "password": "four words sense"}`: "/username",
	} {
		p := h.call(admin, "POST", "/users", body).wantProblem(400, core.CodeInvalid)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != pointer {
			t.Errorf("%s: %+v", body, p)
		}
	}
	alice := basic("alice", goodPassword)
	h.call(alice, "GET", "/users/alice", "").want(200)
	h.call(alice, "GET", "/users", "").wantProblem(403, core.CodeForbidden)

	// Nobody may look up others, whether they exist or not.
	if a, b := h.call(alice, "GET", "/users/admin", "").want(403), h.call(alice, "GET", "/users/nobody", "").want(403); a.problem().Detail != b.problem().Detail {
		t.Errorf("%s\n%s", a.Body, b.Body)
	}

	h.call(admin, "PATCH", "/users/alice", `{"display_name": "Alice"}`).wantProblem(428, core.CodeIfMatchRequired)
	h.call(admin, "PATCH", "/users/alice", `{"display_name": "Alice"}`, "If-Match", `"7"`).wantProblem(412, core.CodeStale)
	h.call(admin, "PATCH", "/users/alice", `{"display_name": "Alice"}`, "If-Match", `W/"1"`).wantProblem(412, core.CodeStale)
	h.call(admin, "PATCH", "/users/alice", `{"display_name": "Alice"}`, "If-Match", `1`).wantProblem(400, core.CodeInvalid)
	r = h.call(admin, "PATCH", "/users/alice", `{"display_name": "Alice"}`, "If-Match", `"1"`).want(200)
	if r.Header.Get("ETag") != `"2"` {
		t.Errorf("ETag %s", r.Header.Get("ETag"))
	}
	h.call(admin, "PATCH", "/users/alice", `{}`, "If-Match", `"2"`).wantProblem(400, core.CodeInvalid)

	// The last administrator stays.
	h.call(admin, "PATCH", "/users/admin", `{"admin": false}`, "If-Match", "*").wantProblem(409, core.CodeConflict)
	h.call(admin, "PATCH", "/users/admin", `{"disabled": true}`, "If-Match", "*").wantProblem(409, core.CodeConflict)
	h.call(admin, "DELETE", "/users/admin", "", "If-Match", "*").wantProblem(409, core.CodeConflict)

	h.call(admin, "PATCH", "/users/alice", `{"disabled": true}`, "If-Match", "*").want(200)
	h.call(alice, "GET", "/users/me", "").wantProblem(401, core.CodeUnauthenticated)
	h.call(admin, "DELETE", "/users/alice", "").wantProblem(428, core.CodeIfMatchRequired)
	h.call(admin, "DELETE", "/users/alice", "", "If-Match", "*").want(204)
	h.call(admin, "GET", "/users/alice", "").wantProblem(404, core.CodeNotFound)
}

// The last owner of a project is taken away from it only by who says so.
func TestLeaveOwnerless(t *testing.T) {
	h := sqliteHub(t)
	admin, alice := h.user("admin", true), h.user("alice", false)
	for _, name := range []string{"team", "web"} {
		h.call(alice, "POST", "/projects", `{"name": "`+name+`", "visibility": "private"}`).want(201)
	}
	for _, query := range []string{"", "?leave_ownerless=false"} {
		for _, p := range []web.Problem{
			h.call(admin, "PATCH", "/users/alice"+query, `{"disabled": true}`, "If-Match", "*").wantProblem(409, core.CodeConflict),
			h.call(admin, "DELETE", "/users/alice"+query, "", "If-Match", "*").wantProblem(409, core.CodeConflict),
		} {
			if !strings.Contains(p.Detail, "team, web") || !strings.Contains(p.Detail, "?leave_ownerless=true") {
				t.Error(p.Detail)
			}
		}
	}
	h.call(admin, "PATCH", "/users/alice", `{"display_name": "A"}`, "If-Match", "*").want(200)
	h.call(admin, "DELETE", "/users/alice?leave_ownerless=yes", "", "If-Match", "*").wantProblem(400, core.CodeInvalid)
	h.call(admin, "PATCH", "/users/alice?leave_ownerless=true", `{"disabled": true}`, "If-Match", "*").want(200)
	h.call(admin, "DELETE", "/users/alice?leave_ownerless=true", "", "If-Match", "*").want(204)
	h.call(admin, "PUT", "/projects/team/members/admin", `{"role": "owner"}`).want(201)
}

// One's own things that cannot be there are not there, as those are that could.
func TestMalformedOwnIDs(t *testing.T) {
	h := sqliteHub(t)
	alice := h.user("alice", false)
	h.project("team", core.Private, nil)
	for _, path := range []string{"/users/me/tokens/x", "/users/me/tokens/0198c1a2-7d33-7c41-9a5e-5d1f0f6a2b10", "/sessions/x"} {
		h.call(alice, "DELETE", path, "").wantProblem(404, core.CodeNotFound)
		h.call(anonymous, "DELETE", path, "").wantProblem(401, core.CodeUnauthenticated)
		scoped := bearer(h.token(h.accountID("alice"), "scoped "+strings.ReplaceAll(path, "/", " "), []core.Grant{}))
		h.call(scoped, "DELETE", path, "").wantProblem(403, core.CodeForbidden)
	}
}

// What a project holds is the business of its own people and robots.
func TestUsedBytes(t *testing.T) {
	h := sqliteHub(t)
	guest, stranger, admin := h.user("guest", false), h.user("stranger", false), h.user("admin", true)
	p := h.project("open", core.Public, map[string]core.Role{"guest": core.RoleGuest})
	h.image("open/app", "x", "1")
	robot := func(p *core.Project) cred {
		r, secret, err := h.store.CreateRobot(h.ctx, p, store.NewRobot{Name: "ci", Permissions: []core.Grant{{Repository: "**", Actions: []core.Action{core.ActionPull}}}})
		if err != nil {
			t.Fatal(err)
		}
		return basic(r.Username(), secret)
	}
	own, stray := robot(p), robot(h.project("other", core.Private, nil))
	for who, c := range map[string]struct {
		cred
		sees bool
	}{"guest": {guest, true}, "admin": {admin, true}, "own robot": {own, true}, "other robot": {stray, false}, "stranger": {stranger, false}, "anonymous": {anonymous, false}} {
		var v Project
		h.call(c.cred, "GET", "/projects/open", "").want(200).into(&v)
		if (v.UsedBytes != nil) != c.sees {
			t.Errorf("%s sees used_bytes: %v", who, v.UsedBytes)
		}
	}
}

// A list that is thinned out reads on for as long as somebody waits for it.
func TestThinnedListEnds(t *testing.T) {
	h := sqliteHub(t)
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), callKey{}, &call{principal: core.Anonymous(), request: httptest.NewRequest("GET", "/x", nil)}))
	defer cancel()
	reads := 0
	_, _, err := listOf(ctx, h.api, nil, nil, func(after string, n int) ([]string, bool, error) {
		if reads++; reads == 3 {
			cancel()
		}
		return []string{after + "x"}, reads < 10, nil
	}, func(s string) string { return s }, func(string) bool { return false }, func(s string) string { return s })
	if !errors.Is(err, context.Canceled) || reads != 3 {
		t.Errorf("%d reads, %v", reads, err)
	}
}

func TestMe(t *testing.T) {
	h := sqliteHub(t)
	h.user("alice", false)
	alice := basic("alice", goodPassword)
	r := h.call(alice, "GET", "/users/me", "").want(200)
	var me Me
	r.into(&me)
	if me.Kind != MeKindUser || me.Username != "alice" || me.Scopes != nil {
		t.Errorf("%s", r.Body)
	}
	token := h.call(alice, "POST", "/users/me/tokens", `{"name": "laptop", "expires_in": 3600}`).want(201)
	var made TokenCreated
	token.into(&made)
	if !strings.HasPrefix(made.Token, "hmp_") || made.ExpiresAt == nil || made.ExpiresAt.Sub(made.CreatedAt).Seconds() != 3600 {
		t.Errorf("%s", token.Body)
	}
	withToken := bearer(made.Token)
	if listed := h.call(withToken, "GET", "/users/me/tokens", "").want(200); strings.Contains(string(listed.Body), made.Token) {
		t.Errorf("the token is in the list: %s", listed.Body)
	}
	h.call(alice, "POST", "/users/me/tokens", `{"name": "laptop"}`).wantProblem(409, core.CodeConflict)
	h.call(alice, "POST", "/users/me/tokens", `{"name": "x", "expires_in": 31536001}`).wantProblem(400, core.CodeInvalid)
	h.call(alice, "POST", "/users/me/tokens", `{"name": "x", "scopes": [{"repository": "team/**", "actions": ["pull", "fly"]}]}`).wantProblem(400, core.CodeInvalid)

	// V-51: another address needs the password, and a token is none.
	p := h.call(withToken, "PATCH", "/users/me", `{"email": "new@example.org"}`, "If-Match", "*").wantProblem(401, core.CodeReauthenticate)
	if !strings.Contains(p.Detail, "current_password") {
		t.Error(p.Detail)
	}
	h.call(withToken, "PATCH", "/users/me", `{"email": "new@example.org", "current_password": "wrong"}`, "If-Match", "*").wantProblem(400, core.CodeInvalid)
	h.call(withToken, "PATCH", "/users/me", `{"email": "new@example.org", "current_password": "`+goodPassword+`"}`, "If-Match", "*").want(200)
	h.call(withToken, "PATCH", "/users/me", `{"display_name": "A"}`, "If-Match", "*").want(200)
	h.call(withToken, "PATCH", "/users/me", `{"admin": true}`, "If-Match", "*").wantProblem(400, core.CodeInvalid)

	h.call(withToken, "PUT", "/users/me/password", `{"current_password": "wrong", "password": "other four words here"}`).wantProblem(400, core.CodeInvalid)
	h.call(withToken, "PUT", "/users/me/password", `{"current_password": "`+goodPassword+`", "password": "other four words here"}`).want(204)
	h.call(alice, "GET", "/users/me", "").want(401)
	h.call(withToken, "GET", "/users/me", "").want(200)
	h.call(withToken, "DELETE", "/users/me/tokens/"+made.ID, "").want(204)
	h.call(withToken, "GET", "/users/me", "").want(401)
}

func TestProjectsAndMembers(t *testing.T) {
	h := sqliteHub(t)
	admin, alice, bob, eve := h.user("admin", true), h.user("alice", false), h.user("bob", false), h.user("eve", false)
	r := h.call(alice, "POST", "/projects", `{"name": "team", "visibility": "private", "description": "ours"}`).want(201)
	var p Project
	r.into(&p)
	if p.Name != "team" || p.Visibility != VisibilityPrivate || p.Baseline != BaselineEnforce || text(p.Role) != "owner" || r.Header.Get("Location") != "/api/v1/projects/team" {
		t.Errorf("%s", r.Body)
	}
	h.call(alice, "POST", "/projects", `{"name": "big", "visibility": "private", "quota_bytes": 5}`).wantProblem(403, core.CodeForbidden)
	h.call(admin, "POST", "/projects", `{"name": "big", "visibility": "private", "quota_bytes": 5}`).want(201)
	h.call(eve, "POST", "/projects", `{"name": "team", "visibility": "public"}`).wantProblem(409, core.CodeConflict)
	h.call(eve, "GET", "/projects/team", "").wantProblem(404, core.CodeNotFound)

	if r := h.call(alice, "PUT", "/projects/team/members/bob", `{"role": "maintainer"}`).want(201); r.Header.Get("ETag") != `"1"` {
		t.Errorf("ETag %s", r.Header.Get("ETag"))
	}
	h.call(alice, "PUT", "/projects/team/members/bob", `{"role": "guest"}`).wantProblem(428, core.CodeIfMatchRequired)
	h.call(alice, "PUT", "/projects/team/members/nobody", `{"role": "guest"}`).wantProblem(404, core.CodeNotFound)
	h.call(alice, "PUT", "/projects/team/members/bob", `{"role": "king"}`).wantProblem(400, core.CodeInvalid)
	h.call(alice, "PUT", "/projects/team/members/alice", `{"role": "guest"}`, "If-Match", "*").wantProblem(409, core.CodeConflict)
	h.call(alice, "DELETE", "/projects/team/members/alice", "", "If-Match", "*").wantProblem(409, core.CodeConflict)

	// V-04: a maintainer writes the description and nothing that lowers a guard.
	h.call(bob, "PATCH", "/projects/team", `{"description": "x"}`, "If-Match", "*").want(200)
	for _, body := range []string{`{"visibility": "public"}`, `{"baseline": "off"}`, `{"sparse_indexes": true}`, `{"attach_verdicts": true}`, `{"quota_bytes": 0}`} {
		h.call(bob, "PATCH", "/projects/team", body, "If-Match", "*").wantProblem(403, core.CodeForbidden)
	}
	h.call(alice, "PATCH", "/projects/team", `{"visibility": "public", "baseline": "warn", "sparse_indexes": true, "attach_verdicts": true}`, "If-Match", "*").want(200)
	h.call(alice, "PATCH", "/projects/team", `{"quota_bytes": 1}`, "If-Match", "*").wantProblem(403, core.CodeForbidden)
	h.call(anonymous, "GET", "/projects/team", "").want(200)
	if detail := h.call(bob, "PUT", "/projects/team/members/eve", `{"role": "guest"}`).wantProblem(403, core.CodeForbidden).Detail; !strings.Contains(detail, "owner") {
		t.Error(detail)
	}

	h.image("team/app", "x", "1")
	h.call(alice, "DELETE", "/projects/team", "", "If-Match", "*").wantProblem(409, core.CodeConflict)
	h.call(alice, "DELETE", "/projects/team/repositories/app", "").want(204)
	h.call(alice, "DELETE", "/projects/team", "", "If-Match", "*").want(204)
	h.call(alice, "GET", "/projects/team", "").wantProblem(404, core.CodeNotFound)
}

func TestRobots(t *testing.T) {
	h := sqliteHub(t)
	alice := h.user("alice", false)
	h.project("team", core.Private, map[string]core.Role{"alice": core.RoleOwner})
	h.image("team/app", "x", "1")
	h.image("team/other", "x", "1")
	r := h.call(alice, "POST", "/projects/team/robots", `{"name": "ci", "permissions": [{"repository": "app", "actions": ["pull"]}]}`).want(201)
	var made RobotCreated
	r.into(&made)
	if made.Username != "robot$team+ci" || !strings.HasPrefix(made.Secret, "hmr_") {
		t.Fatalf("%s", r.Body)
	}
	robot := basic(made.Username, made.Secret)
	h.call(robot, "GET", "/projects/team/repositories/app", "").want(200)
	h.call(robot, "GET", "/projects/team/repositories/other", "").want(404)
	h.call(robot, "DELETE", "/projects/team/repositories/app", "").want(403)
	var seen []Repository
	h.call(robot, "GET", "/projects/team/repositories", "").want(200).into(&seen)
	if len(seen) != 1 || seen[0].Name != "app" {
		t.Errorf("a robot sees %v", seen)
	}
	path := "/projects/team/robots/" + made.ID
	rotated := h.call(alice, "POST", path+"/rotate", `{"overlap": 60}`).want(200)
	var secret RobotSecret
	rotated.into(&secret)
	h.call(basic(made.Username, secret.Secret), "GET", "/projects/team/repositories/app", "").want(200)
	h.call(robot, "GET", "/projects/team/repositories/app", "").want(200) // overlap
	h.call(alice, "POST", path+"/rotate", `{"overlap": 0}`).want(200).into(&secret)
	h.call(robot, "GET", "/projects/team/repositories/app", "").want(401)
	if shown := h.call(alice, "GET", path, "").want(200); strings.Contains(string(shown.Body), "hmr_") {
		t.Errorf("%s", shown.Body)
	}
	h.call(alice, "PATCH", path, `{"disabled": true}`, "If-Match", "*").want(200)
	h.call(basic(made.Username, secret.Secret), "GET", "/projects/team/repositories/app", "").want(401)
	h.call(alice, "DELETE", path, "").wantProblem(428, core.CodeIfMatchRequired)
	h.call(alice, "DELETE", path, "", "If-Match", "*").want(204)
	h.call(alice, "GET", path, "").want(404)
}

func TestLabels(t *testing.T) {
	h := sqliteHub(t)
	alice := h.user("alice", false)
	h.project("team", core.Private, map[string]core.Role{"alice": core.RoleOwner})
	d := h.image("team/app", "x", "1")
	h.call(alice, "PUT", "/projects/team/labels/checked%20by%20QA", `{"color": "#1a7f37"}`).want(201)
	h.call(alice, "PUT", "/projects/team/labels/checked%20by%20QA", `{"color": "#000000"}`).wantProblem(428, core.CodeIfMatchRequired)
	h.call(alice, "PUT", "/projects/team/labels/checked%20by%20QA", `{"color": "#000000"}`, "If-Match", `"1"`).want(200)
	h.call(alice, "PUT", "/projects/team/labels/x", `{"color": "red"}`).wantProblem(400, core.CodeInvalid)
	h.call(alice, "PUT", "/projects/team/labels/x%1b", `{}`).want(404)
	h.call(alice, "PUT", "/projects/team/labels/%E5%B7%B2%E5%AE%A1%E6%A0%B8", `{}`).want(201)

	h.call(alice, "PUT", "/projects/team/repositories/app/artifacts/1/labels/checked%20by%20QA", "").want(204)
	h.call(alice, "PUT", "/projects/team/repositories/app/artifacts/1/labels/checked%20by%20QA", "").want(204)
	h.call(alice, "PUT", "/projects/team/repositories/app/artifacts/1/labels/none", "").want(404)
	var found []Artifact
	h.call(alice, "GET", "/projects/team/repositories/app/artifacts?label=checked+by+QA", "").want(200).into(&found)
	if len(found) != 1 || found[0].Digest != string(d) || fmt.Sprint(found[0].Labels) != "[checked by QA]" {
		t.Errorf("%+v", found)
	}
	h.call(alice, "DELETE", "/projects/team/repositories/app/artifacts/"+string(d)+"/labels/checked%20by%20QA", "").want(204)
	h.call(alice, "DELETE", "/projects/team/repositories/app/artifacts/1/labels/checked%20by%20QA", "").want(404)
	h.call(alice, "DELETE", "/projects/team/labels/checked%20by%20QA", "", "If-Match", "*").want(204)
}

func TestJobsAndSystem(t *testing.T) {
	h := sqliteHub(t)
	admin, alice := h.user("admin", true), h.user("alice", false)
	id := h.job("sweep-uploads")
	var jobs []Job
	h.call(admin, "GET", "/jobs?kind=sweep-uploads&state=queued", "").want(200).into(&jobs)
	if len(jobs) != 1 || jobs[0].ID != id {
		t.Fatalf("%+v", jobs)
	}
	h.call(admin, "POST", "/jobs/"+id+"/retry", "").wantProblem(409, core.CodeConflict)
	h.call(admin, "POST", "/jobs/"+id+"/cancel", "").want(202)
	var job Job
	h.call(admin, "GET", "/jobs/"+id, "").want(200).into(&job)
	if job.State != JobStateCancelled {
		t.Errorf("%+v", job)
	}
	events := h.call(admin, "GET", "/jobs/"+id+"/events", "").want(200)
	if events.Header.Get("Content-Type") != "text/event-stream" || !strings.HasPrefix(string(events.Body), "event: job\ndata: {") {
		t.Errorf("%v %s", events.Header, events.Body)
	}
	h.call(admin, "POST", "/jobs/"+id+"/retry", "").want(202)
	h.call(admin, "GET", "/jobs/0198c1a2-7d33-7c41-9a5e-5d1f0f6a2b10", "").wantProblem(404, core.CodeNotFound)

	var info SystemInfo
	h.call(alice, "GET", "/system/info", "").want(200).into(&info)
	if info.Version != "1.2.3" || info.Registry != "hub.test" {
		t.Errorf("%+v", info)
	}
	var health SystemHealth
	h.call(admin, "GET", "/system/health", "").want(200).into(&health)
	if health.Status != SystemHealthStatusOk || len(health.Parts) != 1 {
		t.Errorf("%+v", health)
	}
	h.project("team", core.Public, nil)
	h.image("team/app", "x", "1", "2")
	var s Statistics
	h.call(admin, "GET", "/statistics", "").want(200).into(&s)
	if s.Users != 2 || s.Projects != 1 || s.PublicProjects != 1 || s.Repositories != 1 || s.Artifacts != 1 || s.Tags != 2 || s.Blobs != 2 || s.StoredBytes == 0 {
		t.Errorf("%+v", s)
	}
	h.call(admin, "POST", "/keys/rotate", "").want(204)
	h.call(operator, "POST", "/keys/rotate", "").want(204)
}

// Whoever follows a job hears of the change, and the stream ends with the job, or with the rights of whoever follows it.
func TestFollowJob(t *testing.T) {
	h := sqliteHub(t)
	h.user("another", true) // the last administrator cannot be disabled
	srv := httptest.NewServer(h.h)
	defer srv.Close()
	defer srv.CloseClientConnections() // a stream that a failure leaves open
	for name, end := range map[string]func(id string){
		"cancelled": func(id string) { h.call(operator, "POST", "/jobs/"+id+"/cancel", "").want(202) },
		"disabled": func(string) {
			h.call(operator, "PATCH", "/users/disabled", `{"disabled": true}`, "If-Match", "*").want(200)
		},
	} {
		who, id := h.user(name, true), h.job("sweep-uploads")
		r, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/api/v1/jobs/"+id+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		who(r)
		res, err := srv.Client().Do(r)
		if err != nil || res.StatusCode != 200 {
			t.Fatal(res, err)
		}
		lines := bufio.NewScanner(res.Body)
		var events []string
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if events = append(events, data); len(events) == 1 {
					end(id)
				}
			}
		}
		res.Body.Close()
		last := events[len(events)-1]
		if strings.Contains(events[0], `"state":"queued"`) != true || (name == "cancelled") != strings.Contains(last, `"state":"cancelled"`) {
			t.Errorf("%s: %v", name, events)
		}
	}
}

func TestAudit(t *testing.T) {
	h := sqliteHub(t)
	admin, alice := h.user("admin", true), h.user("alice", false)
	for i := range 5 {
		h.call(alice, "POST", "/projects", fmt.Sprintf(`{"name": "p%d", "visibility": "private", "description": "=1+1"}`, i)).want(201)
	}
	var entries []AuditEntry
	r := h.call(admin, "GET", "/audit?action=project.*&actor=alice&limit=2", "").want(200).into(&entries)
	if len(entries) != 2 || entries[0].Object != "p4" || entries[0].ActorName != "alice" || text(entries[0].Project) != "p4" || entries[0].RequestID == "" || entries[0].IP != "192.0.2.1" {
		t.Fatalf("%s", r.Body)
	}
	seen := 2
	for next := r.next(); next != ""; next = r.next() {
		r = h.call(admin, "GET", next, "").want(200).into(&entries)
		seen += len(entries)
	}
	if seen != 5 {
		t.Errorf("%d entries in all pages", seen)
	}
	h.call(alice, "GET", "/projects/p0/audit", "").want(200).into(&entries)
	if len(entries) != 1 || entries[0].Object != "p0" {
		t.Errorf("%+v", entries)
	}
	csv := h.call(admin, "GET", "/audit/export?format=csv&project=p1", "").want(200)
	lines := strings.Split(strings.TrimSpace(string(csv.Body)), "\n")
	if csv.Header.Get("Content-Type") != "text/csv" || csv.Header.Get("Content-Disposition") != `attachment; filename="audit.csv"` || len(lines) != 2 || !strings.HasPrefix(lines[0], "id,at,actor") {
		t.Errorf("%v %s", csv.Header, csv.Body)
	}
	jsonl := h.call(alice, "GET", "/projects/p1/audit/export", "").want(200)
	if jsonl.Header.Get("Content-Type") != "application/jsonl" || strings.Count(string(jsonl.Body), "\n") != 1 {
		t.Errorf("%v %s", jsonl.Header, jsonl.Body)
	}
	h.call(admin, "GET", "/audit?project=none", "").wantProblem(404, core.CodeNotFound)
}

func TestInertCell(t *testing.T) {
	for in, want := range map[string]string{"": "", "a": "a", "=1": "'=1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx"} {
		if got := inertCell(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
