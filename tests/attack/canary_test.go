package attack

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

var canaryHubs = newHubs()

// errands does with a hub what people do, well and badly, so that every secret there is has been made and used.
func (h *hub) errands(t *testing.T) (answers []*answer) {
	t.Helper()
	note := func(a *answer) *answer { answers = append(answers, a); return a }
	project := h.project(t, "canary", "private")
	repo := project + "/app"
	h.newImage(t, repo)
	person := h.member(t, project, h.passwordUser(t, "person"), "owner")
	personal := h.personalTokenWithID(t, person, nil)
	robot := h.robot(t, project, grant{"**", []string{"pull", "push"}})
	cookie := h.login(t, person)
	for _, p := range []who{person, personal.who(), robot.who(), bearer(h.token(t, person, "repository:"+repo+":pull"))} {
		for _, path := range []string{"/v2/", manifestPath(repo, "v1"), "/v2/" + repo + "/tags/list", manifestPath(repo, "none")} {
			note(h.do(t, p, "GET", path, nil))
		}
		note(h.do(t, p, "POST", "/v2/"+repo+"/blobs/uploads/", nil))
		note(h.do(t, p, "PUT", manifestPath(repo, "bad"), "no manifest"))
	}
	admin := h.admin()
	for _, path := range []string{"users", "users/" + person.user, "users/me", "users/me/tokens", "sessions", "projects", "projects/" + project, "projects/" + project + "/robots",
		"projects/" + project + "/robots/" + robot.id, "projects/" + project + "/members", "projects/" + project + "/audit", "audit?limit=200", "audit/export", "jobs?limit=200", "system/info",
		"system/health", "statistics"} {
		for _, p := range []who{admin, person, personal.who(), robot.who(), anonymous()} {
			note(h.do(t, p, "GET", "/api/v1/"+path, nil))
		}
		note(h.do(t, anonymous(), "GET", "/api/v1/"+path, nil, headers{"Cookie": cookie}))
	}
	form := headers{"Content-Type": "application/x-www-form-urlencoded"}
	for _, grantType := range []string{"password", "refresh_token"} {
		for _, secret := range []string{person.secret, personal.secret, robot.secret} {
			a, err := h.try(anonymous(), "POST", "/service/token", "service=hallmark&grant_type="+grantType+"&username="+person.user+"&password="+secret+"&refresh_token="+secret, form)
			if err != nil {
				t.Fatal(err)
			}
			var v struct{ Token string }
			if a.status == 200 {
				a.decode(t, &v)
				h.secrets.add("a registry token", v.Token)
				continue // a token is what it is for
			}
			note(a)
		}
	}
	// And the rest of what is made once and shown once.
	a := h.do(t, admin, "POST", "/api/v1/projects/"+project+"/robots/"+robot.id+"/rotate", map[string]any{}).want(t, "rotate", 200)
	var v struct{ Secret string }
	a.decode(t, &v)
	h.secrets.add("a rotated robot's secret", v.Secret)
	h.do(t, admin, "PUT", "/api/v1/users/"+person.user+"/password", map[string]any{"password": h.secrets.add("a password that was set", "set-"+random(12))}, headers{"If-Match": "*"}).
		want(t, "set a password", 204, 200)
	note(h.do(t, admin, "POST", "/api/v1/keys/rotate", nil))
	// Secrets where none belong. Whoever comes with a password has to wait afterwards.
	wrong := h.secrets.add("a mistyped password", "mistyped-"+random(8))
	note(h.do(t, basic(wrong, "x"), "GET", "/v2/", nil)) // typed into the field for the name
	note(h.do(t, basic(person.user, wrong), "GET", "/v2/", nil))
	note(h.do(t, bearer(wrong), "GET", "/v2/", nil))
	note(h.do(t, basic(person.user, "hmp_"+wrong), "GET", "/v2/", nil))
	note(h.do(t, basic("robot$"+project+"+ci", "hmr_"+wrong), "GET", "/v2/", nil))
	note(h.do(t, anonymous(), "GET", "/v2/"+repo+"/tags/list?last="+wrong+"&password="+wrong, nil))
	note(h.do(t, anonymous(), "GET", "/service/token?service="+wrong+"&password="+wrong, nil))
	note(h.do(t, anonymous(), "GET", "/api/v1/users/me?token="+wrong, nil))
	note(h.do(t, anonymous(), "GET", "/v2/", nil, headers{"Cookie": "hallmark=" + wrong, "X-Api-Key": wrong, "Referer": "http://x/?token=" + wrong}))
	note(h.do(t, admin, "POST", "/api/v1/users", map[string]any{"username": person.user, "password": wrong}))                             // a conflict
	note(h.do(t, admin, "POST", "/api/v1/users", map[string]any{"username": "Not A Name", "password": wrong}))                            // not acceptable
	note(h.do(t, admin, "POST", "/api/v1/users", map[string]any{"username": unique("x"), "password": wrong, "passphrase": wrong}))        // unknown field
	note(h.do(t, person, "PUT", "/api/v1/users/me/password", map[string]any{"current_password": wrong, "password": wrong + " and more"})) // wrong
	note(h.do(t, anonymous(), "POST", "/api/v1/sessions", map[string]any{"username": person.user, "password": wrong}))
	return answers
}

