package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/scanner-adapter/scannertest"
	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
)

// line is a document of a stream.
func line(id, sbom string) string { return fmt.Sprintf(`{"id":%q,"sbom":%s}`+"\n", id, sbom) }

// match has documents matched.
func (a *adapter) match(body string) []spec.Matched {
	a.t.Helper()
	return a.matchStream(strings.NewReader(body))
}

func (a *adapter) matchStream(body io.Reader) []spec.Matched {
	a.t.Helper()
	resp, b := a.do(http.MethodPost, "/api/v1/sboms", spec.MediaSBOMs, body)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != spec.MediaFindings {
		a.t.Fatalf("%s: %.1000s", resp.Status, b)
	}
	var all []spec.Matched
	for l := range bytes.Lines(b) {
		var m spec.Matched
		if err := json.Unmarshal(l, &m); err != nil {
			a.t.Fatalf("%v: %.1000s", err, l)
		}
		all = append(all, m)
	}
	return all
}

// described scans an image and returns its vulnerabilities, its content and its SBOM, on one line.
func (a *adapter) described(r *scannertest.Registry, digest string) (found spec.Report, content spec.ContentReport, sbom string) {
	a.t.Helper()
	id := a.ask(r, digest, spec.EnabledCapability{Type: spec.Vulnerability, Produces: []string{spec.ReportHarbor}}, spec.EnabledCapability{Type: spec.Content},
		spec.EnabledCapability{Type: spec.SBOM, Parameters: &spec.Attributes{SBOMMediaTypes: []string{spec.SBOMCycloneDX}}})
	var wrapped spec.SBOMReport
	for _, one := range []struct {
		raw  string
		into any
	}{{a.fine(id, spec.ReportHarbor, ""), &found}, {a.fine(id, spec.ReportContent, ""), &content},
		{a.fine(id, spec.ReportSBOM, "?sbom_media_type="+strings.ReplaceAll(spec.SBOMCycloneDX, "+", "%2B")), &wrapped}} {
		if strings.Contains(one.raw, "0123456789abcdefghijABCDEFGHIJ") {
			a.t.Errorf("a report shows a secret that was found: %.2000s", one.raw)
		}
		if err := json.Unmarshal([]byte(one.raw), one.into); err != nil {
			a.t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := json.Compact(&out, wrapped.SBOM); err != nil {
		a.t.Fatal(err)
	}
	return found, content, out.String()
}

// release is a layer that says which distribution an image is.
func release(t *testing.T, id, version string) scannertest.Layer {
	t.Helper()
	return scannertest.Files(t, map[string]string{"etc/os-release": "ID=" + id + "\nVERSION_ID=\"" + version + "\"\n", "etc/debian_version": version + ".0\n"})
}

// What is found in an SBOM is what is found in the image that it was made of, and is as complete.
func TestMatchedSBOMSaysWhatTheScanSays(t *testing.T) {
	r := scannertest.NewRegistry(t)
	a := start(t, r, t.TempDir())
	binary := scannertest.Files(t, map[string]string{"usr/bin/program": program(t)})
	bodies, want := "", map[string]spec.Report{}
	for _, tt := range []struct {
		name       string
		layers     []scannertest.Layer
		incomplete string
	}{
		{"debian", []scannertest.Layer{debian(t)}, ""},
		{"go", []scannertest.Layer{binary}, ""},
		{"both", []scannertest.Layer{debian(t), binary}, ""},
		{"a release without data", []scannertest.Layer{debian(t), release(t, "debian", "99")}, "nothing about debian/99"},
	} {
		found, content, sbom := a.described(r, r.Push(t, tt.layers, nil).String())
		if !strings.Contains(content.Incomplete, tt.incomplete) || (content.Incomplete == "") != (tt.incomplete == "") {
			t.Errorf("%s is incomplete because %q", tt.name, content.Incomplete)
		}
		if tt.incomplete == "" && len(found.Vulnerabilities) == 0 {
			t.Errorf("nothing is found in %s: the test tests nothing", tt.name)
		}
		want[tt.name] = found
		bodies += line(tt.name, sbom)
	}
	all := a.match(bodies)
	if len(all) != len(want) {
		t.Fatalf("there are %d answers", len(all))
	}
	for _, m := range all {
		if m.Error != "" || m.DatabaseAt == nil || m.DatabaseAt.IsZero() || (m.Incomplete == "") != (m.ID != "a release without data") {
			t.Errorf("%s: %q, %q, %v", m.ID, m.Error, m.Incomplete, m.DatabaseAt)
		}
		if !reflect.DeepEqual(m.Findings, want[m.ID].Vulnerabilities) {
			got, _ := json.Marshal(m.Findings)
			wanted, _ := json.Marshal(want[m.ID].Vulnerabilities)
			t.Errorf("%s:\n%s\nthe scan says\n%s", m.ID, got, wanted)
		}
	}
}

func TestContent(t *testing.T) {
	r := scannertest.NewRegistry(t)
	a := start(t, r, t.TempDir())
	_, content, _ := a.described(r, r.Push(t, []scannertest.Layer{debian(t)}, nil).String())
	if !slices.Equal(content.Looked, []string{spec.CheckSecret, spec.CheckLicence, spec.CheckMisconfiguration}) || content.Incomplete != "" {
		t.Errorf("%q was looked for, and it is incomplete because %q", content.Looked, content.Incomplete)
	}
	for _, want := range []spec.Check{
		{Kind: spec.CheckSecret, ID: "github-pat", Severity: spec.Critical, Title: "GitHub Personal Access Token", Path: "/app/config.env:1"},
		{Kind: spec.CheckLicence, ID: "GPL-2.0-only", Severity: spec.High, Path: "libc6", Class: "restricted"},
		{Kind: spec.CheckMisconfiguration, ID: "DS-0002", Severity: spec.High, Title: "Image user should not be 'root'"},
	} {
		if !slices.ContainsFunc(content.Checks, func(c spec.Check) bool { c.Layer = ""; return c == want }) {
			t.Errorf("%+v is not in %+v", want, content.Checks)
		}
	}
}

// xs is a text that does not end.
type xs struct{}

func (xs) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// A line of a gibibyte is read, and kept nowhere.
func TestLongLine(t *testing.T) {
	r := scannertest.NewRegistry(t)
	a := start(t, r, t.TempDir())
	_, _, good := a.described(r, r.Push(t, []scannertest.Layer{debian(t)}, nil).String())
	all := a.matchStream(io.MultiReader(strings.NewReader(`{"id":"bad","sbom":"`), io.LimitReader(xs{}, 1<<30), strings.NewReader("\"}\n"+line("good", good))))
	if len(all) != 2 || all[0].ID != "bad" || !strings.Contains(all[0].Error, "limits.sbom") || all[1].Error != "" || len(all[1].Findings) == 0 {
		t.Fatalf("%.2000s", fmt.Sprint(all))
	}
}

// Every hostile document is answered with a reason, and the next one is matched.
func TestHostileSBOMs(t *testing.T) {
	r := scannertest.NewRegistry(t)
	a := start(t, r, t.TempDir(), "SCANNER_LIMITS_MEMORY=700MiB", "SCANNER_LIMITS_SBOM=8MiB", "SCANNER_LIMITS_COMPONENTS=20000", "SCANNER_LIMITS_SBOM_TIME=10s")
	_, _, good := a.described(r, r.Push(t, []scannertest.Layer{debian(t)}, nil).String())
	of := func(components string) string {
		return `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[` + components + `]}`
	}
	library := func(ref, name, purl string) string {
		return fmt.Sprintf(`{"type":"library","bom-ref":%q,"name":%q,"version":"1","purl":%q}`, ref, name, purl)
	}
	many := func(n int) string {
		var out strings.Builder
		for i := range n {
			if i > 0 {
				out.WriteByte(',')
			}
			out.WriteString(library(fmt.Sprint("r", i), "n", "pkg:golang/x/n@v1"))
		}
		return out.String()
	}
	for _, tt := range []struct{ name, sbom, words string }{
		{"too many components", of(many(20_001)), "limit"},
		{"ten million of nothing", of(strings.Repeat("{},", 2_000_000) + "{}"), "limit"},
		{"deep", `{"bomFormat":"CycloneDX","components":` + strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000) + `}`, "levels deep"},
		{"a huge name", of(library("a", strings.Repeat("x", 5000), "pkg:golang/x/n@v1")), "more than 4096 bytes"},
		{"twice the same", of(library("a", "n", "pkg:golang/x/n@v1") + "," + library("a", "n", "pkg:golang/x/n@v2")), "bom-ref"},
		{"no package URL", of(library("a", "n", "not a purl")), "no package URL"},
		{"two distributions", of(`{"type":"operating-system","name":"debian","version":"12"},{"type":"operating-system","name":"alpine","version":"3"}`), "distributions"},
		{"another format", `{"spdxVersion":"SPDX-2.3"}`, "not CycloneDX"},
		{"a list", `[]`, "cannot be read"},
		{"not JSON", `{"bomFormat":`, "line is not"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := a.match(line("bad", tt.sbom) + line("good", good))
			if len(all) != 2 || all[0].ID != "bad" || !strings.Contains(all[0].Error, tt.words) || len(all[0].Findings) != 0 {
				t.Fatalf("%.2000s", fmt.Sprint(all))
			}
			if all[1].ID != "good" || all[1].Error != "" || len(all[1].Findings) == 0 {
				t.Errorf("the next one: %+v", all[1])
			}
		})
	}
	if all := a.match(line("at the limit", of(many(20_000)))); len(all) != 1 || all[0].Error != "" {
		t.Errorf("%.1000s", fmt.Sprint(all))
	}
	for _, sbom := range []string{of(`{"type":"library","bom-ref":"a","name":"n","version":"1"}`), of(`{"type":"application","bom-ref":"a","name":"n","components":[{}]}`)} {
		if all := a.match(line("a", sbom)); len(all) != 1 || all[0].Error != "" || all[0].Incomplete == "" {
			t.Errorf("what cannot be matched is passed over: %+v", all)
		}
	}
}
