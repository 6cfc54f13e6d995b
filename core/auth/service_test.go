package auth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// form posts to the token service.
func (h *hub) form(body string, mod func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/service/token", strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:1234"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if mod != nil {
		mod(r)
	}
	w := httptest.NewRecorder()
	h.TokenService(nil).ServeHTTP(w, r)
	return w
}

// As docker, containerd, podman and the others ask.
func TestTokenService(t *testing.T) {
	onEach(t, func(t *testing.T, h *hub) {
		alice := h.user("alice")
		team := h.project("team", core.Private, alice)
		h.project("open", core.Public, alice)
		_, personal := h.personal(alice, "laptop", []core.Grant{grant("team/**", core.ActionPull)}, 0)
		_, robot := h.robot(team, "ci", grant("app", core.ActionPush, core.ActionPull))
		as := func(user, secret string) func(*http.Request) {
			return func(r *http.Request) { r.SetBasicAuth(user, secret) }
		}
		const q = "/service/token?service=hallmark&scope=repository%3Ateam%2Fapp%3Apull%2Cpush"
		const f = "service=hallmark&client_id=containerd-client&scope=repository%3Ateam%2Fapp%3Apull%2Cpush"
		for _, c := range []struct {
			name  string
			w     *httptest.ResponseRecorder
			who   string
			grant string
		}{
			{"docker login", h.ask("/service/token?account=alice&client_id=docker&offline_token=true&service=hallmark", as("alice", goodPassword)), "alice", "[]"},
			{"docker push", h.ask(q, as("alice", goodPassword)), "alice", "[{team/app [pull push]}]"},
			{"docker pull, anonymous", h.ask(q, nil), "anonymous", "[]"},
			{"public, anonymous", h.ask(strings.Replace(q, "team%2F", "open%2F", 1), nil), "anonymous", "[{open/app [pull]}]"},
			{"personal token", h.ask(q, as("alice", personal)), "alice", "[{team/app [pull]}]"},
			{"robot", h.ask(q, as("robot$team+ci", robot)), "robot$team+ci", "[{team/app [pull push]}]"},
			{"robot, other repository", h.ask(strings.Replace(q, "app", "web", 1), as("robot$team+ci", robot)), "robot$team+ci", "[]"},
			{"two scopes in one parameter", h.ask(q+"+repository:open/app:pull", as("alice", goodPassword)), "alice", "[{team/app [pull push]} {open/app [pull]}]"},
			{"two parameters", h.ask(q+"&scope=repository:open/app:pull", nil), "anonymous", "[{open/app [pull]}]"},
			{"no service", h.ask("/service/token?scope=repository:open/app:pull", nil), "anonymous", "[{open/app [pull]}]"},
			{"containerd", h.form("grant_type=password&username=alice&password="+url.QueryEscape(goodPassword)+"&"+f, nil), "alice", "[{team/app [pull push]}]"},
			{"containerd, robot", h.form("grant_type=password&username=robot%24team%2Bci&password="+robot+"&"+f, nil), "robot$team+ci", "[{team/app [pull push]}]"},
			{"identity token", h.form("grant_type=refresh_token&refresh_token="+personal+"&"+f, nil), "alice", "[{team/app [pull]}]"},
			{"identity token, robot", h.form("grant_type=refresh_token&refresh_token="+robot+"&"+f, nil), "robot$team+ci", "[{team/app [pull push]}]"},
			{"POST with Basic", h.form(f, as("alice", goodPassword)), "alice", "[{team/app [pull push]}]"},
		} {
			var a tokenAnswer
			if err := json.Unmarshal(c.w.Body.Bytes(), &a); err != nil || c.w.Code != http.StatusOK {
				t.Errorf("%s: %d %s", c.name, c.w.Code, c.w.Body)
				continue
			}
			at, err := time.Parse(time.RFC3339, a.IssuedAt)
			if err != nil || time.Since(at).Abs() > time.Minute || a.ExpiresIn != 300 || a.Token != a.AccessToken ||
				c.w.Header().Get("Cache-Control") != "no-store" || strings.Contains(c.w.Body.String(), "refresh") {
				t.Errorf("%s: %s", c.name, c.w.Body)
			}
			p, err := h.Registry(bearer(a.Token))
			if err != nil || p.Name != c.who || fmt.Sprint(p.Grants) != c.grant {
				t.Errorf("%s: %+v, %v", c.name, p, err)
			}
		}
	})
}

