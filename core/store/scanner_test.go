package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
)

// A scanner is made, changed under its revision and forgotten, and never while a project names it. Its secret goes to nobody
// that it was not given for.
func TestScanners(t *testing.T) {
	eachHub(t, func(h *hub) {
		ctx, k := context.Background(), ring(h)
		put := func(name string, n store.ScannerPut, revision int64) (*store.Scanner, error) {
			v, _, err := h.PutScanner(h.admin, k, name, n, revision)
			return v, err
		}
		secret := func(name, want string) {
			t.Helper()
			v, err := h.Scanner(ctx, name)
			h.ok(err)
			if got, err := store.ScannerSecret(k, v); err != nil || got != want || v.HasSecret != (want != "") {
				t.Errorf("the secret is %q, %v", got, err)
			}
		}
		_, err := h.Scanner(ctx, "one")
		h.refused(err, core.CodeNotFound)
		v, err := put("one", store.ScannerPut{URL: "http://Scanner.Example.org:8090/base/", Secret: text("canary"), Default: true}, 0)
		h.ok(err)
		if v.URL != "http://scanner.example.org:8090/base" || v.Revision != 1 || v.Ready() {
			t.Errorf("%+v", v)
		}
		secret("one", "canary")
		_, err = put("one", store.ScannerPut{URL: v.URL}, 0)
		h.refused(err, core.CodeIfMatchRequired)
		_, err = put("one", store.ScannerPut{URL: v.URL, Default: true, RegistryURL: "https://hub.example.org"}, 1)
		h.ok(err)
		secret("one", "canary")
		for _, n := range []store.ScannerPut{{URL: "http://other.example.org"}, {URL: v.URL, Username: "hub"}} {
			_, err = put("one", n, 2)
			h.refused(err, core.CodeInvalid)
		}
		_, err = put("one", store.ScannerPut{URL: v.URL, Username: "hub", Secret: text("other"), Default: true}, 2)
		h.ok(err)
		secret("one", "other")
		_, err = put("one", store.ScannerPut{URL: v.URL, Username: "hub", Secret: text(""), Default: true}, 3)
		h.ok(err)
		secret("one", "")
		for _, u := range []string{"", "scanner", "ftp://x", "https://u:p@x", "https://x?y", "https://x#y", "https://" + strings.Repeat("x", 250)} {
			_, err = put("two", store.ScannerPut{URL: u}, 0)
			h.refused(err, core.CodeInvalid)
		}
		// One is the default at most.
		_, err = put("two", store.ScannerPut{URL: "https://two.example.org", Default: true}, 0)
		h.ok(err)
		v, err = h.Scanner(ctx, "one")
		h.ok(err)
		if v.Default {
			t.Error("two scanners are the default one")
		}
		h.project(h.admin, "team", core.Private)
		if v, found, err := h.ScannerFor(ctx, "team"); err != nil || !found || v.Name != "two" {
			t.Errorf("%v %v %v", v, found, err)
		}
		p, err := h.ProjectByName(ctx, "team")
		h.ok(err)
		_, err = h.UpdateProject(h.admin, p, store.ProjectPatch{Scanner: text("three")}, store.AnyRevision)
		h.refused(err, core.CodeInvalid)
		_, err = h.UpdateProject(h.admin, p, store.ProjectPatch{Scanner: text("one")}, store.AnyRevision)
		h.ok(err)
		if v, found, err := h.ScannerFor(ctx, "team"); err != nil || !found || v.Name != "one" {
			t.Errorf("%v %v %v", v, found, err)
		}
		h.refused(h.DeleteScanner(h.admin, "one", store.AnyRevision), core.CodeConflict)
		p, err = h.UpdateProject(h.admin, p, store.ProjectPatch{Scanner: text("")}, store.AnyRevision)
		h.ok(err)
		if p.Scanner != "" {
			t.Errorf("the project still names %q", p.Scanner)
		}
		h.refused(h.DeleteScanner(h.admin, "one", 1), core.CodeStale)
		h.ok(h.DeleteScanner(h.admin, "one", store.AnyRevision))
		h.refused(h.DeleteScanner(h.admin, "one", store.AnyRevision), core.CodeNotFound)
		all, more, err := h.Scanners(ctx, "", 10)
		for i := range 49 {
			_, err := put(fmt.Sprintf("more-%d", i), store.ScannerPut{URL: "https://more.example.org"}, 0)
			h.ok(err)
		}
		_, past := put("past", store.ScannerPut{URL: "https://more.example.org"}, 0)
		h.refused(past, core.CodeLimit)
		if err != nil || more || len(all) != 1 || all[0].Name != "two" {
			t.Errorf("%v %v %v", all, more, err)
		}
	})
}

