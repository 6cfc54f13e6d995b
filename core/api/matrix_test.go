package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
)

// The kinds of principals, in the order of the columns below. "scoped" is a personal token of the owner bound to pull in
// team/app and open/app; "robot" a robot of team with pull and push on app; "stray" a robot of another project.
func columns() []string {
	return []string{"anonymous", "expired", "disabled", "stranger", "guest", "developer", "maintainer", "owner", "admin", "scoped", "robot", "stray"}
}

// class is who may do an operation: one row of statuses, in the order of columns. "ok" is the status of whoever may.
type class [12]string

func row(s string) class {
	var c class
	copy(c[:], strings.Fields(s))
	return c
}

// The classes. There is one for each way in which the table of core/access treats people differently.
func classes() map[string]class {
	return map[string]class{
		//               anon exp  dis  strg gues deve main owne admi scop robo stray
		"everybody":  row("ok  401  401  ok   ok   ok   ok   ok   ok   ok   ok   ok"),
		"self":       row("401 401  401  ok   ok   ok   ok   ok   ok   403  403  403"),
		"signed in":  row("401 401  401  ok   ok   ok   ok   ok   ok   403  403  403"),
		"info":       row("401 401  401  ok   ok   ok   ok   ok   ok   ok   ok   ok"),
		"admin":      row("401 401  401  403  403  403  403  403  ok   403  403  403"),
		"read":       row("401 401  401  404  ok   ok   ok   ok   ok   ok   ok   404"),
		"pull":       row("401 401  401  404  ok   ok   ok   ok   ok   ok   ok   404"),
		"push":       row("401 401  401  404  403  ok   ok   ok   ok   403  ok   404"),
		"label":      row("401 401  401  404  403  ok   ok   ok   ok   403  403  404"),
		"delete":     row("401 401  401  404  403  403  ok   ok   ok   403  403  404"),
		"maintainer": row("401 401  401  404  403  403  ok   ok   ok   403  403  404"),
		"owner":      row("401 401  401  404  403  403  403  ok   ok   403  403  404"),
		// The same in a public project.
		"read open":       row("ok  401  401  ok   ok   ok   ok   ok   ok   ok   ok   ok"),
		"pull open":       row("ok  401  401  ok   ok   ok   ok   ok   ok   ok   ok   ok"),
		"push open":       row("401 401  401  403  403  ok   ok   ok   ok   403  403  403"),
		"label open":      row("401 401  401  403  403  ok   ok   ok   ok   403  403  403"),
		"delete open":     row("401 401  401  403  403  403  ok   ok   ok   403  403  403"),
		"maintainer open": row("401 401  401  403  403  403  ok   ok   ok   403  403  403"),
		"owner open":      row("401 401  401  403  403  403  403  ok   ok   403  403  403"),
	}
}

// expectation is one row of the matrix: who may, how the operation is asked for, and what whoever may is answered. Changes
// are asked for so that they fail after the decision: nothing is changed, and the status tells that it was allowed.
type expectation struct {
	class string
	ok    int
	body  string
	query string
}

