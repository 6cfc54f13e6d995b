package gate

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

const vexType, vulnType = "https://openvex.dev/ns/v0.2.0", "https://cosign.sigstore.dev/attestation/vuln/v1"

// text is a package with two vulnerabilities in most of these tests.
const textPURL = "pkg:golang/golang.org/x/text@0.3.0"

func vulnerability(id string, s core.Severity, fixed string) core.Finding {
	return core.Finding{ID: id, Severity: s, Package: "golang.org/x/text", Version: "0.3.0", PURL: textPURL, Fixed: fixed}
}

// scanOf is a scan an hour ago, to the end.
func scanOf(findings ...core.Finding) core.Scan {
	return core.Scan{Scanner: "trivy", ScannedAt: now.Add(-time.Hour), Matched: true, Findings: findings,
		Looked: []core.CheckKind{core.CheckSecret, core.CheckLicence}, Image: &core.ImageFacts{User: "1000", Labels: map[string]string{"team": "a"}}}
}

// alone is a pull under one policy that asks for scans alone.
func alone(t testing.TB, spec string, scans ...core.Scan) Input {
	t.Helper()
	in := input([]*Policy{policy(t, "p", spec)})
	in.Scans = scans
	return in
}

var (
	critical = vulnerability("CVE-1", core.SeverityCritical, "0.3.8")
	unfixed  = vulnerability("CVE-2", core.SeverityCritical, "")
	medium   = vulnerability("CVE-3", core.SeverityMedium, "0.4")
	unknown  = vulnerability("CVE-4", core.SeverityUnknown, "")
)

func TestSeverity(t *testing.T) {
	for _, tt := range []struct {
		name, block string
		found       []core.Finding
		want        bool
	}{
		{"nothing", "{maxSeverity: none}", nil, true},
		{"worse", "{maxSeverity: High}", []core.Finding{critical, medium}, false},
		{"as bad", "{maxSeverity: Critical}", []core.Finding{critical}, true},
		{"one past it", "{maxSeverity: Low}", []core.Finding{medium}, false},
		{"none passes nothing", "{maxSeverity: none}", []core.Finding{unknown}, false},
		{"unknown is the least", "{maxSeverity: Unknown}", []core.Finding{unknown}, true},
		{"unknown passes below", "{maxSeverity: Negligible}", []core.Finding{unknown}, true},
		{"a word that is none is the worst", "{maxSeverity: High}", []core.Finding{vulnerability("CVE-5", "Terrible", "")}, false},
		{"unfixed", "{maxSeverity: High, ignoreUnfixed: true}", []core.Finding{unfixed}, true},
		{"unfixed and fixed", "{maxSeverity: High, ignoreUnfixed: true}", []core.Finding{unfixed, critical}, false},
		{"allowed", "{maxSeverity: High, allow: [{id: cve-1, expires: 2026-12-01, reason: x}]}", []core.Finding{critical}, true},
		{"allowed until now", "{maxSeverity: High, allow: [{id: CVE-1, expires: '2026-11-21T12:00:00Z', reason: x}]}", []core.Finding{critical}, false},
		{"another is allowed", "{maxSeverity: High, allow: [{id: CVE-11, expires: 2026-12-01, reason: x}]}", []core.Finding{critical}, false},
		{"allowed in the package", "{maxSeverity: High, allow: [{id: CVE-1, purl: 'pkg:golang/golang.org/x/text', expires: 2026-12-01, reason: x}]}", []core.Finding{critical}, true},
		{"allowed in another version", "{maxSeverity: High, allow: [{id: CVE-1, purl: 'pkg:golang/golang.org/x/text@0.3.1', expires: 2026-12-01, reason: x}]}", []core.Finding{critical}, false},
		{"allowed in another package", "{maxSeverity: High, allow: [{id: CVE-1, purl: 'pkg:golang/golang.org/x/net', expires: 2026-12-01, reason: x}]}", []core.Finding{critical}, false},
		{"allowed in a package, of which the scanner says nothing", "{maxSeverity: High, allow: [{id: CVE-1, purl: 'pkg:golang/golang.org/x/text', expires: 2026-12-01, reason: x}]}",
			[]core.Finding{{ID: "CVE-1", Severity: core.SeverityCritical, Package: "golang.org/x/text"}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := ""
			if !tt.want {
				want = "SEVERITY"
			}
			check(t, alone(t, "vulnerabilities: "+tt.block, scanOf(tt.found...)), tt.want, want)
		})
	}
}

