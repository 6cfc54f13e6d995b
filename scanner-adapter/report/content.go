package report

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
)

// maxLicence bounds what is shown of a licence, which may be a whole text.
const maxLicence = 200

// Content is what Trivy's report says of an image that is no vulnerability. incomplete is why its vulnerabilities cannot be
// all there are.
func Content(raw []byte, incomplete string, about About) (*spec.ContentReport, error) {
	t, err := parse(raw, about.Artifact.Digest)
	if err != nil {
		return nil, err
	}
	r := &spec.ContentReport{GeneratedAt: about.At, Artifact: about.Artifact, Scanner: about.Scanner, Incomplete: incomplete,
		Looked: []string{spec.CheckSecret, spec.CheckLicence, spec.CheckMisconfiguration}, Checks: []spec.Check{}}
	for i := range t.Results {
		r.Checks = append(r.Checks, t.checks(i)...)
	}
	for i := range r.Checks {
		if c := &r.Checks[i]; c.ID == "" || c.Severity == "" {
			return nil, fmt.Errorf("the scanner's report has a %s without a rule or a known severity", c.Kind)
		}
	}
	return r, nil
}

// checks are those of one result. The text of a secret is in none of their fields, nor is the message of a mistake, which
// quotes the image.
func (t *trivyReport) checks(i int) []spec.Check {
	r := &t.Results[i]
	place := r.Target
	if place == t.ArtifactName {
		place = "" // the image's configuration is no file
	}
	var all []spec.Check
	for _, s := range r.Secrets {
		at := place
		if at != "" && s.StartLine > 0 {
			at += ":" + strconv.Itoa(s.StartLine)
		}
		all = append(all, spec.Check{Kind: spec.CheckSecret, ID: s.RuleID, Severity: severityOf(s.Severity), Title: s.Title, Path: at, Layer: s.Layer.Digest})
	}
	for _, l := range r.Licenses {
		at := l.FilePath
		if at == "" {
			at = l.PkgName
		}
		class := l.Category
		if class == "" {
			class = "unknown"
		}
		name := strings.ToValidUTF8(l.Name[:min(len(l.Name), maxLicence)], "")
		all = append(all, spec.Check{Kind: spec.CheckLicence, ID: name, Severity: severityOf(l.Severity), Path: at, Class: class})
	}
	for _, m := range r.Misconfigurations {
		if m.Status == "FAIL" {
			all = append(all, spec.Check{Kind: spec.CheckMisconfiguration, ID: m.ID, Severity: severityOf(m.Severity), Title: m.Title, Path: place})
		}
	}
	return all
}
