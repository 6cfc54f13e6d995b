package attack

import (
	"fmt"
	"testing"
	"time"
)

var revokeHubs = newHubs()

// TestV22Revocation: what was taken away is gone from the API at once, and within a second for a registry token that
// would have lived for minutes.
func TestV22Revocation(t *testing.T) {
	revokeHubs.on(t, func(t *testing.T, h *hub) {
		type taken struct {
			name      string
			p         who                // the credential
			revoke    func(t *testing.T) // takes it away
			method    string             // of the request that is refused afterwards
			api       string             // a path of the API that p may read before; "" if there is none
			apiStatus int                // what it answers afterwards
		}
		project := h.project(t, "revoke", "private")
		repo := project + "/app"
		h.newImage(t, repo)
		projectPath := "/api/v1/projects/" + project
		match := headers{"If-Match": "*"}
		admin := func(t *testing.T, method, path string, body any) {
			t.Helper()
			h.do(t, h.admin(), method, path, body, match).want(t, method+" "+path, 200, 204)
		}
		var cases []taken
		disabled := h.newMember(t, project, "developer")
		cases = append(cases, taken{name: "a user is disabled", p: disabled, api: projectPath, apiStatus: 401, method: "GET",
			revoke: func(t *testing.T) {
				admin(t, "PATCH", "/api/v1/users/"+disabled.user, map[string]any{"disabled": true})
			}})
		deleted := h.newMember(t, project, "developer")
		cases = append(cases, taken{name: "a user is deleted", p: deleted, api: projectPath, apiStatus: 401, method: "GET",
			revoke: func(t *testing.T) { admin(t, "DELETE", "/api/v1/users/"+deleted.user, nil) }})
		person := h.member(t, project, h.passwordUser(t, "person"), "developer")
		cases = append(cases, taken{name: "a user with password is disabled", p: person, api: projectPath, apiStatus: 401, method: "GET",
			revoke: func(t *testing.T) { admin(t, "PATCH", "/api/v1/users/"+person.user, map[string]any{"disabled": true}) }})
		robot := h.robot(t, project, grant{"**", []string{"pull", "push"}})
		cases = append(cases, taken{name: "a robot is deleted", p: robot.who(), api: projectPath, apiStatus: 401, method: "GET",
			revoke: func(t *testing.T) { admin(t, "DELETE", projectPath+"/robots/"+robot.id, nil) }})
		off := h.robot(t, project, grant{"**", []string{"pull", "push"}})
		cases = append(cases, taken{name: "a robot is disabled", p: off.who(), api: projectPath, apiStatus: 401, method: "GET",
			revoke: func(t *testing.T) { admin(t, "PATCH", projectPath+"/robots/"+off.id, map[string]any{"disabled": true}) }})
		narrowed := h.robot(t, project, grant{"**", []string{"pull", "push"}})
		cases = append(cases, taken{name: "a robot may push no more", p: narrowed.who(), method: "POST", revoke: func(t *testing.T) {
			admin(t, "PATCH", projectPath+"/robots/"+narrowed.id, map[string]any{"permissions": []grant{{"**", []string{"pull"}}}})
		}})
		rotated := h.robot(t, project, grant{"**", []string{"pull", "push"}})
		cases = append(cases, taken{name: "a robot's secret is changed at once", p: rotated.who(), api: projectPath, apiStatus: 401, method: "",
			revoke: func(t *testing.T) {
				a := h.do(t, h.admin(), "POST", projectPath+"/robots/"+rotated.id+"/rotate", map[string]any{"overlap": 0}, match).want(t, "rotate", 200)
				var v struct{ Secret string }
				a.decode(t, &v)
				h.secrets.add("a robot's secret", v.Secret)
			}})
		demoted := h.newMember(t, project, "developer")
		cases = append(cases, taken{name: "a developer becomes a guest", p: demoted, method: "POST",
			revoke: func(t *testing.T) {
				admin(t, "PUT", projectPath+"/members/"+demoted.user, map[string]any{"role": "guest"})
			}})
		removed := h.newMember(t, project, "maintainer")
		cases = append(cases, taken{name: "a member is removed", p: removed, api: projectPath, apiStatus: 404, method: "GET",
			revoke: func(t *testing.T) { admin(t, "DELETE", projectPath+"/members/"+removed.user, nil) }})
		former := h.newMember(t, project, "maintainer")
		cases = append(cases, taken{name: "a maintainer becomes a developer", p: former, api: projectPath + "/members", apiStatus: 403, method: "DELETE",
			revoke: func(t *testing.T) {
				admin(t, "PUT", projectPath+"/members/"+former.user, map[string]any{"role": "developer"})
			}})
		holder := h.member(t, project, h.passwordUser(t, "holder"), "developer")
		token := h.personalTokenWithID(t, holder, nil)
		cases = append(cases, taken{name: "a personal token is deleted", p: token.who(), api: projectPath, apiStatus: 401, method: "GET",
			revoke: func(t *testing.T) {
				h.do(t, holder, "DELETE", "/api/v1/users/me/tokens/"+token.id, nil).want(t, "delete the token", 204)
			}})
		chief := h.user(t, "chief")
		admin(t, "PATCH", "/api/v1/users/"+chief.user, map[string]any{"admin": true})
		cases = append(cases, taken{name: "an administrator becomes a user", p: chief, api: "/api/v1/users", apiStatus: 403, method: "GET",
			revoke: func(t *testing.T) { admin(t, "PATCH", "/api/v1/users/"+chief.user, map[string]any{"admin": false}) }})

		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				registryToken := bearer(h.token(t, c.p, "repository:"+repo+":pull,push,delete"))
				ask := func(p who) *answer {
					switch c.method {
					case "POST":
						a := h.do(t, p, "POST", "/v2/"+repo+"/blobs/uploads/", nil)
						if a.status == 202 {
							h.do(t, p, "DELETE", a.header.Get("Location"), nil)
						}
						return a
					case "DELETE":
						return h.do(t, p, "DELETE", manifestPath(repo, "none"), nil)
					}
					return h.do(t, p, "GET", manifestPath(repo, "v1"), nil)
				}
				allowed := func(a *answer) bool { return a.status < 300 || a.status == 404 }
				for _, p := range []who{c.p, registryToken} {
					for range 3 { // whatever there is to remember is remembered by now
						if a := ask(p); !allowed(a) {
							t.Fatalf("before: %s: %s", p, a)
						}
					}
				}
				if c.api != "" {
					h.do(t, c.p, "GET", c.api, nil).want(t, "before", 200)
				}
				c.revoke(t)
				began := time.Now()
				if c.api != "" {
					h.do(t, c.p, "GET", c.api, nil).want(t, "the API right afterwards", c.apiStatus)
				}
				if c.method == "" {
					h.do(t, c.p, "GET", "/service/token?service=hallmark", nil).want(t, "a token right afterwards", 401)
					return
				}
				for _, p := range []who{c.p, registryToken} {
					eventually(t, p.name+" to be refused", time.Second-time.Since(began), func() error {
						if a := ask(p); a.status != 401 && a.status != 403 {
							return fmt.Errorf("it answers %s", a)
						}
						return nil
					})
				}
				t.Logf("refused after %s", time.Since(began))
				// It stays so.
				if a := ask(registryToken); a.status != 401 && a.status != 403 {
					t.Errorf("later: %s", a)
				}
				if got := h.do(t, c.p, "GET", "/service/token?service=hallmark&scope=repository:"+repo+":"+map[string]string{"GET": "pull", "POST": "push", "DELETE": "delete"}[c.method], nil); got.status == 200 {
					var v struct{ Token string }
					got.decode(t, &v)
					if access := claimsOf(t, v.Token)["access"].([]any); len(access) != 0 {
						t.Errorf("a new token grants %v", access)
					}
				}
			})
		}
	})
}