// What vouches and what was found are two questions: no answer to one is one to the other.
func TestFindingsAreAVeto(t *testing.T) {
	p := policy(t, "p", anA+"require: any\n"+sig+"\nattestations: [{name: s, predicateTypes: [spdx], require: {allOf: [a]}}]\nvulnerabilities: {maxSeverity: High}")
	in := input([]*Policy{p}, signature(keyA), attestation(keyA, spdx))
	in.Scans = []core.Scan{scanOf(critical)}
	check(t, in, false, "SEVERITY")
	in.Scans = []core.Scan{scanOf()}
	check(t, in, true, "")
	in.Evidence = nil
	check(t, in, false, "NO_SIGNATURE MISSING_ATTESTATION")
	if got := p.Summary().Wants; got != "signature by a, or SBOM attestation (spdx) by a, and a scan without vulnerabilities worse than High" {
		t.Error(got)
	}
}

func TestScanned(t *testing.T) {
	failed := core.Scan{Scanner: "trivy", Problem: "the layer is a bomb"}
	old, incomplete, malware, twice := scanOf(), scanOf(), scanOf(), scanOf()
	old.ScannedAt = now.Add(-24 * time.Hour)
	incomplete.Incomplete = "unknown distribution"
	malware.Scanner, malware.Matched = "clam", false
	twice.Problem = "the adapter was away"
	second := scanOf()
	second.Scanner = "other"
	for _, tt := range []struct {
		name, block string
		scans       []core.Scan
		codes, says string
	}{
		{"never", "", nil, "NOT_SCANNED", "has not been scanned"},
		{"failed", "", []core.Scan{failed}, "NOT_SCANNED", "the layer is a bomb"},
		{"incomplete", "", []core.Scan{incomplete}, "NOT_SCANNED", "unknown distribution"},
		{"for something else", "", []core.Scan{malware}, "NOT_SCANNED", "clam has not looked"},
		{"and by one who did", "", []core.Scan{malware, failed, scanOf()}, "", ""},
		{"the last try failed, and the one before is young", "", []core.Scan{twice}, "", ""},
		{"a day old", ", scanMaxAge: 24h", []core.Scan{old}, "SCAN_STALE", "older than 24h"},
		{"a day less", ", scanMaxAge: 24h1m", []core.Scan{old}, "", ""},
		{"a young one is enough", ", scanMaxAge: 24h", []core.Scan{old, second}, "", ""},
		{"named", ", scanners: [trivy]", []core.Scan{scanOf()}, "", ""},
		{"not by the one that is named", ", scanners: [other]", []core.Scan{scanOf()}, "NOT_SCANNED", "by other"},
		{"by one of two", ", scanners: [trivy, other]", []core.Scan{scanOf()}, "NOT_SCANNED", "by other"},
		{"by both", ", scanners: [trivy, other]", []core.Scan{scanOf(), second}, "", ""},
		{"by both, one long ago", ", scanMaxAge: 24h, scanners: [trivy, other]", []core.Scan{old, second}, "SCAN_STALE", "trivy"},
		{"allowed", ", onMissing: allow", nil, "", ""},
		{"warned", ", onMissing: warn", nil, "NOT_SCANNED", "has not been scanned"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := Decide(alone(t, "vulnerabilities: {maxSeverity: High"+tt.block+"}", tt.scans...), now)
			warned := tt.name == "warned"
			if got := codes(d); got != tt.codes || d.Allowed() != (tt.codes == "" || warned) || d.Has(OutcomeWarned) != warned {
				t.Fatalf("%v %q %s", d.Allowed(), got, d.Message(""))
			}
			if text := d.Message("") + strings.Join(d.Warnings(""), ""); !strings.Contains(text, tt.says) {
				t.Error(text)
			}
		})
	}
	// What was found counts, whatever becomes of what was not.
	for _, m := range []string{"allow", "warn"} {
		check(t, alone(t, "vulnerabilities: {maxSeverity: High, scanMaxAge: 1m, onMissing: "+m+"}", scanOf(critical)), false, "SEVERITY")
	}
	check(t, alone(t, "vulnerabilities: {maxSeverity: High}", scanOf(critical), second), false, "SEVERITY")
}

