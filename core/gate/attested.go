package gate

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

// maxAttested is how many findings an attested scan may have.
const maxAttested = 100_000

// attested are the scans of a manifest that are stated by those whom a rule believes, the newest of each signer, and until
// when they are these.
func (e *evaluation) attested(r *rule, v *view) (scans []core.Scan, until time.Time) {
	newest := map[signerID]int{}
	looked := map[int]int{}
	for _, c := range e.candidates(r, *v) {
		if looked[c.authority]++; looked[c.authority] > e.p.statements {
			continue
		}
		until = sooner(until, c.until)
		predicate, err := e.predicate(&c, v.digest)
		var s core.Scan
		if err == nil {
			s, err = parseAttestedScan(predicate)
		}
		if err != nil {
			e.fault = errors.Join(e.fault, err)
			continue
		}
		if s.ScannedAt.After(e.now.Add(skew)) { // it has not been made yet
			until = sooner(until, s.ScannedAt.Add(-skew))
			continue
		}
		at, known := newest[c.signer]
		switch {
		case !known:
			newest[c.signer], scans = len(scans), append(scans, s)
		case s.ScannedAt.After(scans[at].ScannedAt):
			scans[at] = s
		case s.ScannedAt.Equal(scans[at].ScannedAt): // as many scans of one moment as there are: none takes another back
			scans[at].Findings = slices.Concat(scans[at].Findings, s.Findings)
		}
	}
	return scans, until
}

var errAttestedScan = errors.New("an attested scan cannot be read")

// parseAttestedScan reads a predicate of cosign (vuln/v1), whose result is what the scanner wrote, here Trivy; or one of
// in-toto (vulns/v0.2), whose result is a list of ids.
func parseAttestedScan(predicate any) (s core.Scan, err error) {
	scanner, metadata := object(object(predicate)["scanner"]), object(object(predicate)["metadata"])
	s.Scanner, s.Matched = str(scanner["uri"]), true
	if s.ScannedAt, err = time.Parse(time.RFC3339, str(metadata["scanFinishedOn"])); err != nil || s.ScannedAt.IsZero() {
		return s, errAttestedScan
	}
	switch result := scanner["result"].(type) {
	case []any:
		for _, one := range result {
			o := object(one)
			s.Findings = append(s.Findings, core.Finding{ID: str(o["id"]), Severity: worstOf(o["severity"])})
		}
	case map[string]any:
		err = trivyFindings(&s, result)
	default:
		err = errAttestedScan
	}
	if err != nil || len(s.Findings) > maxAttested || slices.ContainsFunc(s.Findings, func(f core.Finding) bool { return f.ID == "" }) {
		return s, errAttestedScan
	}
	return s, nil
}

// trivyFindings reads a report of Trivy. One without targets looked at nothing.
func trivyFindings(s *core.Scan, report map[string]any) error {
	results, ok := report["Results"].([]any)
	if !ok {
		return errAttestedScan
	}
	for _, r := range results {
		list, ok := object(r)["Vulnerabilities"].([]any)
		if !ok && object(r)["Vulnerabilities"] != nil {
			return errAttestedScan
		}
		for _, v := range list {
			o := object(v)
			s.Findings = append(s.Findings, core.Finding{ID: str(o["VulnerabilityID"]), Severity: severityOf(str(o["Severity"])), Package: str(o["PkgName"]),
				Version: str(o["InstalledVersion"]), Fixed: str(o["FixedVersion"]), PURL: str(object(o["PkgIdentifier"])["PURL"]), Path: str(o["PkgPath"])})
		}
	}
	return nil
}

// severityOf reads a word in whatever case; what it does not know stays what it is, and is taken for the worst.
func severityOf(word string) core.Severity {
	for _, s := range core.Severities() {
		if strings.EqualFold(word, string(s)) {
			return s
		}
	}
	return core.Severity(word)
}

// worstOf is the worst of several ratings, each a word or a CVSS score. Without any it is unknown.
func worstOf(ratings any) core.Severity {
	worst := core.SeverityUnknown
	list, _ := ratings.([]any)
	for _, r := range list {
		s := severityOf(str(object(r)["score"]))
		if score, err := strconv.ParseFloat(string(s), 64); err == nil {
			s = severityOfScore(score)
		}
		if rankOf(s) > rankOf(worst) {
			worst = s
		}
	}
	return worst
}

// severityOfScore is how CVSS 3 names a score.
func severityOfScore(score float64) core.Severity {
	switch {
	case score >= 9:
		return core.SeverityCritical
	case score >= 7:
		return core.SeverityHigh
	case score >= 4:
		return core.SeverityMedium
	case score > 0:
		return core.SeverityLow
	}
	return core.SeverityUnknown
}

// qualifier is one of those of a package URL, from what follows its version.
func qualifier(rest, name string) string {
	query, _, _ := strings.Cut(strings.TrimPrefix(rest, "?"), "#")
	values, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	return values.Get(name)
}
