package vulndb

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aquasecurity/trivy-db/pkg/db"
	"github.com/aquasecurity/trivy-db/pkg/metadata"
	"github.com/aquasecurity/trivy-db/pkg/types"
	bolt "go.etcd.io/bbolt"
)

// Entry is one vulnerability of one package.
type Entry struct {
	ID, Bucket, Package string
	Advisory            types.Advisory
	Detail              types.Vulnerability
}

// Debian are facts of the Debian security tracker about Debian 12.
func Debian() []Entry {
	const bucket = "debian 12"
	detail := func(title string, s types.Severity, score float64, vector string) types.Vulnerability {
		return types.Vulnerability{Title: title, Description: title,
			VendorSeverity: types.VendorSeverity{"nvd": s}, CVSS: types.VendorCVSS{"nvd": {V3Score: score, V3Vector: vector}}}
	}
	return []Entry{
		{"CVE-2023-4911", bucket, "glibc", types.Advisory{FixedVersion: "2.36-9+deb12u3"},
			detail("glibc: buffer overflow in ld.so leading to privilege escalation", types.SeverityHigh, 7.8, "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H")},
		{"CVE-2023-38545", bucket, "curl", types.Advisory{FixedVersion: "7.88.1-10+deb12u4"},
			detail("curl: heap based buffer overflow in the SOCKS5 proxy handshake", types.SeverityCritical, 9.8, "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H")},
		{"CVE-2011-3389", bucket, "gnutls28", types.Advisory{Status: types.StatusAffected},
			detail("HTTPS: block-wise chosen-plaintext attack against SSL/TLS (BEAST)", types.SeverityMedium, 0, "")},
		{"CVE-2024-3094", bucket, "xz-utils", types.Advisory{FixedVersion: "5.6.1+really5.4.5-1"},
			detail("xz: malicious code in distributed source", types.SeverityCritical, 10, "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H")},
	}
}

// osv is an entry of the Go vulnerability database.
type osv struct {
	ID, Summary, Details string
	Aliases              []string
	Withdrawn            *time.Time
	References           []struct{ URL string }
	Affected             []struct {
		Package struct{ Name string }
		Ranges  []struct {
			Events []struct{ Introduced, Fixed string }
		}
	}
}

// Go reads the entries of an archive of the Go vulnerability database.
func Go(t testing.TB, archive string) []Entry {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all []Entry
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(h.Name, ".json") {
			continue
		}
		var e osv
		if err := json.NewDecoder(r).Decode(&e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e.entries()...)
	}
}

func (e osv) entries() []Entry {
	if e.Withdrawn != nil {
		return nil
	}
	id := e.ID
	for _, a := range e.Aliases {
		if strings.HasPrefix(a, "CVE-") {
			id = a
			break
		}
	}
	detail := types.Vulnerability{Title: e.Summary, Description: e.Details}
	for _, r := range e.References {
		detail.References = append(detail.References, r.URL)
	}
	var all []Entry
	for _, a := range e.Affected {
		one := Entry{ID: id, Bucket: "go::Go Vulnerability Database", Package: a.Package.Name, Detail: detail}
		for _, r := range a.Ranges {
			low := ""
			for _, ev := range r.Events {
				if ev.Introduced != "" {
					low = ">=" + strings.TrimPrefix(ev.Introduced, "v")
					continue
				}
				one.Advisory.VulnerableVersions = append(one.Advisory.VulnerableVersions, low+", <"+ev.Fixed)
				one.Advisory.PatchedVersions = append(one.Advisory.PatchedVersions, ev.Fixed)
				low = ""
			}
			if low != "" {
				one.Advisory.VulnerableVersions = append(one.Advisory.VulnerableVersions, low)
			}
		}
		all = append(all, one)
	}
	return all
}

// Build makes a database of entries in dir, as of at.
func Build(t testing.TB, dir string, at time.Time, entries []Entry) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(db.Init(dir))
	c := db.Config{}
	check(c.BatchUpdate(func(tx *bolt.Tx) error {
		for _, e := range entries {
			source := types.DataSource{ID: "debian", Name: "Debian Security Tracker", URL: "https://salsa.debian.org/security-tracker-team/security-tracker"}
			if strings.HasPrefix(e.Bucket, "go::") {
				source = types.DataSource{ID: "govulndb", Name: "The Go Vulnerability Database", URL: "https://pkg.go.dev/vuln/"}
			}
			err := errors.Join(c.PutDataSource(tx, e.Bucket, source),
				c.PutAdvisoryDetail(tx, e.ID, e.Package, []string{e.Bucket}, e.Advisory), c.PutVulnerability(tx, e.ID, e.Detail))
			if err != nil {
				return err
			}
		}
		return nil
	}))
	check(c.BatchUpdate(func(tx *bolt.Tx) error {
		for _, e := range entries {
			if err := c.SaveAdvisoryDetails(tx, e.ID); err != nil {
				return err
			}
		}
		return nil
	}))
	check(c.DeleteAdvisoryDetailBucket())
	check(db.Close())
	check(metadata.NewClient(dir).Update(metadata.Metadata{Version: db.SchemaVersion, UpdatedAt: at, NextUpdate: at.Add(24 * time.Hour), DownloadedAt: at}))
}

// Pack makes the archive that databases are published as.
func Pack(t testing.TB, dir, to string, names ...string) {
	t.Helper()
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(b))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}