func TestUntilScansSayOtherwise(t *testing.T) {
	in := alone(t, "vulnerabilities: {maxSeverity: High, scanMaxAge: 48h, allow: [{id: CVE-1, expires: '2026-11-22T00:00:00Z', reason: x}]}", scanOf(critical))
	if d := check(t, in, true, ""); !d.Until.Equal(now.Add(12 * time.Hour)) {
		t.Error(d.Until)
	}
	in.Scans[0].ScannedAt = now.Add(-47 * time.Hour)
	if d := check(t, in, true, ""); !d.Until.Equal(now.Add(time.Hour)) {
		t.Error(d.Until)
	}
	in = alone(t, "vulnerabilities: {maxSeverity: High}", scanOf(critical))
	in.Exceptions = NewExceptions([]core.Exception{{Vulnerability: "CVE-1", ExpiresAt: now.Add(time.Minute)}})
	if d := check(t, in, true, ""); !d.Until.Equal(now.Add(time.Minute)) {
		t.Error(d.Until)
	}
}

func TestExceptions(t *testing.T) {
	later := now.Add(time.Hour)
	for _, tt := range []struct {
		name string
		x    core.Exception
		want bool
	}{
		{"of the vulnerability", core.Exception{Vulnerability: "CVE-1", ExpiresAt: later}, true},
		{"of another", core.Exception{Vulnerability: "CVE-2", ExpiresAt: later}, false},
		{"expired", core.Exception{Vulnerability: "CVE-1", ExpiresAt: now}, false},
		{"in the repository", core.Exception{Vulnerability: "CVE-1", Repository: repo, ExpiresAt: later}, true},
		{"in another one", core.Exception{Vulnerability: "CVE-1", Repository: repo + "2", ExpiresAt: later}, false},
		{"in the package", core.Exception{Vulnerability: "CVE-1", PURL: textPURL, ExpiresAt: later}, true},
		{"in another one", core.Exception{Vulnerability: "CVE-1", PURL: "pkg:golang/text@0.3.0", ExpiresAt: later}, false},
		{"in one that cannot be read", core.Exception{Vulnerability: "CVE-1", PURL: "text", ExpiresAt: later}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := alone(t, "vulnerabilities: {maxSeverity: High}", scanOf(critical))
			in.Exceptions = NewExceptions([]core.Exception{tt.x})
			want := ""
			if !tt.want {
				want = "SEVERITY"
			}
			check(t, in, tt.want, want)
			// The hub's policies ask for their own consent.
			in.Policies = NewSet(1, system(t, "hub", "vulnerabilities: {maxSeverity: High}"))
			check(t, in, false, "SEVERITY")
			in.Policies = NewSet(1, system(t, "hub", "vulnerabilities: {maxSeverity: High, exceptions: true}"))
			check(t, in, tt.want, want)
			in.Policies = NewSet(1, policy(t, "p", "vulnerabilities: {maxSeverity: High, exceptions: false}"))
			check(t, in, false, "SEVERITY")
		})
	}
}

// said makes the statements of an input those of a policy's release key, by what they are about.
func said(in Input, subject string, predicateType string, predicates ...string) Input {
	statements := map[string][]byte{}
	for n, p := range predicates {
		var v any
		if err := json.Unmarshal([]byte(p), &v); err != nil {
			panic(err)
		}
		c := string(rune('a'+n)) + subject
		ev := attestation(keyA, predicateType, of(subject), content(c))
		statements[digestOf(c)] = statementOf(subject, predicateType, v)
		in.Evidence = append(in.Evidence, ev)
	}
	before := in.Statement
	in.Statement = func(c string) ([]byte, error) {
		if b := statements[c]; b != nil {
			return b, nil
		}
		if before != nil {
			return before(c)
		}
		return nil, errors.New("not there")
	}
	return in
}

func vexDoc(status, more string) string {
	return `{"@context":"` + vexType + `","timestamp":"2026-11-20T00:00:00Z","statements":[{"vulnerability":{"name":"CVE-1"},"status":"` + status + `"` + more + `}]}`
}

const (
	justification = `,"justification":"vulnerable_code_not_in_execute_path"`
	vexRule       = anA + "vulnerabilities: {maxSeverity: High, vex: {authorities: [a]}}"
)

