package api

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
)

// scanned says that a scanner found this in an image; nil: that it came to no report.
func (h *hub) scanned(repository string, image digest.Digest, scanner string, found *core.Scan, said ...core.Vulnerability) {
	h.t.Helper()
	r := store.ScanResult{Repository: repository, Digest: string(image), Scanner: scanner, Problem: "it hangs"}
	if found != nil {
		id, err := h.store.SaveReport(h.ctx, found, said)
		if err != nil {
			h.t.Fatal(err)
		}
		r.Report, r.Problem, r.DatabaseAt = id, "", time.Unix(1_700_000_000, 0)
	}
	err := h.db.Write(h.ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(`DELETE FROM scan_owed WHERE digest = $1`, r.Digest); err != nil {
			return err
		}
		_, err := store.SetScan(tx, r)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func vulnerable(findings ...core.Finding) *core.Scan {
	return &core.Scan{Matched: true, Looked: []core.CheckKind{core.CheckSecret}, Findings: findings}
}

// inText is a vulnerability of x/text, inZlib one of Debian's zlib that nothing helps against.
func inText(id string, s core.Severity) core.Finding {
	return core.Finding{ID: id, Severity: s, Package: "golang.org/x/text", Version: "v0.3.0", PURL: textModule + "@v0.3.0", Fixed: "v0.3.8", Path: "/usr/bin/app", Layer: "sha256:layer"}
}

func inZlib(id string, s core.Severity) core.Finding {
	return core.Finding{ID: id, Severity: s, Package: "zlib1g", Version: "1.2", PURL: "pkg:deb/debian/zlib1g@1.2?arch=amd64"}
}

// findings are the ids of a list, page by page.
func (h *hub) findings(who cred, path string) (ids []string) {
	h.t.Helper()
	for path != "" {
		r := h.call(who, "GET", path, "").want(200)
		var page []Finding
		r.into(&page)
		for _, f := range page {
			ids = append(ids, f.ID)
		}
		path = r.next()
	}
	return ids
}

const ofApp = "/projects/team/repositories/app/artifacts/"

func TestListVulnerabilities(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := startHub(t, open(t))
		team := h.project("team", core.Public, nil)
		image := h.image("team/app", "x", "1.0")
		scan := func() (s ScanSummary) {
			t.Helper()
			var a Artifact
			h.call(anonymous, "GET", ofApp+"1.0", "").want(200).into(&a)
			var all []Artifact
			h.call(anonymous, "GET", "/projects/team/repositories/app/artifacts", "").want(200).into(&all)
			if len(all) != 1 || all[0].Scan == nil || all[0].Scan.State != a.Scan.State || all[0].Scan.High != a.Scan.High {
				t.Fatalf("%+v", all)
			}
			return *a.Scan
		}
		if s := scan(); s.State != "owed" {
			t.Errorf("%+v", s)
		}
		if p := h.call(anonymous, "GET", ofApp+"1.0/vulnerabilities", "").wantProblem(404, core.CodeNotFound); !strings.Contains(p.Detail, "not scanned") {
			t.Errorf("%+v", p)
		}
		h.scanned("team/app", image, "trivy", nil)
		if s := scan(); s.State != "failed" || *s.Problem != "it hangs" || s.ScannedAt != nil {
			t.Errorf("%+v", s)
		}
		h.call(anonymous, "GET", ofApp+"1.0/vulnerabilities?format=csv", "").wantProblem(404, core.CodeNotFound)
		h.scanned("team/app", image, "trivy", vulnerable(inZlib("CVE-2023-45853", core.SeverityCritical), inText("CVE-2022-32149", core.SeverityHigh),
			inText("CVE-2021-38561", core.SeverityHigh), inZlib("CVE-2000-1", core.SeverityNegligible)),
			core.Vulnerability{ID: "CVE-2022-32149", Severity: core.SeverityHigh, Title: "Denial of service in parsing tags", Score: 7.5, Links: []string{"https://go.dev/issue/56152"}})
		h.scanned("team/app", image, "clair", vulnerable(inText("CVE-2022-32149", core.SeverityHigh)))
		if s := scan(); s.State != "done" || s.DatabaseAt.Unix() != 1_700_000_000 {
			t.Errorf("%+v", s)
		}
		if _, err := h.store.PutAliases(h.ctx, "cnnvd", []store.Alias{{Name: "CVE-2022-32149", Alias: "CNNVD-202210-1", Title: "解析拒绝服务"}}); err != nil {
			t.Fatal(err)
		}
		all := []string{"CVE-2023-45853", "CVE-2021-38561", "CVE-2022-32149", "CVE-2000-1"}
		for query, want := range map[string][]string{"": all, "limit=1": all, "limit=3": all, "severity=High": all[:3], "severity=High&limit=1": all[:3], "fixable=true": all[1:3],
			"package=X/TEXT": all[1:3], "package=pkg:deb": {all[0], all[3]}, "q=32149": {all[2]}, "q=cnnvd-2022": {all[2]}, "q=拒绝": {all[2]}, "q=PARSING": {all[2]},
			"q=usr/bin": all[1:3], "q=nothing": nil, "severity=Critical&fixable=true": nil, "platform=": nil} {
			if query == "platform=" {
				h.call(anonymous, "GET", ofApp+"1.0/vulnerabilities?platform=linux/s390x", "").wantProblem(404, core.CodeNotFound)
				continue
			}
			if got := h.findings(anonymous, ofApp+"1.0/vulnerabilities?"+query); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", query, got, want)
			}
		}
		for _, bad := range []string{"severity=Bad", "format=xml", "fixable=1", "lang=de", "cursor=x", "q=" + strings.Repeat("x", 256)} {
			h.call(anonymous, "GET", ofApp+"1.0/vulnerabilities?"+bad, "").wantProblem(400, core.CodeInvalid)
		}
		h.shown(team)
	})
}

