//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// prompt is how soon a change must be in force, on every process.
const prompt = time.Second

// withSBOM is a policy that asks for a signature and for an SBOM, both by the same signer.
const withSBOM = `apiVersion: hallmark/v1alpha1
kind: PullPolicy
metadata: {name: with-sbom, project: %s}
spec:
  require: all
  mode: enforce
  authorities:
    - {name: release, %s}
  signature: {require: {allOf: [release]}}
  attestations:
    - {name: sbom, predicateTypes: [spdx], require: {allOf: [release]}}
`

// TestGate is what a new hub does as it comes: what nobody vouches for is not pulled, by whatever client, in whatever way
// it is signed. On Postgres there are two processes: one is pushed to and told what changes, from the other one is pulled,
// which hands out signed addresses of the object store.
func TestGate(t *testing.T) {
	if !slices.Contains(chosenClients(t), "gate") {
		t.Skip("E2E_CLIENTS names other tests")
	}
	needRoot(t, "dockerd")
	for _, name := range listed(t, "E2E_STACKS", []string{"sqlite", "postgres"}) {
		t.Run(name, func(t *testing.T) {
			s := startStack(t, name)
			guest := s.person(t, "gus")
			if name == "postgres" {
				guest.at = s.beside(t)
			}
			docker, pullers := guest.pullers(t)
			for _, w := range ways {
				t.Run(w.name, func(t *testing.T) {
					g := guest.project(t, "gate-"+w.name, w.name)
					ref := g.dockerPush(docker, "app", "v1", g.project)
					_, digest := g.manifest("app", "v1")
					g.becomesTrusted(ref, digest, pullers)
				})
				t.Run(w.name+"-index", func(t *testing.T) {
					g := guest.project(t, "gate-"+w.name+"-index", w.name)
					img := g.pushImage("app")
					g.becomesTrusted(g.ref("app", "v1"), img.index, pullers, img.arch[runtime.GOARCH])
				})
			}
			t.Run("debian", func(t *testing.T) {
				g := guest.project(t, "gate-debian", "cosign3")
				ref := g.dockerImport(docker, "debian", "v1")
				_, digest := g.manifest("debian", "v1")
				g.becomesTrusted(ref, digest, pullers[:1])
			})
			t.Run("indexes", func(t *testing.T) { testGateIndexes(t, guest) })
			t.Run("packages", func(t *testing.T) { testPackages(t, guest) })
			t.Run("pushing", func(t *testing.T) { testGatePushing(t, guest, docker) })
			if name == "postgres" {
				t.Run("processes", func(t *testing.T) { testGateProcesses(t, guest) })
			}
		})
	}
}

// becomesTrusted is the life of an image: pushed, refused, signed, pulled, given an SBOM, and refused when who signed it is
// revoked. What an index lists has the same life.
func (g *gated) becomesTrusted(ref, digest string, pullers []puller, children ...string) {
	t := g.t
	t.Helper()
	name := ref[:strings.LastIndex(ref, ":")]
	image := name + "@" + digest
	all := []string{image}
	for _, child := range children {
		all = append(all, name+"@"+child)
	}
	docker := pullers[:1]

	g.closed("nobody is registered", ref, pullers, `trust policy "baseline"`, "no key or identity is registered", "hallmark keys add --project "+g.project)
	g.register()
	g.closed("not signed", ref, pullers, "cosign sign"+g.key+" "+image)
	g.cosign("sign", "stranger", image)
	g.closed("signed by a stranger", ref, docker, `trust policy "baseline"`)
	for _, i := range all {
		g.closed("by digest", i, docker, `trust policy "baseline"`)
	}
	g.cosign("sign", "ours", image)
	g.opened("signed", ref, pullers)
	for _, i := range all {
		g.opened("by digest", i, docker)
	}

	g.guest.call(t, http.MethodPut, "/api/v1/projects/"+g.project+"/policies/with-sbom",
		map[string]string{"document": fmt.Sprintf(withSBOM, g.project, g.authority)}, http.StatusOK, http.StatusCreated)
	g.closed("without SBOM", ref, pullers, `trust policy "with-sbom"`, "cosign attest"+g.key+" --type spdxjson --predicate sbom.spdx.json "+image)
	g.cosign("attest", "stranger", "--type", "spdxjson", "--predicate", "sbom.json", image)
	g.closed("with a stranger's SBOM", ref, docker, `trust policy "with-sbom"`)
	g.cosign("attest", "ours", "--type", "spdxjson", "--predicate", "sbom.json", image)
	g.opened("with SBOM", ref, pullers)

	g.revoke(g.s)
	g.closed("who signed is revoked", ref, pullers, `trust policy "baseline"`)
	for _, i := range all {
		g.closed("by digest", i, docker, `trust policy "baseline"`)
	}
}