func TestVEX(t *testing.T) {
	product := func(id, more string) string { return justification + `,"products":[{"@id":"` + id + `"` + more + `}]` }
	here := strings.Replace(image, ":", "%3A", 1)
	newer := strings.Replace(vexDoc("affected", ""), "2026-11-20", "2026-11-21", 1)
	for _, tt := range []struct {
		name string
		docs []string
		want bool
	}{
		{"nothing", nil, false},
		{"not affected", []string{vexDoc("not_affected", justification)}, true},
		{"fixed", []string{vexDoc("fixed", "")}, true},
		{"not affected, without a reason", []string{vexDoc("not_affected", "")}, false},
		{"not affected, for a made-up reason", []string{vexDoc("not_affected", `,"justification":"trust_me"`)}, false},
		{"affected", []string{vexDoc("affected", justification)}, false},
		{"under investigation", []string{vexDoc("under_investigation", justification)}, false},
		{"a made-up status", []string{vexDoc("harmless", justification)}, false},
		{"another vulnerability", []string{strings.Replace(vexDoc("fixed", ""), "CVE-1", "CVE-9", 1)}, false},
		{"by an alias", []string{strings.Replace(vexDoc("fixed", ""), `"name":"CVE-1"`, `"name":"GHSA-1","aliases":["cve-1"]`, 1)}, true},
		{"by its address alone", []string{strings.Replace(vexDoc("fixed", ""), `"name":"CVE-1"`, `"@id":"https://nvd.example/vuln/CVE-1"`, 1)}, true},
		{"as older documents name it", []string{strings.Replace(vexDoc("fixed", ""), `{"name":"CVE-1"}`, `"CVE-1"`, 1)}, true},
		{"the image by digest", []string{vexDoc("not_affected", product("pkg:oci/app@"+here, ""))}, true},
		{"the image by reference", []string{vexDoc("not_affected", product("hub.example/prod/app@"+image, ""))}, true},
		{"the image by hash", []string{vexDoc("not_affected", product("x", `,"hashes":{"sha-256":"`+image[7:]+`"}`))}, true},
		{"the image by purl identifier", []string{vexDoc("not_affected", product("x", `,"identifiers":{"purl":"pkg:oci/app@`+here+`"}`))}, true},
		{"its repository", []string{vexDoc("not_affected", product("pkg:oci/app?repository_url=hub.example/prod/app", ""))}, true},
		{"its name", []string{vexDoc("not_affected", product("pkg:oci/app", ""))}, true},
		{"another repository", []string{vexDoc("not_affected", product("pkg:oci/app?repository_url=hub.example/other/app", ""))}, false},
		{"another image", []string{vexDoc("not_affected", product("pkg:oci/app@"+strings.Replace(index, ":", "%3A", 1), ""))}, false},
		{"another name", []string{vexDoc("not_affected", product("pkg:oci/web", ""))}, false},
		{"another kind of package of that name", []string{vexDoc("not_affected", product("pkg:npm/app", ""))}, false},
		{"another kind of package in that version", []string{vexDoc("not_affected", product("pkg:npm/x@"+here, ""))}, false},
		{"another kind of package, written as a reference", []string{vexDoc("not_affected", product("pkg:npm/x@"+image, ""))}, false},
		{"some library", []string{vexDoc("not_affected", product("pkg:golang/golang.org/x/text", ""))}, false},
		{"the package", []string{vexDoc("not_affected", product("pkg:oci/app", `,"subcomponents":[{"@id":"pkg:golang/golang.org/x/text"}]`))}, true},
		{"the package in its version", []string{vexDoc("not_affected", product("pkg:oci/app", `,"subcomponents":[{"@id":"`+textPURL+`"}]`))}, true},
		{"the package in another version", []string{vexDoc("not_affected", product("pkg:oci/app", `,"subcomponents":[{"@id":"`+textPURL+`1"}]`))}, false},
		{"another package", []string{vexDoc("not_affected", product("pkg:oci/app", `,"subcomponents":[{"@id":"pkg:golang/golang.org/x/net"}]`))}, false},
		{"a part that has no name", []string{vexDoc("not_affected", product("pkg:oci/app", `,"subcomponents":[{"@id":"text"}]`))}, false},
		{"no parts at all", []string{vexDoc("not_affected", product("pkg:oci/app", `,"subcomponents":[]`))}, false},
		{"taken back", []string{vexDoc("fixed", ""), newer}, false},
		{"taken back, read in the other order", []string{newer, vexDoc("fixed", "")}, false},
		{"said again", []string{strings.Replace(vexDoc("fixed", ""), "2026-11-20", "2026-11-21", 1), vexDoc("affected", "")}, true},
		{"both at once", []string{vexDoc("fixed", ""), vexDoc("affected", "")}, false},
		{"taken back for something else", []string{vexDoc("fixed", ""), strings.Replace(newer, `"status"`, `"products":["pkg:oci/web"],"status"`, 1)}, true},
		{"tomorrow", []string{strings.Replace(vexDoc("fixed", ""), "2026-11-20", "2026-11-22", 1)}, false},
		{"no time", []string{strings.Replace(vexDoc("fixed", ""), "2026-11-20T00:00:00Z", "", 1)}, false},
		{"one that cannot be read beside it", []string{vexDoc("fixed", ""), `{"statements":{}}`}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := said(alone(t, vexRule, scanOf(critical)), image, vexType, tt.docs...)
			if d := Decide(in, now); d.Allowed() != tt.want {
				t.Errorf("%v %s %v", d.Allowed(), codes(d), d.Fault)
			}
		})
	}
}