// TestV22PublicBecomesPrivate: what was public is closed for anonymous tokens as well.
func TestV22PublicBecomesPrivate(t *testing.T) {
	revokeHubs.on(t, func(t *testing.T, h *hub) {
		project := h.project(t, "opened", "public")
		repo := project + "/app"
		im := h.newImage(t, repo)
		token := bearer(h.token(t, anonymous(), "repository:"+repo+":pull"))
		for _, p := range []who{anonymous(), token} {
			h.do(t, p, "GET", manifestPath(repo, "v1"), nil).want(t, "before", 200)
			h.do(t, p, "GET", blobPath(repo, digestOf(im.layer)), nil).want(t, "before", 200)
		}
		h.do(t, h.admin(), "PATCH", "/api/v1/projects/"+project, map[string]any{"visibility": "private"}, headers{"If-Match": "*"}).want(t, "close it", 200)
		for _, p := range []who{anonymous(), token} {
			for _, path := range []string{manifestPath(repo, "v1"), blobPath(repo, digestOf(im.layer)), "/v2/" + repo + "/tags/list"} {
				eventually(t, path+" to be closed", time.Second, func() error {
					if a := h.do(t, p, "GET", path, nil); a.status != 401 {
						return fmt.Errorf("it answers %s", a)
					}
					return nil
				})
			}
		}
	})
}

