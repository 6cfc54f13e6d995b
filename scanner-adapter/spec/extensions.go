package spec

import (
	"encoding/json"
	"mime"
	"time"
)

// What this adapter can beyond the specification. It stands in the metadata 1.1 as capabilities of types of its own, which
// whoever does not know them passes over.

// Kinds of capabilities that are ours.
const (
	Content = "content" // what is in an image and no vulnerability: secrets, licences, mistakes in its configuration
	SBOMs   = "sboms"   // many SBOMs are matched with the database at once: POST /api/v1/sboms
)

// Media types that are ours.
const (
	ReportContent = "application/vnd.hallmark.content.report+json; version=1.0"
	MediaSBOMs    = "application/vnd.hallmark.sboms+jsonl; version=1.0"
	MediaFindings = "application/vnd.hallmark.sboms.findings+jsonl; version=1.0"
)

// IsSBOMs reports whether a Content-Type is that of a stream of SBOMs.
func IsSBOMs(contentType string) bool {
	t, params, err := mime.ParseMediaType(contentType)
	want, _, _ := mime.ParseMediaType(MediaSBOMs)
	return err == nil && t == want && (params["version"] == "" || params["version"] == "1.0")
}

// Kinds of checks.
const (
	CheckSecret           = "secret"
	CheckLicence          = "licence"
	CheckMisconfiguration = "misconfiguration"
)

// ContentReport is a ReportContent.
type ContentReport struct {
	GeneratedAt time.Time `json:"generated_at"`
	Artifact    Artifact  `json:"artifact"`
	Scanner     Scanner   `json:"scanner"`
	// Incomplete is why the vulnerabilities that were found cannot be all there are; "" if they are, or were not looked for.
	Incomplete string   `json:"incomplete"`
	Looked     []string `json:"looked"` // the kinds that were looked for
	Checks     []Check  `json:"checks"`
}

// Check is something that was found. It never has the text of a secret.
type Check struct {
	Kind     string   `json:"kind"`
	ID       string   `json:"id"` // of the rule, or the licence
	Severity Severity `json:"severity,omitempty"`
	Title    string   `json:"title,omitempty"`
	Path     string   `json:"path,omitempty"` // of the file, with the line behind a colon, or the package
	Layer    string   `json:"layer,omitempty"`
	Class    string   `json:"class,omitempty"` // of a licence
}

// Document is a line of MediaSBOMs.
type Document struct {
	ID   string          `json:"id"`
	SBOM json.RawMessage `json:"sbom"` // CycloneDX
}

// Matched is a line of MediaFindings: what a document came to.
type Matched struct {
	ID          string     `json:"id"`
	GeneratedAt time.Time  `json:"generated_at"`
	DatabaseAt  *time.Time `json:"database_at,omitempty"`
	Findings    []Finding  `json:"findings"`
	Incomplete  string     `json:"incomplete,omitempty"` // why these cannot be all there are
	Error       string     `json:"error,omitempty"`      // why there are none
}
