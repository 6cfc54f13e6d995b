package report

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
)

// About is what a report says besides findings.
type About struct {
	Artifact spec.Artifact
	Scanner  spec.Scanner
	At       time.Time
}

// Vulnerabilities is Trivy's report as the specification's.
func Vulnerabilities(raw []byte, about About) (*spec.Report, error) {
	t, err := parse(raw, about.Artifact.Digest)
	if err != nil {
		return nil, err
	}
	r := &spec.Report{GeneratedAt: about.At, Artifact: about.Artifact, Scanner: about.Scanner, Severity: spec.Unknown, Vulnerabilities: t.findings()}
	if len(r.Vulnerabilities) > 0 {
		r.Severity = r.Vulnerabilities[0].Severity
	}
	return r, nil
}

// Matched is what Trivy found in an SBOM, which it calls name.
func Matched(raw []byte, name string) ([]spec.Finding, error) {
	t, err := decode(raw)
	if err != nil {
		return nil, err
	}
	if t.ArtifactName != name {
		return nil, fmt.Errorf("the scanner's report is not about the SBOM")
	}
	return t.findings(), nil
}

// findings are all vulnerabilities, the worst first.
func (t *trivyReport) findings() []spec.Finding {
	all := []spec.Finding{}
	for _, result := range t.Results {
		for _, v := range result.Vulnerabilities {
			if v.PkgPath == "" && result.Class == "lang-pkgs" && !aggregated(result.Target) {
				v.PkgPath = result.Target // the file that all packages of this result are in
			}
			all = append(all, finding(v))
		}
	}
	slices.SortFunc(all, func(a, b spec.Finding) int {
		if a.Severity != b.Severity {
			return b.Severity.Rank() - a.Severity.Rank()
		}
		return strings.Compare(a.ID+"\x00"+a.Package+"\x00"+a.Version, b.ID+"\x00"+b.Package+"\x00"+b.Version)
	})
	return all
}

// aggregated reports whether Trivy has put packages of many files under one name, each with its own path.
func aggregated(target string) bool {
	return slices.Contains([]string{"Python", "Conda", "Ruby", "Node.js", "Java", "Kubernetes"}, target)
}

// severityOf is the specification's word for Trivy's, "" if it is none.
func severityOf(s string) spec.Severity {
	switch s {
	case "UNKNOWN", "":
		return spec.Unknown
	case "LOW":
		return spec.Low
	case "MEDIUM":
		return spec.Medium
	case "HIGH":
		return spec.High
	case "CRITICAL":
		return spec.Critical
	}
	return ""
}

func finding(v trivyFinding) spec.Finding {
	f := spec.Finding{
		ID: v.VulnerabilityID, Package: v.PkgName, Version: v.InstalledVersion, FixVersion: v.FixedVersion,
		Severity: severityOf(v.Severity), Description: v.Description, Links: links(v), Status: v.Status, CWEs: v.CweIDs,
		PreferredCVSS: preferred(v),
	}
	if f.Description == "" {
		f.Description = v.Title
	}
	if v.Layer.Digest != "" || v.Layer.DiffID != "" {
		f.Layer = &spec.Layer{Digest: v.Layer.Digest, DiffID: v.Layer.DiffID}
	}
	vendor := map[string]any{}
	if len(v.CVSS) > 0 {
		vendor["CVSS"] = v.CVSS
	}
	if v.PkgIdentifier.PURL != "" {
		vendor["purl"] = v.PkgIdentifier.PURL
	}
	if v.PkgPath != "" {
		vendor["path"] = v.PkgPath
	}
	if v.Title != "" && v.Description != "" {
		vendor["title"] = v.Title
	}
	if len(vendor) > 0 {
		f.VendorAttributes, _ = json.Marshal(vendor) // which was JSON a moment ago
	}
	return f
}

// links are the addresses of a finding: whoever shows them makes them into links, so only those of the web are there.
func links(v trivyFinding) []string {
	out := []string{}
	for _, l := range append([]string{v.PrimaryURL}, v.References...) {
		if (strings.HasPrefix(l, "https://") || strings.HasPrefix(l, "http://")) && !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	return out
}

// preferred are the scores of the source that the severity came from, else of NVD, else of the first by name that has any.
func preferred(v trivyFinding) *spec.CVSS {
	var names []string
	for name := range v.CVSS {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range append([]string{v.SeveritySource, "nvd"}, names...) {
		c, ok := v.CVSS[name]
		if !ok || c.V3Score == 0 && c.V2Score == 0 {
			continue
		}
		out := &spec.CVSS{VectorV3: c.V3Vector, VectorV2: c.V2Vector}
		if c.V3Score != 0 {
			out.ScoreV3 = &c.V3Score
		}
		if c.V2Score != 0 {
			out.ScoreV2 = &c.V2Score
		}
		return out
	}
	return nil
}

// SBOM wraps an SBOM into a report. It looks whether it is what its media type says.
func SBOM(raw []byte, mediaType string, about About) (*spec.SBOMReport, error) {
	var head struct {
		BOMFormat   string `json:"bomFormat"`
		SPDXVersion string `json:"spdxVersion"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, fmt.Errorf("the scanner's SBOM is not JSON: %w", err)
	}
	fits := mediaType == spec.SBOMSPDX && strings.HasPrefix(head.SPDXVersion, "SPDX-") ||
		mediaType == spec.SBOMCycloneDX && head.BOMFormat == "CycloneDX"
	if !fits {
		return nil, fmt.Errorf("the scanner's SBOM is not %s", mediaType)
	}
	return &spec.SBOMReport{GeneratedAt: about.At, Artifact: about.Artifact, Scanner: about.Scanner, MediaType: mediaType, SBOM: raw}, nil
}
