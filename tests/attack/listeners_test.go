package attack

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

var listenerHubs = newHubs()

// TestV53Listeners: what is for operators is at their address alone, and nothing of the hub is there.
func TestV53Listeners(t *testing.T) {
	listenerHubs.on(t, func(t *testing.T, h *hub) {
		admin := h.admin()
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/profile?seconds=1", "/debug/vars", "/metrics", "/v2/debug/pprof/",
			"/api/v1/debug/pprof/", "/api/v1/metrics", "/debug/requests", "/.git/config", "/server-status", "/hallmark.db", "/master.key", "/../master.key", "/v2/../master.key"} {
			for _, p := range []who{anonymous(), admin} {
				a := h.raw(t, "GET", h.rawRequest(p, "GET", path))
				if a.status != 404 && !(a.status == 401 && p.header == "") {
					t.Errorf("%s GET %s: %s", p, path, a)
				}
				// Saying that one is the other listener changes nothing.
				a = h.do(t, p, "GET", "/debug/pprof/", nil, headers{"Host": h.internal, "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": h.internal, "X-Real-Ip": "127.0.0.1"})
				a.want(t, "with another host", 404)
			}
		}
		for _, path := range []string{"/v2/", "/v2/_catalog", "/service/token", "/api/v1/users", "/api/v1/system/info", "/", "/api/docs"} {
			for _, p := range []who{anonymous(), admin} {
				req, _ := http.NewRequest("GET", "http://"+h.internal+path, nil)
				if p.header != "" {
					req.Header.Set("Authorization", p.header)
				}
				res, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				if a, _ := read(res); a.status != 404 {
					t.Errorf("the internal address answers %s GET %s: %s", p, path, a)
				}
			}
		}
		// It listens where it was told to and nowhere else: not on other addresses of this machine.
		_, port, _ := net.SplitHostPort(h.internal)
		for _, elsewhere := range []string{"127.0.0.2", "[::1]"} {
			if c, err := net.DialTimeout("tcp", elsewhere+":"+port, time.Second); err == nil {
				c.Close()
				t.Errorf("the internal listener is reached at %s", elsewhere)
			}
		}
	})
}

// TestW08BlobsAreNoPages: what somebody pushed is never a page of the hub's.
func TestW08BlobsAreNoPages(t *testing.T) {
	listenerHubs.on(t, func(t *testing.T, h *hub) {
		repo := h.project(t, "pages", "public") + "/app"
		page := []byte("<!doctype html><script>alert(" + fmt.Sprintf("%q", random(4)) + ")</script>")
		d := h.pushBlob(t, h.admin(), repo, page)
		for _, accept := range []string{"", "text/html", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"} {
			for _, hs := range []headers{{"Accept": accept}, {"Accept": accept, "Range": "bytes=0-9"}, {"Accept": accept, "Range": "bytes=0-1,3-4"}} {
				a := h.do(t, anonymous(), "GET", blobPath(repo, d), nil, hs).want(t, "a page as a blob", 200, 206)
				kind := a.header.Get("Content-Type")
				if kind != "application/octet-stream" && !strings.HasPrefix(kind, "multipart/byteranges") || a.header.Get("X-Content-Type-Options") != "nosniff" {
					t.Errorf("%v: %v", hs, a.header)
				}
			}
		}
		for _, path := range []string{"/v2/<script>alert(1)</script>/tags/list", "/v2/" + repo + "/manifests/%3Cscript%3E", "/api/v1/projects/%3Cscript%3Ealert(1)%3C/script%3E", "/%3Cscript%3E",
			"/service/token?service=%3Cscript%3E", "/service/token?scope=%3Cscript%3E"} {
			a := h.raw(t, "GET", h.rawRequest(anonymous(), "GET", path, "Accept: text/html"))
			if kind := a.header.Get("Content-Type"); a.status < 400 || strings.Contains(kind, "html") {
				t.Errorf("GET %s: %d %s", path, a.status, kind)
			}
			// The server's own answer to a request line that it cannot read is plain text without anything of the request.
			if strings.Contains(string(a.body), "<script>") && a.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("GET %s: %v\n%s", path, a.header, a.body)
			}
		}
	})
}