// shown: everything that is told of a finding, in two languages, with what is excepted.
func (h *hub) shown(team *core.Project) {
	h.t.Helper()
	one := func(query string, header ...string) Finding {
		h.t.Helper()
		var page []Finding
		r := h.call(anonymous, "GET", ofApp+"1.0/vulnerabilities?q=32149&"+query, "", header...).want(200).into(&page)
		if len(page) != 1 || r.Header.Get("Hallmark-Missing") != "" {
			h.t.Fatalf("%v %s", r.Header, r.Body)
		}
		return page[0]
	}
	f := one("")
	if *f.Title != "Denial of service in parsing tags" || *f.Score != 7.5 || *f.Fixed != "v0.3.8" || *f.Path != "/usr/bin/app" || *f.Layer != "sha256:layer" || f.Exception != nil ||
		fmt.Sprint(f.Scanners) != "[clair trivy]" || (*f.Aliases)[0].Source != "cnnvd" || (*f.Links)[0] != "https://go.dev/issue/56152" || f.Severity != "High" {
		h.t.Errorf("%+v", f)
	}
	for _, zh := range []Finding{one("lang=zh"), one("lang=zh-CN"), one("", "Accept-Language", "zh-CN,zh;q=0.9,en;q=0.8")} {
		if *zh.Title != "解析拒绝服务" {
			h.t.Errorf("%q", *zh.Title)
		}
	}
	if en := one("lang=en", "Accept-Language", "zh"); *en.Title != *f.Title {
		h.t.Errorf("%q", *en.Title)
	}
	except := func(purl, repository string, until time.Time) {
		h.t.Helper()
		if err := h.db.Write(h.ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(`INSERT INTO vulnerability_exception (id, project_id, vulnerability, purl, repository, reason, expires_at, created_by, created_at)
				VALUES ($1, $2, 'CVE-2022-32149', $3, $4, 'not reachable', $5, 'user:1', 1)`, store.NewID(), team.ID, purl, repository, until.UnixMicro())
			return err
		}); err != nil {
			h.t.Fatal(err)
		}
	}
	later := h.store.Now().Add(time.Hour)
	except("", "", h.store.Now().Add(-time.Second))
	except("", "team/other", later)
	except("pkg:npm/left-pad", "", later)
	except(textModule+"@v0.3.1", "", later)
	if f := one(""); f.Exception != nil {
		h.t.Errorf("it is excepted: %+v", f.Exception)
	}
	except(textModule, "team/app", later)
	if f := one(""); f.Exception == nil || f.Exception.Reason != "not reachable" {
		h.t.Errorf("%+v", f)
	}
}

