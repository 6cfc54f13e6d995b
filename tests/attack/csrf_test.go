package attack

import (
	"fmt"
	"strings"
	"testing"
)

var csrfHubs = newHubs()

// TestV50CrossSite: what another site makes a browser send does nothing, and what a program sends needs no cookie.
func TestV50CrossSite(t *testing.T) {
	csrfHubs.on(t, func(t *testing.T, h *hub) {
		person := h.passwordUser(t, "browser")
		cookie := h.login(t, person)
		own := "http://" + h.addr
		// The cookie is one that scripts cannot read and other sites' forms do not send.
		a := h.do(t, anonymous(), "POST", "/api/v1/sessions", map[string]any{"username": person.user, "password": person.secret}).want(t, "log in", 201)
		set := a.header.Get("Set-Cookie")
		_, secret, _ := strings.Cut(strings.Split(set, ";")[0], "=")
		h.secrets.add("a session cookie", secret)
		for _, attribute := range []string{"HttpOnly", "SameSite=Lax", "Path=/"} {
			if !strings.Contains(set, attribute) {
				t.Errorf("the cookie is not %s", attribute)
			}
		}
		if strings.Contains(set, "Domain=") {
			t.Error("the cookie is sent to other hosts of the domain")
		}
		foreign := []headers{
			{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": own + ".evil.example"}, {"Origin": "http://evil" + h.addr}, {"Origin": "file://"},
			{"Origin": "http://127.0.0.1:1"}, {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
			{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": own, "Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "nonsense"},
			{"Referer": "https://evil.example/"}, {},
		}
		writes := []struct {
			method, path string
			body         any
		}{
			{"POST", "/api/v1/projects", map[string]any{"name": "forged", "visibility": "public"}},
			{"POST", "/api/v1/users/me/tokens", map[string]any{"name": "forged"}},
			{"PATCH", "/api/v1/users/me", map[string]any{"display_name": "forged"}},
			{"PUT", "/api/v1/users/me/password", map[string]any{"current_password": person.secret, "password": person.secret + "!"}},
			{"DELETE", "/api/v1/sessions", nil}, {"DELETE", "/api/v1/sessions/current", nil},
		}
		for _, from := range foreign {
			for _, w := range writes {
				hs := headers{"Cookie": cookie, "If-Match": "*"}
				for k, v := range from {
					hs[k] = v
				}
				if a := h.do(t, anonymous(), w.method, w.path, w.body, hs); a.status != 403 {
					t.Errorf("%s %s from %v: %s", w.method, w.path, from, a)
				}
			}
		}
		// A form cannot send JSON, and other types are not taken for it.
		for _, kind := range []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "text/plain;application/json", "", "text/json", "application/jsonp"} {
			body := `{"name":"forged","visibility":"public"}`
			for _, origin := range []string{"https://evil.example", ""} {
				hs := headers{"Cookie": cookie, "Content-Type": kind}
				if origin != "" {
					hs["Origin"] = origin
				}
				h.do(t, anonymous(), "POST", "/api/v1/projects", body, hs).want(t, kind+" from "+origin, 403)
			}
			hs := headers{"Cookie": cookie, "Content-Type": kind, "Origin": own}
			h.do(t, anonymous(), "POST", "/api/v1/projects", body, hs).want(t, "W-08: "+kind, 415)
			h.do(t, person, "POST", "/api/v1/projects", body, headers{"Content-Type": kind}).want(t, "W-08: "+kind, 415)
		}
		// Logging somebody in, which another site would like to do as well.
		h.do(t, anonymous(), "POST", "/api/v1/sessions", map[string]any{"username": person.user, "password": person.secret}, headers{"Origin": "https://evil.example"}).want(t, "log in from elsewhere", 403)
		h.do(t, anonymous(), "GET", "/api/v1/projects/forged", nil, headers{"Cookie": cookie}).want(t, "nothing was made", 404)

		// The hub's own pages may, and a program with its own credentials, whose cookies do not count.
		for i, from := range []headers{{"Origin": own}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": own, "Sec-Fetch-Site": "same-origin"}} {
			from["Cookie"] = cookie
			h.do(t, anonymous(), "POST", "/api/v1/projects", map[string]any{"name": unique(fmt.Sprint("own", i)), "visibility": "private"}, from).want(t, "from its own page", 201)
		}
		h.do(t, person, "POST", "/api/v1/projects", map[string]any{"name": unique("program"), "visibility": "private"}, headers{"Origin": "https://evil.example", "Cookie": cookie}).want(t, "a program", 201)
		h.do(t, basic(person.user, "wrong password"), "GET", "/api/v1/users/me", nil, headers{"Cookie": cookie}).want(t, "a wrong password beside a good cookie", 401)
		// No other site may read answers either (W-07).
		for _, origin := range []string{"https://evil.example", "null", own} {
			a := h.do(t, anonymous(), "GET", "/api/v1/users/me", nil, headers{"Cookie": cookie, "Origin": origin})
			for name := range a.header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("for %s: %s: %s", origin, name, a.header.Get(name))
				}
			}
		}
		// A session id that somebody planted is not taken over (W-03).
		planted := "hallmark=" + strings.Repeat("A", len(secret))
		h.do(t, anonymous(), "GET", "/api/v1/users/me", nil, headers{"Cookie": planted}).want(t, "a planted cookie", 401)
		a = h.do(t, anonymous(), "POST", "/api/v1/sessions", map[string]any{"username": person.user, "password": person.secret}, headers{"Cookie": planted}).want(t, "log in with a planted cookie", 201)
		_, fresh, _ := strings.Cut(strings.Split(a.header.Get("Set-Cookie"), ";")[0], "=")
		h.secrets.add("a session cookie", fresh)
		h.do(t, anonymous(), "GET", "/api/v1/users/me", nil, headers{"Cookie": planted}).want(t, "the planted cookie afterwards", 401)
	})
}
