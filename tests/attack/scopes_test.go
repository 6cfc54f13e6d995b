package attack

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestV21TokenElsewhere: a token is good for what it names and nowhere else.
func TestV21TokenElsewhere(t *testing.T) {
	tokenHubs.on(t, func(t *testing.T, h *hub) {
		project := h.project(t, "scopes", "private")
		a, b := project+"/a", project+"/b"
		im := h.newImage(t, a)
		h.newImage(t, b)
		owner := h.newMember(t, project, "owner")
		pull := bearer(h.token(t, owner, "repository:"+a+":pull"))
		h.do(t, pull, "GET", manifestPath(a, "v1"), nil).want(t, "a", 200)
		challenge := func(p who, method, path, scope string) {
			t.Helper()
			got := h.do(t, p, method, path, nil).want(t, method+" "+path, 401).header.Get("Www-Authenticate")
			want := fmt.Sprintf(`Bearer realm="http://%s/service/token",service="hallmark",scope=%q,error="insufficient_scope"`, h.addr, scope)
			if got != want {
				t.Errorf("%s %s\ngot  %s\nwant %s", method, path, got, want)
			}
		}
		challenge(pull, "GET", manifestPath(b, "v1"), "repository:"+b+":pull")
		challenge(pull, "HEAD", blobPath(b, digestOf(im.layer)), "repository:"+b+":pull")
		challenge(pull, "GET", "/v2/"+b+"/tags/list", "repository:"+b+":pull")
		challenge(pull, "POST", "/v2/"+a+"/blobs/uploads/", "repository:"+a+":pull,push")
		challenge(pull, "PUT", manifestPath(a, "v2"), "repository:"+a+":pull,push")
		challenge(pull, "DELETE", manifestPath(a, "v1"), "repository:"+a+":delete")
		challenge(pull, "GET", "/v2/_catalog", "registry:catalog:*")
		push := bearer(h.token(t, owner, "repository:"+a+":push"))
		challenge(push, "GET", manifestPath(a, "v1"), "repository:"+a+":pull")
		nothing := bearer(h.token(t, owner))
		challenge(nothing, "GET", manifestPath(a, "v1"), "repository:"+a+":pull")
		h.do(t, nothing, "GET", "/v2/", nil).want(t, "a token for nothing", 200)

		// It is good for registries alone, and not for getting the next one.
		for _, path := range []string{"/api/v1/users/me", "/api/v1/projects", "/api/v1/system/info", "/service/token?service=hallmark"} {
			h.do(t, pull, "GET", path, nil).want(t, path, 401)
		}
		h.do(t, anonymous(), "POST", "/service/token", "grant_type=refresh_token&service=hallmark&refresh_token="+pull.secret,
			headers{"Content-Type": "application/x-www-form-urlencoded"}).want(t, "a registry token as refresh token", 401)
		h.do(t, basic(owner.user, pull.secret), "GET", "/v2/", nil).want(t, "a registry token as password", 401)

		// A browser's cookie is not good for registries.
		person := h.passwordUser(t, "person")
		h.member(t, project, person, "owner")
		cookie := h.login(t, person)
		h.do(t, anonymous(), "GET", "/api/v1/users/me", nil, headers{"Cookie": cookie}).want(t, "the cookie on /api", 200)
		h.do(t, anonymous(), "GET", "/v2/", nil, headers{"Cookie": cookie}).want(t, "the cookie on /v2", 401)
		h.do(t, anonymous(), "GET", manifestPath(a, "v1"), nil, headers{"Cookie": cookie}).want(t, "the cookie on /v2", 401)
		got := h.do(t, anonymous(), "GET", "/service/token?service=hallmark&scope=repository:"+a+":pull", nil, headers{"Cookie": cookie}).want(t, "the cookie for a token", 200)
		var v struct{ Token string }
		got.decode(t, &v)
		if c := claimsOf(t, v.Token); c["sub"] == "" || strings.HasPrefix(fmt.Sprint(c["sub"]), "user:") || len(c["access"].([]any)) != 0 {
			t.Errorf("the cookie got a token of %v for %v", c["sub"], c["access"])
		}
	})
}