// TestV22SessionEnds: a session that was ended, here or by a new password, is over at once.
func TestV22SessionEnds(t *testing.T) {
	revokeHubs.on(t, func(t *testing.T, h *hub) {
		p := h.passwordUser(t, "browser")
		me := func(cookie string) int {
			return h.do(t, anonymous(), "GET", "/api/v1/users/me", nil, headers{"Cookie": cookie}).status
		}
		one, two, three := h.login(t, p), h.login(t, p), h.login(t, p)
		for _, c := range []string{one, two, three} {
			if got := me(c); got != 200 {
				t.Fatalf("a fresh session: %d", got)
			}
		}
		h.do(t, anonymous(), "DELETE", "/api/v1/sessions/current", nil, headers{"Cookie": one, "Sec-Fetch-Site": "same-origin"}).want(t, "log out", 204)
		if me(one) != 401 || me(two) != 200 {
			t.Errorf("after logging out: %d, the other session %d", me(one), me(two))
		}
		h.do(t, p, "PUT", "/api/v1/users/me/password", map[string]any{"current_password": p.secret, "password": h.secrets.add("a password", "pw-"+random(12))}).want(t, "a new password", 204)
		if me(two) != 401 || me(three) != 401 {
			t.Errorf("after a new password: %d, %d", me(two), me(three))
		}
		h.do(t, p, "GET", "/v2/", nil).want(t, "the old password", 401)
	})
}

// TestV22OtherProcess: what was taken away through one process is gone from another one within a second.
func TestV22OtherProcess(t *testing.T) {
	revokeHubs.on(t, func(t *testing.T, h *hub) {
		if h.database != "postgres" {
			return // SQLite has one process
		}
		two := h.beside(t)
		project := h.project(t, "shared", "private")
		repo := project + "/app"
		h.newImage(t, repo)
		user, robot, member := h.newMember(t, project, "developer"), h.robot(t, project, grant{"**", []string{"pull"}}), h.newMember(t, project, "developer")
		for name, c := range map[string]struct {
			p            who
			method, path string
			body         any
		}{
			"disable": {user, "PATCH", "/api/v1/users/" + user.user, map[string]any{"disabled": true}},
			"robot":   {robot.who(), "DELETE", "/api/v1/projects/" + project + "/robots/" + robot.id, nil},
			"member":  {member, "DELETE", "/api/v1/projects/" + project + "/members/" + member.user, nil},
		} {
			token := bearer(h.token(t, c.p, "repository:"+repo+":pull"))
			for range 3 {
				two.do(t, c.p, "GET", manifestPath(repo, "v1"), nil).want(t, name+" before", 200)
				two.do(t, token, "GET", manifestPath(repo, "v1"), nil).want(t, name+" before", 200)
			}
			h.do(t, h.admin(), c.method, c.path, c.body, headers{"If-Match": "*"}).want(t, name, 200, 204)
			for _, p := range []who{token, c.p} {
				took := eventually(t, name+" to be known elsewhere", time.Second, func() error {
					if a := two.do(t, p, "GET", manifestPath(repo, "v1"), nil); a.status != 401 && a.status != 403 {
						return fmt.Errorf("it answers %s", a)
					}
					return nil
				})
				t.Logf("%s: after %s", name, took)
			}
		}
	})
}

