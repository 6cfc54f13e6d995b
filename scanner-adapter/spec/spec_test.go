package spec_test

import (
	"testing"

	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
)

func TestMediaTypes(t *testing.T) {
	for accept, want := range map[string]string{
		"": spec.ReportHarbor, "*/*": spec.ReportHarbor, spec.ReportHarbor: spec.ReportHarbor, spec.ReportRaw: spec.ReportRaw, spec.ReportSBOM: spec.ReportSBOM,
		"application/vnd.security.vulnerability.report;version=1.1":                 spec.ReportGeneric,
		"application/vnd.security.vulnerability.report; version=2.0":                "",
		"text/html, application/vnd.security.sbom.report+json; version=\"1.0\"":     spec.ReportSBOM,
		"application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0;q=.1": spec.ReportHarbor,
		"nonsense;;": "",
	} {
		if got := spec.ReportType(accept); got != want {
			t.Errorf("%q asks for %q, not %q", accept, got, want)
		}
	}
	for contentType, want := range map[string]bool{
		"application/json": true, "application/vnd.scanner.adapter.scan.request+json": true, "application/vnd.scanner.adapter.scan.request+json; version=1.1": true,
		"application/vnd.scanner.adapter.scan.request+json; version=2.0": false, "": false, "text/plain": false,
	} {
		if spec.IsRequest(contentType) != want {
			t.Errorf("%q: %v", contentType, !want)
		}
	}
}

func TestSeveritiesAreOrdered(t *testing.T) {
	all := []spec.Severity{spec.Unknown, spec.Negligible, spec.Low, spec.Medium, spec.High, spec.Critical}
	for i, s := range all {
		if s.Rank() != i {
			t.Errorf("%s has rank %d", s, s.Rank())
		}
	}
	if spec.Severity("harmless").Rank() != 0 {
		t.Error("what is not known is Unknown")
	}
}