// TestV45V52Canaries: no secret is in the log at its most talkative, in an answer but the one that makes it, in the
// database, or anywhere else under the data directory but in the files that are for it.
func TestV45V52Canaries(t *testing.T) {
	g := newHubs()
	g.on(t, func(t *testing.T, h *hub) {
		for _, a := range h.errands(t) {
			text := fmt.Sprint(a.header) + string(a.body)
			if err := h.secrets.in("an answer", text); err != nil {
				t.Errorf("%v: %.600s", err, text)
			}
		}
		if err := h.secrets.in("the log", h.log.String()); err != nil {
			t.Error(err)
		}
		for _, internal := range []string{"/debug/pprof/cmdline", "/readyz?verbose", "/debug/pprof/goroutine?debug=2"} {
			res, err := client.Get("http://" + h.internal + internal)
			if err != nil {
				t.Fatal(err)
			}
			a, err := read(res)
			if err != nil {
				t.Fatal(err)
			}
			if err := h.secrets.in(internal, string(a.body)); err != nil {
				t.Error(err)
			}
		}
		dump := h.dump(t)
		if !strings.Contains(dump, "canary-") {
			t.Fatal("the dump has nothing in it")
		}
		if err := h.secrets.in("V-52: the database", dump); err != nil {
			t.Error(err)
		}
		h.files(t, func(name string, content []byte) {
			if base := filepath.Base(name); base == "master.key" || base == "admin-secret" {
				return
			}
			if err := h.secrets.in(name, string(content)); err != nil {
				t.Error(err)
			}
		})
		// What is in the database instead of passwords is a slow hash, and no key lies open.
		if !strings.Contains(dump, "$argon2id$") || strings.Contains(dump, "PRIVATE KEY") {
			t.Error("passwords are not hashed with argon2id, or a key lies open")
		}
		seed := h.signingKey(t).Seed()
		if bytes.Contains([]byte(dump), seed) || strings.Contains(dump, fmt.Sprintf("%x", seed)) {
			t.Error("V-52: the key that signs tokens lies open in the database")
		}
	})
}

// TestV46ShownOnce: what is made once is shown once, and what is kept of it is of no use.
func TestV46ShownOnce(t *testing.T) {
	canaryHubs.on(t, func(t *testing.T, h *hub) {
		project := h.project(t, "once", "private")
		person := h.member(t, project, h.passwordUser(t, "person"), "owner")
		personal, robot := h.personalTokenWithID(t, person, nil), h.robot(t, project, grant{"**", []string{"pull"}})
		for prefix, secret := range map[string]string{"hmp_": personal.secret, "hmr_": robot.secret} {
			if !strings.HasPrefix(secret, prefix) || len(secret) < len(prefix)+43 { // 256 bits in base 62
				t.Errorf("%s: %d characters", prefix, len(secret))
			}
		}
		for _, path := range []string{"users/me/tokens", "projects/" + project + "/robots", "projects/" + project + "/robots/" + robot.id, "audit?limit=200", "projects/" + project + "/audit?limit=200"} {
			for _, p := range []who{person, h.admin()} {
				if err := h.secrets.in(path, string(h.do(t, p, "GET", "/api/v1/"+path, nil).body)); err != nil {
					t.Error(err)
				}
			}
		}
		// A repeated request (Idempotency-Key) is no way to see it again, if the answer is kept at all.
		again := headers{"Idempotency-Key": random(8)}
		body := map[string]any{"name": unique("token")}
		first := h.do(t, person, "POST", "/api/v1/users/me/tokens", body, again).want(t, "make a token", 201)
		var v struct{ Token string }
		first.decode(t, &v)
		h.secrets.add("a personal token", v.Token)
		second := h.do(t, person, "POST", "/api/v1/users/me/tokens", body, again)
		if second.status >= 500 {
			t.Errorf("the same request again: %s", second)
		}
		// What the database has is no credential.
		var hashes []string
		d := h.open(t)
		for _, q := range []string{`SELECT token_hash FROM personal_token`, `SELECT secret_hash FROM robot`, `SELECT password_hash FROM account`} {
			rows, err := d.Pool().Query(q)
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var hash string
				if err := rows.Scan(&hash); err != nil {
					t.Fatal(err)
				}
				hashes = append(hashes, hash)
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			rows.Close()
		}
		for _, hash := range hashes {
			for _, p := range []who{bearer(hash), bearer("hmp_" + hash), bearer("hmr_" + hash), basic("robot$x+y", hash)} {
				for _, path := range []string{"/v2/", "/api/v1/users/me"} {
					h.do(t, p, "GET", path, nil).want(t, "a hash as a credential", 401)
				}
			}
		}
		if err := h.secrets.in("V-46: the database", h.dump(t)); err != nil {
			t.Error(err)
		}
	})
}
