package attack

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

var pathHubs = newHubs()

// spellings are other ways to write a path, which a proxy, a router or a file system might take for the same.
func spellings(h *hub, path string) map[string]string {
	bare, query, _ := strings.Cut(path, "?")
	if query != "" {
		query = "?" + query
	}
	out := map[string]string{
		"a slash at the end":   bare + "/" + query,
		"two at the end":       bare + "//" + query,
		"a dot at the end":     bare + "/." + query,
		"two dots at the end":  bare + "/.." + query,
		"two slashes in front": "/" + path,
		"upper case":           strings.ToUpper(bare) + query,
		"a parameter":          bare + ";x=y" + query,
		"a parameter first":    "/;x" + path,
		"NUL":                  bare + "%00" + query,
		"a space":              bare + "%20" + query,
		"a line end":           bare + "%0d%0a" + query,
		"all letters encoded":  "/" + encodeAll(bare[1:]) + query,
		"a question mark":      bare + "%3f" + query,
		"a number sign":        bare + "%23" + query,
		"an absolute address":  "http://" + h.addr + path,
		"another host":         "http://elsewhere.example" + path,
		"a backslash":          strings.Replace(bare, "/", "\\", 1) + query,
		"a detour":             "/x/.." + path,
		"an encoded detour":    "/x/%2e%2e" + path,
		"a detour through API": "/api/v1/../.." + path,
		"a detour through v2":  "/v2/.." + path,
		"a wide slash":         strings.Replace(bare, "/", "/%ef%bc%8f", 1) + query,
		"overlong slash":       strings.Replace(bare, "/", "/%c0%af", 1) + query,
	}
	for i, c := range bare {
		if c != '/' {
			continue
		}
		at := fmt.Sprintf(" at %d", i)
		out["two slashes"+at] = bare[:i] + "//" + bare[i+1:] + query
		out["a dot"+at] = bare[:i] + "/./" + bare[i+1:] + query
		out["an encoded dot"+at] = bare[:i] + "/%2e/" + bare[i+1:] + query
		out["there and back"+at] = bare[:i] + "/x/../" + bare[i+1:] + query
		out["encoded slash"+at] = bare[:i] + "%2f" + bare[i+1:] + query
		out["doubly encoded slash"+at] = bare[:i] + "%252f" + bare[i+1:] + query
	}
	return out
}

func encodeAll(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if s[i] == '/' {
			b.WriteByte('/')
			continue
		}
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.String()
}

// TestV17OtherSpellings: however a path is written, nobody gets more by it than by the path as it should be.
func TestV17OtherSpellings(t *testing.T) {
	pathHubs.on(t, func(t *testing.T, h *hub) {
		project := h.project(t, "spelled", "private")
		repo := project + "/app"
		im := h.newImage(t, repo)
		layer := strings.TrimPrefix(blobPath(repo, digestOf(im.layer)), "")
		reads := []string{
			"/v2/", "/v2/_catalog", "/v2/" + repo + "/tags/list", manifestPath(repo, "v1"), manifestPath(repo, im.digest.String()),
			layer, "/v2/" + repo + "/referrers/" + im.digest.String(), "/api/v1/users", "/api/v1/users/me", "/api/v1/projects/" + project,
			"/api/v1/projects/" + project + "/members", "/api/v1/projects/" + project + "/robots", "/api/v1/projects/" + project + "/repositories/app",
			"/api/v1/projects/" + project + "/repositories/app/tags/v1", "/api/v1/audit", "/api/v1/system/health", "/api/v1/jobs",
		}
		people := h.everybody(t, project)
		for _, path := range reads {
			for _, p := range people {
				canonical := h.do(t, p, "GET", path, nil).status
				for name, spelled := range spellings(h, path) {
					a := h.raw(t, "GET", h.rawRequest(p, "GET", spelled))
					same := a.status == canonical || a.status == http.StatusNotFound || a.status == http.StatusBadRequest ||
						// It may be another resource, which is not for everybody: users/me%20 is a user.
						a.status == http.StatusForbidden && p.user != "admin" || a.status == http.StatusUnauthorized && p.header == ""
					if refused := canonical >= 300; !same || refused && a.status < 400 {
						t.Errorf("%s GET %s: %d; with %s (%s): %s", p, path, canonical, name, spelled, a)
					}
				}
			}
		}
	})
}

// TestV17OtherMethods: what may not be changed is not changed by a request that says elsewhere what it means.
func TestV17OtherMethods(t *testing.T) {
	pathHubs.on(t, func(t *testing.T, h *hub) {
		project := h.project(t, "methods", "public")
		repo := project + "/app"
		im := h.newImage(t, repo)
		weak := []who{anonymous(), h.user(t, "stranger"), h.newMember(t, project, "guest")}
		writes := []struct{ method, path string }{
			{"DELETE", manifestPath(repo, "v1")}, {"DELETE", manifestPath(repo, im.digest.String())}, {"DELETE", blobPath(repo, digestOf(im.layer))},
			{"PUT", manifestPath(repo, "v2")}, {"POST", "/v2/" + repo + "/blobs/uploads/"}, {"DELETE", "/api/v1/projects/" + project},
			{"PATCH", "/api/v1/projects/" + project}, {"PUT", "/api/v1/projects/" + project + "/members/admin"}, {"POST", "/api/v1/projects/" + project + "/robots"},
			{"DELETE", "/api/v1/projects/" + project + "/repositories/app"},
		}
		for _, p := range weak {
			for _, w := range writes {
				for name, spelled := range spellings(h, w.path) {
					if a := h.raw(t, w.method, h.rawRequest(p, w.method, spelled, "Content-Length: 0")); a.status < 400 {
						t.Errorf("%s %s with %s (%s): %s", p, w.method, name, spelled, a)
					}
				}
				for _, header := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-Method", "X-Rewrite-Method"} {
					for _, as := range []string{"GET", "POST", "HEAD"} {
						h.do(t, p, as, w.path, nil, headers{header: w.method})
					}
				}
				for _, header := range []string{"X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Forwarded-Prefix"} {
					h.do(t, p, w.method, "/v2/", nil, headers{header: w.path})
				}
				h.do(t, p, "POST", w.path+"?_method="+w.method, "_method="+w.method, headers{"Content-Type": "application/x-www-form-urlencoded"})
			}
			for _, method := range []string{"OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "Get", "GETX", "PATCH", "LINK"} {
				for _, path := range []string{manifestPath(repo, "v1"), "/api/v1/projects/" + project} {
					if method == "CONNECT" {
						continue // its target is no path
					}
					a := h.raw(t, method, h.rawRequest(p, method, path, "Content-Length: 0"))
					if a.status < 400 && method != "OPTIONS" {
						t.Errorf("%s %s %s: %s", p, method, path, a)
					}
					for name := range a.header {
						if strings.HasPrefix(name, "Access-Control-") {
							t.Errorf("%s %s answers with %s", method, path, name)
						}
					}
				}
			}
		}
		a := h.do(t, h.admin(), "GET", manifestPath(repo, "v1"), nil).want(t, "the image is still there", 200)
		if string(a.body) != string(im.manifest) {
			t.Errorf("the image has changed: %s", a)
		}
		h.do(t, h.admin(), "GET", blobPath(repo, digestOf(im.layer)), nil).want(t, "the layer is still there", 200)
		h.do(t, h.admin(), "GET", manifestPath(repo, "v2"), nil).want(t, "nothing was added", 404)
	})
}
