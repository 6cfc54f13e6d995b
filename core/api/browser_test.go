package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
)

// browser keeps the session cookie, from this machine, as a page of the hub would.
type browser struct {
	h      *hub
	cookie *http.Cookie
}

func (b *browser) do(method, path, body string, options ...string) *reply {
	r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:999"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	for i := 0; i+1 < len(options); i += 2 {
		r.Header.Set(options[i], options[i+1])
	}
	w := httptest.NewRecorder()
	b.h.h.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		b.cookie = c
	}
	return &reply{t: b.h.t, what: method + " " + path, Status: w.Code, Header: w.Header(), Body: w.Body.Bytes()}
}

const fromHere = "same-origin"

func (h *hub) login(user string) *browser {
	h.t.Helper()
	b := &browser{h: h}
	b.do("POST", "/api/v1/sessions", `{"username": "`+user+`", "password": "`+goodPassword+`"}`, "Sec-Fetch-Site", fromHere).want(201)
	if b.cookie == nil || !b.cookie.HttpOnly || b.cookie.SameSite != http.SameSiteLaxMode || b.cookie.Path != "/" || b.cookie.Domain != "" {
		h.t.Fatalf("cookie %+v", b.cookie)
	}
	return b
}

// V-50: with a cookie every change must come from the hub's own pages; other credentials do not care, and then the cookie
// does nothing.
func TestV50CSRF(t *testing.T) {
	h := sqliteHub(t)
	alice := h.user("alice", false)
	b := h.login("alice")
	body := `{"name": "x", "visibility": "private"}`
	for name, options := range map[string][]string{
		"silent": nil, "null": {"Origin", "null"}, "foreign": {"Origin", "http://evil.example"}, "suffix": {"Origin", "http://localhost.evil.example"},
		"cross-site": {"Sec-Fetch-Site", "cross-site"}, "same-site": {"Sec-Fetch-Site", "same-site", "Origin", "http://other.localhost"},
	} {
		for _, call := range [][3]string{{"POST", "/api/v1/projects", body}, {"POST", "/api/v1/projects", ""}, {"DELETE", "/api/v1/sessions", ""},
			{"PUT", "/api/v1/users/me/password", "{}"}, {"PATCH", "/api/v1/users/me", "{}"}} {
			if r := b.do(call[0], call[1], call[2], options...); r.Status != 403 {
				t.Errorf("%s: %s: %d %s", name, r.what, r.Status, r.Body)
			}
		}
		for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"} {
			if r := b.do("POST", "/api/v1/projects", body, append(options, "Content-Type", kind)...); r.Status != 403 {
				t.Errorf("%s as %s: %d", name, kind, r.Status)
			}
		}
		b.do("GET", "/api/v1/users/me", "", options...).want(200)
		if name != "silent" { // somebody else's log-in must not be planted either
			(&browser{h: h}).do("POST", "/api/v1/sessions", `{"username": "alice", "password": "`+goodPassword+`"}`, options...).want(403)
		}
	}
	b.do("POST", "/api/v1/projects", body, "Sec-Fetch-Site", fromHere).want(201)
	b.do("POST", "/api/v1/projects", strings.Replace(body, "x", "y", 1), "Origin", "http://localhost").want(201)
	h.call(alice, "POST", "/projects", strings.Replace(body, "x", "z", 1), "Origin", "http://evil.example", "Cookie", b.cookie.String()).want(201)
	// A wrong token with a good cookie is a wrong token.
	b.do("GET", "/api/v1/users/me", "", "Authorization", "Bearer hmp_x").want(401)
}

func TestSessions(t *testing.T) {
	h := sqliteHub(t)
	h.user("alice", false)
	one, two := h.login("alice"), h.login("alice")
	var list []Session
	one.do("GET", "/api/v1/sessions", "").want(200).into(&list)
	if len(list) != 2 || list[0].Current || !list[1].Current || list[0].IP != "127.0.0.1" {
		t.Fatalf("%+v", list)
	}
	one.do("DELETE", "/api/v1/sessions/"+list[0].ID, "", "Sec-Fetch-Site", fromHere).want(204)
	two.do("GET", "/api/v1/users/me", "").want(401)
	one.do("DELETE", "/api/v1/sessions/current", "", "Sec-Fetch-Site", fromHere).want(204)
	if one.cookie.MaxAge >= 0 {
		t.Errorf("cookie %+v", one.cookie)
	}
	// A new password ends every session.
	three := h.login("alice")
	three.do("PUT", "/api/v1/users/me/password", `{"current_password": "`+goodPassword+`", "password": "other four words here"}`, "Sec-Fetch-Site", fromHere).want(204)
	three.do("GET", "/api/v1/users/me", "").want(401)
	h.call(anonymous, "POST", "/sessions", `{"username": "alice", "password": "wrong"}`).want(403) // plain http from afar
	(&browser{h: h}).do("POST", "/api/v1/sessions", `{"username": "alice", "password": "wrong"}`).want(401)
	(&browser{h: h}).do("POST", "/api/v1/sessions", `{"username": "nobody", "password": "wrong"}`).want(401)
}