// matrix is the one table of who may do what over HTTP (W-06). An operation without a row fails the test.
func matrix() map[string]expectation {
	return map[string]expectation{
		"createUser":      {"admin", 400, "{}", ""},
		"listUsers":       {"admin", 200, "", ""},
		"getUser":         {"admin", 200, "", ""},
		"updateUser":      {"admin", 428, `{"display_name": "x"}`, ""},
		"deleteUser":      {"admin", 428, "", ""},
		"setUserPassword": {"admin", 400, "{}", ""},

		"getMe":            {"info", 200, "", ""},
		"getMyPermissions": {"info", 200, "", ""},
		"updateMe":         {"self", 428, `{"display_name": "x"}`, ""},
		"changeMyPassword": {"self", 400, "{}", ""},
		"createMyToken":    {"self", 400, "{}", ""},
		"listMyTokens":     {"self", 200, "", ""},
		"deleteMyToken":    {"self", 404, "", ""},

		"createSession":        {"everybody", 400, "{}", ""},
		"listSessions":         {"self", 200, "", ""},
		"deleteSessions":       {"self", 204, "", ""},
		"deleteSession":        {"self", 404, "", ""},
		"deleteCurrentSession": {"self", 400, "", ""}, // there is none: a token was sent
		"verifyCurrentSession": {"self", 400, "{}", ""},

		"putRegistry":    {"admin", 400, "{}", ""},
		"getRegistry":    {"admin", 200, "", ""},
		"listRegistries": {"admin", 200, "", ""},
		"deleteRegistry": {"admin", 428, "", ""},
		"checkRegistry":  {"admin", 400, "", "x=1"},

		"putScanner":            {"admin", 400, "{}", ""},
		"getScanner":            {"admin", 200, "", ""},
		"listScanners":          {"admin", 200, "", ""},
		"deleteScanner":         {"admin", 428, "", ""},
		"pingScanner":           {"admin", 400, "", "x=1"},
		"scanAll":               {"admin", 400, "", "x=1"},
		"scanProject":           {"maintainer", 400, "", "x=1"},
		"getScanJob":            {"maintainer", 404, "", ""},
		"cancelScanJob":         {"maintainer", 404, "", ""},
		"scanArtifact":          {"delete", 400, "", "x=1"},
		"putWebhook":            {"admin", 400, "{}", ""},
		"getWebhook":            {"admin", 200, "", ""},
		"listWebhooks":          {"admin", 200, "", ""},
		"deleteWebhook":         {"admin", 428, "", ""},
		"testWebhook":           {"admin", 400, "", "x=1"},
		"listWebhookDeliveries": {"admin", 200, "", ""},
		"redeliver":             {"admin", 404, "", ""},

		"putProjectWebhook":            {"owner", 400, "{}", ""},
		"getProjectWebhook":            {"owner", 200, "", ""},
		"listProjectWebhooks":          {"owner", 200, "", ""},
		"deleteProjectWebhook":         {"owner", 428, "", ""},
		"testProjectWebhook":           {"owner", 400, "", "x=1"},
		"listProjectWebhookDeliveries": {"owner", 200, "", ""},
		"redeliverOfProject":           {"owner", 404, "", ""},

		"createProject": {"signed in", 400, "{}", ""},
		"listProjects":  {"everybody", 200, "", ""},
		"getProject":    {"read", 200, "", ""},
		"updateProject": {"maintainer", 428, `{"description": "x"}`, ""},
		"deleteProject": {"owner", 428, "", ""},

		"listMembers":  {"maintainer", 200, "", ""},
		"getMember":    {"maintainer", 200, "", ""},
		"putMember":    {"owner", 400, "{}", ""},
		"deleteMember": {"owner", 428, "", ""},

		"listRobots":  {"maintainer", 200, "", ""},
		"getRobot":    {"maintainer", 200, "", ""},
		"createRobot": {"owner", 400, "{}", ""},
		"updateRobot": {"owner", 428, `{"disabled": true}`, ""},
		"deleteRobot": {"owner", 428, "", ""},
		"rotateRobot": {"owner", 400, `{"x": 1}`, ""},

		"listLabels":          {"read", 200, "", ""},
		"getLabel":            {"read", 200, "", ""},
		"putLabel":            {"maintainer", 428, `{"color": "#123456"}`, ""},
		"deleteLabel":         {"maintainer", 428, "", ""},
		"addArtifactLabel":    {"label", 204, "", ""},
		"removeArtifactLabel": {"label", 400, "", "x=1"},

		"listRepositories": {"read", 200, "", ""},
		"getRepository":    {"pull", 200, "", ""},
		"updateRepository": {"maintainer", 428, `{"summary": "x"}`, ""},
		"deleteRepository": {"delete", 400, "", "x=1"},
		"listTags":         {"pull", 200, "", ""},
		"getTag":           {"pull", 200, "", ""},
		"putTag":           {"push", 400, "{}", ""},
		"deleteTag":        {"delete", 400, "", "x=1"},

		"listArtifacts":      {"pull", 200, "", ""},
		"getArtifact":        {"pull", 200, "", ""},
		"listArtifactTags":   {"pull", 200, "", ""},
		"getArtifactHistory": {"pull", 200, "", ""},
		"listReferrers":      {"pull", 200, "", ""},
		"copyArtifact":       {"push", 400, "{}", ""},
		"deleteArtifact":     {"delete", 400, "", "x=1"},

		"getSBOM":              {"pull", 200, "", ""},
		"listArtifactPackages": {"pull", 200, "", ""},
		"diffPackages":         {"pull", 200, "", "against=1.0"},
		"findPackage":          {"everybody", 200, "", "purl=pkg:npm/a"},

		"listVulnerabilities":        {"pull", 200, "", ""},
		"diffVulnerabilities":        {"pull", 200, "", "with=1.0"},
		"getChecks":                  {"pull", 200, "", ""},
		"listProjectVulnerabilities": {"read", 200, "", ""},
		"findVulnerabilities":        {"everybody", 200, "", ""},
		"getVulnerability":           {"everybody", 200, "", ""},
		"listAliasSources":           {"info", 200, "", ""},
		"putAliases":                 {"admin", 400, "{}", ""},
		"deleteAliases":              {"admin", 404, "", ""},

		"listAuthorities": {"info", 200, "", ""},
		"getAuthority":    {"info", 200, "", ""},
		"putAuthority":    {"admin", 400, "{}", ""},
		"deleteAuthority": {"admin", 428, "", ""},
		"listTrustRoots":  {"info", 200, "", ""},
		"getTrustRoot":    {"info", 200, "", ""},
		"putTrustRoot":    {"admin", 400, "{}", ""},
		"deleteTrustRoot": {"admin", 428, "", ""},
		"listPolicies":    {"info", 200, "", ""},
		"getPolicy":       {"info", 200, "", ""},
		"putPolicy":       {"admin", 400, "{}", ""},
		"deletePolicy":    {"admin", 428, "", ""},
		"revokeAuthority": {"admin", 400, "", "x=1"},

		"listProjectAuthorities": {"read", 200, "", ""},
		"getProjectAuthority":    {"read", 200, "", ""},
		"putProjectAuthority":    {"owner", 400, "{}", ""},
		"deleteProjectAuthority": {"owner", 428, "", ""},
		"listProjectTrustRoots":  {"read", 200, "", ""},
		"getProjectTrustRoot":    {"read", 200, "", ""},
		"putProjectTrustRoot":    {"owner", 400, "{}", ""},
		"deleteProjectTrustRoot": {"owner", 428, "", ""},
		"listProjectPolicies":    {"read", 200, "", ""},
		"getProjectPolicy":       {"read", 200, "", ""},
		"putProjectPolicy":       {"owner", 400, "{}", ""},
		"deleteProjectPolicy":    {"owner", 428, "", ""},
		"revokeProjectAuthority": {"owner", 400, "", "x=1"},

		"dryRunProjectPolicy": {"owner", 400, "{}", ""},
		"createException":     {"owner", 400, "{}", ""},
		"listExceptions":      {"owner", 200, "", ""},
		"getException":        {"owner", 404, "", ""},
		"deleteException":     {"owner", 404, "", ""},
		"getVerdict":          {"pull", 200, "", ""},

		"listAudit":          {"admin", 200, "", ""},
		"exportAudit":        {"admin", 200, "", ""},
		"listProjectAudit":   {"maintainer", 200, "", ""},
		"exportProjectAudit": {"maintainer", 200, "", ""},

		"listJobs":        {"admin", 200, "", ""},
		"getJob":          {"admin", 200, "", ""},
		"getJobLog":       {"admin", 200, "", ""},
		"streamJobEvents": {"admin", 200, "", ""},
		"cancelJob":       {"admin", 400, "", "x=1"},
		"retryJob":        {"admin", 400, "", "x=1"},
		"listSchedules":   {"admin", 200, "", ""},
		"getSchedule":     {"admin", 200, "", ""},
		"updateSchedule":  {"admin", 400, "{}", ""},

		"getSystemInfo":   {"info", 200, "", ""},
		"getSystemHealth": {"admin", 200, "", ""},
		"getStatistics":   {"admin", 200, "", ""},
		"getHubKey":       {"everybody", 200, "", ""},
		"rotateKeys":      {"admin", 400, "", "x=1"},
	}
}

