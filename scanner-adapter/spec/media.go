package spec

import (
	"mime"
	"strings"
)

// Media types without their parameters.
const (
	mediaMetadata = "application/vnd.scanner.adapter.metadata+json"
	mediaRequest  = "application/vnd.scanner.adapter.scan.request+json"
)

// Media types of answers, as they are sent.
const (
	MediaMetadata10 = mediaMetadata + "; version=1.0"
	MediaMetadata11 = mediaMetadata + "; version=1.1"
	MediaResponse   = "application/vnd.scanner.adapter.scan.response+json; version=1.0"
	MediaError      = "application/vnd.scanner.adapter.error+json; version=1.0"
)

// Media types of reports.
const (
	ReportHarbor  = "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0"
	ReportGeneric = "application/vnd.security.vulnerability.report; version=1.1"
	ReportRaw     = "application/vnd.scanner.adapter.vuln.report.raw"
	ReportSBOM    = "application/vnd.security.sbom.report+json; version=1.0"
)

// Media types of an SBOM inside a report.
const (
	SBOMSPDX      = "application/spdx+json"
	SBOMCycloneDX = "application/vnd.cyclonedx+json"
)

// Media types of what can be scanned. An index is scanned image by image.
const (
	ImageOCI    = "application/vnd.oci.image.manifest.v1+json"
	ImageDocker = "application/vnd.docker.distribution.manifest.v2+json"
)

// Same reports whether two media types are one: parameters may come in any order and with any spaces.
func Same(a, b string) bool {
	typeA, paramsA, errA := mime.ParseMediaType(a)
	typeB, paramsB, errB := mime.ParseMediaType(b)
	return errA == nil && errB == nil && typeA == typeB && paramsA["version"] == paramsB["version"]
}

// IsRequest reports whether a Content-Type is that of a request of a scan. Harbor itself sends 1.0, others 1.1, and
// simple clients plain JSON.
func IsRequest(contentType string) bool {
	t, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	return t == "application/json" || t == mediaRequest && known(params["version"])
}

// MetadataType is the version of the metadata that an Accept header asks for; ok is false if it asks for none of ours.
func MetadataType(accept string) (answer string, ok bool) {
	if accept == "" {
		return MediaMetadata11, true
	}
	for one := range strings.SplitSeq(accept, ",") {
		t, params, err := mime.ParseMediaType(one)
		switch {
		case err != nil:
		case t == "*/*" || t == "application/*" || t == "application/json":
			return MediaMetadata11, true
		case t == mediaMetadata && params["version"] == "1.0":
			return MediaMetadata10, true
		case t == mediaMetadata && known(params["version"]):
			return MediaMetadata11, true
		}
	}
	return "", false
}

// ReportType is the report that an Accept header asks for, "" if that is none of ours. Without one it is that of
// Harbor, as the specification has it.
func ReportType(accept string) string {
	if accept == "" {
		return ReportHarbor
	}
	for one := range strings.SplitSeq(accept, ",") {
		if t, _, err := mime.ParseMediaType(one); err == nil && (t == "*/*" || t == "application/json") {
			return ReportHarbor
		}
		for _, known := range []string{ReportHarbor, ReportGeneric, ReportRaw, ReportSBOM, ReportContent} {
			if Same(one, known) {
				return known
			}
		}
	}
	return ""
}

func known(version string) bool { return version == "" || version == "1.0" || version == "1.1" }