// Who says it, and about what it was signed, decides before what it says does.
func TestVEXByOthers(t *testing.T) {
	base := said(alone(t, vexRule, scanOf(critical)), image, vexType, vexDoc("fixed", ""))
	check(t, base, true, "")
	for name, change := range map[string]option{
		"unsigned":                  unverified,
		"a stranger":                func(ev *core.Evidence) { ev.Signer = &core.Signer{Key: keyC} },
		"somebody else who is here": func(ev *core.Evidence) { ev.Signer = &core.Signer{Key: keyB} },
		"about another image":       of(index),
		"of another type":           func(ev *core.Evidence) { ev.PredicateType = spdx },
		"a signature":               func(ev *core.Evidence) { ev.Kind = core.EvidenceSignature },
	} {
		in := base
		in.Evidence = []core.Evidence{base.Evidence[0]}
		change(&in.Evidence[0])
		if d := Decide(in, now); d.Allowed() || codes(d) != "SEVERITY" {
			t.Errorf("%s: %v %s", name, d.Allowed(), codes(d))
		}
	}
	in := base
	in.Statement = func(string) ([]byte, error) { return statementOf(index, vexType, map[string]any{}), nil }
	if d := Decide(in, now); d.Allowed() || d.Fault == nil {
		t.Error("the signed bytes are about another image")
	}
	in = base
	in.Policies = NewSet(1, policy(t, "p", anA+"vulnerabilities: {maxSeverity: High}"))
	check(t, in, false, "SEVERITY")
}

func attestedScan(result, finished string) string {
	return `{"scanner":{"uri":"https://scanner.example","result":` + result + `},"metadata":{"scanFinishedOn":"` + finished + `"}}`
}

