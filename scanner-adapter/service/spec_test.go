package service_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/service"
	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
)

func TestMetadata(t *testing.T) {
	f := start(t, nil)
	for accept, want := range map[string]string{
		"":                   spec.MediaMetadata11,
		"*/*":                spec.MediaMetadata11,
		"application/json":   spec.MediaMetadata11,
		spec.MediaMetadata11: spec.MediaMetadata11,
		spec.MediaMetadata10: spec.MediaMetadata10,
		"application/vnd.scanner.adapter.metadata+json;version=1.0": spec.MediaMetadata10,
		"text/html, " + spec.MediaMetadata10 + ";q=0.5":             spec.MediaMetadata10,
	} {
		resp, body := f.call(http.MethodGet, "/api/v1/metadata", "", "Accept", accept)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != want {
			t.Errorf("%q is answered with %s, %s: %s", accept, resp.Status, resp.Header.Get("Content-Type"), body)
		}
		var m spec.Metadata
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			t.Fatal(err)
		}
		types := []string{}
		for _, c := range m.Capabilities {
			types = append(types, c.Type)
			consumes := []string{spec.ImageOCI, spec.ImageDocker}
			if c.Type == spec.SBOMs {
				consumes = []string{spec.SBOMCycloneDX}
			}
			if !slices.Equal(c.Consumes, consumes) || len(c.Produces) == 0 {
				t.Errorf("a capability is %+v", c)
			}
		}
		if wanted := map[string][]string{spec.MediaMetadata11: {"vulnerability", "sbom", "content", "sboms"}, spec.MediaMetadata10: {""}}[want]; !slices.Equal(types, wanted) {
			t.Errorf("%s has the capabilities %q", want, types)
		}
		if m.Properties["harbor.scanner-adapter/scanner-type"] == "" || m.Properties["harbor.scanner-adapter/vulnerability-database-updated-at"] == "" {
			t.Errorf("the properties are %v", m.Properties)
		}
	}
	if resp, _ := f.call(http.MethodGet, "/api/v1/metadata", "", "Accept", "text/html"); resp.StatusCode != http.StatusNotAcceptable {
		t.Errorf("HTML is answered with %s", resp.Status)
	}
}

// The age of a database, and what to do when it is old or its index of Java archives is missing, are shown.
func TestAgeIsShown(t *testing.T) {
	f := start(t, func(o *service.Options) { imported(t, o.Store, time.Now().Add(-time.Minute)) })
	_, body := f.call(http.MethodGet, "/api/v1/metadata", "")
	if !strings.Contains(body, "Images with Java archives are not scanned without it") || strings.Contains(body, "older than a week") {
		t.Fatal(body)
	}
	old := start(t, func(o *service.Options) {
		o.Store = fresh(t)
		imported(t, o.Store, time.Now().Add(-30*24*time.Hour))
		o.Databases[0].Store = o.Store
	})
	if _, body := old.call(http.MethodGet, "/api/v1/metadata", ""); !strings.Contains(body, "older than a week") || !strings.Contains(body, "database import FILE") {
		t.Fatal(body)
	}
}

func TestScan(t *testing.T) {
	f := start(t, nil)
	id := f.ask("p/app", "")
	<-f.met // it runs
	resp, body := f.call(http.MethodGet, "/api/v1/scan/"+id+"/report", "", "Accept", spec.ReportHarbor)
	if resp.StatusCode != http.StatusFound || resp.Header.Get("Refresh-After") != "2" || body != "" {
		t.Fatalf("a scan that runs is answered with %s, %v: %s", resp.Status, resp.Header, body)
	}
	f.on <- struct{}{}
	for accept, want := range map[string]string{
		"": spec.ReportHarbor, spec.ReportHarbor: spec.ReportHarbor, spec.ReportGeneric: spec.ReportGeneric, "*/*": spec.ReportHarbor,
		"application/vnd.security.vulnerability.report;version=1.1": spec.ReportGeneric,
	} {
		resp, body := f.report(id, accept, "")
		var r spec.Report
		if err := json.Unmarshal([]byte(body), &r); err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != want {
			t.Fatalf("%q: %s, %s: %s", accept, resp.Status, resp.Header.Get("Content-Type"), body)
		}
		if r.Severity != spec.High || len(r.Vulnerabilities) != 1 || r.Artifact.Digest != digest || r.Artifact.Tag != "1.0" || r.Scanner.Name != "Trivy" || r.GeneratedAt.IsZero() {
			t.Fatalf("the report is %+v", r)
		}
	}
	if resp, body := f.report(id, spec.ReportRaw, ""); resp.StatusCode != http.StatusOK || !strings.Contains(body, `"SchemaVersion":2`) {
		t.Errorf("the raw report: %s: %s", resp.Status, body)
	}
	for accept, words := range map[string]string{"text/html": "names no report", spec.ReportSBOM: "was not asked for"} {
		resp, body := f.report(id, accept, "")
		if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Content-Type") != spec.MediaError || !strings.Contains(body, words) {
			t.Errorf("%s: %s: %s", accept, resp.Status, body)
		}
	}
	if resp, body := f.call(http.MethodGet, "/api/v1/scan/none/report", ""); resp.StatusCode != http.StatusNotFound || !strings.Contains(body, "scan again") {
		t.Errorf("no scan: %s: %s", resp.Status, body)
	}
	if strings.Contains(f.log.String(), "canary") || strings.Contains(f.log.String(), "cm9ib3Q6") {
		t.Errorf("the log has the credential: %s", f.log)
	}
}

