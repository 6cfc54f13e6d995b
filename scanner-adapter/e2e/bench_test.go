package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/scanner-adapter/scannertest"
)

// BenchmarkMatch is how many SBOMs of an image of Debian with 300 packages are matched in a second, in requests of 500:
// go test ./e2e -run '^$' -bench Match
func BenchmarkMatch(b *testing.B) {
	r := scannertest.NewRegistry(b)
	a := start(b, r, b.TempDir())
	const packages, batch = 300, 500
	var components, refs strings.Builder
	for i := range packages {
		fmt.Fprintf(&components, `,{"bom-ref":"p%d","type":"library","supplier":{"name":"Somebody <nobody@example.com>"},"name":"package%d","version":"1.%d-1",`+
			`"licenses":[{"license":{"id":"MIT"}}],"purl":"pkg:deb/debian/package%d@1.%d-1?arch=amd64&distro=debian-12.5","properties":[`+
			`{"name":"aquasecurity:trivy:LayerDiffID","value":"sha256:%064d"},{"name":"aquasecurity:trivy:PkgID","value":"package%d@1.%d-1"},`+
			`{"name":"aquasecurity:trivy:PkgType","value":"debian"},{"name":"aquasecurity:trivy:SrcName","value":"%s"},`+
			`{"name":"aquasecurity:trivy:SrcVersion","value":"1.%d"},{"name":"aquasecurity:trivy:SrcRelease","value":"1"}]}`,
			i, i, i, i, i, i, i, i, []string{"glibc", "curl", "gnutls28", "xz-utils", "other"}[i%5], i)
		fmt.Fprintf(&refs, `,"p%d"`, i)
	}
	sbom := `{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"component":{"bom-ref":"image","type":"container","name":"image"}},"components":[` +
		`{"bom-ref":"os","type":"operating-system","name":"debian","version":"12.5"}` + components.String() + `],"dependencies":[{"ref":"image","dependsOn":["os"]},` +
		`{"ref":"os","dependsOn":[` + refs.String()[1:] + `]}]}`
	body := strings.Repeat(line("a", sbom), batch)
	b.SetBytes(int64(len(sbom)))
	b.ResetTimer()
	done := 0
	for ; done < b.N; done += batch {
		for _, m := range a.match(body) {
			if m.Error != "" || m.Incomplete != "" || len(m.Findings) < packages/2 {
				b.Fatalf("%d findings, %q %q", len(m.Findings), m.Error, m.Incomplete)
			}
		}
	}
	b.StopTimer()
	a.stop()
	used := a.cmd.ProcessState.UserTime() + a.cmd.ProcessState.SystemTime() // and that of its children
	b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "images/s")
	b.ReportMetric(float64(done)/used.Seconds(), "images/core-s")
}
