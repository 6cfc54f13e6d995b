//go:build e2e

package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core/scan/scannertest"
)

const (
	// soonScanned is how soon what is pushed is scanned: the first scan of a hub waits until its scanner has a database.
	soonScanned = 3 * time.Minute
	// soonKnown is how soon an image is vulnerable after a database was published that says so.
	soonKnown = time.Minute

	noCritical = `apiVersion: hallmark/v1alpha1
kind: PullPolicy
metadata: {name: no-critical, project: %s}
spec:
  mode: enforce
  authorities:
    - {name: release, %s}
  vulnerabilities: {maxSeverity: High, onMissing: deny, vex: {authorities: [release]}}
`
)

// TestScan is what scans are for: a hub with databases that it serves itself finds what is in what is pushed, refuses what the policy
// does not let through, believes a signed statement, and learns of what was found out later without looking at the image again.
func TestScan(t *testing.T) {
	if !slices.Contains(chosenClients(t), "scan") {
		t.Skip("E2E_CLIENTS names other tests")
	}
	needRoot(t, "dockerd")
	for _, name := range listed(t, "E2E_STACKS", []string{"sqlite", "postgres"}) {
		t.Run(name, func(t *testing.T) {
			s := startScanStack(t, name)
			guest := s.person(t, "gus")
			docker, pullers := guest.pullers(t)
			admin := &cli{t: t, s: s, home: t.TempDir()}
			admin.pipe(s.password, hubBinary(t), "login", "http://"+s.addr, "-u", s.user, "--password-stdin")
			admin.publishDatabase(2*time.Hour, false)
			s.told(t, soonScanned, "/readyz?verbose", "scanner: ready (database of")

			g := guest.project(t, "scan", "cosign3")
			g.register()
			debian := g.dockerImport(docker, "debian", "v1")
			program := g.pushProgram("program", "v1")
			t.Run("findings", func(t *testing.T) { testScanFindings(t, g, admin) })
			t.Run("gate", func(t *testing.T) { testScanGate(t, g, debian, pullers[:1]) })
			t.Run("new data", func(t *testing.T) { testScanNewData(t, g, admin, program, pullers[:1]) })
			t.Run("another scanner", func(t *testing.T) { testScanAnother(t, guest) })
		})
	}
}

// pushProgram pushes the image of a Go program that depends on golang.org/x/text v0.3.5.
func (g *gated) pushProgram(repository, tag string) string {
	g.t.Helper()
	out := g.write("program/program", nil)
	adapterCommand(g.t, filepath.Join("e2e", "testdata", "program"), "build", "-mod=vendor", "-o", out, ".")
	program, err := os.ReadFile(out)
	if err != nil {
		g.t.Fatal(err)
	}
	_, packed, err := layerOf("program", program)
	if err != nil {
		g.t.Fatal(err)
	}
	crane := pinned(g.t, "crane")
	layer := g.write("program.tar.gz", packed)
	g.run(crane, "append", "--oci-empty-base", "-f", layer, "-t", g.ref(repository, tag))
	return g.ref(repository, tag)
}

func findings(project, repository, reference string) string {
	return "/api/v1/projects/" + project + "/repositories/" + repository + "/artifacts/" + reference + "/vulnerabilities"
}

// testScanFindings: what the databases say of the two images is found, told by the API and by the command.
func testScanFindings(t *testing.T, g *gated, admin *cli) {
	g.s.told(t, soonScanned, findings(g.project, "debian", "v1"), "CVE-2024-3094", "liblzma5", "CVE-2011-3389", "Critical")
	g.s.told(t, soonScanned, findings(g.project, "program", "v1"), "CVE-2022-32149", "golang.org/x/text", "0.3.8")
	eventually(t, "the package to be found", 30*time.Second, func() error {
		said := admin.try("", hubBinary(t), "get", "packages", "--purl", "pkg:golang/golang.org/x/text")
		if lacking := without(said.stdout, []string{g.project + "/program", "v1"}); said.err != nil || lacking != "" {
			return fmt.Errorf("no %q: %v", lacking, said)
		}
		return nil
	})
}