func TestFindingFiles(t *testing.T) {
	h := sqliteHub(t)
	h.project("team", core.Public, nil)
	image := h.image("team/app", "x", "1.0")
	evil := inText("CVE-2022-32149", core.SeverityHigh)
	evil.Package, evil.Path = `=cmd|' /C calc'!A0`, "/a b#c"
	found := vulnerable(evil, inZlib("CVE-2000-1", core.SeverityNegligible), inZlib("CVE-2000-1", core.SeverityNegligible))
	found.Findings[2].Package, found.Incomplete = "-zlib", "an unknown distribution\r\nSet-Cookie: x"
	h.scanned("team/app", image, "trivy", found, core.Vulnerability{ID: "CVE-2022-32149", Severity: core.SeverityHigh, Title: "+Bad", Description: "Long", Score: 7.5,
		Links: []string{"javascript:x", "https://example.org"}})
	r := h.call(anonymous, "GET", ofApp+"1.0/vulnerabilities?format=csv&limit=1", "").want(200)
	rows, err := csv.NewReader(strings.NewReader(string(r.Body))).ReadAll()
	if err != nil || len(rows) != 4 || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/csv") || !strings.Contains(r.Header.Get("Content-Disposition"), ".csv") {
		t.Fatalf("%v %v %s", err, r.Header, r.Body)
	}
	if why := r.Header.Get("Hallmark-Missing"); why != "an unknown distribution??Set-Cookie: x" {
		t.Errorf("%q", why)
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") {
				t.Errorf("a formula: %q", cell)
			}
		}
	}
	if !slices.Contains(rows[1], "'=cmd|' /C calc'!A0") || !slices.Contains(rows[1], "'+Bad") || rows[1][2] != "1.0" {
		t.Errorf("%q", rows[1])
	}
	r = h.call(anonymous, "GET", ofApp+"1.0/vulnerabilities?format=sarif", "").want(200)
	if r.Header.Get("Content-Type") != "application/sarif+json" {
		t.Errorf("%v", r.Header)
	}
	h.validSARIF(r)
}

// validSARIF: what the schema of SARIF 2.1.0 requires, and that every reference leads somewhere.
func (h *hub) validSARIF(r *reply) {
	h.t.Helper()
	var log struct {
		Schema  string `json:"$schema"`
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct {
					Name, InformationURI string
					Rules                []struct {
						ID, HelpURI      string
						ShortDescription struct{ Text string }
					}
				}
			}
			Invocations []struct {
				ExecutionSuccessful        *bool
				ToolExecutionNotifications []struct{ Message struct{ Text string } }
			}
			Results []struct {
				RuleID    string
				RuleIndex int
				Level     string
				Message   struct{ Text string }
				Locations []struct {
					PhysicalLocation struct{ ArtifactLocation struct{ URI string } }
				}
			}
		}
	}
	r.into(&log)
	if log.Version != "2.1.0" || !strings.Contains(log.Schema, "sarif-2.1.0") || len(log.Runs) != 1 {
		h.t.Fatalf("%s", r.Body)
	}
	run := log.Runs[0]
	if run.Tool.Driver.Name == "" || len(run.Tool.Driver.Rules) != 2 || len(run.Results) != 3 || run.Invocations[0].ExecutionSuccessful == nil ||
		*run.Invocations[0].ExecutionSuccessful || run.Invocations[0].ToolExecutionNotifications[0].Message.Text == "" {
		h.t.Errorf("%s", r.Body)
	}
	for _, rule := range run.Tool.Driver.Rules {
		if rule.ID == "" || rule.ShortDescription.Text == "" || rule.HelpURI != "" && rule.HelpURI != "https://example.org" {
			h.t.Errorf("%+v", rule)
		}
	}
	for _, x := range run.Results {
		if x.Message.Text == "" || !slices.Contains([]string{"none", "note", "warning", "error"}, x.Level) || run.Tool.Driver.Rules[x.RuleIndex].ID != x.RuleID ||
			x.Locations[0].PhysicalLocation.ArtifactLocation.URI == "" || strings.ContainsAny(x.Locations[0].PhysicalLocation.ArtifactLocation.URI, " #") {
			h.t.Errorf("%+v", x)
		}
	}
	if run.Results[0].Level != "error" || run.Results[0].Locations[0].PhysicalLocation.ArtifactLocation.URI != "a%20b%23c" {
		h.t.Errorf("%+v", run.Results[0])
	}
}

