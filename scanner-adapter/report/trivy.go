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

		Secrets []struct {
			RuleID, Title, Severity string
			StartLine               int
			Layer                   trivyLayer
		}
		Licenses []struct {
			Name, Category, Severity string
			PkgName, FilePath        string
		}
		Misconfigurations []struct {
			ID, Title, Severity, Status string
		}
	}
}

type trivyLayer struct{ Digest, DiffID string }

type trivyFinding struct {
	VulnerabilityID  string
	PkgName          string
	PkgPath          string
	PkgIdentifier    struct{ PURL string }
	InstalledVersion string
	FixedVersion     string
	Status           string
	Layer            trivyLayer
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
	t, err := decode(raw)
	if err != nil {
		return nil, err
	}
	about := func(name string) bool { return strings.HasSuffix(name, "@"+digest) }
	if !about(t.ArtifactName) || !slices.ContainsFunc(t.Metadata.RepoDigests, about) {
		return nil, fmt.Errorf("the scanner's report is not about %s", digest)
	}
	return t, nil
}

// decode reads a report of Trivy about whatever.
func decode(raw []byte) (*trivyReport, error) {
	var t trivyReport
	if err := json.Unmarshal(raw, &t); err != nil {
		return nil, fmt.Errorf("the scanner's report is not JSON: %w", err)
	}
	if t.SchemaVersion != schemaVersion {
		return nil, fmt.Errorf("the scanner's report has schema version %d; %d is understood", t.SchemaVersion, schemaVersion)
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
