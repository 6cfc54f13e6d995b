package main

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
)

// scanned says what a scanner found in an image.
func (s *shell) scanned(repository string, image digest.Digest, found *core.Scan) {
	s.t.Helper()
	ctx := core.WithPrincipal(s.t.Context(), core.System())
	id, err := s.hub.store.SaveReport(ctx, found, []core.Vulnerability{{ID: "CVE-2022-32149", Severity: core.SeverityHigh, Title: "Bad tags"}})
	if err == nil {
		err = s.hub.db.Write(ctx, func(tx *db.Tx) error {
			_, err := store.SetScan(tx, store.ScanResult{Repository: repository, Digest: string(image), Scanner: "trivy", Report: id})
			return err
		})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestVulnerabilityCommands(t *testing.T) {
	s := newShell(t)
	s.login()
	s.must("", "create", "project", "team")
	image := s.image("team/app", "x", "1.0").Digest
	s.fails(1, "not scanned", "get", "vulnerabilities", "team/app:1.0")
	found := &core.Scan{Matched: true, Incomplete: "an unknown distribution", Findings: []core.Finding{
		{ID: "CVE-2022-32149", Severity: core.SeverityHigh, Package: "golang.org/x/text", Version: "v0.3.0", Fixed: "v0.3.8"},
		{ID: "CVE-2000-1", Severity: core.SeverityLow, Package: "=zlib", Version: "1.2"}}}
	s.scanned("team/app", image, found)

	out, errs, err := s.run("", "get", "vulnerabilities", "team/app:1.0")
	if err != nil || !strings.Contains(out, "CVE-2022-32149  High") || !strings.Contains(out, "Bad tags") || !strings.Contains(errs, "There can be more: an unknown distribution") {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	if out := s.must("", "get", "vulnerabilities", "team/app:1.0", "--filter", "severity=High", "-o", "json"); strings.Contains(out, "CVE-2000-1") || !strings.Contains(out, `"fixed": "v0.3.8"`) {
		t.Error(out)
	}
	if out := s.must("", "get", "vulnerabilities", "team/app:1.0", "-o", "yaml", "--limit", "1"); strings.Count(out, "package:") != 1 {
		t.Error(out)
	}
	for _, line := range [][]string{{"team/app:1.0"}, {"--project", "team"}} {
		out := s.must("", append([]string{"get", "vulnerabilities", "-o", "csv"}, line...)...)
		if rows, err := csv.NewReader(strings.NewReader(out)).ReadAll(); err != nil || len(rows) != 3 || !strings.Contains(out, "'=zlib") {
			t.Errorf("%v %s", err, out)
		}
	}
	if out := s.must("", "get", "vulnerabilities", "team/app:1.0", "-o", "sarif"); !strings.Contains(out, `"version":"2.1.0"`) {
		t.Error(out)
	}
	if out := s.must("", "get", "vulnerabilities", "--project", "team"); !strings.Contains(out, "team/app") || !strings.Contains(out, "golang.org/x/text") {
		t.Error(out)
	}
	if out := s.must("", "get", "vulnerabilities", "--filter", "q=32149"); !strings.Contains(out, "CVE-2022-32149  High") || strings.Contains(out, "CVE-2000-1") {
		t.Error(out)
	}
	s.aliases()
	s.fails(2, "-o is table", "get", "projects", "-o", "csv")
	s.fails(2, "not both", "get", "vulnerabilities", "team/app:1.0", "--id", "CVE-1")
	s.fails(2, "-o sarif is for", "get", "vulnerabilities", "--id", "CVE-1", "-o", "sarif")
	s.fails(1, "no vulnerability", "get", "vulnerabilities", "--id", "CVE-404")
}

// aliases: another name is imported, found and removed again.
func (s *shell) aliases() {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "cnnvd.csv")
	if err := os.WriteFile(file, []byte("id,alias,title\nCVE-2022-32149,CNNVD-7,标签解析\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if out := s.must("", "import", "aliases", file, "--source", "cnnvd"); out != "alias/cnnvd imported: 1 names\n" {
		s.t.Error(out)
	}
	if out := s.must("", "get", "vulnerabilities", "--id", "CNNVD-7"); !strings.Contains(out, "CVE-2022-32149  High  Bad tags") || !strings.Contains(out, "team/app") {
		s.t.Error(out)
	}
	if out := s.must("", "get", "vulnerabilities", "--id", "CNNVD-7", "-o", "json", "--filter", "lang=zh"); !strings.Contains(out, "标签解析") || !strings.Contains(out, `"full_name": "team/app"`) {
		s.t.Error(out)
	}
	if out := s.must("", "get", "aliases"); !strings.Contains(out, "cnnvd  1") {
		s.t.Error(out)
	}
	s.must("id,alias\nCVE-1,X\n", "import", "aliases", "-", "--source", "ghsa")
	s.must("", "delete", "alias", "cnnvd")
	s.fails(1, "no vulnerability", "get", "vulnerabilities", "--id", "CNNVD-7")
	s.fails(2, "--source", "import", "aliases", file)
	s.fails(2, "cannot", "import", "projects", file, "--source", "x")
	s.fails(1, "no such file", "import", "aliases", file+".no", "--source", "x")
}