func TestVulnerabilitiesOfIndexes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := startHub(t, open(t))
		h.project("team", core.Public, nil)
		list := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
		list.SchemaVersion = 2
		images := map[string]digest.Digest{}
		for _, architecture := range []string{"amd64", "arm64"} {
			images[architecture] = h.image("team/app", architecture)
			list.Manifests = append(list.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: images[architecture], Size: 1,
				Platform: &ocispec.Platform{OS: "linux", Architecture: architecture}})
		}
		h.manifest("team/app", list.MediaType, list, "1.0")
		both, one := inText("CVE-1", core.SeverityHigh), inZlib("CVE-2", core.SeverityLow)
		h.scanned("team/app", images["amd64"], "trivy", vulnerable(both, one))
		r := h.call(anonymous, "GET", ofApp+"1.0/vulnerabilities", "").want(200)
		if why := r.Header.Get("Hallmark-Missing"); why != "linux/arm64: it was not scanned for vulnerabilities" {
			t.Errorf("%q", why)
		}
		secret := vulnerable(both)
		secret.Findings[0].Layer = "sha256:other"
		secret.Checks = []core.Check{{Kind: core.CheckSecret, ID: "aws", Severity: core.SeverityCritical, Path: "/key"}}
		h.scanned("team/app", images["arm64"], "trivy", secret)
		h.scanned("team/app", images["arm64"], "clam", &core.Scan{Looked: []core.CheckKind{"malware"}, Checks: []core.Check{{Kind: "malware", ID: "eicar"}}})
		var page []Finding
		r = h.call(anonymous, "GET", ofApp+"1.0/vulnerabilities", "").want(200).into(&page)
		if len(page) != 2 || fmt.Sprint(page[0].Platforms, page[1].Platforms) != "[linux/amd64 linux/arm64] [linux/amd64]" || r.Header.Get("Hallmark-Missing") != "" {
			t.Errorf("%v %+v", r.Header, page)
		}
		if got := h.findings(anonymous, ofApp+"1.0/vulnerabilities?platform=linux/arm64"); !slices.Equal(got, []string{"CVE-1"}) {
			t.Errorf("%q", got)
		}
		checks := func(query string) string {
			t.Helper()
			var c CheckList
			h.call(anonymous, "GET", ofApp+"1.0/checks"+query, "").want(200).into(&c)
			out := fmt.Sprint(c.Looked)
			for _, x := range c.Checks {
				out += " " + x.Kind + ":" + x.ID + ":" + fmt.Sprint(x.Platforms, x.Scanners)
			}
			return out
		}
		if got := checks(""); got != "[secret] secret:aws:[linux/arm64] [trivy] malware:eicar:[linux/arm64] [clam]" {
			t.Errorf("%s", got)
		}
		if got := checks("?kind=malware&platform=linux/arm64"); got != "[malware secret] malware:eicar:[linux/arm64] [clam]" {
			t.Errorf("%s", got)
		}
		if got := checks("?platform=linux/amd64"); got != "[secret]" {
			t.Errorf("%s", got)
		}
		var a Artifact
		h.call(anonymous, "GET", ofApp+"1.0", "").want(200).into(&a)
		if a.Scan.State != "done" || a.Scan.High != 1 || a.Scan.Low != 1 || a.Scan.Checks != 2 {
			t.Errorf("%+v", a.Scan)
		}
	})
}