// opened checks that every client pulls.
func (g *gated) opened(what, ref string, pullers []puller) {
	g.t.Helper()
	ref = g.pulled(ref)
	g.soon(what, g.guest.at, path(ref), http.StatusOK)
	for _, p := range pullers {
		if r := p.pull(ref); r.err != nil {
			g.t.Errorf("%s: %s: %v", what, p.name, r)
		} else if p.forget != nil {
			p.forget(ref)
		}
	}
}

// closed checks that no client pulls, and that what it shows has these words.
func (g *gated) closed(what, ref string, pullers []puller, words ...string) {
	g.t.Helper()
	ref = g.pulled(ref)
	for i := range words {
		words[i] = g.pulled(words[i])
	}
	g.soon(what, g.guest.at, path(ref), http.StatusForbidden, words...)
	for _, p := range pullers {
		r := p.pull(ref)
		if r.err == nil {
			g.t.Errorf("%s: %s pulled it: %v", what, p.name, r)
			continue
		}
		want := words
		if !p.told {
			want = []string{"403 Forbidden"}
		}
		if lacking := without(r.stdout+r.stderr, want); lacking != "" {
			g.t.Errorf("%s: %s does not say %q: %v", what, p.name, lacking, r)
		}
	}
}

// without is the first of the words that a text does not have.
func without(text string, words []string) string {
	text = strings.ReplaceAll(text, `\"`, `"`)
	for _, w := range words {
		if !strings.Contains(text, w) {
			return w
		}
	}
	return ""
}

// path is where the manifest of a reference is asked for.
func path(ref string) string {
	_, name, _ := strings.Cut(ref, "/")
	at := max(strings.LastIndex(name, "@"), 0)
	if at == 0 {
		at = strings.LastIndex(name, ":")
	}
	return "/v2/" + name[:at] + "/manifests/" + name[at+1:]
}

// soon checks what the person is answered once a change is in force, which may take a second: what is asked for later than
// that must be answered so.
func (g *gated) soon(what string, s *stack, path string, want int, words ...string) {
	g.t.Helper()
	changed, tick := time.Now(), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		asked := time.Now()
		status, said := g.guest.ask(g.t, s, http.MethodGet, path)
		if status == want && without(said, words) == "" {
			break
		}
		if asked.Sub(changed) >= prompt {
			g.t.Fatalf("%s: GET %s, %s after the change: %d, want %d\n%s", what, path, asked.Sub(changed), status, want, said)
		}
	}
	if status, _ := g.guest.ask(g.t, s, http.MethodHead, path); status != want {
		g.t.Errorf("%s: HEAD %s: %d, want %d", what, path, status, want)
	}
}

// dockerPush builds an image and pushes it with docker, as the administrator.
func (g *gated) dockerPush(docker *cli, repository, tag, content string) string {
	g.t.Helper()
	d, tool := g.engine(docker)
	d.write("hello/Dockerfile", []byte("FROM scratch\nCOPY hello /hello\nENTRYPOINT [\"/hello\"]\nLABEL org.example.of="+content+"\n"))
	if err := os.Chmod(d.write("hello/hello", d.read(image(g.t).program[runtime.GOARCH])), 0o755); err != nil {
		g.t.Fatal(err)
	}
	ref := g.ref(repository, tag)
	d.run(tool, "build", "-t", ref, "hello")
	d.run(tool, "push", ref)
	d.forget(tool, ref)
	return ref
}

// dockerImport pushes a real Debian with docker, as the administrator.
func (g *gated) dockerImport(docker *cli, repository, tag string) string {
	g.t.Helper()
	d, tool := g.engine(docker)
	ref := g.ref(repository, tag)
	d.run(tool, "import", debianImage(g.t), ref)
	d.run(tool, "push", ref)
	d.forget(tool, ref)
	return ref
}

// engine is the docker of the person who pulls, used by the administrator.
func (g *gated) engine(docker *cli) (cli, string) {
	g.t.Helper()
	d, tool := *docker, debian(g.t, "clients", "docker")
	d.t, d.env = g.t, append(slices.Clone(docker.env), "DOCKER_CONFIG="+docker.file(".admin"))
	d.pipe(g.s.password, tool, "login", "-u", g.s.user, "--password-stdin", g.s.addr)
	return d, tool
}

// Signing an index vouches for what it lists; signing one of those does not vouch for the index, nor for the others.
func testGateIndexes(t *testing.T, guest *person) {
	g := guest.project(t, "gate-indexes", "cosign3")
	g.register()
	all := guest.light(t)
	img := g.pushImage("app")
	index, amd64, arm64 := g.repo("app")+"@"+img.index, g.repo("app")+"@"+img.arch["amd64"], g.repo("app")+"@"+img.arch["arm64"]
	for _, ref := range []string{g.ref("app", "v1"), index, amd64, arm64} {
		g.closed("not signed", ref, all, "cosign sign")
	}
	g.cosign("sign", "ours", amd64)
	g.opened("a child is signed", amd64, all)
	for _, ref := range []string{index, arm64} {
		g.closed("only another child is signed", ref, all, "cosign sign")
	}
	g.cosign("sign", "ours", index)
	for _, ref := range []string{g.ref("app", "v1"), index, amd64, arm64} {
		g.opened("the index is signed", ref, all)
	}
}

