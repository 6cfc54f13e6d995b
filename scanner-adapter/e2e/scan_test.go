package e2e

import (
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/scannertest"
	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
)

var update = flag.Bool("update", false, "write the golden reports anew")

// program builds a Go program that depends on golang.org/x/text v0.3.5.
func program(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-mod=vendor", "-o", out, ".")
	cmd.Dir = "testdata/program"
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOEXPERIMENT=", "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// debian is a layer as Debian 12 would have it: three packages with known vulnerabilities, and one without.
func debian(t *testing.T) scannertest.Layer {
	t.Helper()
	var status strings.Builder
	for _, p := range [][3]string{{"libc6", "2.36-9+deb12u1", "glibc"}, {"curl", "7.88.1-10+deb12u1", "curl"}, {"libgnutls30", "3.7.9-2", "gnutls28"}, {"tzdata", "2024a-0+deb12u1", "tzdata"}} {
		status.WriteString("Package: " + p[0] + "\nStatus: install ok installed\nPriority: required\nSection: libs\nMaintainer: nobody <nobody@example.com>\n" +
			"Architecture: amd64\nSource: " + p[2] + "\nVersion: " + p[1] + "\nDescription: a package\n\n")
	}
	return scannertest.Files(t, map[string]string{
		"etc/os-release":                    "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n",
		"etc/debian_version":                "12.5\n",
		"var/lib/dpkg/status":               status.String(),
		"usr/share/doc/curl/copyright":      "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: curl\n",
		"app/config.env":                    "GITHUB_PAT=ghp_" + "0123456789abcdefghijABCDEFGHIJ012345\n",
		"opt/vendor/app/.spdx-app.spdx":     `{"spdxVersion":"SPDX-2.3","packages":[]}`,
		"opt/vendor/app/sbom.cdx.json":      `{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{"type":"library","name":"golang.org/x/text","version":"v0.3.5","purl":"pkg:golang/golang.org/x/text@v0.3.5"}]}`,
		"usr/share/doc/libc6/copyright":     "License: GPL-2\n",
		"usr/lib/os-release.d/placeholder":  "",
		"home/app/.aws/not-credentials.txt": "nothing\n",
	})
}

// golden compares a report with what it was, but for what differs from run to run.
func golden(t *testing.T, name string, r spec.Report) {
	t.Helper()
	r.GeneratedAt = time.Time{}
	r.Artifact.Digest = "sha256:0"
	r.Vulnerabilities = slices.DeleteFunc(r.Vulnerabilities, func(f spec.Finding) bool { return f.Package == "stdlib" }) // the toolchain's
	for i := range r.Vulnerabilities {
		r.Vulnerabilities[i].Layer = nil
	}
	got, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name+".golden.json")
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got)+"\n" {
		t.Fatalf("the report is\n%s\n(go test ./e2e -update writes it, if that is meant)", got)
	}
}

func TestGoProgram(t *testing.T) {
	r := scannertest.NewRegistry(t)
	a := start(t, r, t.TempDir())
	d := r.Push(t, []scannertest.Layer{scannertest.Files(t, map[string]string{"usr/bin/program": program(t)})}, nil)
	golden(t, "go", a.scanned(r, d.String()))
}

func TestDebian(t *testing.T) {
	r := scannertest.NewRegistry(t)
	a := start(t, r, t.TempDir())
	d := r.Push(t, []scannertest.Layer{debian(t)}, nil).String()
	// All that there is, in one scan.
	id := a.ask(r, d, spec.EnabledCapability{Type: spec.Vulnerability, Produces: []string{spec.ReportHarbor, spec.ReportRaw}}, spec.EnabledCapability{Type: spec.SBOM})
	status, b := a.wait(id, spec.ReportGeneric, "")
	var report spec.Report
	if err := json.Unmarshal(b, &report); err != nil || status != http.StatusOK {
		t.Fatalf("%d: %.1000s", status, b)
	}
	golden(t, "debian", report) // an SBOM in the image adds nothing: nobody vouches for it
	raw := a.fine(id, spec.ReportRaw, "")
	for _, want := range []string{`"Class":"secret"`, `"RuleID":"github-pat"`, `"Class":"license"`, `"Class":"config"`, `"DS-0002"`} {
		if !strings.Contains(raw, want) {
			t.Errorf("the raw report lacks %s", want)
		}
	}
	if strings.Contains(raw, "0123456789abcdefghijABCDEFGHIJ") {
		t.Error("the raw report shows a secret that it found")
	}
	for mediaType, want := range map[string]string{spec.SBOMSPDX: `"spdxVersion":"SPDX-2.3"`, spec.SBOMCycloneDX: `"bomFormat":"CycloneDX"`} {
		sbom := a.fine(id, spec.ReportSBOM, "?sbom_media_type="+strings.ReplaceAll(mediaType, "+", "%2B"))
		if !strings.Contains(sbom, want) || !strings.Contains(sbom, "libgnutls30") || strings.Contains(sbom, "CVE-2023-4911") || strings.Contains(sbom, "golang.org/x/text") {
			t.Errorf("%s: %.2000s", mediaType, sbom)
		}
	}
}

// fine is a report that has to be there.
func (a *adapter) fine(id, mediaType, query string) string {
	a.t.Helper()
	status, b := a.wait(id, mediaType, query)
	if status != http.StatusOK {
		a.t.Fatalf("%d: %.1000s", status, b)
	}
	return string(b)
}