func TestTokenServiceRefuses(t *testing.T) {
	h := sqliteHub(t)
	alice := h.user("alice")
	_, personal := h.personal(alice, "laptop", nil, 0)
	token := h.token("alice", personal)
	with := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", value) }
	}
	wrong := func(r *http.Request) { r.SetBasicAuth("alice", "wrong") }
	long := strings.Repeat("x", maxTokenRequest)
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, "&scope=repository:p/r%d:pull", i)
	}
	for _, c := range []struct {
		name, code string
		w          *httptest.ResponseRecorder
		status     int
	}{
		{"wrong password", "UNAUTHORIZED", h.ask("/service/token", wrong), 401},
		{"wrong password by POST", "UNAUTHORIZED", h.form("grant_type=password&username=alice&password=wrong", nil), 401},
		{"no name by POST", "UNAUTHORIZED", h.form("grant_type=password&password=wrong", nil), 401},
		{"registry token", "UNAUTHORIZED", h.ask("/service/token", with("Bearer "+token)), 401},
		{"registry token as refresh token", "UNAUTHORIZED", h.form("grant_type=refresh_token&refresh_token="+token, nil), 401},
		{"no refresh token", "UNAUTHORIZED", h.form("grant_type=refresh_token", nil), 401},
		{"Digest", "UNAUTHORIZED", h.ask("/service/token", with("Digest x")), 401},
		{"other service", "QUERY_INVALID", h.ask("/service/token?service=other", nil), 400},
		{"no scope", "QUERY_INVALID", h.ask("/service/token?scope=pull", nil), 400},
		{"pattern as name", "QUERY_INVALID", h.ask("/service/token?scope=repository:*:pull", nil), 400},
		{"patterns as name", "QUERY_INVALID", h.ask("/service/token?scope=repository:team/**:pull", nil), 400},
		{"no name", "QUERY_INVALID", h.ask("/service/token?scope=repository::pull", nil), 400},
		{"many scopes", "QUERY_INVALID", h.ask("/service/token?x=y"+many.String(), nil), 400},
		{"bad escape", "QUERY_INVALID", h.ask("/service/token?scope=%zz", nil), 400},
		{"other grant type", "QUERY_INVALID", h.form("grant_type=client_credentials", nil), 400},
		{"credentials twice", "QUERY_INVALID", h.form("grant_type=password&username=alice&password=x", wrong), 400},
		{"query one too long", "TOO_LARGE", h.ask("/service/token?x="+long[:maxTokenRequest-1], nil), 413},
		{"form one too long", "TOO_LARGE", h.form("x="+long[:maxTokenRequest-1], nil), 413},
		{"JSON", "UNSUPPORTED", h.form("{}", func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }), 415},
	} {
		var body struct {
			Errors []struct{ Code, Message string }
		}
		if err := json.Unmarshal(c.w.Body.Bytes(), &body); err != nil || c.w.Code != c.status || len(body.Errors) != 1 ||
			body.Errors[0].Code != c.code || len(body.Errors[0].Message) < 20 {
			t.Errorf("%s: %d %s", c.name, c.w.Code, c.w.Body)
		}
		if (c.w.Header().Get("WWW-Authenticate") != "") != (c.status == 401) {
			t.Errorf("%s: challenge %q", c.name, c.w.Header().Get("WWW-Authenticate"))
		}
		if strings.Contains(c.w.Body.String(), "wrong\"") || strings.Contains(c.w.Body.String(), token) {
			t.Errorf("%s: a secret is in %s", c.name, c.w.Body)
		}
	}
	for name, w := range map[string]*httptest.ResponseRecorder{
		"query at the limit": h.ask("/service/token?x="+long[:maxTokenRequest-2], nil),
		"form at the limit":  h.form("x="+long[:maxTokenRequest-2], nil),
	} {
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	r := httptest.NewRequest("PUT", "/service/token", nil)
	w := httptest.NewRecorder()
	h.TokenService(nil).ServeHTTP(w, r)
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, POST" {
		t.Errorf("PUT: %d", w.Code)
	}
	h.failMore("alice", "127.0.0.1")
	if w := h.ask("/service/token", wrong); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" ||
		!strings.Contains(w.Body.String(), "TOOMANYREQUESTS") {
		t.Errorf("too many: %d %s", w.Code, w.Body)
	}
	// W-04: robots and personal tokens do not wait for those who guess.
	h.token("alice", personal)
}

// V-45: no secret that passes through is in the log.
func TestV45NothingSecretIsLogged(t *testing.T) {
	h := sqliteHub(t)
	alice := h.user("alice")
	_, personal := h.personal(alice, "laptop", nil, 0)
	token := h.token("alice", personal)
	h.db.Close() // from here on everything fails inside
	for _, r := range []*http.Request{basic("alice", "canary-password"), basic("alice", personal), bearer(token), bearer("canary-bearer")} {
		if _, err := h.Registry(r); err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("in the error: %v", err)
		}
		if w := h.ask("/service/token?scope=repository:a/b:pull", func(q *http.Request) { q.Header = r.Header }); w.Code < 400 || strings.Contains(w.Body.String(), "canary") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	for _, secret := range []string{"canary", personal, token, goodPassword} {
		if strings.Contains(h.log.String(), secret) {
			t.Errorf("%q is in the log:\n%s", secret, h.log)
		}
	}
}
