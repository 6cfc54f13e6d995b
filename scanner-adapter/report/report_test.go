package report_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/report"
	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
)

const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func about() report.About {
	return report.About{Artifact: spec.Artifact{Repository: "p/app", Digest: digest}, Scanner: spec.Scanner{Name: "Trivy"}, At: time.Unix(1, 0).UTC()}
}

// trivy is a report of Trivy with these findings.
func trivy(findings string) string {
	return `{"SchemaVersion":2,"ArtifactName":"hub/p/app@` + digest + `","Metadata":{"RepoDigests":["hub/p/app@` + digest + `"]},
		"Results":[{"Target":"x","Vulnerabilities":[` + findings + `]}]}`
}

func TestFindings(t *testing.T) {
	r, err := report.Vulnerabilities([]byte(trivy(`
		{"VulnerabilityID":"CVE-2","PkgName":"b","InstalledVersion":"1","Severity":"LOW","Title":"only a title"},
		{"VulnerabilityID":"CVE-1","PkgName":"a","InstalledVersion":"1","FixedVersion":"2","Status":"fixed","Severity":"HIGH","Description":"text",
		 "SeveritySource":"debian","PrimaryURL":"https://x/1","References":["https://x/1","javascript:alert(1)","http://x/2"],"CweIDs":["CWE-1"],
		 "CVSS":{"nvd":{"V3Score":7.5,"V3Vector":"CVSS:3.1/x","V2Score":5,"V2Vector":"AV:N"},"ghsa":{"V3Score":1}},"Layer":{"DiffID":"sha256:1"}},
		{"VulnerabilityID":"CVE-3","PkgName":"c","Severity":"UNKNOWN","CVSS":{"zeta":{"V3Score":0},"beta":{"V2Score":2}}}`)), about())
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"generated_at":"1970-01-01T00:00:01Z","artifact":{"repository":"p/app","digest":"` + digest + `"},"scanner":{"name":"Trivy","vendor":"","version":""},` +
		`"severity":"High","vulnerabilities":[` +
		`{"id":"CVE-1","package":"a","version":"1","fix_version":"2","severity":"High","description":"text","links":["https://x/1","http://x/2"],"status":"fixed","layer":{"diff_id":"sha256:1"},` +
		`"preferred_cvss":{"score_v3":7.5,"score_v2":5,"vector_v3":"CVSS:3.1/x","vector_v2":"AV:N"},"cwe_ids":["CWE-1"],` +
		`"vendor_attributes":{"CVSS":{"ghsa":{"V2Vector":"","V3Vector":"","V2Score":0,"V3Score":1},"nvd":{"V2Vector":"AV:N","V3Vector":"CVSS:3.1/x","V2Score":5,"V3Score":7.5}}}},` +
		`{"id":"CVE-2","package":"b","version":"1","severity":"Low","description":"only a title","links":[]},` +
		`{"id":"CVE-3","package":"c","version":"","severity":"Unknown","description":"","links":[],"preferred_cvss":{"score_v3":null,"score_v2":2,"vector_v3":"","vector_v2":""},` +
		`"vendor_attributes":{"CVSS":{"beta":{"V2Vector":"","V3Vector":"","V2Score":2,"V3Score":0},"zeta":{"V2Vector":"","V3Vector":"","V2Score":0,"V3Score":0}}}}]}`
	if string(got) != want {
		t.Fatalf("got\n%s\nwanted\n%s", got, want)
	}
}

func TestNoFindingIsAnEmptyList(t *testing.T) {
	r, err := report.Vulnerabilities([]byte(trivy("")), about())
	if err != nil || r.Severity != spec.Unknown {
		t.Fatal(r, err)
	}
	if got, _ := json.Marshal(r); !strings.Contains(string(got), `"vulnerabilities":[]`) {
		t.Fatalf("%s", got)
	}
}

// A scanner that lies: each is no report.
func TestLyingReports(t *testing.T) {
	other := strings.ReplaceAll(digest, "e3b0", "0000")
	good := trivy(`{"VulnerabilityID":"CVE-1","PkgName":"a","Severity":"LOW"}`)
	if _, err := report.Vulnerabilities([]byte(good), about()); err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"nothing":              "",
		"null":                 "null",
		"empty":                "{}",
		"another schema":       strings.Replace(good, `"SchemaVersion":2`, `"SchemaVersion":3`, 1),
		"another image":        strings.ReplaceAll(good, digest, other),
		"another digest":       strings.Replace(good, `"RepoDigests":["hub/p/app@`+digest, `"RepoDigests":["hub/p/app@`+other, 1),
		"a name that hints":    strings.Replace(good, `"ArtifactName":"hub/p/app@`+digest+`"`, `"ArtifactName":"`+digest+` (good)"`, 1),
		"no id":                strings.Replace(good, "CVE-1", "", 1),
		"no package":           strings.Replace(good, `"PkgName":"a"`, `"PkgName":""`, 1),
		"a strange severity":   strings.Replace(good, "LOW", "harmless", 1),
		"findings of one type": strings.Replace(good, `"Severity":"LOW"`, `"Severity":7`, 1),
	} {
		if _, err := report.Vulnerabilities([]byte(raw), about()); err == nil {
			t.Errorf("%s was believed", name)
		}
	}
}

func TestSBOM(t *testing.T) {
	for _, tt := range []struct {
		raw, mediaType string
		fine           bool
	}{
		{`{"spdxVersion":"SPDX-2.3"}`, spec.SBOMSPDX, true}, {`{"bomFormat":"CycloneDX"}`, spec.SBOMCycloneDX, true},
		{`{"spdxVersion":"SPDX-2.3"}`, spec.SBOMCycloneDX, false}, {`{"bomFormat":"CycloneDX"}`, spec.SBOMSPDX, false},
		{`{}`, spec.SBOMSPDX, false}, {``, spec.SBOMSPDX, false}, {`{"spdxVersion":"SPDX-2.3"}`, "text/plain", false},
	} {
		r, err := report.SBOM([]byte(tt.raw), tt.mediaType, about())
		if (err == nil) != tt.fine || tt.fine && (string(r.SBOM) != tt.raw || r.MediaType != tt.mediaType) {
			t.Errorf("%s as %s: %v", tt.raw, tt.mediaType, err)
		}
	}
}
