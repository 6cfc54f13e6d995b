package spec

import (
	"encoding/json"
	"time"
)

// Kinds of capabilities.
const (
	Vulnerability = "vulnerability"
	SBOM          = "sbom"
)

// Metadata says what this adapter is and can.
type Metadata struct {
	Scanner      Scanner           `json:"scanner"`
	Capabilities []Capability      `json:"capabilities"`
	Properties   map[string]string `json:"properties"`
}

// Scanner names the scanner behind the adapter.
type Scanner struct {
	Name    string `json:"name"`
	Vendor  string `json:"vendor"`
	Version string `json:"version"`
}

// Capability is one thing an adapter can do. Type and Attributes came with 1.1.
type Capability struct {
	Type       string      `json:"type,omitempty"`
	Consumes   []string    `json:"consumes_mime_types"`
	Produces   []string    `json:"produces_mime_types"`
	Attributes *Attributes `json:"additional_attributes,omitempty"`
}

// Attributes of the capability to make SBOMs.
type Attributes struct {
	SBOMMediaTypes []string `json:"sbom_media_types"`
}

// Request asks for a scan.
type Request struct {
	Registry     Registry            `json:"registry"`
	Artifact     Artifact            `json:"artifact"`
	Capabilities []EnabledCapability `json:"enabled_capabilities,omitempty"`
}

// Registry says where the artifact is and with what it can be read.
type Registry struct {
	URL           string `json:"url"`
	Authorization string `json:"authorization,omitempty"`
	Insecure      bool   `json:"insecure,omitempty"`
}

// Artifact is what is scanned.
type Artifact struct {
	Repository string `json:"repository"`
	Digest     string `json:"digest"`
	Tag        string `json:"tag,omitempty"`
	MediaType  string `json:"mime_type,omitempty"`
}

// EnabledCapability is a capability that this scan is to use; none at all means vulnerabilities.
type EnabledCapability struct {
	Type       string      `json:"type"`
	Produces   []string    `json:"produces_mime_types,omitempty"`
	Parameters *Attributes `json:"parameters,omitempty"`
}

// Accepted answers a request.
type Accepted struct {
	ID string `json:"id"`
}

// Failure is the body of every error.
type Failure struct {
	Error FailureMessage `json:"error"`
}

// FailureMessage is a sentence that says what to do next.
type FailureMessage struct {
	Message string `json:"message"`
}

// Report of vulnerabilities: both ReportHarbor and ReportGeneric.
type Report struct {
	GeneratedAt     time.Time `json:"generated_at"`
	Artifact        Artifact  `json:"artifact"`
	Scanner         Scanner   `json:"scanner"`
	Severity        Severity  `json:"severity"`
	Vulnerabilities []Finding `json:"vulnerabilities"`
}

// Severity is the specification's enumeration.
type Severity string

// Severities, the least first.
const (
	Unknown    Severity = "Unknown"
	Negligible Severity = "Negligible"
	Low        Severity = "Low"
	Medium     Severity = "Medium"
	High       Severity = "High"
	Critical   Severity = "Critical"
)

// Rank orders severities.
func (s Severity) Rank() int {
	for i, one := range []Severity{Unknown, Negligible, Low, Medium, High, Critical} {
		if s == one {
			return i
		}
	}
	return 0
}

// Finding is one vulnerability of one package.
type Finding struct {
	ID               string          `json:"id"`
	Package          string          `json:"package"`
	Version          string          `json:"version"`
	FixVersion       string          `json:"fix_version,omitempty"`
	Severity         Severity        `json:"severity"`
	Description      string          `json:"description"`
	Links            []string        `json:"links"`
	Status           string          `json:"status,omitempty"`
	Layer            *Layer          `json:"layer,omitempty"`
	PreferredCVSS    *CVSS           `json:"preferred_cvss,omitempty"`
	CWEs             []string        `json:"cwe_ids,omitempty"`
	VendorAttributes json.RawMessage `json:"vendor_attributes,omitempty"`
}

// Layer is where the package came into the image.
type Layer struct {
	Digest string `json:"digest,omitempty"`
	DiffID string `json:"diff_id,omitempty"`
}

// CVSS are scores, of the source that is preferred.
type CVSS struct {
	ScoreV3  *float64 `json:"score_v3"`
	ScoreV2  *float64 `json:"score_v2"`
	VectorV3 string   `json:"vector_v3"`
	VectorV2 string   `json:"vector_v2"`
}

// SBOMReport carries an SBOM.
type SBOMReport struct {
	GeneratedAt      time.Time         `json:"generated_at"`
	Artifact         Artifact          `json:"artifact"`
	Scanner          Scanner           `json:"scanner"`
	VendorAttributes map[string]string `json:"vendor_attributes,omitempty"`
	MediaType        string            `json:"media_type"`
	SBOM             json.RawMessage   `json:"sbom"`
}
