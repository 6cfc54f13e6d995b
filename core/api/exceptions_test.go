package api

import (
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

func TestExceptions(t *testing.T) {
	eachHub(t, func(h *hub) {
		owner := h.user("owner", false)
		h.project("team", core.Private, map[string]core.Role{"owner": core.RoleOwner})
		h.project("other", core.Private, map[string]core.Role{"owner": core.RoleOwner})
		ends := h.store.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
		body := func(more ...any) string {
			return jsonBody(append([]any{"vulnerability", "CVE-1", "reason", "not reached", "expires_at", ends.Format(time.RFC3339)}, more...)...)
		}
		var x, again Exception
		h.call(owner, "POST", "/projects/team/exceptions", body("purl", "pkg:NPM/x", "repository", "team/app")).want(201).into(&x)
		if x.Purl != "pkg:npm/x" || x.Repository != "team/app" || x.CreatedBy != "owner" || !x.ExpiresAt.Equal(ends) || x.Reason != "not reached" {
			t.Errorf("%+v", x)
		}
		if h.call(owner, "GET", "/projects/team/exceptions/"+x.ID, "").want(200).into(&again); again != x {
			t.Errorf("%+v", again)
		}
		var all []Exception
		if h.call(owner, "GET", "/projects/team/exceptions?vulnerability=CVE-1", "").want(200).into(&all); len(all) != 1 || all[0] != x {
			t.Errorf("%+v", all)
		}
		if h.call(owner, "GET", "/projects/team/exceptions?vulnerability=CVE-2", "").want(200).into(&all); len(all) != 0 {
			t.Errorf("%+v", all)
		}
		h.call(owner, "GET", "/projects/other/exceptions/"+x.ID, "").want(404)
		h.call(owner, "DELETE", "/projects/other/exceptions/"+x.ID, "").want(404)
		for pointer, bad := range map[string]string{
			"/purl":       body("purl", "text"),
			"/repository": body("repository", "other/app"),
			"/expires_at": strings.Replace(body(), ends.Format("2006"), "2099", 1),
		} {
			if text := h.call(owner, "POST", "/projects/team/exceptions", bad).want(400).Body; !strings.Contains(string(text), pointer) {
				t.Errorf("%s: %s", pointer, text)
			}
		}
		h.call(owner, "DELETE", "/projects/team/exceptions/"+x.ID, "").want(204)
		h.call(owner, "DELETE", "/projects/team/exceptions/"+x.ID, "").want(404)
	})
}
