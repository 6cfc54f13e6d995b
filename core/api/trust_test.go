package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/gate"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
)

// sign attaches a signature as cosign 3 does.
func (h *hub) sign(repository string, subject digest.Digest, s *signertest.Signer) {
	h.t.Helper()
	bundle := s.Bundle(subject, signertest.PredicateSign, map[string]any{})
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: signertest.TypeBundle, Config: h.blob(repository, ocispec.MediaTypeEmptyJSON, []byte("{}")),
		Layers: []ocispec.Descriptor{h.blob(repository, signertest.TypeBundle, bundle)}, Subject: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 1}}
	m.SchemaVersion = 2
	if err := h.keeper.ReadEvidence(h.ctx, repository, h.manifest(repository, m.MediaType, m)); err != nil {
		h.t.Fatal(err)
	}
}

func eachHub(t *testing.T, f func(h *hub)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) { f(startHub(t, open(t))) })
}

// jsonBody is a JSON object of names and values.
func jsonBody(pairs ...any) string {
	v := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		v[pairs[i].(string)] = pairs[i+1]
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// policyText is a policy that wants a signature by the registered key release.
func policyText(name, project string) string {
	of := ""
	if project != "" {
		of = ", project: " + project
	}
	return "apiVersion: hallmark/v1alpha1\nkind: PullPolicy\nmetadata: {name: " + name + of + "}\nspec:\n  mode: enforce\n" +
		"  authorities: [{name: release, key: {ref: release}}]\n  signature: {require: {allOf: [release]}}\n"
}

// trust gives a project, or the hub, one document of each kind.
func (p *population) trust(project *core.Project, root string) {
	p.t.Helper()
	name := ""
	if project != nil {
		name = project.Name
	}
	_, _, err := p.keeper.SaveAuthority(p.ctx, project, "release", gatekeeper.Authority{PublicKey: signertest.New().PEM}, 0)
	if err == nil {
		_, _, err = p.keeper.SaveTrustRoot(p.ctx, project, root, string(trust.PublicGood()), 0)
	}
	if err == nil {
		_, _, err = p.keeper.SavePolicy(p.ctx, project, "signed", policyText("signed", name), 0)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func TestAuthorities(t *testing.T) {
	eachHub(t, func(h *hub) {
		admin := h.user("admin", true)
		h.project("team", core.Private, nil)
		key, other := signertest.New(), signertest.New()
		for _, at := range []string{"", "/projects/team"} {
			path := at + "/authorities/release"
			body := jsonBody("description", "of the release", "public_key", key.PEM)
			h.call(admin, "GET", path, "").wantProblem(404, core.CodeNotFound)
			var v Authority
			made := h.call(admin, "PUT", path, body).want(201).into(&v)
			if v.Name != "release" || v.Description != "of the release" || v.Fingerprint == nil || !strings.HasPrefix(*v.Fingerprint, "sha256:") || v.RevokedAt != nil {
				t.Errorf("%+v", v)
			}
			h.call(admin, "PUT", path, body).want(200) // it is so already
			h.call(admin, "PUT", path, jsonBody("public_key", other.PEM)).wantProblem(428, core.CodeIfMatchRequired)
			changed := h.call(admin, "PUT", path, jsonBody("public_key", other.PEM), "If-Match", made.Header.Get("ETag")).want(200).into(&v)
			h.call(admin, "PUT", path, body, "If-Match", made.Header.Get("ETag")).wantProblem(412, core.CodeStale)

			h.call(admin, "POST", path+"/revoke", "").want(200).into(&v)
			if v.RevokedAt == nil {
				t.Fatalf("%+v", v)
			}
			first := *v.RevokedAt
			again := h.call(admin, "POST", path+"/revoke", "").want(200).into(&v)
			if !v.RevokedAt.Equal(first) {
				t.Errorf("revoked at %v, then at %v", first, v.RevokedAt)
			}
			// Neither saving it again nor with another key undoes that.
			h.call(admin, "PUT", path, jsonBody("public_key", other.PEM, "description", "x"), "If-Match", "*").want(200).into(&v)
			if v.RevokedAt == nil || v.Description != "x" {
				t.Errorf("%+v", v)
			}
			h.call(admin, "PUT", path, body, "If-Match", "*").wantProblem(409, core.CodeConflict)
			h.call(admin, "PUT", path, jsonBody("public_key", other.PEM, "revoked_at", nil), "If-Match", "*").wantProblem(400, core.CodeInvalid)
			if changed.Header.Get("ETag") == again.Header.Get("ETag") {
				t.Error("revoking changes the revision")
			}
			h.call(admin, "DELETE", path, "", "If-Match", "*").want(204)
			h.call(admin, "POST", path+"/revoke", "").wantProblem(404, core.CodeNotFound)
		}
	})
}

func TestAuthoritiesThatCannotWork(t *testing.T) {
	h := sqliteHub(t)
	admin := h.user("admin", true)
	h.project("team", core.Private, nil)
	id := func(root, issuer, subject, pattern string) string {
		return jsonBody("identity", map[string]any{"trust_root": root, "issuer": issuer, "subject": subject, "subject_regex": pattern})
	}
	const issuer = "https://accounts.example"
	for what, body := range map[string]string{
		"nothing": `{}`, "no PEM": `{"public_key": "x"}`, "both": jsonBody("public_key", signertest.New().PEM, "identity", map[string]any{"trust_root": "public-good", "issuer": issuer, "subject": "a"}),
		"everybody": id("public-good", issuer, "", ".*"), "no such root": id("nowhere", issuer, "a@example.org", ""), "no issuer": id("public-good", "", "a", ""),
		"backwards": jsonBody("public_key", signertest.New().PEM, "not_before", "2026-02-01T00:00:00Z", "not_after", "2026-01-01T00:00:00Z")} {
		if p := h.call(admin, "PUT", "/projects/team/authorities/x", body).wantProblem(400, core.CodeInvalid); p.Detail == "" {
			t.Error(what)
		}
	}
	h.call(admin, "PUT", "/projects/team/authorities/ci", id("public-good", issuer, "a@example.org", "")).want(201)
	with := func(name string) string {
		return jsonBody("identity", map[string]any{"trust_root": "public-good", "issuer": issuer, "subject": "b", "extensions": map[string]string{name: "x"}})
	}
	var v Authority
	h.call(admin, "PUT", "/projects/team/authorities/more", with("sourceRepositoryURI")).want(201).into(&v)
	if v.Identity == nil || v.Identity.Extensions["sourceRepositoryURI"] != "x" || v.Fingerprint != nil {
		t.Errorf("%+v", v)
	}
	h.call(admin, "PUT", "/projects/team/authorities/none", with("sourceRepository")).wantProblem(400, core.CodeInvalid)
	// A trust root of the project serves the project alone.
	h.call(admin, "PUT", "/projects/team/trust-roots/private", jsonBody("document", string(trust.PublicGood()))).want(201)
	h.call(admin, "PUT", "/projects/team/authorities/ours", id("private", issuer, "a@example.org", "")).want(201)
	h.call(admin, "PUT", "/authorities/ours", id("private", issuer, "a@example.org", "")).wantProblem(400, core.CodeInvalid)
}

func TestTrustRoots(t *testing.T) {
	eachHub(t, func(h *hub) {
		admin := h.user("admin", true)
		h.project("team", core.Private, nil)
		body := jsonBody("document", string(trust.PublicGood()))
		var v TrustRoot
		h.call(admin, "GET", "/trust-roots/public-good", "").want(200).into(&v)
		if !v.BuiltIn || len(v.Authorities) == 0 || len(v.Logs) == 0 || v.Document == "" || v.CreatedAt != nil {
			t.Errorf("%+v", v)
		}
		for _, at := range []string{"", "/projects/team"} {
			h.call(admin, "PUT", at+"/trust-roots/public-good", body, "If-Match", "*").wantProblem(409, core.CodeConflict)
			h.call(admin, "PUT", at+"/trust-roots/x", `{"document": "{}"}`).wantProblem(400, core.CodeInvalid)
		}
		h.call(admin, "DELETE", "/trust-roots/public-good", "", "If-Match", "*").wantProblem(409, core.CodeConflict)
		for _, name := range []string{"a", "shared", "z"} {
			h.call(admin, "PUT", "/trust-roots/"+name, body).want(201)
		}
		h.call(admin, "PUT", "/projects/team/trust-roots/shared", body).wantProblem(409, core.CodeConflict)
		for limit := 1; limit <= 5; limit++ {
			var names []string
			for path := fmt.Sprintf("/trust-roots?limit=%d", limit); path != ""; {
				var page []TrustRoot
				r := h.call(admin, "GET", path, "").want(200).into(&page)
				for _, v := range page {
					names = append(names, v.Name)
				}
				path = r.next()
			}
			if got := strings.Join(names, " "); got != "a public-good shared z" {
				t.Errorf("%d at a time: %s", limit, got)
			}
		}
		h.call(admin, "DELETE", "/trust-roots/z", "", "If-Match", "*").want(204)
	})
}

func TestPolicies(t *testing.T) {
	eachHub(t, func(h *hub) {
		admin := h.user("admin", true)
		h.project("team", core.Private, nil)
		text := func(s string) string { return jsonBody("document", s) }
		path := "/projects/team/policies/signed"
		p := h.call(admin, "PUT", path, text(policyText("signed", "team"))).wantProblem(400, core.CodeInvalid)
		if !strings.Contains(p.Detail, "line 6") || !strings.Contains(p.Detail, "no key") || len(p.Errors) != 1 {
			t.Errorf("%+v", p)
		}
		h.call(admin, "PUT", "/authorities/release", jsonBody("public_key", signertest.New().PEM)).want(201)
		var v Policy
		h.call(admin, "PUT", path, text(policyText("signed", "team"))).want(201).into(&v)
		if v.Summary.Project != "team" || !strings.Contains(v.Summary.Wants, "release") || v.Document != policyText("signed", "team") {
			t.Errorf("%+v", v)
		}
		for what, bad := range map[string][2]string{
			"another name":       {path, policyText("other", "team")},
			"another project":    {path, policyText("signed", "prod")},
			"no project":         {path, policyText("signed", "")},
			"in JSON, of nobody": {path, `{"kind": "PullPolicy"}`},
			"baseline":           {"/projects/team/policies/baseline", policyText("baseline", "team")},
			"a project's at hub": {"/policies/signed", policyText("signed", "team")},
			"no policy":          {path, "kind: ["},
		} {
			if p := h.call(admin, "PUT", bad[0], text(bad[1]), "If-Match", "*").wantProblem(400, core.CodeInvalid); len(p.Errors) == 0 {
				t.Errorf("%s: %+v", what, p)
			}
		}
		h.call(admin, "PUT", "/policies/signed", text(policyText("signed", ""))).want(201)
		h.call(admin, "PUT", "/policies/dry-run", text(policyText("dry-run", ""))).want(201)
		var all []Policy
		if h.call(h.user("somebody", false), "GET", "/policies", "").want(200).into(&all); len(all) != 2 {
			t.Errorf("%+v", all)
		}
		h.call(admin, "DELETE", path, "", "If-Match", "*").want(204)
		var trail []AuditEntry
		h.call(admin, "GET", "/audit?action=policy.*", "").want(200).into(&trail)
		if len(trail) != 4 || trail[0].Action != "policy.delete" {
			t.Errorf("%+v", trail)
		}
	})
}

func TestVerdict(t *testing.T) {
	eachHub(t, func(h *hub) {
		admin, guest := h.user("admin", true), h.user("guest", false)
		h.project("team", core.Private, map[string]core.Role{"guest": core.RoleGuest})
		d, s := h.image("team/app", "x", "1.0"), signertest.New()
		path := "/projects/team/repositories/app/artifacts/1.0/verdict"
		verdict := func(path string) (x gate.Explanation) {
			t.Helper()
			var plain struct{ Policies []struct{ Outcome string } }
			r := h.call(guest, "GET", path, "").want(200).into(&plain)
			if len(plain.Policies) != 1 || plain.Policies[0].Outcome == "" {
				t.Errorf("%s", r.Body)
			}
			if err := json.Unmarshal([]byte(strings.ReplaceAll(string(r.Body), `"outcome"`, `"_"`)), &x); err != nil {
				t.Fatal(err)
			}
			return x
		}
		if x := verdict(path); x.Allowed || x.Digest != string(d) || !strings.Contains(x.Message, "hallmark keys add") {
			t.Errorf("%+v", x)
		}
		h.call(admin, "PUT", "/projects/team/authorities/release", jsonBody("public_key", s.PEM)).want(201)
		h.sign("team/app", d, s)
		if x := verdict("/projects/team/repositories/app/artifacts/" + string(d) + "/verdict"); !x.Allowed {
			t.Errorf("%+v", x)
		}
		h.call(admin, "POST", "/projects/team/authorities/release/revoke", "").want(200)
		if x := verdict(path); x.Allowed || x.Policies[0].Reasons == nil {
			t.Errorf("revoked: %+v", x)
		}
		h.call(guest, "GET", "/projects/team/repositories/app/artifacts/2.0/verdict", "").wantProblem(404, core.CodeNotFound)
	})
}

func TestDryRun(t *testing.T) {
	eachHub(t, func(h *hub) {
		admin := h.user("admin", true)
		team := h.project("team", core.Private, nil)
		release, build := signertest.New(), signertest.New()
		h.call(admin, "PUT", "/projects/team/authorities/release", jsonBody("public_key", release.PEM)).want(201)
		h.call(admin, "PUT", "/projects/team/authorities/build", jsonBody("public_key", build.PEM)).want(201)
		signed, unsigned, byBuild := h.image("team/app", "signed", "1", "latest"), h.image("team/app", "unsigned", "2"), h.image("team/deep/app", "built", "1")
		h.image("team/app", "untagged")
		h.sign("team/app", signed, release)
		h.sign("team/deep/app", byBuild, build)
		_, err := h.store.AddPulls(h.ctx, []store.Pull{
			{Repository: "team/app", Digest: string(unsigned), Tag: "2", Principal: "user:" + h.accountID("admin"), Pulls: 2, LastAt: h.store.Now()},
			{Repository: "team/app", Digest: string(unsigned), Principal: "user:gone", Pulls: 1, LastAt: h.store.Now()},
			{Repository: "team/app", Digest: string(signed), Principal: "user:gone", Pulls: 9, LastAt: h.store.Now()},
			{Repository: "team/deep/app", Digest: string(byBuild), Principal: "anonymous", Pulls: 4, LastAt: h.store.Now().Add(-31 * 24 * time.Hour)}})
		if err != nil {
			t.Fatal(err)
		}
		run := func(text string) (v gatekeeper.DryRun) {
			t.Helper()
			h.call(admin, "POST", "/projects/team/policies/dry-run", jsonBody("document", text)).want(200).into(&v)
			return v
		}
		v := run(policyText("p", "team"))
		if v.Artifacts != 3 || !v.Complete || !v.PullsComplete || len(v.Refused) != 2 || v.Repair == nil || *v.Repair != (gatekeeper.Repair{Authority: "release", Artifacts: 2, Pulls: 3}) {
			t.Errorf("%+v %+v", v, v.Repair)
		}
		for _, r := range v.Refused {
			if r.Digest == string(signed) || r.Reason == "" || len(r.Tags) != 1 {
				t.Errorf("%+v", r)
			}
		}
		if len(v.Pulls) != 1 || v.Pulls[0].Pulls != 3 || v.Pulls[0].Digest != string(unsigned) || strings.Join(v.Pulls[0].Principals, " ") != "admin user:gone" {
			t.Errorf("%+v", v.Pulls)
		}
		// The mode makes no difference, but tags do; and keys in the policy itself count before it is saved.
		warn := strings.Replace(policyText("p", "team"), "mode: enforce", "mode: warn\n  match: {tags: [latest, \"2\"]}", 1)
		if v := run(warn); len(v.Refused) != 1 || v.Refused[0].Digest != string(unsigned) {
			t.Errorf("%+v", v)
		}
		inline := signertest.New()
		h.sign("team/app", unsigned, inline)
		quoted, _ := json.Marshal(inline.PEM)
		own := strings.Replace(policyText("p", "team"), "key: {ref: release}", "key: {pem: "+string(quoted)+"}", 1)
		if v := run(own); len(v.Refused) != 2 || len(v.Pulls) != 1 || v.Pulls[0].Pulls != 9 {
			t.Errorf("%+v", v)
		}
		// The baseline, of a project where it is off: what any registered key signed would pass.
		off := core.BaselineOff
		if _, err := h.store.UpdateProject(h.ctx, team, store.ProjectPatch{Baseline: &off}, store.AnyRevision); err != nil {
			t.Fatal(err)
		}
		var baseline gatekeeper.DryRun
		h.call(admin, "POST", "/projects/team/policies/dry-run", jsonBody("baseline", "enforce")).want(200).into(&baseline)
		if len(baseline.Refused) != 1 || baseline.Refused[0].Digest != string(unsigned) || baseline.Policy.Name != "baseline" || *baseline.Repair != (gatekeeper.Repair{Authority: "a registered key or identity", Artifacts: 1, Pulls: 3}) {
			t.Errorf("%+v %+v", baseline, baseline.Repair)
		}
		h.call(admin, "POST", "/projects/team/policies/dry-run", jsonBody("baseline", "warn")).wantProblem(400, core.CodeInvalid)
		h.call(admin, "POST", "/projects/team/policies/dry-run", "{}").wantProblem(400, core.CodeInvalid)
		h.call(admin, "POST", "/projects/team/policies/dry-run", jsonBody("document", policyText("p", ""))).wantProblem(400, core.CodeInvalid)
		if all, _, err := h.store.TrustDocuments(h.ctx, team, store.TrustPolicy, "", 0); err != nil || len(all) != 0 {
			t.Errorf("a dry run saves nothing: %v %v", all, err)
		}
	})
}

// A dry run looks at so much and no more, and says so.
func TestDryRunIsBounded(t *testing.T) {
	h := sqliteHub(t)
	admin := h.user("admin", true)
	team := h.project("team", core.Private, nil)
	h.call(admin, "PUT", "/authorities/release", jsonBody("public_key", signertest.New().PEM)).want(201)
	tagged := func(from, to int) {
		t.Helper()
		err := h.db.Write(h.ctx, func(tx *db.Tx) error {
			for i := from; i < to; i++ {
				name, d := fmt.Sprintf("team/r%d", i), digest.FromString(fmt.Sprint(i))
				for _, step := range []struct {
					query string
					args  []any
				}{
					{`INSERT INTO repository (id, project_id, name, pushed_at, created_at, updated_at) VALUES ($1, $2, $1, 1, 1, 1)`, []any{name, team.ID}},
					{`INSERT INTO manifest (digest, media_type, size, payload, created_at) VALUES ($1, $2, 2, $3, 1)`, []any{d, ocispec.MediaTypeImageManifest, []byte("{}")}},
					{`INSERT INTO manifest_link (repository_id, digest, leased_until, pushed_at, pushed_by) VALUES ($1, $2, 0, 1, 'user:1')`, []any{name, d}},
					{`INSERT INTO tag (repository_id, name, digest, created_at, updated_at, updated_by) VALUES ($1, '1', $2, 1, 1, 'user:1')`, []any{name, d}},
				} {
					if _, err := tx.Exec(step.query, step.args...); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	run := func() (v gatekeeper.DryRun) {
		t.Helper()
		h.call(admin, "POST", "/projects/team/policies/dry-run", jsonBody("document", policyText("p", "team"))).want(200).into(&v)
		return v
	}
	tagged(0, 1000)
	// They are no manifests at all, which is one refusal each and no reason to say nothing of the others.
	if v := run(); v.Artifacts != 1000 || !v.Complete || len(v.Refused) != 1000 || v.Refused[0].Reason == "" {
		t.Errorf("%d artifacts, %v, %d refused", v.Artifacts, v.Complete, len(v.Refused))
	}
	tagged(1000, 1001)
	if v := run(); v.Artifacts != 1000 || v.Complete {
		t.Errorf("%d artifacts, %v", v.Artifacts, v.Complete)
	}
}

// What is in use is removed only by who insists; the refusal names the users.
func TestRemovingWhatIsInUse(t *testing.T) {
	eachHub(t, func(h *hub) {
		root := h.user("root", true)
		team := h.project("team", core.Public, nil)
		p := &population{hub: h}
		p.trust(nil, "house")
		p.trust(team, "own")
		_, _, err := h.keeper.SaveAuthority(h.ctx, team, "ci", gatekeeper.Authority{Identity: &gatekeeper.Identity{TrustRoot: "house", Issuer: "https://login.example", Subject: "ci@example.org"}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct{ path, user string }{
			{"/authorities/release", "policy signed of the hub"},
			{"/trust-roots/house", "identity ci of project team"},
			{"/projects/team/authorities/release", "policy signed of project team"},
		} {
			problem := h.call(root, "DELETE", tt.path, "", "If-Match", "*").wantProblem(409, core.CodeConflict)
			if !strings.Contains(problem.Detail, "is used by "+tt.user+":") || !strings.Contains(problem.Detail, "?force=true") {
				t.Errorf("%s: %s", tt.path, problem.Detail)
			}
			h.call(root, "DELETE", tt.path+"?force=false", "", "If-Match", "*").wantProblem(409, core.CodeConflict)
			h.call(root, "DELETE", tt.path+"?force=maybe", "", "If-Match", "*").wantProblem(400, core.CodeInvalid)
			h.call(root, "DELETE", tt.path+"?force=true", "", "If-Match", "*").want(204)
			h.call(root, "GET", tt.path, "").want(404)
		}
		h.call(root, "DELETE", "/projects/team/trust-roots/own", "", "If-Match", "*").want(204) // nobody relies on it
	})
}