func TestDiffVulnerabilities(t *testing.T) {
	h := sqliteHub(t)
	h.project("team", core.Public, nil)
	first, second := h.image("team/app", "1", "1.0"), h.image("team/app", "2", "2.0")
	h.scanned("team/app", first, "trivy", vulnerable(inText("CVE-1", core.SeverityHigh), inZlib("CVE-2", core.SeverityLow)))
	h.call(anonymous, "GET", ofApp+"2.0/vulnerabilities/diff?with=1.0", "").wantProblem(404, core.CodeNotFound)
	h.call(anonymous, "GET", ofApp+"1.0/vulnerabilities/diff?with=2.0", "").wantProblem(404, core.CodeNotFound)
	h.call(anonymous, "GET", ofApp+"1.0/vulnerabilities/diff", "").wantProblem(400, core.CodeInvalid)
	newer := inZlib("CVE-2", core.SeverityLow)
	newer.Version = "1.3"
	h.scanned("team/app", second, "trivy", vulnerable(newer, inZlib("CVE-3", core.SeverityLow)))
	var d VulnerabilityDiff
	h.call(anonymous, "GET", ofApp+"2.0/vulnerabilities/diff?with=1.0", "").want(200).into(&d)
	if d.From != string(first) || d.To != string(second) || !d.Complete || d.Unchanged != 1 || len(d.Changes) != 2 ||
		d.Changes[0].Change != "added" || d.Changes[0].Finding.ID != "CVE-3" || d.Changes[1].Change != "removed" || d.Changes[1].Finding.ID != "CVE-1" {
		t.Errorf("%+v", d)
	}
}

// Who finds what by its vulnerability: the same rights as for packages.
func TestGetVulnerability(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := startHub(t, open(t))
		guest, nobody, admin := h.user("gus", false), h.user("nick", false), h.user("ada", true)
		team := h.project("team", core.Private, map[string]core.Role{"gus": core.RoleGuest})
		h.project("open", core.Public, nil)
		both := vulnerable(inText("CVE-1", core.SeverityHigh), inZlib("CVE-2", core.SeverityLow))
		for _, repository := range []string{"open/app", "team/app", "team/other"} {
			found := vulnerable(inText("CVE-1", core.SeverityHigh))
			if repository == "team/other" {
				found = both
			}
			h.scanned(repository, h.image(repository, repository, "1.0"), "trivy", found, core.Vulnerability{ID: "CVE-1", Severity: core.SeverityHigh, Title: "Bad text",
				Description: "Very", Vector: "AV:N", CWEs: []string{"CWE-1"}})
			h.scanned(repository, h.image(repository, repository+"2", "2.0"), "trivy", vulnerable())
		}
		robot, secret, err := h.store.CreateRobot(h.ctx, team, store.NewRobot{Name: "ci", Permissions: []core.Grant{{Repository: "app", Actions: []core.Action{core.ActionPull}}}})
		if err != nil {
			t.Fatal(err)
		}
		bound := bearer(h.token(h.accountID("gus"), "bound", []core.Grant{{Repository: "team/other", Actions: []core.Action{core.ActionPull}}}))
		for _, c := range []struct {
			name       string
			who        cred
			query      string
			want, seen string // images of CVE-1; vulnerabilities that are found at all
		}{
			{"anonymous", anonymous, "", "open/app", "CVE-1"}, {"a stranger", nobody, "", "open/app", "CVE-1"},
			{"a guest", guest, "", "team/app team/other open/app", "CVE-1 CVE-2"}, {"a guest, one by one", guest, "limit=1", "team/app team/other open/app", "CVE-1 CVE-2"},
			{"an administrator", admin, "limit=2", "team/app team/other open/app", "CVE-1 CVE-2"},
			{"a robot", basic(robot.Username(), secret), "limit=1", "team/app open/app", "CVE-1"},
			{"a bound token", bound, "", "team/other", "CVE-1 CVE-2"},
			{"a guest in one project", guest, "project=open", "open/app", "CVE-1 CVE-2"},
		} {
			got := h.affected(c.who, "CVE-1", c.query)
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
			var ids []string
			for path := "/vulnerabilities?limit=1"; path != ""; {
				var page []VulnerabilitySummary
				r := h.call(c.who, "GET", path, "").want(200).into(&page)
				for _, v := range page {
					ids = append(ids, v.ID)
				}
				if path = r.next(); len(page) == 0 && path != "" {
					t.Errorf("%s: an empty page that goes on", c.name)
				}
			}
			if strings.Join(ids, " ") != c.seen {
				t.Errorf("%s: finds %q, want %q", c.name, ids, c.seen)
			}
			status := 404
			if strings.Contains(c.seen, "CVE-2") {
				status = 200
			}
			h.call(c.who, "GET", "/vulnerabilities/CVE-2", "").want(status)
			h.call(c.who, "GET", "/vulnerabilities/CVE-9", "").want(404)
		}
		h.told(nobody, admin)
		for _, bad := range []string{"/vulnerabilities?cursor=x", "/vulnerabilities/CVE-1?cursor=x", "/vulnerabilities/CVE-1?project=No", "/vulnerabilities?x=1"} {
			h.call(guest, "GET", bad, "").wantProblem(400, core.CodeInvalid)
		}
	})
}

