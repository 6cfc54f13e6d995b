package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/api/spec"
)

// V-02: a privileged field in any body is refused by name, and nothing changes. Generated from the schema.
func TestV02MassAssignment(t *testing.T) {
	p := populate(t, sqliteHub(t))
	privileged := []string{"id", "is_admin", "admin", "role", "tier", "quota", "quota_bytes", "owner_id", "verified", "disabled", "project", "project_id",
		"created_at", "revision", "username", "secret", "token", "password_hash", "Name", "NAME", "__proto__"}
	for _, op := range p.api.spec.Operations {
		if op.Body == nil {
			continue
		}
		who := "owner"
		if matrix()[op.ID].class == "admin" {
			who = "admin"
		}
		for _, field := range privileged {
			if op.Body.Field(field) != nil {
				continue // it is a field here, and the matrix and the tests of the noun say who may set it
			}
			body := `{"` + field + `": true}`
			r := p.call(p.who[who], op.Method, p.path(op.Path, "team"), body, "If-Match", "*").wantProblem(400, core.CodeInvalid)
			named := false
			for _, e := range r.Errors {
				named = named || e.Pointer == "/"+field
			}
			if !named {
				t.Errorf("%s: %s is not named: %+v", op.ID, field, r)
			}
		}
	}
	var u User
	p.call(p.who["admin"], "GET", "/users/owner", "").want(200).into(&u)
	if u.Admin {
		t.Error("owner became administrator")
	}
	// Fields that exist elsewhere but are not for this principal.
	for _, body := range []string{`{"admin": true}`, `{"disabled": false}`} {
		p.call(p.who["owner"], "PATCH", "/users/owner", body, "If-Match", "*").wantProblem(403, core.CodeForbidden)
	}
}

// V-03: the id of another project's child is not found under one's own project, nor under the other one, and stays as it is.
func TestV03ChildOfAnotherProject(t *testing.T) {
	h := sqliteHub(t)
	a, b := h.user("a", false), h.user("b", false)
	h.project("pa", core.Private, map[string]core.Role{"a": core.RoleOwner})
	h.project("pb", core.Private, map[string]core.Role{"b": core.RoleOwner})
	var robot RobotCreated
	h.call(b, "POST", "/projects/pb/robots", `{"name": "ci", "permissions": [{"repository": "**", "actions": ["pull"]}]}`).want(201).into(&robot)
	h.call(b, "PUT", "/projects/pb/labels/l", `{}`).want(201)
	h.call(b, "PUT", "/projects/pb/members/b", `{"role": "owner"}`).want(200)
	d := string(h.image("pb/app", "x", "1"))
	h.image("pa/other", "x", "1")
	var token TokenCreated
	h.call(b, "POST", "/users/me/tokens", `{"name": "n"}`).want(201).into(&token)
	h.call(basic("b", goodPassword), "POST", "/sessions", `{"username": "b", "password": "`+goodPassword+`"}`).want(403) // no TLS from afar
	children := []string{"/robots/" + robot.ID, "/robots/" + robot.ID + "/rotate", "/labels/l", "/members/b", "/repositories/app",
		"/repositories/app/tags/1", "/repositories/app/artifacts/" + d, "/repositories/app/artifacts/1/labels/l", "/repositories/app/artifacts/1/history"}
	bodies := map[string]string{"PATCH/robots/": `{"disabled": true}`, "PATCH/repositories/app": `{"summary": "mine"}`}
	before := snapshot(h, b, children)
	for _, project := range []string{"pa", "pb"} {
		for _, child := range children {
			for _, method := range []string{"GET", "PUT", "PATCH", "POST", "DELETE"} {
				body := ""
				for prefix, v := range bodies {
					if strings.HasPrefix(method+child, prefix) {
						body = v
					}
				}
				op := operationAt(h, method, "/projects/"+project+child)
				if op == nil || op.Body != nil && op.BodyRequired && body == "" {
					continue // PUT makes what is named by its own name: under pa it is another thing
				}
				r := h.call(a, method, "/projects/"+project+child, body, "If-Match", "*")
				if r.Status != 404 {
					t.Errorf("%s: %d %s", r.what, r.Status, r.Body)
				}
			}
		}
	}
	h.call(a, "DELETE", "/users/me/tokens/"+token.ID, "").want(404)
	if after := snapshot(h, b, children); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
	h.call(bearer(token.Token), "GET", "/users/me", "").want(200)
	h.call(basic(robot.Username, robot.Secret), "GET", "/projects/pb", "").want(200)
}