func TestAttestedScans(t *testing.T) {
	const (
		clean   = `{"SchemaVersion":2,"Results":[{"Target":"app"}]}`
		bad     = `{"SchemaVersion":2,"Results":[{"Vulnerabilities":[{"VulnerabilityID":"CVE-8","Severity":"CRITICAL","PkgName":"x","InstalledVersion":"1"}]}]}`
		today   = "2026-11-21T11:00:00Z"
		earlier = "2026-11-10T11:00:00Z"
	)
	rule := func(source, more string) string {
		return anA + "vulnerabilities: {maxSeverity: High, source: " + source + more + "}"
	}
	for _, tt := range []struct {
		name, spec string
		scans      []core.Scan
		docs       []string
		codes      string
	}{
		{"clean", rule("attestation", ""), nil, []string{attestedScan(clean, today)}, ""},
		{"none", rule("attestation", ""), nil, nil, "NOT_SCANNED"},
		{"bad", rule("attestation", ""), nil, []string{attestedScan(bad, today)}, "SEVERITY"},
		{"of in-toto", rule("attestation", ""), nil, []string{attestedScan(`[{"id":"CVE-8","severity":[{"method":"CVSS","score":"9.8"}]}]`, today)}, "SEVERITY"},
		{"of in-toto, in a word", rule("attestation", ""), nil, []string{attestedScan(`[{"id":"CVE-8","severity":[{"method":"nvd","score":"low"}]}]`, today)}, ""},
		{"of in-toto, without findings", rule("attestation", ""), nil, []string{attestedScan(`[]`, today)}, ""},
		{"of somebody's own format", rule("attestation", ""), nil, []string{attestedScan(`{"runs":[]}`, today)}, "NOT_SCANNED"},
		{"without a time", rule("attestation", ""), nil, []string{attestedScan(clean, "")}, "NOT_SCANNED"},
		{"of tomorrow", rule("attestation", ""), nil, []string{attestedScan(clean, "2026-11-22T11:00:00Z")}, "NOT_SCANNED"},
		{"too old", rule("attestation", ", scanMaxAge: 24h"), nil, []string{attestedScan(clean, earlier)}, "SCAN_STALE"},
		{"the newest counts", rule("attestation", ", scanMaxAge: 24h"), nil, []string{attestedScan(bad, earlier), attestedScan(clean, today)}, ""},
		{"the newest counts, read first", rule("attestation", ""), nil, []string{attestedScan(bad, today), attestedScan(clean, earlier)}, "SEVERITY"},
		{"the hub's scanner found something", rule("attestation", ""), []core.Scan{scanOf(critical)}, []string{attestedScan(clean, today)}, "SEVERITY"},
		{"either, found here", rule("either", ""), []core.Scan{scanOf(critical)}, []string{attestedScan(clean, today)}, "SEVERITY"},
		{"either, found there", rule("either", ""), []core.Scan{scanOf()}, []string{attestedScan(bad, today)}, "SEVERITY"},
		{"either, scanned here", rule("either", ""), []core.Scan{scanOf()}, nil, ""},
		{"either, scanned there", rule("either", ""), nil, []string{attestedScan(clean, today)}, ""},
		{"either, nowhere", rule("either", ""), nil, nil, "NOT_SCANNED"},
		{"not asked for", rule("registry-scan", ""), nil, []string{attestedScan(clean, today)}, "NOT_SCANNED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			check(t, said(alone(t, tt.spec, tt.scans...), image, vulnType, tt.docs...), tt.codes == "", tt.codes)
		})
	}
}

func TestScansOfIndexes(t *testing.T) {
	child, other, list := digestOf("child"), digestOf("other"), digestOf("list")
	in := alone(t, vexRule)
	in.Type, in.Digest = "index", index
	check(t, in, false, "VERIFIER_ERROR") // what it lists is not known
	in.Children = []Related{{Digest: list, Scans: []core.Scan{scanOf()}}}
	check(t, in, false, "NOT_SCANNED") // nothing of it runs
	in.Children = append(in.Children, Related{Digest: child, Runs: true, Scans: []core.Scan{scanOf(critical)}}, Related{Digest: other, Runs: true})
	d := check(t, in, false, "SEVERITY NOT_SCANNED")
	if r := d.Results()[0].Reasons; r[0].Digest != child || r[1].Digest != other || !strings.Contains(r[1].Fix, other) {
		t.Errorf("%+v", r)
	}
	in.Children[2].Scans = []core.Scan{scanOf(medium)}
	check(t, in, true, "")
	in.Policies = NewSet(1, policy(t, "p", vexRule+"\nindex: {rule: each}"))
	check(t, in, false, "SEVERITY")
	in.Children[1].Scans[0].Findings = nil
	check(t, in, true, "")

	// What is said of the index counts for what it lists only where the index rule lets it.
	pull := func(rule string) Input {
		in := alone(t, vexRule+"\nindex: {rule: "+rule+"}", scanOf(critical))
		in = said(in, index, vexType, vexDoc("fixed", `,"products":["pkg:oci/app@`+strings.Replace(index, ":", "%3A", 1)+`"]`))
		in.Indexes, in.Evidence = []Related{{Digest: index, Evidence: in.Evidence}}, nil
		return in
	}
	check(t, pull("covered"), true, "")
	check(t, pull("self"), false, "SEVERITY")
	check(t, pull("each"), false, "SEVERITY")
	// An index that is exempt exempts what it lists, likewise.
	exempt := "\nexempt: {digests: [{digest: '" + index + "', expires: 2026-12-01, reason: x}]}"
	in = alone(t, vexRule+exempt, scanOf(critical))
	in.Indexes = []Related{{Digest: index}}
	check(t, in, true, "")
	in.Policies = NewSet(1, policy(t, "p", vexRule+exempt+"\nindex: {rule: self}"))
	check(t, in, false, "SEVERITY")
	if n := in.Policies.Needs(repo); !n.Children || !n.Documents {
		t.Errorf("%+v", n)
	}
}