func (h *hub) affected(who cred, id, query string) (out []string) {
	h.t.Helper()
	for path := "/vulnerabilities/" + id + "?" + query; path != ""; {
		var v Vulnerability
		r := h.call(who, "GET", path, "").want(200).into(&v)
		for _, x := range v.Affected {
			out = append(out, x.FullName)
			if fmt.Sprint(x.Tags, x.FixedTags) != "[1.0] [2.0]" || len(x.Findings) != 1 || *x.Findings[0].Fixed != "v0.3.8" || x.Excepted || x.ScannedAt.IsZero() {
				h.t.Errorf("%+v", x)
			}
		}
		path = r.next()
	}
	return out
}

// told: what is said of a vulnerability itself, under all its names, and to whom.
func (h *hub) told(nobody, admin cred) {
	h.t.Helper()
	get := func(who cred, id string) (v Vulnerability) {
		h.t.Helper()
		h.call(who, "GET", "/vulnerabilities/"+id, "").want(200).into(&v)
		return v
	}
	v := get(nobody, "CVE-1")
	if v.Title != "Bad text" || v.Description != "Very" || v.Severity != "High" || *v.Vector != "AV:N" || fmt.Sprint(v.Cwes) != "[CWE-1]" {
		h.t.Errorf("%+v", v)
	}
	list := "id,alias,title\nCVE-1,CNNVD-1,文本\nCVE-2,CNNVD-2,压缩\n"
	h.call(nobody, "PUT", "/vulnerability-aliases/cnnvd", list).want(403)
	h.call(admin, "PUT", "/vulnerability-aliases/cnnvd", list).want(200)
	if v = get(nobody, "CNNVD-1"); v.ID != "CVE-1" || len(v.Affected) != 1 || v.Aliases[0].Alias != "CNNVD-1" {
		h.t.Errorf("%+v", v)
	}
	// That there is an alias says nothing of whether anything has it.
	if v = get(nobody, "CVE-2"); v.ID != "CVE-2" || len(v.Affected) != 0 || v.Severity != "Unknown" || v.Title != "" {
		h.t.Errorf("%+v", v)
	}
	if v = get(admin, "CNNVD-2"); v.ID != "CVE-2" || len(v.Affected) != 1 || v.Severity != "Low" {
		h.t.Errorf("%+v", v)
	}
	var page []VulnerabilitySummary
	h.call(nobody, "GET", "/vulnerabilities?q=文本&lang=zh", "").want(200).into(&page)
	if len(page) != 1 || page[0].Title != "文本" {
		h.t.Errorf("%+v", page)
	}
	h.call(nobody, "GET", "/vulnerabilities?q=压缩", "").want(200).into(&page)
	if len(page) != 0 {
		h.t.Errorf("%+v", page)
	}
	h.call(admin, "DELETE", "/vulnerability-aliases/cnnvd", "").want(204)
	h.call(nobody, "GET", "/vulnerabilities/CVE-2", "").want(404)
}