// testScanGate: above the policy's severity is refused, and let through with a signed statement that it does not matter here.
func testScanGate(t *testing.T, g *gated, ref string, docker []puller) {
	g.opened("without a policy", ref, docker)
	g.guest.call(t, http.MethodPut, "/api/v1/projects/"+g.project+"/policies/no-critical",
		map[string]string{"document": fmt.Sprintf(noCritical, g.project, g.authority)}, http.StatusOK, http.StatusCreated)
	g.closed("something critical", ref, docker, `trust policy "no-critical"`, "CVE-2024-3094", "Critical")
	_, digest := g.manifest("debian", "v1")
	image := g.repo("debian") + "@" + digest
	statement, err := json.Marshal(map[string]any{
		"@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.org/vex/1", "author": "the publisher", "version": 1,
		"timestamp": time.Now().UTC().Format(time.RFC3339),
		"statements": []any{map[string]any{"vulnerability": map[string]string{"name": "CVE-2024-3094"}, "status": "not_affected",
			"justification": "vulnerable_code_not_present", "products": []any{map[string]string{"@id": "pkg:oci/debian@" + strings.Replace(digest, ":", "%3A", 1)}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	g.write("vex.json", statement)
	g.cosign("attest", "stranger", "--type", "openvex", "--predicate", "vex.json", image)
	g.closed("a stranger's statement", ref, docker, "CVE-2024-3094")
	g.cosign("attest", "ours", "--type", "openvex", "--predicate", "vex.json", image)
	g.opened("a signed statement", ref, docker)
}

// testScanNewData: what is found out later counts within a minute, without a look at the image, and whoever asked for it is told.
func testScanNewData(t *testing.T, g *gated, admin *cli, ref string, docker []puller) {
	const added = "CVE-2031-1000"
	g.opened("before", ref, docker)
	key := random(t, 32)
	got := make(chan error, 16)
	hook := receiver(t, func(header http.Header, body []byte) {
		if strings.Contains(string(body), added) {
			got <- checkEvent(header, body, key)
		}
	})
	g.guest.call(t, http.MethodPut, "/api/v1/projects/"+g.project+"/webhooks/vulnerable", map[string]any{"url": hook, "channel": "http",
		"events": []string{"artifact.vulnerable"}, "secret": "whsec_" + base64.StdEncoding.EncodeToString(key)}, http.StatusOK, http.StatusCreated)
	before := g.s.fetched(t, g.project, g.guest.name)
	admin.publishDatabase(time.Hour, true)
	published := time.Now()
	g.s.told(t, soonKnown, findings(g.project, "program", "v1"), added)
	if n := g.s.fetched(t, g.project, g.guest.name); n != before {
		t.Errorf("%d blobs were read, which is no match of what is known", n-before)
	}
	g.closed("what was found out", ref, docker, `trust policy "no-critical"`, added)
	select {
	case err := <-got:
		if err != nil {
			t.Error(err)
		}
		t.Logf("vulnerable, refused and told %s after the database was published", time.Since(published).Round(time.Second))
	case <-time.After(soonKnown):
		t.Error("no webhook arrived")
	}
}

// checkEvent verifies a webhook as a receiver does, by the rules of Standard Webhooks.
func checkEvent(header http.Header, body, key []byte) error {
	id, at := header.Get("webhook-id"), header.Get("webhook-timestamp")
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); !slices.Contains(strings.Fields(header.Get("webhook-signature")), want) {
		return fmt.Errorf("the signature of %s is not right: %s", id, header.Get("webhook-signature"))
	}
	var e struct {
		SpecVersion string `json:"specversion"`
		ID, Type    string
	}
	if err := json.Unmarshal(body, &e); err != nil || e.SpecVersion != "1.0" || e.ID == "" || !strings.HasSuffix(e.Type, "artifact.vulnerable") {
		return fmt.Errorf("this is no event: %w\n%s", err, body)
	}
	return nil
}

// testScanAnother: an adapter of somebody else, which looks for something else, scans for a project that names it.
func testScanAnother(t *testing.T, guest *person) {
	another := scannertest.New(t, scannertest.Options{Looked: []string{"malware"}, Token: "another-token", Fetch: true})
	guest.call(t, http.MethodPut, "/api/v1/scanners/another", map[string]any{"url": another.URL, "secret": "another-token", "registry_url": "http://" + guest.s.addr},
		http.StatusOK, http.StatusCreated)
	g := guest.project(t, "scan-another", "cosign3")
	guest.call(t, http.MethodPatch, "/api/v1/projects/"+g.project, map[string]string{"scanner": "another"}, http.StatusOK)
	img := image(t)
	another.Check(scannertest.Check{Kind: "malware", ID: "EICAR", Severity: "High", Title: "a test file", Path: "/hello"})
	g.pushImage("app")
	g.s.told(t, soonScanned, "/api/v1/projects/"+g.project+"/repositories/app/artifacts/"+img.arch["amd64"]+"/checks", "malware", "EICAR")
}