func snapshot(h *hub, who cred, children []string) string {
	var b strings.Builder
	for _, child := range children {
		if operationAt(h, "GET", "/projects/pb"+child) != nil {
			b.Write(h.call(who, "GET", "/projects/pb"+child, "").want(200).Body)
		}
	}
	return b.String()
}

// operationAt finds the operation of a concrete path.
func operationAt(h *hub, method, path string) *spec.Operation {
	parts := strings.Split(path, "/")
	for _, op := range h.api.spec.Operations {
		template := strings.Split(op.Path, "/")
		if op.Method != method || len(template) != len(parts) {
			continue
		}
		same := true
		for i := range parts {
			same = same && (template[i] == parts[i] || strings.HasPrefix(template[i], "{"))
		}
		if same {
			return op
		}
	}
	return nil
}

// V-05, V-07: parameters of lists are whitelisted and checked, whatever stands in them; no secret column can be filtered by.
func TestV05V07ListParameters(t *testing.T) {
	p := populate(t, sqliteHub(t))
	corpus := []string{"'", ";", "--", "$tag$", "\x00", "\xff", "%", "_", `\`, "' OR 1=1 --", `"`, "日本", "a' UNION SELECT password_hash FROM account --", "\u202e", strings.Repeat("x", 4000)}
	names := []string{"sort", "order", "fields", "filter", "q[]", "limit[]", "password", "password_hash", "token_hash", "secret_hash", "with", "page", "page_size", "Q"}
	for _, op := range p.api.spec.Operations {
		if op.Method != "GET" || !strings.HasPrefix(op.ID, "list") && !strings.HasPrefix(op.ID, "export") {
			continue
		}
		path := p.path(op.Path, "team")
		for _, name := range names {
			r := p.call(p.who["admin"], "GET", path+"?"+url.Values{name: {"1"}}.Encode(), "").wantProblem(400, core.CodeInvalid)
			if len(r.Errors) != 1 || r.Errors[0].Pointer != name {
				t.Errorf("%s ?%s: %+v", op.ID, name, r)
			}
		}
		for _, param := range op.Params {
			if param.In != "query" {
				continue
			}
			for _, value := range corpus {
				r := p.call(p.who["admin"], "GET", path+"?"+url.Values{param.Name: {value}}.Encode(), "")
				switch {
				case r.Status == 200 && len(param.Schema.Enum) == 0 && param.Schema.Type == "string":
					if body := string(r.Body); !strings.HasSuffix(op.ID, "Audit") && body != "[]\n" {
						t.Errorf("%s: found something: %s", r.what, body)
					}
				case r.Status != 400 && r.Status != 404:
					t.Errorf("%s: %d %s", r.what, r.Status, r.Body)
				}
			}
		}
		twice := p.call(p.who["admin"], "GET", path+"?limit=1&limit=2", "")
		twice.wantProblem(400, core.CodeInvalid)
	}
	if log := p.log.String(); log != "" {
		t.Errorf("something went wrong inside: %s", log)
	}
}

// V-15: limit is clamped above, empty at 0, and refused where it is no such number.
func TestV15Limit(t *testing.T) {
	p := populate(t, sqliteHub(t))
	for i := range 5 {
		p.project(fmt.Sprintf("p%d", i), core.Public, nil)
	}
	for limit, want := range map[string]int{"0": 200, "1": 200, "200": 200, "201": 200, "1001": 200, "2147483648": 200, "9223372036854775807": 200,
		"-1": 400, "9223372036854775808": 400, "1e3": 400, "abc": 400, "": 400, "1.0": 400, " 1": 400, "+1": 200, "NaN": 400, "0x10": 400} {
		for _, op := range p.api.spec.Operations {
			if op.Method != "GET" || !strings.HasPrefix(op.ID, "list") && !strings.HasPrefix(op.ID, "export") || op.ID == "listMyTokens" {
				continue
			}
			r := p.call(p.who["admin"], "GET", p.path(op.Path, "team")+"?"+url.Values{"limit": {limit}}.Encode(), "")
			if r.Status != want {
				t.Errorf("%s: %d, want %d: %s", r.what, r.Status, want, r.Body)
			}
			if limit == "0" && (strings.HasPrefix(op.ID, "list") && string(r.Body) != "[]\n" || r.Header.Get("Link") != "") {
				t.Errorf("%s: %s %s", r.what, r.Body, r.Header.Get("Link"))
			}
		}
	}
	// At the limit and one past it.
	for i := range 205 {
		p.project(fmt.Sprintf("many%03d", i), core.Public, nil)
	}
	var list []Project
	for limit, want := range map[string]int{"": 50, "?limit=200": 200, "?limit=201": 200} {
		p.call(p.who["stranger"], "GET", "/projects"+limit, "").want(200).into(&list)
		if len(list) != want {
			t.Errorf("%q: %d items", limit, len(list))
		}
	}
}

// A cursor holds for its list, its filters and whom it was given to.
func TestCursorsAreBound(t *testing.T) {
	p := populate(t, sqliteHub(t))
	for i := range 5 {
		p.project(fmt.Sprintf("p%d", i), core.Public, nil)
	}
	first := p.call(p.who["admin"], "GET", "/projects?limit=2&visibility=public", "").want(200)
	next := first.next()
	p.call(p.who["admin"], "GET", next, "").want(200)
	p.call(p.who["admin"], "GET", strings.Replace(next, "limit=2", "limit=1", 1), "").want(200)
	p.call(p.who["stranger"], "GET", next, "").wantProblem(400, core.CodeInvalid)
	p.call(anonymous, "GET", next, "").wantProblem(400, core.CodeInvalid)
	p.call(p.who["admin"], "GET", strings.Replace(next, "visibility=public", "visibility=private", 1), "").wantProblem(400, core.CodeInvalid)
	p.call(p.who["admin"], "GET", strings.Replace(next, "/projects?", "/users?", 1), "").wantProblem(400, core.CodeInvalid)
	p.call(p.who["admin"], "GET", "/projects?cursor=zzzz", "").wantProblem(400, core.CodeInvalid)
	seen, pages := map[string]bool{}, 0
	for path := "/projects?limit=2&visibility=public"; path != ""; pages++ {
		r := p.call(p.who["admin"], "GET", path, "").want(200)
		var list []Project
		r.into(&list)
		for _, v := range list {
			if seen[v.Name] {
				t.Errorf("%s twice", v.Name)
			}
			seen[v.Name] = true
		}
		path = r.next()
	}
	if len(seen) != 6 || pages != 3 {
		t.Errorf("%d projects in %d pages", len(seen), pages)
	}
}

// V-17: no way of writing a path gets around the decision on it.
func TestV17Paths(t *testing.T) {
	p := populate(t, sqliteHub(t))
	for _, path := range []string{"/api/v1/users/", "/api/v1//users", "//api/v1/users", "/api/v1/./users", "/api/v1/projects/../users", "/api/v1/%75sers",
		"/api/v1/users%2f", "/api/v1/users;x=1", "/API/v1/users", "/api/v1/Users", "/api/v1/users%00", "/api/v1/projects/team/", "/api/v1/projects//members",
		"/api/v1/projects/team%2fmembers", "/api/v1/projects/team/members/", "/api/v1/projects/open/../team/members", "/api/v1/projects/open/%2e%2e/team/members",
		"/api/v1/projects/TEAM/members", "/api/v1/projects/team;/members", "/api/v1/projects/team/repositories/open/../app", "/api/v1/projects/open/repositories/..%2fteam%2fapp",
		"/api/v1/projects/open/repositories/app%2f", "/api/v1/projects/open/repositories/app%252Fx", "/api/v2/users", "/api/v1/projects/team/repositories/app/artifacts/1.0%2f"} {
		for _, who := range []string{"anonymous", "stranger"} {
			r := p.call(p.who[who], "GET", path, "")
			if r.Status != 404 && r.Status != 401 && (r.Status != 403 || strings.Contains(path, "%75") || path == "/api/v1/users") {
				t.Errorf("%s %s: %d %s", who, path, r.Status, r.Body)
			}
		}
	}
	for _, method := range []string{"OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "GETT"} {
		r := p.call(p.who["stranger"], method, "/users", "")
		if r.Status != 405 && r.Status != 404 || r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", method, r.Status, r.Header)
		}
	}
	if r := p.call(p.who["admin"], "PUT", "/users", `{}`).wantProblem(405, core.CodeNotAllowed); !strings.Contains(r.Detail, "GET, POST") {
		t.Error(r.Detail)
	}
	if allow := p.call(p.who["admin"], "PUT", "/users", `{}`).Header.Get("Allow"); allow != "GET, POST" {
		t.Error(allow)
	}
	p.call(p.who["stranger"], "HEAD", "/users", "").want(403)
	p.call(p.who["admin"], "HEAD", "/users", "").want(200)
	p.call(p.who["stranger"], "POST", "/users", `{}`, "X-HTTP-Method-Override", "GET").want(403)
}

