package attack

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

var listHubs = newHubs()

// TestV15ListLimits asks for lists of impossible lengths: nothing is allocated for what was only asked for.
func TestV15ListLimits(t *testing.T) {
	listHubs.on(t, func(t *testing.T, h *hub) {
		project := h.project(t, "lists", "private")
		repo := project + "/app"
		im := h.newImage(t, repo)
		for i := range 3 {
			h.putManifest(t, h.admin(), repo, fmt.Sprintf("v%d", i+2), typeManifest, im.manifest).want(t, "tag", 201)
		}
		h.pushImage(t, h.admin(), project+"/other", "v1", makeImage(nil))
		subject := descriptor{typeManifest, im.digest, len(im.manifest)}
		for range 2 {
			h.pushImage(t, h.admin(), repo, "", makeImage(map[string]any{"subject": subject}))
		}
		admin := h.admin()
		lists := []struct {
			name, path, member string
			all                int
		}{
			{"catalog", "/v2/_catalog?n=", "repositories", 2},
			{"tags", "/v2/" + repo + "/tags/list?n=", "tags", 4},
			{"referrers", "/v2/" + repo + "/referrers/" + im.digest.String() + "?n=", "manifests", 2},
		}
		for _, l := range lists {
			t.Run(l.name, func(t *testing.T) {
				h.frugal(t, 5<<20, func() {
					for _, n := range []string{"-1", "abc", "9223372036854775808", "1e9", "+1", "0x10", "1.0", "99999999999999999999999", "%00", "1%201", "1;2"} {
						h.do(t, admin, "GET", l.path+n, nil).want(t, "n="+n, 400)
					}
					for _, n := range []string{"1001", "2147483648", "4294967296", "9223372036854775807", "1000000000"} {
						a := h.do(t, admin, "GET", l.path+n, nil).want(t, "n="+n, 200)
						if got := length(t, a, l.member); got != l.all || a.header.Get("Link") != "" {
							t.Errorf("n=%s: %d entries, Link %q", n, got, a.header.Get("Link"))
						}
					}
				})
				a := h.do(t, admin, "GET", l.path+"0", nil).want(t, "n=0", 200)
				if got := length(t, a, l.member); got != 0 || a.header.Get("Link") != "" {
					t.Errorf("n=0: %d entries, Link %q", got, a.header.Get("Link"))
				}
				a = h.do(t, admin, "GET", l.path+"1", nil).want(t, "n=1", 200)
				if got := length(t, a, l.member); got != 1 || !strings.Contains(a.header.Get("Link"), `rel="next"`) {
					t.Errorf("n=1: %d entries, Link %q", got, a.header.Get("Link"))
				}
				if got := h.do(t, admin, "GET", l.path, nil); got.status != 400 && got.status != 200 {
					t.Errorf("an empty n: %s", got)
				}
			})
		}
	})
}

func length(t *testing.T, a *answer, member string) int {
	t.Helper()
	var v map[string]json.RawMessage
	a.decode(t, &v)
	var items []json.RawMessage
	if err := json.Unmarshal(v[member], &items); err != nil || items == nil {
		t.Errorf("%s is no list in %s", member, a)
	}
	return len(items)
}

// TestV15APILimits is the same for the lists of the API.
func TestV15APILimits(t *testing.T) {
	listHubs.on(t, func(t *testing.T, h *hub) {
		for _, path := range []string{"/api/v1/projects", "/api/v1/users", "/api/v1/audit", "/api/v1/jobs", "/api/v1/users/me/tokens"} {
			h.frugal(t, 5<<20, func() {
				for _, n := range []string{"-1", "abc", "9223372036854775808", "1e9", "", "%00"} {
					h.do(t, h.admin(), "GET", path+"?limit="+n, nil).want(t, path+" limit="+n, 400)
				}
				for _, n := range []string{"201", "2147483648", "9223372036854775807"} {
					h.do(t, h.admin(), "GET", path+"?limit="+n, nil).want(t, path+" limit="+n, 200)
				}
			})
			a := h.do(t, h.admin(), "GET", path+"?limit=0", nil).want(t, path+" limit=0", 200)
			if strings.TrimSpace(string(a.body)) != "[]" || a.header.Get("Link") != "" {
				t.Errorf("%s with limit=0: %s, Link %q", path, a, a.header.Get("Link"))
			}
		}
	})
}
