//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// ways are those in which images are signed.
var ways = []struct {
	name, tool string
	prepare    func(g *gated)
}{
	{"cosign3", "cosign", func(g *gated) {
		g.run(g.tool, "signing-config", "create", "--out", g.file("signing.json"))
		g.byKey("--signing-config", g.file("signing.json"), "--yes")
	}},
	{"cosign3-legacy", "cosign", func(g *gated) {
		g.byKey("--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false", "--yes")
	}},
	{"cosign2", "cosign2", func(g *gated) { g.byKey("--tlog-upload=false", "--yes") }},
	{"keyless", "cosign", (*gated).byName},
}

// gated is a project in which the gate is in force. The administrator pushes and signs, the person only pulls.
type gated struct {
	*signer
	guest     *person
	register  func()                       // makes it known whose signatures count, under the name "release"
	as        func(signer string) []string // the flags of cosign for one who signs: "ours" or "stranger"
	authority string                       // who that is, for a policy
	key       string                       // what a command of a refusal names
}

// project makes one, in which images are signed in one of the ways.
func (p *person) project(t *testing.T, name, way string) *gated {
	t.Helper()
	return p.gated(t, way, func(tool string) *signer { return newCosign(t, p.s, name, tool) })
}

// gated lets the person pull from a project of one who signs there in one of the ways.
func (p *person) gated(t *testing.T, way string, of func(tool string) *signer) *gated {
	t.Helper()
	for _, w := range ways {
		if w.name == way {
			g := &gated{signer: of(pinned(t, w.tool)), guest: p}
			p.call(t, http.MethodPut, "/api/v1/projects/"+g.project+"/members/"+p.name, map[string]string{"role": "guest"}, http.StatusOK, http.StatusCreated)
			w.prepare(g)
			return g
		}
	}
	t.Fatalf("nobody signs in the way %q", way)
	return nil
}

// byKey signs with a key that is registered.
func (g *gated) byKey(flags ...string) {
	g.as = func(signer string) []string { return append([]string{"--key", signer + ".key"}, flags...) }
	g.authority, g.key = "key: {ref: release}", " --key cosign.key"
	g.register = func() {
		g.t.Helper()
		g.guest.call(g.t, http.MethodPut, "/api/v1/projects/"+g.project+"/authorities/release",
			map[string]string{"public_key": string(g.read(g.file("ours.pub")))}, http.StatusOK, http.StatusCreated)
	}
}

// byName signs without a key, as somebody whom an authority of one's own certifies. He is registered by the commands of the page.
func (g *gated) byName() {
	g.t.Helper()
	subjects := map[string]string{
		"ours":     "https://git.house.example/" + g.project + "/app/release.yml@refs/tags/v1",
		"stranger": "https://git.house.example/stranger/app/release.yml@refs/tags/v1",
	}
	house := startSigstore(g.t, subjects["ours"], subjects["stranger"])
	for signer, subject := range subjects {
		g.write(signer+".token", []byte(house.tokenOf(subject)))
	}
	config, root := house.signingConfig(g.cli, g.tool), g.write("trusted_root.json", house.root)
	g.as = func(signer string) []string {
		return []string{"--identity-token", g.file(signer + ".token"), "--signing-config", config, "--trusted-root", root, "--yes"}
	}
	g.authority = fmt.Sprintf(`keyless: {trustRoot: house, sct: ignore, identities: [{issuer: %q, subject: %q}]}, tlog: {mode: ignore}, timestamps: {tsa: 1}`,
		oidcIssuer, subjects["ours"])
	g.register = func() {
		g.t.Helper()
		hub := hubBinary(g.t)
		g.pipe(g.s.password, hub, "login", "http://"+g.s.addr, "-u", g.s.user, "--password-stdin")
		g.run(hub, "trust-root", "add", "house", root, "--project", g.project)
		g.run(hub, "identity", "add", "release", "--project", g.project, "--trust-root", "house", "--issuer", oidcIssuer,
			"--subject", subjects["ours"], "--without-sct", "--without-log")
	}
}

// cosign signs or attests as one of the signers.
func (g *gated) cosign(verb, signer string, args ...string) {
	g.t.Helper()
	g.run(g.tool, slices.Concat([]string{verb}, g.as(signer), args)...)
}

func (g *gated) revoke(s *stack) {
	g.t.Helper()
	path := "/api/v1/projects/" + g.project + "/authorities/release/revoke"
	if res, answer := s.do(g.t, http.MethodPost, path, nil, http.Header{"If-Match": {"*"}}); res.StatusCode >= 300 {
		g.t.Fatalf("POST %s: %s\n%s", path, res.Status, answer)
	}
}

// pulled is a reference as the person writes it who pulls from another process.
func (g *gated) pulled(ref string) string { return strings.ReplaceAll(ref, g.s.addr, g.guest.at.addr) }
