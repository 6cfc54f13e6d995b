package gate

import (
	"fmt"
	"strings"
	"testing"
)

// sequence is n items of a list, made by f.
func sequence(n int, f string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(f, i)
	}
	return strings.Join(all, ", ")
}

// As many as there may be, and one more.
func TestLimitsOfBlocks(t *testing.T) {
	const allowed = "{id: CVE-%d, expires: 2027-01-01, reason: x}"
	for block, most := range map[string]int{
		"vulnerabilities: {maxSeverity: High, allow: [" + allowed + "]}": maxAllowed,
		"vulnerabilities: {maxSeverity: High, scanners: [s%d]}":          maxScanners,
		"compliance: {secrets: deny, allow: [" + allowed + "]}":          maxAllowed,
		"compliance: {licences: {deny: [l%d]}}":                          maxLicences,
		"compliance: {licences: {allow: [l%d]}}":                         maxLicences,
		"compliance: {labels: [l%d]}":                                    maxLabels,
		"compliance: {checks: [{kind: k%d}]}":                            maxKinds,
	} {
		before, rest, _ := strings.Cut(block, "[")
		item := rest[:strings.LastIndex(rest, "]")]
		for n, good := range map[int]bool{most: true, most + 1: false} {
			spec := before + "[" + sequence(n, item) + "]" + rest[len(item)+1:]
			_, err := Parse([]byte(document1("p", "project: prod", spec)))
			if good != (err == nil) || !good && !strings.Contains(err.Error(), fmt.Sprintf("at most %d items", most)) {
				t.Errorf("%d in %s: %v", n, block, err)
			}
		}
	}
}

func TestLimitsOfVEX(t *testing.T) {
	for name, tt := range map[string]struct {
		most int
		doc  func(n int) string
	}{
		"statements": {maxVEXStatements, func(n int) string {
			return `{"timestamp":"2026-11-20T00:00:00Z","statements":[` + sequence(n, `{"vulnerability":"CVE-1","status":"fixed","action_statement":"%d"}`) + `]}`
		}},
		"names": {maxVEXNames, func(n int) string {
			return strings.Replace(vexDoc("fixed", ""), `"name":"CVE-1"`, `"name":"CVE-1","aliases":[`+sequence(n-1, `"A-%d"`)+`]`, 1)
		}},
		"products": {maxVEXProducts, func(n int) string {
			return vexDoc("fixed", `,"products":["pkg:oci/app",`+sequence(n-1, `"x%d"`)+`]`)
		}},
		"subcomponents": {maxVEXProducts, func(n int) string {
			return vexDoc("fixed", `,"products":[{"@id":"pkg:oci/app","subcomponents":["`+textPURL+`",`+sequence(n-1, `"x%d"`)+`]}]`)
		}},
	} {
		for n, want := range map[int]bool{tt.most: true, tt.most + 1: false} {
			if d := Decide(said(alone(t, vexRule, scanOf(critical)), image, vexType, tt.doc(n)), now); d.Allowed() != want {
				t.Errorf("%d %s: %v", n, name, d.Allowed())
			}
		}
	}
}

func TestLimitsOfAttestedScans(t *testing.T) {
	for n, want := range map[int]bool{maxAttested: true, maxAttested + 1: false} {
		doc := attestedScan("["+sequence(n, `{"id":"CVE-%d"}`)+"]", "2026-11-21T11:00:00Z")
		d := Decide(said(alone(t, anA+"vulnerabilities: {maxSeverity: High, source: attestation}"), image, vulnType, doc), now)
		if d.Allowed() != want {
			t.Errorf("%d findings: %v %s", n, d.Allowed(), codes(d))
		}
	}
}