func TestCompliance(t *testing.T) {
	secret := core.Check{Kind: core.CheckSecret, ID: "aws-key", Severity: core.SeverityCritical, Path: "app/.env"}
	agpl := core.Check{Kind: core.CheckLicence, ID: "AGPL-3.0-only", Class: "forbidden", Path: "libx"}
	mit := core.Check{Kind: core.CheckLicence, ID: "MIT", Class: "notice", Path: "liby"}
	virus := core.Check{Kind: "malware", ID: "Eicar", Severity: core.SeverityLow, Path: "bin/x"}
	with := func(checks ...core.Check) core.Scan {
		s := scanOf()
		s.Checks = checks
		return s
	}
	clam := func(checks ...core.Check) core.Scan {
		return core.Scan{Scanner: "clam", ScannedAt: now.Add(-time.Hour), Looked: []core.CheckKind{"malware"}, Checks: checks}
	}
	user := func(name string) core.Scan {
		s := scanOf()
		s.Image = &core.ImageFacts{User: name}
		return s
	}
	for _, tt := range []struct {
		name, block string
		scans       []core.Scan
		codes, says string
	}{
		{"no secret", "{secrets: deny}", []core.Scan{with(agpl)}, "", ""},
		{"a secret", "{secrets: deny}", []core.Scan{with(secret)}, "COMPLIANCE", "a secret (aws-key) in app/.env"},
		{"an allowed secret", "{secrets: deny, allow: [{id: aws-key, path: app/.env, expires: 2026-12-01, reason: x}]}", []core.Scan{with(secret)}, "", ""},
		{"allowed below", "{secrets: deny, allow: [{id: aws-key, path: 'app/**', expires: 2026-12-01, reason: x}]}", []core.Scan{with(secret)}, "", ""},
		{"allowed elsewhere", "{secrets: deny, allow: [{id: aws-key, path: 'ap/**', expires: 2026-12-01, reason: x}]}", []core.Scan{with(secret)}, "COMPLIANCE", ".env"},
		{"another is allowed there", "{secrets: deny, allow: [{id: gcp-key, path: app/.env, expires: 2026-12-01, reason: x}]}", []core.Scan{with(secret)}, "COMPLIANCE", ".env"},
		{"allowed until now", "{secrets: deny, allow: [{id: aws-key, expires: '2026-11-21T12:00:00Z', reason: x}]}", []core.Scan{with(secret)}, "COMPLIANCE", ".env"},
		{"never scanned", "{secrets: deny}", nil, "NOT_SCANNED", "secret"},
		{"scanned for something else", "{secrets: deny}", []core.Scan{clam()}, "NOT_SCANNED", "no scanner has looked for this in it: secret"},
		{"failed", "{secrets: deny}", []core.Scan{{Scanner: "trivy", Problem: "boom"}}, "NOT_SCANNED", "boom"},
		{"long ago", "{secrets: deny, scanMaxAge: 1h}", []core.Scan{with()}, "SCAN_STALE", "older than"},
		{"missing allowed", "{secrets: deny, onMissing: allow}", nil, "", ""},
		{"a class", "{licences: {deny: [forbidden]}}", []core.Scan{with(mit, agpl)}, "COMPLIANCE", "AGPL-3.0-only of libx"},
		{"a licence", "{licences: {deny: [AGPL-3.0-only]}}", []core.Scan{with(mit, agpl)}, "COMPLIANCE", "libx"},
		{"a licence of a denied class", "{licences: {deny: [forbidden], allow: [AGPL-3.0-only]}}", []core.Scan{with(mit, agpl)}, "", ""},
		{"a licence of an allowed class", "{licences: {deny: [AGPL-3.0-only], allow: [forbidden]}}", []core.Scan{with(mit, agpl)}, "COMPLIANCE", "libx"},
		{"only some", "{licences: {allow: [MIT, AGPL-3.0-only]}}", []core.Scan{with(mit, agpl)}, "", ""},
		{"not among some", "{licences: {allow: [MIT]}}", []core.Scan{with(mit, agpl)}, "COMPLIANCE", "libx"},
		{"a user", "{user: nonroot}", []core.Scan{user("app:app")}, "", ""},
		{"no user", "{user: nonroot}", []core.Scan{user("")}, "COMPLIANCE", "it runs as root"},
		{"root", "{user: nonroot}", []core.Scan{user("root:app")}, "COMPLIANCE", "root"},
		{"zero", "{user: nonroot}", []core.Scan{user("000")}, "COMPLIANCE", "root"},
		{"user not known", "{user: nonroot}", []core.Scan{clam()}, "NOT_SCANNED", "configuration"},
		{"a label", "{labels: [team]}", []core.Scan{scanOf()}, "", ""},
		{"no label", "{labels: [team, org.example.source]}", []core.Scan{scanOf()}, "COMPLIANCE", "no label org.example.source"},
		{"no malware", "{checks: [{kind: malware}]}", []core.Scan{clam(), with(secret)}, "", ""},
		{"malware", "{checks: [{kind: malware}]}", []core.Scan{clam(virus), with()}, "COMPLIANCE", "malware (Eicar) in bin/x"},
		{"malware that is not that bad", "{checks: [{kind: malware, maxSeverity: Low}]}", []core.Scan{clam(virus)}, "", ""},
		{"nobody looked for malware", "{checks: [{kind: malware}]}", []core.Scan{with()}, "NOT_SCANNED", "malware"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := check(t, alone(t, "compliance: "+tt.block, tt.scans...), tt.codes == "", tt.codes)
			if !strings.Contains(d.Message(""), tt.says) {
				t.Error(d.Message(""))
			}
		})
	}
}