// W-14: what only an administrator may change needs the password of the last five minutes when a cookie is all there is.
func TestW14Reauthentication(t *testing.T) {
	h := sqliteHub(t)
	h.user("admin", true)
	h.user("alice", false)
	h.project("team", core.Private, map[string]core.Role{"alice": core.RoleOwner})
	h.project("mine", core.Private, map[string]core.Role{"admin": core.RoleMaintainer})
	b := h.login("admin")
	h.age("admin")
	for _, call := range [][3]string{{"POST", "/users", `{"username": "bob", "password": "` + goodPassword + `"}`}, {"PUT", "/users/alice/password", `{"password": "other four words"}`},
		{"POST", "/keys/rotate", ""}, {"PATCH", "/projects/team", `{"visibility": "public"}`}, {"PUT", "/projects/team/members/admin", `{"role": "owner"}`},
		{"POST", "/projects", `{"name": "q", "visibility": "private", "quota_bytes": 1}`}, {"POST", "/users/me/tokens", `{"name": "lasting"}`},
		{"PATCH", "/projects/mine", `{"visibility": "public"}`}, {"PATCH", "/projects/mine", `{"baseline": "off"}`},
		{"PATCH", "/projects/mine", `{"quota_bytes": 1}`}} {
		b.do(call[0], "/api/v1"+call[1], call[2], "Sec-Fetch-Site", fromHere, "If-Match", "*").wantProblem(401, core.CodeReauthenticate)
	}
	b.do("GET", "/api/v1/users", "").want(200)
	b.do("POST", "/api/v1/projects", `{"name": "own", "visibility": "private"}`, "Sec-Fetch-Site", fromHere).want(201)       // anybody may
	b.do("PATCH", "/api/v1/projects/mine", `{"description": "x"}`, "Sec-Fetch-Site", fromHere, "If-Match", "*").want(200)    // a maintainer may
	b.do("PATCH", "/api/v1/projects/own", `{"visibility": "public"}`, "Sec-Fetch-Site", fromHere, "If-Match", "*").want(200) // an owner may
	b.do("PUT", "/api/v1/sessions/current/verification", `{"password": "wrong"}`, "Sec-Fetch-Site", fromHere).wantProblem(400, core.CodeInvalid)
	old := *b.cookie
	b.do("PUT", "/api/v1/sessions/current/verification", `{"password": "`+goodPassword+`"}`, "Sec-Fetch-Site", fromHere).want(200)
	if b.cookie.Value == old.Value {
		t.Error("the cookie is the same as before")
	}
	(&browser{h: h, cookie: &old}).do("GET", "/api/v1/users/me", "").want(401)
	b.do("POST", "/api/v1/users", `{"username": "bob", "password": "`+goodPassword+`"}`, "Sec-Fetch-Site", fromHere).want(201)
	b.do("POST", "/api/v1/users/me/tokens", `{"name": "lasting"}`, "Sec-Fetch-Site", fromHere).want(201)
	b.do("PATCH", "/api/v1/projects/mine", `{"visibility": "public", "quota_bytes": 1}`, "Sec-Fetch-Site", fromHere, "If-Match", "*").want(200)
	// What outlives the session needs the password of everybody. Who sends it along needs nothing else.
	a := h.login("alice")
	h.age("alice")
	a.do("POST", "/api/v1/users/me/tokens", `{"name": "lasting"}`, "Sec-Fetch-Site", fromHere).wantProblem(401, core.CodeReauthenticate)
	a.do("GET", "/api/v1/users/me/tokens", "").want(200)
	h.call(basic("alice", goodPassword), "POST", "/users/me/tokens", `{"name": "lasting"}`).want(201)
	// V-51: taking over an account leaves a trace.
	b.do("PUT", "/api/v1/users/alice/password", `{"password": "other four words"}`, "Sec-Fetch-Site", fromHere).want(204)
	var entries []AuditEntry
	b.do("GET", "/api/v1/audit?action=user.password&actor=admin", "").want(200).into(&entries)
	if len(entries) != 1 || entries[0].Object != "alice" || !strings.HasPrefix(entries[0].Credential, "session:") || entries[0].IP != "127.0.0.1" {
		t.Errorf("%+v", entries)
	}
}
