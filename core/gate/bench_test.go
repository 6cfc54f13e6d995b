package gate

import (
	"strconv"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
)

func BenchmarkBaselineOneSignature(b *testing.B) {
	in := input(enforce(), signature(keyA))
	b.ReportAllocs()
	for b.Loop() {
		if d := Decide(in, now); !d.Allowed() {
			b.Fatal("refused")
		}
	}
}

func BenchmarkBaselineRefused(b *testing.B) {
	in := input(enforce())
	b.ReportAllocs()
	for b.Loop() {
		if d := Decide(in, now); d.Allowed() {
			b.Fatal("allowed")
		}
	}
}

func BenchmarkTwoOfThree(b *testing.B) {
	in := input([]*Policy{policy(b, "two", `
authorities: [{name: a, key: {ref: release}}, {name: b, key: {ref: build}}]
signature: {require: {allOf: [a, b]}}`)}, signature(keyA), signature(keyB), signature(keyC))
	b.ReportAllocs()
	for b.Loop() {
		if d := Decide(in, now); !d.Allowed() {
			b.Fatal("refused")
		}
	}
}

// BenchmarkTenThousand: junk, strangers' keys and strangers' identities, and one good signature at the end.
func BenchmarkTenThousand(b *testing.B) {
	for name, in := range map[string]Input{"hidden": spam(true), "refused": spam(false)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := Decide(in, now); d.Allowed() != (name == "hidden") {
					b.Fatal(codes(d))
				}
			}
		})
	}
}

func spam(good bool) Input {
	var list []core.Evidence
	for i := range 10_000 {
		n := strconv.Itoa(i)
		switch i % 3 {
		case 0:
			list = append(list, signature(keyC, unverified))
		case 1:
			list = append(list, signature(digestOf(n)))
		case 2:
			list = append(list, signature(keyC, byIdentity(github, "https://github.com/acme-"+n+"/app/.github/workflows/r.yml@refs/heads/main")))
		}
	}
	if good {
		list = append(list, signature(keyA, func(ev *core.Evidence) { ev.Arrived = now.Add(-1000 * time.Hour) }))
	}
	in := input(enforce(), list...)
	var ids []Identity
	for i := range 50 {
		ids = append(ids, Identity{Name: "i" + strconv.Itoa(i), Scope: ScopeHub, TrustRoot: "public-good", Issuer: github,
			SubjectRegex: `https://github\.com/acme/app` + strconv.Itoa(i) + `/.*`})
	}
	in.Registered = NewRegistered(1, []Key{key("release", keyA)}, ids, nil)
	return in
}

// BenchmarkExpression reads one SBOM of about a megabyte.
func BenchmarkExpression(b *testing.B) {
	p := policy(b, "sbom", `
authorities: [{name: a, key: {ref: release}}]
attestations: [{name: sbom, predicateTypes: [spdx], require: {allOf: [a]}, cel: "predicate.packages.all(p, p.name != 'evil')"}]`)
	var packages []any
	for i := range 5000 {
		packages = append(packages, map[string]any{"name": "package-" + strconv.Itoa(i), "versionInfo": "1.2.3", "downloadLocation": "NOASSERTION",
			"licenseConcluded": "Apache-2.0", "SPDXID": "SPDXRef-Package-" + strconv.Itoa(i), "copyrightText": "NONE, as far as anybody knows today"})
	}
	raw := statementOf(image, spdx, map[string]any{"packages": packages})
	in := input([]*Policy{p}, attestation(keyA, spdx))
	in.Statement = func(string) ([]byte, error) { return raw, nil }
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if d := Decide(in, now); !d.Allowed() {
			b.Fatal(codes(d), d.Fault)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	source := []byte(example)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(source); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFindings: an image with many vulnerabilities, all of which pass.
func BenchmarkFindings(b *testing.B) {
	p := policy(b, "p", "vulnerabilities: {maxSeverity: High, scanMaxAge: 24h}")
	s := scanOf()
	for i := range 1000 {
		s.Findings = append(s.Findings, vulnerability("CVE-"+strconv.Itoa(i), core.SeverityHigh, "1"))
	}
	in := input([]*Policy{p})
	in.Scans = []core.Scan{s}
	b.ReportAllocs()
	for b.Loop() {
		if d := Decide(in, now); !d.Allowed() {
			b.Fatal(codes(d))
		}
	}
}