// A refusal says what was found, which version has it no more, and what to do.
func TestTheSentenceOfASeverity(t *testing.T) {
	in := alone(t, "vulnerabilities: {maxSeverity: Medium}", scanOf(unfixed, critical, vulnerability("CVE-6", core.SeverityHigh, "1"),
		vulnerability("CVE-7", core.SeverityHigh, "1"), vulnerability("CVE-8", core.SeverityHigh, "1")))
	d := check(t, in, false, "SEVERITY")
	want := `trust policy "p": prod/app@` + short(image) + ` refused: vulnerabilities worse than Medium: 5, the worst Critical: CVE-1 in golang.org/x/text 0.3.0 (fixed in 0.3.8), ` +
		`CVE-2 in golang.org/x/text 0.3.0, CVE-6 in golang.org/x/text 0.3.0 (fixed in 1), and 2 more. Update what has them, or answer for it: ` +
		`hallmark create exception CVE-1 --project prod --repository prod/app --expires 30d --reason WHY`
	if got := d.Message(""); got != want {
		t.Errorf("%s\n%s", got, want)
	}
	r := d.Results()[0].Reasons[0]
	if got := r.In(Chinese); got != "5 个漏洞超过 Medium，最严重为 Critical：CVE-1（软件包 golang.org/x/text 0.3.0，已在 0.3.8 中修复）、CVE-2（软件包 golang.org/x/text 0.3.0）、CVE-6（软件包 golang.org/x/text 0.3.0，已在 1 中修复），另有 2 项" {
		t.Error(got)
	}
	in.Policies = NewSet(1, policy(t, "p", anA+"vulnerabilities: {maxSeverity: High, exceptions: false, vex: {authorities: [a]}}"))
	d = Decide(in, now)
	if got := d.Results()[0].Reasons[0].Fix; got != "cosign attest --key cosign.key --type openvex --predicate predicate.json hub.example/prod/app@"+image {
		t.Error(got)
	}
	in.Scans = nil
	d = Decide(in, now)
	if got := d.Results()[0].Reasons[0].Fix; got != "hallmark scan prod/app@"+image {
		t.Error(got)
	}
}

func TestAnExplanationListsWhatSpeaksOfVulnerabilities(t *testing.T) {
	in := said(alone(t, vexRule, scanOf(critical)), image, vexType, vexDoc("fixed", ""))
	x := Explain(in, now, "")
	if !x.Allowed || len(x.Policies[0].Found) != 1 || !x.Policies[0].Found[0].Counts || x.Policies[0].Found[0].Rule != "vulnerabilities" {
		t.Errorf("%+v", x)
	}
}
