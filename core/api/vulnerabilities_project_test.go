package api

import (
	"encoding/csv"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
)

func TestProjectVulnerabilities(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := startHub(t, open(t))
		team := h.project("team", core.Public, nil)
		for _, repository := range []string{"team/app", "team/lib"} {
			h.scanned(repository, h.image(repository, repository, "1.0"), "trivy", vulnerable(inText("CVE-1", core.SeverityHigh), inZlib("CVE-2", core.SeverityLow), inZlib("CVE-3", core.SeverityLow)))
		}
		robot, secret, err := h.store.CreateRobot(h.ctx, team, store.NewRobot{Name: "ci", Permissions: []core.Grant{{Repository: "app", Actions: []core.Action{core.ActionPull}}}})
		if err != nil {
			t.Fatal(err)
		}
		list := func(who cred, query string) string {
			t.Helper()
			var out []string
			for path := "/projects/team/vulnerabilities?" + query; path != ""; {
				var page []ProjectFinding
				r := h.call(who, "GET", path, "").want(200).into(&page)
				for _, x := range page {
					out = append(out, x.Repository+":"+strings.Join(x.Tags, ",")+" "+x.Finding.ID)
				}
				path = r.next()
			}
			return strings.Join(out, " ")
		}
		all := "app:1.0 CVE-1 app:1.0 CVE-2 app:1.0 CVE-3 lib:1.0 CVE-1 lib:1.0 CVE-2 lib:1.0 CVE-3"
		for query, want := range map[string]string{"": all, "limit=1": all, "limit=2": all, "limit=3": all, "limit=4": all, "severity=High": "app:1.0 CVE-1 lib:1.0 CVE-1", "fixable=true&limit=1": "app:1.0 CVE-1 lib:1.0 CVE-1"} {
			if got := list(anonymous, query); got != want {
				t.Errorf("%s: %q, want %q", query, got, want)
			}
		}
		r := h.call(anonymous, "GET", "/projects/team/vulnerabilities?format=csv&limit=4", "").want(200)
		rows, err := csv.NewReader(strings.NewReader(string(r.Body))).ReadAll()
		if err != nil || len(rows) != 5 || rows[4][0] != "team/lib" || r.next() == "" {
			t.Fatalf("%v %s", err, r.Body)
		}
		if r = h.call(anonymous, "GET", r.next(), "").want(200); strings.Count(string(r.Body), "\n") != 3 || r.next() != "" {
			t.Errorf("%s", r.Body)
		}
		private := core.Private
		if _, err := h.store.UpdateProject(h.ctx, team, store.ProjectPatch{Visibility: &private}, store.AnyRevision); err != nil {
			t.Fatal(err)
		}
		if got := list(basic(robot.Username(), secret), "limit=1"); got != all[:len(all)/2] {
			t.Errorf("a robot of one repository: %q", got)
		}
		h.call(anonymous, "GET", "/projects/team/vulnerabilities", "").want(401)
	})
}

func TestAliasLists(t *testing.T) {
	h := sqliteHub(t)
	admin := h.user("ada", true)
	put := func(body string) *reply { return h.call(admin, "PUT", "/vulnerability-aliases/cnnvd", body) }
	var s AliasSource
	put("{\"id\":\"CVE-1\",\"alias\":\"CNNVD-1\",\"title\":\"文本\"}\n\n{\"id\":\"CVE-2\",\"alias\":\"CNNVD-2\"}").want(200).into(&s)
	if s.Name != "cnnvd" || s.Aliases != 2 || s.ImportedAt.IsZero() || !strings.HasPrefix(s.ImportedBy, "user:") {
		t.Errorf("%+v", s)
	}
	for body, want := range map[string]string{"": "empty", "{}": "line 1", "id,alias\nCVE-1,CNNVD-1\nCVE-2": "line 3", "name,alias\n": "line 1",
		"{\"id\":\"CVE-1\",\"alias\":\"A\"}\n{\"id\":1}": "line 2", "{\"id\":\"CVE-1\",\"alias\":\"A\",\"x\":1}": "line 1", "id,alias\n\"CVE\n1\",A": "line 2"} {
		if p := put(body).wantProblem(400, core.CodeInvalid); !strings.Contains(strings.ToLower(p.Detail), want) {
			t.Errorf("%q: %s, want %s", body, p.Detail, want)
		}
	}
	var all []AliasSource
	h.call(admin, "GET", "/vulnerability-aliases", "").want(200).into(&all)
	if len(all) != 1 || all[0].Aliases != 2 {
		t.Errorf("a list that was refused changed something: %+v", all)
	}
	h.call(admin, "DELETE", "/vulnerability-aliases/cnnvd", "").want(204)
	h.call(admin, "DELETE", "/vulnerability-aliases/cnnvd", "").want(404)
}
