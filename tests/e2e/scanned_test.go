//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core/scan/scannertest"
)

// TestScannedSBOM: what a scanner says is in an image is attached by the hub, as cosign verifies with the hub's key, and found; and lets
// nobody pull. The documents are those that Trivy 0.74 made of such an image.
func TestScannedSBOM(t *testing.T) {
	if !slices.Contains(chosenClients(t), "gate") {
		t.Skip("E2E_CLIENTS names other tests")
	}
	documents := map[string]string{}
	for mediaType, file := range map[string]string{"application/spdx+json": "shop.spdx.json", "application/vnd.cyclonedx+json": "shop.cdx.json"} {
		b, err := os.ReadFile("../../core/api/testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		documents[mediaType] = string(b)
	}
	for _, name := range listed(t, "E2E_STACKS", []string{"sqlite", "postgres"}) {
		t.Run(name, func(t *testing.T) {
			s := startStack(t, name)
			guest := s.person(t, "gus")
			if name == "postgres" {
				guest.at = s.beside(t)
			}
			scanner := scannertest.New(t, scannertest.Options{Vulnerabilities: true, SBOMs: documents, Fetch: true})
			body := fmt.Appendf(nil, `{"url": %q, "default": true}`, scanner.URL)
			if res, said := s.do(t, http.MethodPut, "/api/v1/scanners/test", body, http.Header{"Content-Type": {"application/json"}}); res.StatusCode != http.StatusCreated {
				t.Fatalf("%s %s", res.Status, said)
			}
			g := guest.project(t, "scanned", "cosign3")
			g.scanned()
		})
	}
}

func (g *gated) scanned() {
	t := g.t
	t.Helper()
	g.run(g.tool, "trusted-root", "create", "--out", g.file("root.json"))
	res, err := http.Get("http://" + g.guest.at.addr + "/api/v1/keys/hub.pem") // as nobody
	if err != nil {
		t.Fatal(err)
	}
	key, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("the hub's key: %s %v\n%s", res.Status, err, key)
	}
	g.write("hub.pem", key)
	img := g.pushImage("app")
	ref := g.repo("app") + "@" + img.arch["amd64"]
	for kind, word := range map[string]string{"cyclonedx": `"bomFormat":"CycloneDX"`, "spdxjson": `"spdxVersion":"SPDX-2.3"`} {
		eventually(t, "cosign to accept the hub's "+kind, 60*time.Second, func() error {
			r := g.try("", g.tool, "verify-attestation", "--key", g.file("hub.pem"), "--type", kind, "--insecure-ignore-tlog=true", "--trusted-root", g.file("root.json"), ref)
			if r.err != nil {
				return fmt.Errorf("%v", r)
			}
			var envelope struct{ Payload []byte }
			if err := json.NewDecoder(strings.NewReader(r.stdout)).Decode(&envelope); err != nil {
				return fmt.Errorf("%w: %v", err, r)
			}
			if said := string(envelope.Payload); !strings.Contains(said, word) || !strings.Contains(said, "golang.org/x/text") {
				return fmt.Errorf("it does not say %s: %.500s", word, said)
			}
			return nil
		})
	}
	if r := g.try("", g.tool, "verify-attestation", "--key", g.file("hub.pem"), "--type", "vuln", "--insecure-ignore-tlog=true", "--trusted-root", g.file("root.json"), ref); r.err == nil {
		t.Errorf("cosign accepts what the hub has not said: %v", r)
	}

	c := &cli{t: t, s: g.s, home: t.TempDir()}
	c.pipe(g.guest.password, hubBinary(t), "login", "http://"+g.guest.at.addr, "-u", g.guest.name, "--password-stdin")
	eventually(t, "the package to be found", 30*time.Second, func() error {
		said := c.run(hubBinary(t), "get", "packages", "--purl", "pkg:golang/golang.org/x/text@v0.41.0", "--fixed", "--project", g.project)
		for _, word := range []string{g.project + "/app", "v1", "scanner", "true", img.arch["amd64"], img.arch["arm64"]} {
			if !strings.Contains(said, word) {
				return fmt.Errorf("no %q in %s", word, said)
			}
		}
		return nil
	})
	if said := c.run(hubBinary(t), "get", "sbom", g.project+"/app:v1", "--format", "cyclonedx", "--platform", "linux/amd64"); !strings.Contains(said, `"bomFormat":"CycloneDX"`) {
		t.Error(said)
	}
	// It is the hub's word, and nobody's reason to let the image be pulled.
	if status, said := g.guest.ask(t, g.guest.at, http.MethodGet, path(ref)); status != http.StatusForbidden {
		t.Errorf("%d %s", status, said)
	}
}