// What a scanner found goes with it, however much that is, and all who judged by it are told. What others found stays.
func TestDeletedScannersFindings(t *testing.T) {
	eachHub(t, func(h *hub) {
		h.scannerRow("trivy")
		h.scannerRow("clair")
		p := h.project(h.admin, "team", core.Private)
		report := h.report(found("CVE-1:Critical"))
		const images = 201
		for i := range images {
			h.scanned(p, fmt.Sprintf("app%d", i%2), fmt.Sprintf("sha256:%d", i), report)
		}
		h.setScan(store.ScanResult{Repository: "team/app0", Digest: "sha256:0", Scanner: "clair", Report: report})
		told := map[string]bool{}
		h.db.Subscribe(func(all []db.Change) {
			for _, c := range all {
				if c.Kind == store.ChangeEvidence {
					told[c.Key] = true
				}
			}
		})
		h.ok(h.db.Follow(context.Background()))
		h.ok(h.DeleteScanner(h.admin, "trivy", store.AnyRevision))
		left, err := h.Scans(h.admin, "team/app0", "sha256:0")
		if h.ok(err); h.count("scan") != 1 || len(left) != 1 || left[0].Scanner != "clair" {
			t.Errorf("%d are left, %+v", h.count("scan"), left)
		}
		if !told["team/app0"] || !told["team/app1"] || len(told) != 2 {
			t.Errorf("told of %v", told)
		}
		// What was interrupted is swept, and a scan that ends now writes nothing: see scan.Outcome.
		h.exec(`DELETE FROM scanner WHERE name = 'clair'`)
		_, err = h.SweepReports(h.admin)
		if h.ok(err); h.count("scan") != 0 {
			t.Error("what a scanner found that is not there outlasts a sweep")
		}
		h.ok(h.db.Write(h.admin, func(tx *db.Tx) error {
			there, err := store.HoldScanner(tx, "clair")
			if there {
				t.Error("it is there")
			}
			return err
		}))
	})
}

// What a scanner says of itself is written once for all who could ask, and told when it is news.
func TestScannerHealth(t *testing.T) {
	eachHub(t, func(h *hub) {
		ctx, k := h.admin, ring(h)
		v, _, err := h.PutScanner(ctx, k, "one", store.ScannerPut{URL: "https://one.example.org"}, 0)
		h.ok(err)
		claim := func(want bool) {
			t.Helper()
			if got, err := h.ClaimScannerCheck(ctx, v, time.Hour); err != nil || got != want {
				t.Errorf("claimed %v, %v", got, err)
			}
		}
		claim(true)
		claim(false)
		news := 0
		h.db.Subscribe(func(all []db.Change) {
			for _, c := range all {
				if c.Kind == store.ChangeScan {
					news++
				}
			}
		})
		h.ok(h.db.Follow(context.Background()))
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		good := store.ScannerHealth{Metadata: json.RawMessage(`{"a":1}`), DatabaseAt: at}
		for i, c := range []struct {
			store.ScannerHealth
			news  int
			ready bool
		}{{good, 1, true}, {good, 1, true}, {store.ScannerHealth{Problem: "it\nis\x00 gone"}, 2, false}, {good, 3, true},
			{store.ScannerHealth{Metadata: good.Metadata, DatabaseAt: at.Add(time.Second)}, 4, true}} {
			h.ok(h.SetScannerHealth(ctx, v, c.ScannerHealth))
			got, err := h.Scanner(ctx, "one")
			h.ok(err)
			if news != c.news || got.Ready() != c.ready || got.Health.DatabaseAt.IsZero() || string(got.Health.Metadata) != `{"a":1}` || got.Health.Problem != strings.Join(strings.Fields(strings.ReplaceAll(c.Problem, "\x00", " ")), " ") {
				t.Errorf("%d: %d news, %+v", i, news, got)
			}
		}
		claim(false)
		// Of what it was before it was changed it says nothing.
		_, _, err = h.PutScanner(ctx, k, "one", store.ScannerPut{URL: "https://other.example.org"}, store.AnyRevision)
		h.ok(err)
		h.ok(h.SetScannerHealth(ctx, v, good))
		got, err := h.Scanner(ctx, "one")
		h.ok(err)
		if got.Ready() || !got.CheckedAt.IsZero() {
			t.Errorf("%+v", got)
		}
		claim(true)
	})
}