// population is a hub with one of each kind of principal, the projects team (private), open (public) and other.
type population struct {
	*hub
	who   map[string]cred
	robot map[string]string // id of a robot, by project
	job   string
}

func populate(t *testing.T, h *hub) *population {
	p := &population{hub: h, who: map[string]cred{"anonymous": anonymous}, robot: map[string]string{}}
	roles := map[string]core.Role{"guest": core.RoleGuest, "developer": core.RoleDeveloper, "maintainer": core.RoleMaintainer, "owner": core.RoleOwner}
	for _, name := range []string{"stranger", "guest", "developer", "maintainer", "owner", "admin", "expired", "disabled", "subject"} {
		p.who[name] = h.user(name, name == "admin" || name == "expired" || name == "disabled")
	}
	for name, v := range map[string]core.Visibility{"team": core.Private, "open": core.Public} {
		project := h.project(name, v, roles)
		image := h.image(name+"/app", "x", "1.0")
		h.attach(name+"/app", image, "application/spdx+json", spdx("x", "pkg:npm/a"))
		h.scanned(name+"/app", image, "trivy", &core.Scan{Matched: true, Findings: []core.Finding{{ID: "CVE-2024-1", Severity: core.SeverityLow, Package: "a"}}})
		if _, _, err := h.store.PutLabel(h.ctx, project, "reviewed", store.LabelFields{}, 0); err != nil {
			t.Fatal(err)
		}
		p.trust(project, "private")
		p.webhook(project)
		robot, secret := p.newRobot(project)
		p.robot[name] = robot.ID
		if name == "team" {
			p.who["robot"] = basic(robot.Username(), secret)
		}
		if _, _, err := h.store.PutMember(h.ctx, project, "subject", core.RoleGuest, 0); err != nil {
			t.Fatal(err)
		}
	}
	p.trust(nil, "private")
	if _, _, err := h.api.scans.Save(h.ctx, "existing", store.ScannerPut{URL: "https://scanner.test"}, 0); err != nil {
		h.t.Fatal(err)
	}
	p.webhook(nil)
	if _, _, err := h.api.upstream.Save(h.ctx, "existing", store.RegistryPut{URL: "https://registry.test"}, 0); err != nil {
		t.Fatal(err)
	}
	stray, secret := p.newRobot(h.project("other", core.Private, nil))
	p.who["stray"] = basic(stray.Username(), secret)
	p.robot["other"] = stray.ID
	p.who["scoped"] = bearer(h.token(h.accountID("owner"), "scoped", []core.Grant{
		{Repository: "team/app", Actions: []core.Action{core.ActionPull}}, {Repository: "open/app", Actions: []core.Action{core.ActionPull}}}))
	p.job = h.job("sweep-uploads")
	if _, err := h.jobs.Cancel(h.ctx, p.job); err != nil {
		t.Fatal(err)
	}
	h.schedule("tidy", "30 3 * * *")
	// Even an administrator's credential is worth nothing when it has expired or the account is disabled.
	if err := h.db.Write(h.ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE personal_token SET expires_at = 1 WHERE account_id = $1`, h.accountID("expired"))
		tx.Changed(store.ChangeAccount, h.accountID("expired"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	disabled := true
	if _, err := h.store.UpdateAccount(h.ctx, h.accountID("disabled"), store.AccountPatch{Disabled: &disabled}, store.AnyRevision); err != nil {
		t.Fatal(err)
	}
	return p
}

// webhook makes one that nobody is told anything through: what the rows of the matrix do is no event.
func (p *population) webhook(project *core.Project) {
	p.t.Helper()
	address := "https://hooks.test/canary"
	if _, _, err := p.api.webhooks.Save(p.ctx, project, "told", store.WebhookPut{Channel: store.ChannelHTTP, URL: &address, Events: []string{"job.dead"}}, 0); err != nil {
		p.t.Fatal(err)
	}
}

func (p *population) newRobot(project *core.Project) (*store.Robot, string) {
	p.t.Helper()
	r, secret, err := p.store.CreateRobot(p.ctx, project, store.NewRobot{Name: "ci", Permissions: []core.Grant{
		{Repository: "app", Actions: []core.Action{core.ActionPull, core.ActionPush}}}})
	if err != nil {
		p.t.Fatal(err)
	}
	return r, secret
}

// path fills a path template with things that are there.
func (p *population) path(template, project string) string {
	id := "0198c1a2-7d33-7c41-9a5e-5d1f0f6a2b10"
	switch {
	case strings.Contains(template, "/robots/"), strings.Contains(template, "/scans/"): // no scan has the id of a robot
		id = p.robot[project]
	case strings.Contains(template, "/jobs/"):
		id = p.job
	}
	return strings.NewReplacer("{project}", project, "{username}", "subject", "{id}", id, "{label}", "reviewed", "{repository}", "app",
		"{tag}", "1.0", "{reference}", "1.0", "{authority}", "release", "{root}", "private", "{policy}", "signed", "{registry}", "existing",
		"{scanner}", "existing", "{vulnerability}", "CVE-2024-1", "{source}", "cnnvd",
		"{schedule}", "tidy", "{webhook}", "told").Replace(template)
}

// W-06: every operation x every kind of principal.
func TestW06RouteMatrix(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		p := populate(t, startHub(t, open(t)))
		want := matrix()
		for _, op := range p.api.spec.Operations {
			e, ok := want[op.ID]
			if !ok {
				t.Errorf("%s %s (%s) has no row in the matrix", op.Method, op.Path, op.ID)
				continue
			}
			delete(want, op.ID)
			for _, project := range []string{"team", "open"} {
				name := e.class
				if project == "open" {
					if !strings.Contains(op.Path, "{project}") {
						continue
					}
					name += " open"
				}
				p.checkRow(t, op.ID, op.Method, p.path(op.Path, project), name, e)
			}
		}
		for id := range want {
			t.Errorf("the matrix has a row for %s, which is no operation", id)
		}
	})
}

func (p *population) checkRow(t *testing.T, id, method, path, name string, e expectation) {
	statuses, ok := classes()[name]
	if !ok {
		t.Fatalf("%s: no class %q", id, name)
	}
	if e.query != "" {
		path += "?" + e.query
	}
	for i, column := range columns() {
		want := statuses[i]
		if want == "ok" {
			want = fmt.Sprint(e.ok)
		}
		r := p.call(p.who[column], method, path, e.body)
		if got := fmt.Sprint(r.Status); got != want {
			t.Errorf("%s: %s %s as %s: %s, want %s: %s", id, method, path, column, got, want, r.Body)
		}
		if r.Status >= 400 && r.problem().Detail == "" {
			t.Errorf("%s as %s: a refusal without a sentence", id, column)
		}
	}
}

// Every operation has a rule, and every rule an operation and an action that the table of core/access knows.
func TestRulesAreComplete(t *testing.T) {
	h := sqliteHub(t)
	all := rules()
	for _, op := range h.api.spec.Operations {
		r, ok := all[op.ID]
		if !ok {
			t.Errorf("%s has no rule: nobody may", op.ID)
		}
		delete(all, op.ID)
		if (r.action == "") != (r.on == onAnybody) {
			t.Errorf("%s: action %q on %v", op.ID, r.action, r.on)
		}
		if inProject := strings.HasPrefix(op.Path, "/projects/{project}"); inProject != (r.on == onProject || r.on == onRepository) {
			t.Errorf("%s: %s is judged on %v", op.ID, op.Path, r.on)
		}
		if strings.Contains(op.Path, "{repository}") != (r.on == onRepository) {
			t.Errorf("%s: %s is judged on %v", op.ID, op.Path, r.on)
		}
		if op.Anonymous && r.on != onAnybody {
			t.Errorf("%s is documented to need no credential and needs %s", op.ID, r.action)
		}
		shown := op.Responses[0].Schema
		secret := shown != nil && (shown.Field("secret") != nil || shown.Field("token") != nil)
		if secret != r.secret {
			t.Errorf("%s: shows a secret: %v, rule: %v", op.ID, secret, r.secret)
		}
	}
	for id := range all {
		t.Errorf("the rule for %s has no operation", id)
	}
	hub, inProject := actions(rules())
	if !slices.Contains(hub, core.ActionHubUserWrite) || !slices.Contains(inProject, core.ActionPull) {
		t.Error(hub, inProject)
	}
}
