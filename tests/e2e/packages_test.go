//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/tests/bill"
)

// testPackages: what cosign attests of a real program is found by who may pull, and told by its image.
func testPackages(t *testing.T, guest *person) {
	for _, way := range []string{"cosign3", "cosign2"} {
		t.Run(way, func(t *testing.T) {
			g := guest.project(t, "packages-"+way, way)
			img := g.pushImage("app")
			document, err := bill.Of(hubBinary(t))
			if err != nil {
				t.Fatal(err)
			}
			g.register()
			g.cosign("attest", "ours", "--type", "spdxjson", "--predicate", g.write("real.spdx.json", document), g.repo("app")+"@"+img.arch["amd64"])

			// Not in the administrator's home: the guest asks.
			c := &cli{t: t, s: g.s, home: t.TempDir()}
			c.pipe(guest.password, hubBinary(t), "login", "http://"+g.s.addr, "-u", guest.name, "--password-stdin")
			const purl = "pkg:golang/golang.org/x/text"
			eventually(t, "the package to be found", 30*time.Second, func() error {
				said := c.run(hubBinary(t), "get", "packages", "--purl", purl, "--project", g.project)
				for _, word := range []string{g.project + "/app", "v1", "attestation", "true", "key release", img.arch["amd64"]} {
					if !strings.Contains(said, word) {
						return fmt.Errorf("no %q in %s", word, said)
					}
				}
				return nil
			})
			said := c.run(hubBinary(t), "get", "packages", g.project+"/app:v1", "--platform", "linux/amd64")
			if !strings.Contains(said, purl+"@v") {
				t.Error(said)
			}
		})
	}
}