// V-18: for whoever may not see it a private project is exactly one that is not there.
func TestV18PrivateIsAbsent(t *testing.T) {
	p := populate(t, sqliteHub(t))
	p.robot["gone"] = "0198c1a2-7d33-7c41-9a5e-5d1f0f6a2b11" // not the id that all other paths have
	for _, op := range p.api.spec.Operations {
		if !strings.Contains(op.Path, "{project}") {
			continue
		}
		body := ""
		if op.Body != nil {
			body = `{"x": 1}`
		}
		for _, who := range []string{"anonymous", "stranger", "stray"} {
			there := p.call(p.who[who], op.Method, p.path(op.Path, "team"), body)
			gone := p.call(p.who[who], op.Method, p.path(op.Path, "gone"), body)
			if a, b := fingerprint(there, "team", p.robot["team"]), fingerprint(gone, "gone", p.robot["gone"]); a != b || there.Status != 404 && there.Status != 401 {
				t.Errorf("%s as %s:\n%s\n%s", op.ID, who, a, b)
			}
		}
	}
	there := p.call(p.who["stranger"], "GET", "/users/me/permissions?project=team", "")
	gone := p.call(p.who["stranger"], "GET", "/users/me/permissions?project=gone", "")
	if a, b := fingerprint(there, "team", ""), fingerprint(gone, "gone", ""); a != b || there.Status != 404 {
		t.Errorf("%s\n%s", a, b)
	}
	var list []Project
	for _, who := range []string{"anonymous", "stranger", "stray"} {
		p.call(p.who[who], "GET", "/projects", "").want(200).into(&list)
		for _, v := range list {
			if v.Name == "team" {
				t.Errorf("%s sees team in the list", who)
			}
		}
	}
}

