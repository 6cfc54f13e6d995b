package scan_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/scan"
	"github.com/hallmarkhub/hallmark/core/scan/scannertest"
	"github.com/hallmarkhub/hallmark/core/store"
)

const (
	oci  = "application/vnd.oci.image.manifest.v1+json"
	spdx = "application/spdx+json"
)

func image() scan.Request {
	return scan.Request{Repository: "team/app", Digest: "sha256:" + strings.Repeat("1", 64), MediaType: oci,
		RegistryURL: "https://hub.example.org", Authorization: "Bearer one-image"}
}

func dial(t *testing.T, a *scannertest.Adapter, secret string, l scan.Limits) *scan.Client {
	t.Helper()
	c, err := scan.NewClient(&store.Scanner{Name: "test", URL: a.URL}, secret, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// What an adapter finds is what the hub has, each vulnerability once for a package, and nothing else of it than was asked for.
func TestScan(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprint("old ", old), func(t *testing.T) {
			a := scannertest.New(t, scannertest.Options{Vulnerabilities: true, Old: old, Token: "canary"})
			a.Find("", scannertest.Finding{ID: "CVE-2", Package: "zlib", Version: "1.2", FixVersion: "1.3", Severity: "High", Description: "Bad.\nVery\x00 bad.",
				Links: []string{"https://example.org/2", "javascript:alert(1)"}, Vendor: map[string]any{"purl": "pkg:deb/debian/zlib@1.2", "path": "lib/z.so", "CVSS": 1}},
				scannertest.Finding{ID: "CVE-2", Package: "zlib", Version: "1.2", Severity: "Critical", Vendor: map[string]any{"purl": "pkg:deb/debian/zlib@1.2"}},
				scannertest.Finding{ID: "CVE-1", Package: "bash", Version: "5", Vendor: map[string]any{"purl": 7}})
			c := dial(t, a, "canary", scan.Limits{})
			r := image()
			r.SBOMs = []string{spdx} // which it does not make
			got, err := c.Scan(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			want := []core.Finding{
				{ID: "CVE-2", Package: "zlib", Version: "1.2", Fixed: "1.3", Severity: core.SeverityCritical, PURL: "pkg:deb/debian/zlib@1.2", Path: "lib/z.so"},
				{ID: "CVE-1", Package: "bash", Version: "5", Severity: core.SeverityUnknown}}
			if !reflect.DeepEqual(got.Scan.Findings, want) || !got.Scan.Matched || len(got.Scan.Looked) != 0 || len(got.SBOMs) != 0 || got.Scan.DatabaseAt.IsZero() {
				t.Errorf("got %+v", got.Scan)
			}
			if v := got.Vulnerabilities; len(v) != 2 || v[0].Severity != core.SeverityCritical || v[0].Title != "Bad." || v[0].Description != "Bad.\nVery  bad." ||
				len(v[0].Links) != 1 {
				t.Errorf("got %+v", v)
			}
			asked := a.Scans()[0]
			if asked.Registry.Authorization != "Bearer one-image" || asked.Artifact.Digest != r.Digest || old != (len(asked.Capabilities) == 0) {
				t.Errorf("asked %+v", asked)
			}
		})
	}
}

// An adapter may do nothing but look for malware; one may make bills of materials besides.
func TestWhatAdaptersOffer(t *testing.T) {
	a := scannertest.New(t, scannertest.Options{Looked: []string{"malware"}})
	a.Check(scannertest.Check{Kind: "malware", ID: "EICAR", Severity: "Critical", Path: "bin/x"})
	got, err := dial(t, a, "", scan.Limits{}).Scan(t.Context(), image())
	if err != nil {
		t.Fatal(err)
	}
	want := core.Scan{Scanner: "test", Looked: []core.CheckKind{"malware"},
		Checks: []core.Check{{Kind: "malware", ID: "EICAR", Severity: core.SeverityCritical, Path: "bin/x"}}}
	if !reflect.DeepEqual(*got.Scan, want) {
		t.Errorf("got %+v", got.Scan)
	}
	b := scannertest.New(t, scannertest.Options{Vulnerabilities: true, Looked: []string{"secret"}, SBOMs: map[string]string{spdx: `{"spdxVersion":"SPDX-2.3"}`}})
	r := image()
	r.SBOMs = []string{spdx, "application/vnd.cyclonedx+json"}
	if got, err = dial(t, b, "", scan.Limits{}).Scan(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if len(got.SBOMs) != 1 || got.SBOMs[0].MediaType != spdx || string(got.SBOMs[0].Document) != `{"spdxVersion":"SPDX-2.3"}` || !got.Scan.Matched {
		t.Errorf("got %+v", got)
	}
	// What no adapter can scan is no reason to ask again.
	r.MediaType = "application/vnd.oci.image.index.v1+json"
	if _, err = dial(t, b, "", scan.Limits{}).Scan(t.Context(), r); !final(err) {
		t.Errorf("an index: %v", err)
	}
}

func final(err error) bool {
	var e *scan.Error
	return errors.As(err, &e) && e.Final
}

// Whatever an adapter does, a scan ends, with a reason (V-13).
func TestHostileAdapters(t *testing.T) {
	for b, want := range map[scannertest.Behaviour]struct {
		final bool
		says  string
	}{
		scannertest.Hang:       {false, "did not answer in time"},
		scannertest.NeverDone:  {false, "was not done after"},
		scannertest.Garbage:    {true, "not the JSON"},
		scannertest.Truncated:  {false, "broke off"},
		scannertest.Endless:    {true, "more than 65536 bytes"},
		scannertest.Many:       {true, "more than 100 findings"},
		scannertest.Drip:       {false, "did not answer in time"},
		scannertest.OtherImage: {true, "is about"},
		scannertest.NoImage:    {true, "does not say which image"},
		scannertest.NoSeverity: {true, "which is none"},
		scannertest.Twice:      {true, "says twice"},
		scannertest.Elsewhere:  {false, "answered 307"},
		scannertest.Hostile:    {true, "A link leaves the image."},
		scannertest.Busy:       {false, "The queue is full."},
		scannertest.Forgets:    {false, "There is no such scan."},
		scannertest.OddID:      {false, "named none"},
		scannertest.NotAnImage: {true, "This cannot be scanned."},
	} {
		for _, o := range []scannertest.Options{{Vulnerabilities: true}, {Looked: []string{"secret"}}} {
			if len(o.Looked) > 0 && b == scannertest.Many {
				continue // its list is that of the other report
			}
			t.Run(fmt.Sprint(b, o.Vulnerabilities), func(t *testing.T) {
				t.Parallel()
				a := scannertest.New(t, o)
				a.Behave(b)
				c := dial(t, a, "", scan.Limits{Report: 64 << 10, Findings: 100, Time: 2 * time.Second, Answer: time.Second})
				got, err := c.Scan(t.Context(), image())
				var e *scan.Error
				if got != nil || !errors.As(err, &e) || e.Final != want.final || !strings.Contains(e.Reason, want.says) {
					t.Errorf("got %v, %v", got, err)
				}
			})
		}
	}
}

// As many findings as there may be are taken, and as many bytes.
func TestLimitsOfReports(t *testing.T) {
	a := scannertest.New(t, scannertest.Options{Vulnerabilities: true})
	fill := func(n int) {
		all := make([]scannertest.Finding, n)
		for i := range all {
			all[i] = scannertest.Finding{ID: fmt.Sprintf("CVE-%03d", i), Package: "p", Severity: "Low"}
		}
		a.Find("", all...)
	}
	try := func(l scan.Limits) error {
		_, err := dial(t, a, "", l).Scan(t.Context(), image())
		return err
	}
	fill(100)
	if err := try(scan.Limits{Findings: 100}); err != nil {
		t.Error(err)
	}
	size := size(t, a)
	if err := try(scan.Limits{Report: size}); err != nil {
		t.Error(err)
	}
	if err := try(scan.Limits{Report: size - 1}); !final(err) {
		t.Errorf("one byte too many: %v", err)
	}
	fill(101)
	if err := try(scan.Limits{Findings: 100}); !final(err) {
		t.Errorf("one finding too many: %v", err)
	}
}

// As many kinds of checks as there may be are taken.
func TestLimitOfKinds(t *testing.T) {
	for n, taken := range map[int]bool{32: true, 33: false} {
		looked := make([]string, n)
		for i := range looked {
			looked[i] = "kind-" + strings.Repeat("x", i+1)[:min(i+1, 35)]
		}
		a := scannertest.New(t, scannertest.Options{Looked: looked})
		got, err := dial(t, a, "", scan.Limits{}).Scan(t.Context(), image())
		if taken && (err != nil || len(got.Scan.Looked) != n) || !taken && (!final(err) || !strings.Contains(err.Error(), "32 kinds")) {
			t.Errorf("%d kinds: %v", n, err)
		}
	}
}

// size is how long the adapter's report is.
func size(t *testing.T, a *scannertest.Adapter) int64 {
	t.Helper()
	answer, err := dial(t, a, "", scan.Limits{}).Do(t.Context(), http.MethodGet, "/api/v1/scan/1/report", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Who stops waiting is told so, and not that the adapter is at fault.
func TestScanIsCancelled(t *testing.T) {
	a := scannertest.New(t, scannertest.Options{Vulnerabilities: true})
	defer a.Hold()()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("somebody stopped it")
	go func() {
		<-a.Asked()
		cancel(why)
	}()
	if _, err := dial(t, a, "", scan.Limits{}).Scan(ctx, image()); !errors.Is(err, why) {
		t.Error(err)
	}
}
