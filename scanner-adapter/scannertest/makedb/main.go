package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aquasecurity/trivy-db/pkg/types"

	"github.com/hallmarkhub/hallmark/scanner-adapter/scannertest/vulndb"
)

func main() {
	facts := flag.String("go", "testdata/go-vulndb-osv.tar.gz", "archive of the Go vulnerability database")
	age := flag.Duration("age", time.Hour, "how old the databases are")
	more := flag.Bool("more", false, "with one more vulnerability, of golang.org/x/text")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: makedb [-go FILE] [-age DURATION] [-more] DIRECTORY")
		os.Exit(2)
	}
	t, out, at := program{}, flag.Arg(0), time.Now().Add(-*age).UTC().Truncate(time.Second)
	entries := vulndb.Go(t, *facts)
	for _, e := range vulndb.Debian() {
		for _, release := range []string{"12", "13"} { // whichever the tests' image is of
			e.Bucket = "debian " + release
			entries = append(entries, e)
		}
	}
	if *more {
		entries = append(entries, added())
	}
	dir, err := os.MkdirTemp(out, "db-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	vulndb.Build(t, dir, at, entries)
	vulndb.Pack(t, dir, filepath.Join(out, "db.tar.gz"), "trivy.db", "metadata.json")
	vulndb.BuildJava(t, dir, at)
	vulndb.Pack(t, dir, filepath.Join(out, "javadb.tar.gz"), "trivy-java.db", "metadata.json")
}

// added is what nobody knew of yesterday.
func added() vulndb.Entry {
	return vulndb.Entry{ID: "CVE-2031-1000", Bucket: "go::Go Vulnerability Database", Package: "golang.org/x/text",
		Advisory: types.Advisory{VulnerableVersions: []string{"<0.3.9"}, PatchedVersions: []string{"0.3.9"}},
		Detail: types.Vulnerability{Title: "x/text: made up for the tests", Description: "What the tests need to be new.",
			VendorSeverity: types.VendorSeverity{"nvd": types.SeverityCritical},
			CVSS:           types.VendorCVSS{"nvd": {V3Score: 9.8, V3Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}}}
}

// program is as much of a test as package vulndb needs.
type program struct{ testing.TB }

func (program) Helper() {}

func (program) Fatal(all ...any) {
	fmt.Fprintln(os.Stderr, append([]any{"makedb:"}, all...)...)
	os.Exit(1)
}