// login begins a session and returns its cookie.
func (h *hub) login(t testing.TB, p who) string {
	t.Helper()
	a := h.do(t, anonymous(), "POST", "/api/v1/sessions", map[string]any{"username": p.user, "password": p.secret}).want(t, "log in", 201)
	cookie, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
	_, secret, ok := strings.Cut(cookie, "=")
	if !ok || len(secret) < 26 {
		t.Fatalf("no cookie in %v", a.header)
	}
	h.secrets.add("a session cookie", secret)
	return cookie
}

// TestV21OddScopes: scopes that are no scopes get nothing.
func TestV21OddScopes(t *testing.T) {
	tokenHubs.on(t, func(t *testing.T, h *hub) {
		owner := h.newMember(t, h.project(t, "odd", "private"), "owner")
		for _, scope := range []string{"repository:*:pull", "repository::pull", "repository:**:pull", "repository:odd/*:*", "repository:../x:pull",
			"repository", "repository:", ":", "::", "repository:a/b:", "repository:a/b:*,*", "registry:catalog:pull", "registry:*:*", "hub:*:*", "user:admin:*",
			"repository(plugin):a/b:pull", "repository:A/B:pull", "repository:a/b:PULL", "repository:a//b:pull", "repository:a/b/:pull", "repository:a/b\x00:pull",
			"repository:a:b:pull", "project:odd:*", "repository:" + strings.Repeat("a", 300) + ":pull"} {
			a := h.do(t, owner, "GET", "/service/token?service=hallmark&scope="+url.QueryEscape(scope), nil)
			if a.status == 400 {
				continue
			}
			var v struct{ Token string }
			a.want(t, scope, 200).decode(t, &v)
			if c := claimsOf(t, v.Token); len(c["access"].([]any)) != 0 {
				t.Errorf("%q was granted %v", scope, c["access"])
			}
		}
	})
}

// TestV21GrantedIsAskedAndAllowed: whatever is asked for, granted is what was asked for and is allowed.
func TestV21GrantedIsAskedAndAllowed(t *testing.T) {
	tokenHubs.on(t, func(t *testing.T, h *hub) {
		private, public, other := h.project(t, "private", "private"), h.project(t, "public", "public"), h.project(t, "other", "private")
		may := map[string]map[string][]string{} // by person and project
		all := []string{"pull", "push", "delete", "sign", "scan"}
		byRole := map[string][]string{"guest": {"pull"}, "developer": {"pull", "push", "sign"}, "maintainer": all, "owner": all}
		people := h.everybody(t, private)
		for _, p := range people {
			rights := map[string][]string{public: {"pull"}}
			switch {
			case byRole[p.name] != nil:
				rights[private] = byRole[p.name]
			case p.name == "robot that pulls":
				rights[private] = []string{"pull"}
			case p.user == "admin":
				rights = map[string][]string{public: all, private: all, other: all, "nowhere": all}
			}
			may[p.name] = rights
		}
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		actions := append([]string{"*", "write", ""}, all...)
		for range 400 {
			p := people[r.IntN(len(people))]
			var scopes []string
			want := map[string][]string{}
			for range 1 + r.IntN(4) {
				project := []string{private, public, other, "nowhere"}[r.IntN(4)]
				name := fmt.Sprintf("%s/r%d", project, r.IntN(3))
				if _, twice := want[name]; twice {
					continue
				}
				var asked []string
				for range r.IntN(4) {
					asked = append(asked, actions[r.IntN(len(actions))])
				}
				scopes = append(scopes, "repository:"+name+":"+strings.Join(asked, ","))
				want[name] = granted(asked, may[p.name][project])
			}
			maps.DeleteFunc(want, func(_ string, actions []string) bool { return len(actions) == 0 })
			got := map[string][]string{}
			access, _ := claimsOf(t, h.token(t, p, scopes...))["access"].([]any)
			for _, e := range access {
				entry := e.(map[string]any)
				for _, action := range entry["actions"].([]any) {
					name := entry["name"].(string)
					got[name] = append(got[name], action.(string))
				}
			}
			for _, actions := range got {
				slices.Sort(actions)
			}
			if text(t, got) != text(t, want) {
				t.Fatalf("%s asked for %q\ngot  %s\nwant %s", p, scopes, text(t, got), text(t, want))
			}
		}
	})
}