// TestV22SameNameAgain: whoever comes later under the same name inherits nothing, and neither do those who had rights
// in what was there before.
func TestV22SameNameAgain(t *testing.T) {
	revokeHubs.on(t, func(t *testing.T, h *hub) {
		match := headers{"If-Match": "*"}
		project := h.project(t, "again", "private")
		repo := project + "/app"
		im := h.newImage(t, repo)
		before := h.newMember(t, project, "owner")
		robot := h.robot(t, project, grant{"**", []string{"pull", "push"}}).who()
		credentials := []who{before, robot, bearer(h.token(t, before, "repository:"+repo+":pull,push,delete")), bearer(h.token(t, robot, "repository:"+repo+":pull,push"))}
		for _, p := range credentials {
			h.do(t, p, "GET", manifestPath(repo, "v1"), nil).want(t, "before", 200)
			h.do(t, p, "GET", blobPath(repo, digestOf(im.layer)), nil).want(t, "before", 200)
		}
		upload := h.startUpload(t, before, repo)
		h.do(t, h.admin(), "DELETE", "/api/v1/projects/"+project+"/repositories/app", nil, match).want(t, "delete the repository", 204)
		h.do(t, h.admin(), "DELETE", "/api/v1/projects/"+project, nil, match).want(t, "delete the project", 204)
		after := h.user(t, "after")
		h.do(t, after, "POST", "/api/v1/projects", map[string]any{"name": project, "visibility": "private"}).want(t, "make it again", 201)
		for _, path := range []string{manifestPath(repo, "v1"), manifestPath(repo, im.digest.String()), blobPath(repo, digestOf(im.layer)), "/v2/" + repo + "/tags/list"} {
			h.do(t, after, "GET", path, nil).want(t, "what was there before", 404)
		}
		fresh := h.pushImage(t, after, repo, "v1", makeImage(nil))
		for _, p := range credentials {
			for _, path := range []string{manifestPath(repo, "v1"), blobPath(repo, digestOf(fresh.layer)), upload} {
				h.do(t, p, "GET", path, nil).want(t, "with rights of before", 401, 403)
			}
			h.do(t, p, "PUT", manifestPath(repo, "v2"), fresh.manifest, headers{"Content-Type": typeManifest}).want(t, "push with rights of before", 401, 403)
		}
		// A user of the same name.
		person := h.passwordUser(t, "same")
		personal := h.personalToken(t, person, nil)
		h.member(t, h.project(t, "old", "private"), person, "owner")
		token := bearer(h.token(t, person))
		cookie := h.login(t, person)
		h.do(t, h.admin(), "DELETE", "/api/v1/users/"+person.user, nil, match).want(t, "delete the user", 204, 409)
		h.do(t, h.admin(), "POST", "/api/v1/users", map[string]any{"username": person.user, "password": "another " + random(8)}).want(t, "make it again", 201)
		for _, p := range []who{person, basic(person.user, personal), bearer(personal), token} {
			h.do(t, p, "GET", "/v2/", nil).want(t, "a credential of before", 401)
		}
		h.do(t, anonymous(), "GET", "/api/v1/users/me", nil, headers{"Cookie": cookie}).want(t, "a session of before", 401)
	})
}