// fingerprint is an answer without what must differ: the request id and the name that was asked for.
func fingerprint(r *reply, name, id string) string {
	var p map[string]json.RawMessage
	r.into(&p)
	delete(p, "request_id")
	body, _ := json.Marshal(p)
	body = bytes.ReplaceAll(body, []byte(name), []byte("NAME"))
	if id != "" {
		body = bytes.ReplaceAll(body, []byte(id), []byte(""))
	}
	h := r.Header.Clone()
	h.Del("X-Request-Id")
	return fmt.Sprint(r.Status, h, string(body))
}

// Bodies: type, size, unknown and repeated fields, on every operation that has one.
func TestBodies(t *testing.T) {
	p := populate(t, sqliteHub(t))
	for _, op := range p.api.spec.Operations {
		who := p.who["owner"]
		if matrix()[op.ID].class == "admin" {
			who = p.who["admin"]
		}
		path := p.path(op.Path, "team")
		if op.Body == nil {
			if op.Method != "GET" && matrix()[op.ID].query != "" {
				p.call(who, op.Method, path, `{}`).wantProblem(400, core.CodeInvalid)
			}
			continue
		}
		p.call(who, op.Method, path, `{}`, "Content-Type", "text/plain").wantProblem(415, core.CodeMediaType)
		p.call(who, op.Method, path, `a=1`, "Content-Type", "application/x-www-form-urlencoded").wantProblem(415, core.CodeMediaType)
		p.call(who, op.Method, path, `{"x": "`+strings.Repeat("x", 1<<20)+`"}`).wantProblem(413, core.CodeTooLarge)
		for _, body := range []string{`{"x": 1}`, `{"x": 1, "x": 2}`, `[]`, `null`, `"x"`, `{`, `{} {}`, strings.Repeat("[", 100), "{\"x\": \"\xff\"}"} {
			p.call(who, op.Method, path, body).wantProblem(400, core.CodeInvalid)
		}
		if op.BodyRequired {
			p.call(who, op.Method, path, "").wantProblem(400, core.CodeInvalid)
		}
	}
}

// W-07: there is no cross-origin access. W-09: no refusal shows what is inside.
func TestW07NoCORS(t *testing.T) {
	p := populate(t, sqliteHub(t))
	for _, origin := range []string{"null", "http://hub.test.evil.example", "http://evil.example", "http://hub.test"} {
		for _, method := range []string{"GET", "OPTIONS"} {
			r := p.call(p.who["admin"], method, "/users", "", "Origin", origin, "Access-Control-Request-Method", "GET")
			for name := range r.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s from %s: %s", method, origin, name)
				}
			}
		}
	}
}