// TestW10LogLines: nobody can write a line into the log, or colours onto a terminal that shows it.
func TestW10LogLines(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		t.Run(format, func(t *testing.T) {
			h := startHub(t, "sqlite", []string{"HALLMARK_LOG_FORMAT=" + format}, nil)
			const forged = `{"level":"ERROR","msg":"forged-record"}`
			evil := []string{"a\r\n" + forged, "a\n" + forged, "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\u2028" + forged, "\u0085" + forged, "\x00", "\x9b31m", "\u202egnp.exe", "\"} " + forged}
			escape := func(s string) string {
				var b strings.Builder
				for i := range len(s) {
					fmt.Fprintf(&b, "%%%02x", s[i])
				}
				return b.String()
			}
			project := h.project(t, "lines", "private")
			for _, e := range evil {
				for _, path := range []string{"/v2/" + escape(e) + "/tags/list", "/v2/" + project + "/app/manifests/" + escape(e), "/api/v1/projects/" + escape(e), "/api/v1/users/" + escape(e), "/" + escape(e),
					"/service/token?service=" + escape(e), "/service/token?service=hallmark&scope=repository:" + escape(e) + ":pull", "/v2/_catalog?last=" + escape(e)} {
					h.do(t, h.admin(), "GET", path, nil)
					h.do(t, anonymous(), "GET", path, nil)
				}
				h.raw(t, "GET", h.rawRequest(anonymous(), "GET", "/v2/", "User-Agent: "+strings.NewReplacer("\r", "", "\n", "").Replace(e)))
				h.raw(t, "GET", h.rawRequest(anonymous(), "GET", "/api/v1/users/me", "User-Agent: "+strings.NewReplacer("\r", "", "\n", "").Replace(e), "X-Request-Id: "+strings.NewReplacer("\r", "", "\n", "").Replace(e)))
				h.raw(t, "GET", h.rawRequest(anonymous(), strings.NewReplacer("\r", "", "\n", "", " ", "").Replace("GET"+e), "/v2/"))
				h.do(t, basic(e, "x"), "GET", "/v2/", nil)
				h.do(t, h.admin(), "PUT", manifestPath(project+"/app", "v1"), `{"mediaType":`+text(t, e)+`}`, headers{"Content-Type": "application/json"})
				h.do(t, h.admin(), "POST", "/api/v1/users", map[string]any{"username": unique("u"), "password": "correct horse battery", "display_name": e})
			}
			last := "/v2/the-last-one/tags/list"
			h.do(t, anonymous(), "GET", last, nil)
			eventually(t, "the log to be written", 5*time.Second, func() error {
				if !strings.Contains(h.log.String(), last) {
					return fmt.Errorf("%s is not in it yet", last)
				}
				return nil
			})
			s := bufio.NewScanner(strings.NewReader(h.log.String()))
			s.Buffer(nil, 1<<20)
			lines := 0
			for s.Scan() {
				lines++
				line := s.Text()
				var record map[string]any
				isJSON := json.Unmarshal([]byte(line), &record) == nil
				if !isJSON && (format == "json" || !strings.HasPrefix(line, "time=")) {
					t.Errorf("a line that is no record: %q", line)
				}
				if record["msg"] == "forged-record" {
					t.Errorf("a forged record: %q", line)
				}
				for _, c := range []string{"\x1b", "\x9b", "\x07", "\x00", "\r", "\u0085", "\u2028", "\u202e"} {
					if strings.Contains(line, c) {
						t.Errorf("a line has %q: %q", c, line)
					}
				}
			}
			if lines < 100 {
				t.Errorf("the log has %d lines", lines)
			}
		})
	}
}