// Who pushes and who signs is not held up, and who only pulls can verify by himself.
func testGatePushing(t *testing.T, guest *person, docker *cli) {
	g := guest.project(t, "gate-pushing", "cosign3")
	first := g.dockerPush(docker, "app", "v1", "first")
	_, one := g.manifest("app", "v1")
	g.dockerPush(docker, "app", "v1", "second")
	_, two := g.manifest("app", "v1")
	if one == two {
		t.Error("the second push changed nothing")
	}

	b := storageOf(&cli{t: t, s: g.s, home: t.TempDir()}, "buildah")
	b.login()
	working := b.do("from", "scratch")
	b.do("copy", "--chmod", "755", working, image(t).program[runtime.GOARCH], "/hello")
	b.do("commit", "--rm", working, g.ref("built", "v1"))
	for range 2 {
		b.do("push", "--tls-verify=false", g.ref("built", "v1"))
	}

	g.register()
	g.cosign("sign", "ours", g.repo("app")+"@"+two)
	g.run(g.tool, "trusted-root", "create", "--out", g.file("root.json"))
	g.write("vuln.json", []byte(`{"invocation":{},"scanner":{},"metadata":{}}`))
	c := &cli{t: t, s: g.s, home: t.TempDir()}
	c.pipe(guest.password, g.tool, "login", g.s.addr, "-u", guest.name, "--password-stdin")
	verify := func(ref string) result {
		return c.try("", g.tool, "verify", "--key", g.file("ours.pub"), "--insecure-ignore-tlog=true", "--trusted-root", g.file("root.json"), ref)
	}
	if r := verify(g.repo("app") + "@" + two); r.err != nil {
		t.Errorf("the guest cannot verify: %v", r)
	}
	if r := verify(g.repo("app") + "@" + one); r.err == nil {
		t.Errorf("what nobody signed verifies: %v", r)
	}
	// The attestation of an image that is not signed, which may not be pulled itself before it counts.
	g.cosign("attest", "ours", "--type", "vuln", "--predicate", "vuln.json", g.repo("app")+"@"+one)
	if r := c.try("", g.tool, "verify-attestation", "--key", g.file("ours.pub"), "--type", "vuln", "--insecure-ignore-tlog=true",
		"--trusted-root", g.file("root.json"), g.repo("app")+"@"+one); r.err != nil {
		t.Errorf("the guest cannot verify the attestation: %v", r)
	}
	all := guest.light(t)
	g.opened("signed", first, all)
	g.closed("not signed", g.repo("app")+"@"+one, all, "cosign sign")
	g.closed("not signed", g.ref("built", "v1"), all, "cosign sign")
}

// What one process is told counts on the other within a second.
func testGateProcesses(t *testing.T, guest *person) {
	other := guest.at
	g := guest.project(t, "gate-processes", "cosign3")
	img := g.pushImage("app")
	path := "/v2/" + g.project + "/app/manifests/v1"
	g.soon("not signed", other, path, http.StatusForbidden)
	g.register()
	g.cosign("sign", "ours", g.repo("app")+"@"+img.index)
	g.soon("signed", other, path, http.StatusOK)
	g.soon("signed", g.s, path, http.StatusOK)
	g.opened("signed", g.ref("app", "v1"), guest.light(t))
	if asked := g.read(filepath.Join(g.s.logs, "versitygw.log")); !bytes.Contains(asked, []byte("X-Amz-Expires=60&")) {
		t.Error("who pulls from the other process was not sent to the object store")
	}

	signature := g.referrers("app", img.index)
	if len(signature) != 1 {
		t.Fatalf("%d referrers", len(signature))
	}
	if res, answer := other.do(t, http.MethodDelete, "/v2/"+g.project+"/app/manifests/"+signature[0].Digest, nil, nil); res.StatusCode != http.StatusAccepted {
		t.Fatalf("delete the signature: %s\n%s", res.Status, answer)
	}
	g.soon("its signature is deleted", g.s, path, http.StatusForbidden)
	g.cosign("sign", "ours", g.repo("app")+"@"+img.index)
	g.soon("signed again", other, path, http.StatusOK)
	g.soon("signed again", g.s, path, http.StatusOK)
	g.revoke(other)
	g.soon("the key is revoked", g.s, path, http.StatusForbidden)
	g.soon("the key is revoked", other, path, http.StatusForbidden)
}
