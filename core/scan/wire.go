package scan

import (
	"encoding/json"
	"maps"
	"mime"
	"slices"
	"time"
)

// Media types of Harbor's API, and the one of ours for what is no vulnerability.
const (
	mediaMetadata  = "application/vnd.scanner.adapter.metadata+json"
	mediaRequest   = "application/vnd.scanner.adapter.scan.request+json"
	reportHarbor   = "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0"
	reportGeneric  = "application/vnd.security.vulnerability.report; version=1.1"
	reportSBOM     = "application/vnd.security.sbom.report+json; version=1.0"
	reportContents = "application/vnd.hallmark.content.report+json; version=1.0"
)

// Kinds of capabilities.
const (
	capVulnerability = "vulnerability"
	capSBOM          = "sbom"
	capContent       = "content"
)

// databaseAge is the property under which adapters say how new their vulnerability data are.
const (
	databaseAge  = "harbor.scanner-adapter/vulnerability-database-updated-at"
	databaseHint = "hallmark.scanner-adapter/vulnerability-database-hint"
)

// Metadata is what an adapter says it is and can. Version 1.0 has no types of capabilities: there is one.
type Metadata struct {
	Scanner struct {
		Name    string `json:"name"`
		Vendor  string `json:"vendor"`
		Version string `json:"version"`
	} `json:"scanner"`
	Capabilities []Capability      `json:"capabilities"`
	Properties   map[string]string `json:"properties"`
}

// Capability is one thing that an adapter can do.
type Capability struct {
	Type       string      `json:"type,omitempty"`
	Consumes   []string    `json:"consumes_mime_types"`
	Produces   []string    `json:"produces_mime_types"`
	Attributes *attributes `json:"additional_attributes,omitempty"`
}

type attributes struct {
	SBOMMediaTypes []string `json:"sbom_media_types"`
}

// Offers reports whether there is a capability of a type.
func (m *Metadata) Offers(capability string) bool {
	return slices.ContainsFunc(m.Capabilities, func(c Capability) bool { return c.kind() == capability })
}

// DatabaseAt is how new the vulnerability data are; zero if the adapter does not say.
func (m *Metadata) DatabaseAt() time.Time {
	at, err := time.Parse(time.RFC3339, m.Properties[databaseAge])
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

// short is what of the metadata is kept and shown, within bounds: an adapter can say a megabyte.
func (m *Metadata) short() (json.RawMessage, error) {
	type scanner struct {
		Name    string `json:"name"`
		Vendor  string `json:"vendor"`
		Version string `json:"version"`
	}
	out := struct {
		Scanner      scanner           `json:"scanner"`
		Capabilities []string          `json:"capabilities"`
		Properties   map[string]string `json:"properties,omitempty"`
	}{scanner{clip(m.Scanner.Name, maxID), clip(m.Scanner.Vendor, maxID), clip(m.Scanner.Version, maxID)}, []string{}, map[string]string{}}
	for i := range min(len(m.Capabilities), maxKinds) {
		if kind := clip(m.Capabilities[i].kind(), maxID); !slices.Contains(out.Capabilities, kind) {
			out.Capabilities = append(out.Capabilities, kind)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Properties)) {
		if len(out.Properties) < maxKinds && len(name) <= maxID {
			out.Properties[clip(name, maxID)] = clip(m.Properties[name], maxSentence)
		}
	}
	return json.Marshal(out)
}

// problem is why an adapter that answers cannot scan all the same; "" if it can.
func (m *Metadata) problem() string {
	if hint := m.Properties[databaseHint]; hint != "" && m.Properties[databaseAge] == "" {
		return clip(hint, maxSentence)
	}
	return ""
}

func (c *Capability) kind() string {
	if c.Type == "" {
		return capVulnerability
	}
	return c.Type
}

// produces is the first of these reports that a capability makes, as the adapter writes it; "" if it makes none.
func (c *Capability) produces(reports ...string) string {
	for _, want := range reports {
		for _, have := range c.Produces {
			if same(want, have) {
				return have
			}
		}
	}
	return ""
}

func (c *Capability) consumes(mediaType string) bool {
	return slices.ContainsFunc(c.Consumes, func(have string) bool { return same(have, mediaType) })
}

// same reports whether two media types are one: parameters may come in any order and with any spaces.
func same(a, b string) bool {
	typeA, paramsA, errA := mime.ParseMediaType(a)
	typeB, paramsB, errB := mime.ParseMediaType(b)
	return errA == nil && errB == nil && typeA == typeB && paramsA["version"] == paramsB["version"]
}

// scanRequest asks for a scan.
type scanRequest struct {
	Registry struct {
		URL           string `json:"url"`
		Authorization string `json:"authorization,omitempty"`
	} `json:"registry"`
	Artifact     artifact            `json:"artifact"`
	Capabilities []enabledCapability `json:"enabled_capabilities,omitempty"`
}

type artifact struct {
	Repository string `json:"repository"`
	Digest     string `json:"digest"`
	MediaType  string `json:"mime_type,omitempty"`
}

type enabledCapability struct {
	Type       string      `json:"type"`
	Produces   []string    `json:"produces_mime_types,omitempty"`
	Parameters *attributes `json:"parameters,omitempty"`
}

// reportedFinding is a vulnerability in a package as a report has it.
type reportedFinding struct {
	ID          string   `json:"id"`
	Package     string   `json:"package"`
	Version     string   `json:"version"`
	FixVersion  string   `json:"fix_version"`
	Severity    string   `json:"severity"`
	Description string   `json:"description"`
	Links       []string `json:"links"`
	Layer       *struct {
		Digest string `json:"digest"`
	} `json:"layer"`
	CVSS *struct {
		ScoreV3  *float64 `json:"score_v3"`
		ScoreV2  *float64 `json:"score_v2"`
		VectorV3 string   `json:"vector_v3"`
		VectorV2 string   `json:"vector_v2"`
	} `json:"preferred_cvss"`
	CWEs   []string        `json:"cwe_ids"`
	Vendor json.RawMessage `json:"vendor_attributes"`
}