// TestW11ForgedOrigins: where a request came from, and what the hub is called, is not for the client to say.
func TestW11ForgedOrigins(t *testing.T) {
	listenerHubs.on(t, func(t *testing.T, h *hub) {
		project := h.project(t, "origins", "private")
		repo := project + "/app"
		forged := headers{"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Real-Ip": "203.0.113.7", "Forwarded": "for=203.0.113.7;host=evil.example;proto=https",
			"X-Forwarded-Prefix": "/evil", "X-Forwarded-Server": "evil.example", "X-Original-Host": "evil.example", "X-Host": "evil.example"}
		a := h.do(t, anonymous(), "GET", "/v2/", nil, forged).want(t, "a challenge", 401)
		if got := a.header.Get("Www-Authenticate"); !strings.Contains(got, `realm="http://`+h.addr+`/service/token"`) {
			t.Errorf("the challenge is %s", got)
		}
		a = h.do(t, h.admin(), "POST", "/v2/"+repo+"/blobs/uploads/", nil, forged).want(t, "an upload", 202)
		if got := a.header.Get("Location"); !strings.HasPrefix(got, "/v2/"+repo+"/") {
			t.Errorf("the Location is %s", got)
		}
		// A Host that is not one is not repeated in the challenge, and one that is changes nothing but the realm's host.
		for _, host := range []string{"evil.example", "evil.example/path", "evil.example\"", "user@evil.example", "evil.example?x=", "evil.example#", "evil.example:port", ""} {
			a := h.raw(t, "GET", "GET /v2/ HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
			if got := a.header.Get("Www-Authenticate"); a.status != 400 && host != "evil.example" && strings.Contains(got, "evil") {
				t.Errorf("Host %q: %d, the challenge is %s", host, a.status, got)
			}
			a = h.raw(t, "POST", "POST /v2/"+repo+"/blobs/uploads/ HTTP/1.1\r\nHost: "+host+"\r\nContent-Length: 0\r\nAuthorization: "+h.admin().header+"\r\nConnection: close\r\n\r\n")
			if got := a.header.Get("Location"); strings.Contains(got, "evil") {
				t.Errorf("Host %q: the Location is %s", host, got)
			}
		}
		// The audit and the log have the peer's address; the cookie is that of plain http.
		person := h.passwordUser(t, "person")
		a = h.do(t, anonymous(), "POST", "/api/v1/sessions", map[string]any{"username": person.user, "password": person.secret}, headers{"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}).want(t, "log in", 201)
		cookie := a.header.Get("Set-Cookie")
		_, secret, _ := strings.Cut(strings.Split(cookie, ";")[0], "=")
		h.secrets.add("a session cookie", secret)
		if strings.HasPrefix(cookie, "__Host-") || a.header.Get("Strict-Transport-Security") != "" {
			t.Error("the hub believes that it speaks TLS")
		}
		h.do(t, h.admin(), "POST", "/api/v1/projects", map[string]any{"name": unique("forged"), "visibility": "private"}, forged).want(t, "a change", 201)
		audit := h.do(t, h.admin(), "GET", "/api/v1/audit?limit=200", nil).want(t, "audit", 200)
		if strings.Contains(string(audit.body), "203.0.113.7") || strings.Contains(h.log.String(), `"ip":"203.0.113.7"`) {
			t.Error("the forged address was believed")
		}
	})
}

// TestW11LoginWaitsForThePeer: other addresses in X-Forwarded-For are no way around waiting after failed log-ins.
func TestW11LoginWaitsForThePeer(t *testing.T) {
	newHubs().on(t, func(t *testing.T, h *hub) {
		for i := range 8 {
			a := h.do(t, basic(unique("nobody"), "wrong"), "GET", "/v2/", nil, headers{"X-Forwarded-For": fmt.Sprintf("203.0.113.%d", i)})
			want := 401
			if i >= 5 {
				want = 429
			}
			a.want(t, fmt.Sprint("failure ", i+1), want)
			if i >= 5 && a.header.Get("Retry-After") == "" {
				t.Error("there is no Retry-After")
			}
		}
	})
}

// TestW11TrustedProxy: from a proxy that is trusted the same headers say where a request came from, by their last hop.
func TestW11TrustedProxy(t *testing.T) {
	h := startHub(t, "sqlite", []string{"HALLMARK_TRUSTED_PROXIES=127.0.0.1/32, 10.0.0.0/8"}, nil)
	through := func(name, forwarded string) *answer {
		return h.do(t, basic(name, "wrong"), "GET", "/v2/", nil, headers{"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "hub.example"})
	}
	// What the client itself wrote stands in front and is not believed.
	for i := range 8 {
		a := through(unique("nobody"), fmt.Sprintf("198.51.100.%d, 203.0.113.9, 10.1.2.3", i))
		want := 401
		if i >= 5 {
			want = 429
		}
		a.want(t, fmt.Sprint("failure ", i+1), want)
		if got := a.header.Get("Www-Authenticate"); want == 401 && !strings.Contains(got, `realm="https://hub.example/service/token"`) {
			t.Errorf("the challenge is %s", got)
		}
	}
	through(unique("nobody"), "203.0.113.10").want(t, "another client", 401)
}