func TestSBOM(t *testing.T) {
	f := start(t, nil)
	id := f.finished("p/app", `,"enabled_capabilities":[{"type":"sbom","produces_mime_types":["`+spec.ReportSBOM+`"],"parameters":{"sbom_media_types":["`+spec.SBOMSPDX+`"]}}]`)
	resp, body := f.report(id, spec.ReportSBOM, "")
	var r spec.SBOMReport
	if err := json.Unmarshal([]byte(body), &r); err != nil || resp.StatusCode != http.StatusOK || r.MediaType != spec.SBOMSPDX || string(r.SBOM) != `{"spdxVersion":"SPDX-2.3"}` {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	for query, accept := range map[string]string{"?sbom_media_type=application/vnd.cyclonedx%2Bjson": spec.ReportSBOM, "": spec.ReportHarbor, "?x": spec.ReportRaw} {
		if resp, body := f.report(id, accept, query); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s, which was not asked for: %s: %s", query, resp.Status, body)
		}
	}
	id = f.finished("p/app", `,"enabled_capabilities":[{"type":"vulnerability"},{"type":"sbom"}]`)
	if resp, body := f.report(id, spec.ReportSBOM, "?sbom_media_type=application/vnd.cyclonedx%2Bjson"); resp.StatusCode != http.StatusOK || !strings.Contains(body, "CycloneDX") {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	if resp, _ := f.report(id, spec.ReportHarbor, ""); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
}

// Whatever goes wrong is a reason, and not a report.
func TestFailedScans(t *testing.T) {
	f := start(t, nil)
	for repository, words := range map[string]string{"p/refused": "Too much. (limit)", "p/liar": "is not about", "p/large": "limits.report"} {
		resp, body := f.report(f.finished(repository, ""), spec.ReportHarbor, "")
		if resp.StatusCode != http.StatusInternalServerError || resp.Header.Get("Content-Type") != spec.MediaError || !strings.Contains(body, words) {
			t.Errorf("%s: %s: %s", repository, resp.Status, body)
		}
	}
	if resp, _ := f.report(f.finished("p/app", ""), "", ""); resp.StatusCode != http.StatusOK {
		t.Error("the next one does not work")
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	f := start(t, nil)
	good := f.request("p/app", "")
	if resp, body := f.call(http.MethodPost, "/api/v1/scan", good, "Content-Type", "application/vnd.scanner.adapter.scan.request+json;version=1.1"); resp.StatusCode != http.StatusAccepted {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	for name, tt := range map[string]struct {
		body, mediaType string
		status          int
		words           string
	}{
		"media type":       {good, "text/plain", 400, "Content-Type"},
		"no media type":    {good, "", 400, "Content-Type"},
		"version":          {good, "application/vnd.scanner.adapter.scan.request+json; version=2.0", 400, "Content-Type"},
		"not JSON":         {"{", requestType, 400, "not the JSON"},
		"more":             {good + "{}", requestType, 400, "not the JSON"},
		"too large":        {strings.Replace(good, "1.0", strings.Repeat("x", 256<<10), 1), requestType, 413, "bytes"},
		"no registry":      {strings.Replace(good, f.registry, "", 1), requestType, 422, "registry.url"},
		"other registry":   {strings.Replace(good, f.registry, "http://169.254.169.254", 1), requestType, 422, "not among the registries"},
		"other scheme":     {strings.Replace(good, "http://", "https://", 1), requestType, 422, "not among the registries"},
		"path":             {strings.Replace(good, f.registry, f.registry+"/x", 1), requestType, 422, "registry.url"},
		"user":             {strings.Replace(good, "http://", "http://x@", 1), requestType, 422, "registry.url"},
		"repository":       {strings.Replace(good, "p/app", "../../x", 1), requestType, 422, "repository"},
		"tag for digest":   {strings.Replace(good, digest, "latest", 1), requestType, 422, "digest"},
		"no digest":        {strings.Replace(good, digest, "", 1), requestType, 422, "digest"},
		"index":            {strings.Replace(good, spec.ImageOCI, "application/vnd.oci.image.index.v1+json", 1), requestType, 422, "image by image"},
		"authorization":    {strings.Replace(good, "Basic ", "Digest ", 1), requestType, 422, "Basic nor Bearer"},
		"capability":       {f.request("p/app", `,"enabled_capabilities":[{"type":"magic"}]`), requestType, 422, "capabilities"},
		"report":           {f.request("p/app", `,"enabled_capabilities":[{"type":"vulnerability","produces_mime_types":["x/y"]}]`), requestType, 422, "are made as"},
		"report of a SBOM": {f.request("p/app", `,"enabled_capabilities":[{"type":"sbom","produces_mime_types":["x/y"]}]`), requestType, 422, "are made as"},
		"SBOM":             {f.request("p/app", `,"enabled_capabilities":[{"type":"sbom","parameters":{"sbom_media_types":["x/y"]}}]`), requestType, 422, "are made as"},
	} {
		resp, body := f.call(http.MethodPost, "/api/v1/scan", tt.body, "Content-Type", tt.mediaType)
		if resp.StatusCode != tt.status || !strings.Contains(body, tt.words) || resp.Header.Get("Content-Type") != spec.MediaError {
			t.Errorf("%s: %s: %s", name, resp.Status, body)
		}
	}
}

// One runs, two wait; the next one is told to come back.
func TestQueueIsBounded(t *testing.T) {
	f := start(t, nil)
	f.ask("p/app", "")
	<-f.met
	f.ask("p/app", "")
	f.ask("p/app", "")
	resp, body := f.call(http.MethodPost, "/api/v1/scan", f.request("p/app", ""), "Content-Type", requestType)
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("%s: %s", resp.Status, body)
	}
}

func TestReportsAreKeptForAWhile(t *testing.T) {
	t.Run("time", func(t *testing.T) {
		f := start(t, func(o *service.Options) { o.Keep = time.Nanosecond })
		id := f.ask("p/app", "")
		f.on <- struct{}{}
		if resp, _ := f.report(id, "", ""); resp.StatusCode != http.StatusNotFound {
			t.Fatal(resp.Status)
		}
	})
	t.Run("bytes", func(t *testing.T) {
		one := start(t, nil)
		id := one.finished("p/app", "")
		_, harbor := one.report(id, spec.ReportHarbor, "")
		_, raw := one.report(id, spec.ReportRaw, "")
		f := start(t, func(o *service.Options) { o.KeepBytes = int64(len(harbor)+len(raw)) + 20 }) // times differ in length
		first := f.finished("p/app", "")
		if resp, _ := f.report(first, "", ""); resp.StatusCode != http.StatusOK {
			t.Fatal("at the limit", resp.Status)
		}
		second := f.finished("p/app", "")
		if resp, _ := f.report(first, "", ""); resp.StatusCode != http.StatusNotFound {
			t.Error("the older one is still there", resp.Status)
		}
		if resp, _ := f.report(second, "", ""); resp.StatusCode != http.StatusOK {
			t.Error("the newer one is gone", resp.Status)
		}
	})
}

func TestCallersArePresented(t *testing.T) {
	f := start(t, func(o *service.Options) {
		o.Credential = service.Credential{Token: "t-123", User: "harbor", Password: "p-123"}
	})
	for authorization, want := range map[string]int{
		"": 401, "Bearer x": 401, "Bearer ": 401, "Basic aGFyYm9yOng=": 401, "Basic eDpwLTEyMw==": 401, "t-123": 401, "Bearer p-123": 401,
		"Bearer t-123": 200, "bearer t-123": 200, "Basic aGFyYm9yOnAtMTIz": 200,
	} {
		for _, path := range []string{"/api/v1/metadata", "/api/v1/database"} {
			if resp, body := f.call(http.MethodGet, path, "", "Authorization", authorization); resp.StatusCode != want {
				t.Errorf("%q at %s: %s: %s", authorization, path, resp.Status, body)
			}
		}
	}
	for _, one := range []struct{ method, path string }{{"POST", "/api/v1/scan"}, {"GET", "/api/v1/scan/x/report"}, {"PUT", "/api/v1/database/db"}} {
		if resp, _ := f.call(one.method, one.path, ""); resp.StatusCode != http.StatusUnauthorized || len(resp.Header.Values("WWW-Authenticate")) != 2 {
			t.Errorf("%s %s: %s", one.method, one.path, resp.Status)
		}
	}
	for path, want := range map[string]int{"/probe/healthy": 200, "/probe/ready": 200, "/": 404} {
		if resp, _ := f.call(http.MethodGet, path, ""); resp.StatusCode != want {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

// An SBOM needs no database.
func TestWithoutADatabase(t *testing.T) {
	f := start(t, func(o *service.Options) { o.Store = fresh(t) })
	resp, body := f.report(f.ask("p/app", ""), "", "")
	if resp.StatusCode != http.StatusInternalServerError || !strings.Contains(body, "database import FILE") {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	id := f.finished("p/app", `,"enabled_capabilities":[{"type":"sbom"}]`)
	if resp, body := f.report(id, spec.ReportSBOM, ""); resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	if resp, _ := f.call(http.MethodGet, "/probe/ready", ""); resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatal(resp.Status)
	}
}