// granted is what of the actions asked for is allowed. Push includes sign, and who asks for it and may only sign gets that.
func granted(asked, allowed []string) []string {
	var out []string
	for _, a := range allowed {
		if slices.Contains(asked, a) || slices.Contains(asked, "*") || a == "sign" && slices.Contains(asked, "push") {
			out = append(out, a)
		}
	}
	if slices.Contains(out, "push") {
		out = slices.DeleteFunc(out, func(a string) bool { return a == "sign" })
	}
	slices.Sort(out)
	return out
}

// TestV21BoundCredentials: a credential that is bound cannot get one that is less so.
func TestV21BoundCredentials(t *testing.T) {
	tokenHubs.on(t, func(t *testing.T, h *hub) {
		project := h.project(t, "bound", "private")
		h.newImage(t, project+"/app")
		owner := h.member(t, project, h.passwordUser(t, "owner"), "owner")
		chief := h.passwordUser(t, "chief")
		h.do(t, h.admin(), "PATCH", "/api/v1/users/"+chief.user, map[string]any{"admin": true}, headers{"If-Match": "*"}).want(t, "make an administrator", 200)
		scopes := []grant{{project + "/app", []string{"pull"}}}
		robot := h.robot(t, project, grant{"app", []string{"pull"}}).who()
		for _, p := range []who{basic(owner.user, h.personalToken(t, owner, scopes)), bearer(h.personalToken(t, owner, scopes)), bearer(h.personalToken(t, chief, scopes)), robot, bearer(robot.secret)} {
			h.do(t, p, "GET", "/v2/"+project+"/app/tags/list", nil)
			for _, w := range []struct {
				method, path string
				body         any
			}{
				{"POST", "/api/v1/users/me/tokens", map[string]any{"name": unique("wider")}}, {"GET", "/api/v1/users/me/tokens", nil}, {"DELETE", "/api/v1/sessions", nil},
				{"PUT", "/api/v1/users/me/password", map[string]any{"current_password": owner.secret, "password": "correct horse battery"}},
				{"PATCH", "/api/v1/users/me", map[string]any{"display_name": "x"}}, {"POST", "/api/v1/projects", map[string]any{"name": unique("wider"), "visibility": "private"}},
				{"POST", "/api/v1/projects/" + project + "/robots", map[string]any{"name": unique("wider"), "permissions": []grant{{"**", []string{"push"}}}}},
				{"PUT", "/api/v1/projects/" + project + "/members/" + owner.user, map[string]any{"role": "owner"}}, {"DELETE", "/api/v1/projects/" + project, nil},
				{"PATCH", "/api/v1/projects/" + project, map[string]any{"visibility": "public"}}, {"DELETE", "/api/v1/projects/" + project + "/repositories/app", nil},
				{"PUT", "/api/v1/projects/" + project + "/repositories/app/tags/x", map[string]any{"digest": "sha256:" + strings.Repeat("0", 64)}},
				{"GET", "/api/v1/users", nil}, {"POST", "/api/v1/users", map[string]any{"username": unique("x"), "password": "correct horse battery"}}, {"POST", "/api/v1/keys/rotate", nil},
				{"GET", "/api/v1/audit", nil}, {"GET", "/api/v1/projects/" + project + "/audit", nil}, {"GET", "/api/v1/projects/" + project + "/robots", nil},
			} {
				if a := h.do(t, p, w.method, w.path, w.body, headers{"If-Match": "*"}); a.status != 403 && a.status != 404 {
					t.Errorf("%s %s %s: %s", p, w.method, w.path, a)
				}
			}
			h.do(t, p, "POST", "/v2/"+project+"/app/blobs/uploads/", nil).want(t, "push with a credential that pulls", 401, 403)
		}
	})
}
