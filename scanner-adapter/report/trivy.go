package report

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// schemaVersion is the version of Trivy's report that is understood here.
const schemaVersion = 2

// trivyReport is what is read of Trivy's report.
type trivyReport struct {
	SchemaVersion int
	ArtifactName  string
	Metadata      struct {
		RepoDigests []string
	}
	Results []struct {
		Target          string
		Class           string
		Type            string
		Vulnerabilities []trivyFinding
	}
}

type trivyFinding struct {
	VulnerabilityID  string
	PkgName          string
	PkgPath          string
	InstalledVersion string
	FixedVersion     string
	Status           string
	Layer            struct{ Digest, DiffID string }
	SeveritySource   string
	PrimaryURL       string
	Title            string
	Description      string
	Severity         string
	CweIDs           []string
	CVSS             map[string]struct {
		V2Vector string
		V3Vector string
		V2Score  float64
		V3Score  float64
	}
	References []string
}

// parse reads a report of Trivy about the image name@digest.
func parse(raw []byte, digest string) (*trivyReport, error) {
	var t trivyReport
	if err := json.Unmarshal(raw, &t); err != nil {
		return nil, fmt.Errorf("the scanner's report is not JSON: %w", err)
	}
	if t.SchemaVersion != schemaVersion {
		return nil, fmt.Errorf("the scanner's report has schema version %d; %d is understood", t.SchemaVersion, schemaVersion)
	}
	about := func(name string) bool { return strings.HasSuffix(name, "@"+digest) }
	if !about(t.ArtifactName) || !slices.ContainsFunc(t.Metadata.RepoDigests, about) {
		return nil, fmt.Errorf("the scanner's report is not about %s", digest)
	}
	for _, r := range t.Results {
		for _, v := range r.Vulnerabilities {
			if v.VulnerabilityID == "" || v.PkgName == "" || severityOf(v.Severity) == "" {
				return nil, fmt.Errorf("the scanner's report has a finding without id, package or known severity in %s", r.Target)
			}
		}
	}
	return &t, nil
}
