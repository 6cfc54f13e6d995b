//go:build e2e

package e2e

import (
	"encoding/json"
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

// withSBOM is a policy that asks for a signature and for an SBOM, both by the key "release".
const withSBOM = `apiVersion: hallmark/v1alpha1
kind: PullPolicy
metadata: {name: with-sbom, project: %s}
spec:
  require: all
  mode: enforce
  authorities:
    - {name: release, key: {ref: release}}
  signature: {require: {allOf: [release]}}
  attestations:
    - {name: sbom, predicateTypes: [spdx], require: {allOf: [release]}}
`

// TestGate is what a new hub does as it comes: what nobody vouches for is not pulled, by whatever client.
func TestGate(t *testing.T) {
	if !slices.Contains(chosenClients(t), "gate") {
		t.Skip("E2E_CLIENTS names other tests")
	}
	for _, name := range listed(t, "E2E_STACKS", []string{"sqlite", "postgres"}) {
		t.Run(name, func(t *testing.T) {
			s := startStack(t, name)
			guest := s.person(t, "gus")
			docker, pullers := guest.pullers(t)
			for _, f := range []struct {
				name    string
				tool    string
				legacy  bool
				pullers []puller
			}{
				{"cosign3", "cosign", false, pullers},
				{"cosign2", "cosign2", true, pullers},
				{"cosign3-legacy", "cosign", true, pullers[:1]},
			} {
				t.Run(f.name, func(t *testing.T) {
					g := guest.project(t, "gate-"+f.name, pinned(t, f.tool), f.legacy)
					g.becomesTrusted(docker, f.pullers)
				})
			}
			t.Run("indexes", func(t *testing.T) { testGateIndexes(t, guest) })
			t.Run("pushing", func(t *testing.T) { testGatePushing(t, guest, docker) })
			if name == "postgres" {
				t.Run("processes", func(t *testing.T) { testGateProcesses(t, guest) })
			}
		})
	}
}

// person is somebody with an account, who may do what projects let.
type person struct {
	s              *stack
	name, password string
}

func (s *stack) person(t *testing.T, name string) *person {
	t.Helper()
	p := &person{s, name, secret(t)}
	p.call(t, http.MethodPost, "/api/v1/users", map[string]string{"username": name, "password": p.password}, http.StatusCreated)
	return p
}

// call sends a request to the API as the administrator.
func (p *person) call(t *testing.T, method, path string, body any, want ...int) {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	res, answer := p.s.do(t, method, path, raw, http.Header{"Content-Type": {"application/json"}, "If-Match": {"*"}})
	if !slices.Contains(want, res.StatusCode) {
		t.Fatalf("%s %s: %s, want %v\n%s", method, path, res.Status, want, answer)
	}
}

// status is what a request of this person ends with.
func (p *person) status(t *testing.T, s *stack, method, path string) int {
	t.Helper()
	res, _ := s.as(t, p.name, p.password, method, path, nil, http.Header{"Accept": {typeManifest, typeIndex}})
	return res.StatusCode
}

// puller is a client of a person who may only pull. What it pulled it forgets again.
type puller struct {
	name   string
	told   bool // shows the sentence of a refusal
	pull   func(ref string) result
	forget func(ref string)
}

// pullers are all clients, crane first, and docker's home.
func (p *person) pullers(t *testing.T) (docker *cli, all []puller) {
	t.Helper()
	home := func() *cli { return &cli{t: t, s: p.s, home: t.TempDir()} }
	login, n := p.name+":"+p.password, 0
	out := func(c *cli) string { n++; return c.file(fmt.Sprint("pulled", n)) }

	c, crane := home(), pinned(t, "crane")
	c.pipe(p.password, crane, "auth", "login", p.s.addr, "-u", p.name, "--password-stdin")
	all = append(all, puller{"crane", true, func(ref string) result { return c.try("", crane, "pull", ref, out(c)) }, nil})

	sk, skopeo := home(), debian(t, "clients", "skopeo")
	policy := sk.write("policy.json", []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`))
	all = append(all, puller{"skopeo", true, func(ref string) result {
		return sk.try("", skopeo, "--policy", policy, "copy", "--src-tls-verify=false", "--src-creds", login, "docker://"+ref, "dir:"+out(sk))
	}, nil})

	pod := storageOf(home(), "podman", "--runtime", debian(t, "clients", "runc"), "--cgroup-manager", "cgroupfs", "--events-backend", "file",
		"--tmpdir", filepath.Join(sharedDir(t, "podman"), "tmp"))
	all = append(all, puller{"podman", true, func(ref string) result {
		return pod.attempt("pull", "--tls-verify=false", "--creds", login, ref)
	}, func(ref string) { pod.do("rmi", "-f", ref) }})

	d := home()
	startDocker(t, p.s, d)
	tool := debian(t, "clients", "docker")
	d.pipe(p.password, tool, "login", "-u", p.name, "--password-stdin", p.s.addr)
	all = append(all, puller{"docker", true, func(ref string) result { return d.try("", tool, "pull", ref) },
		func(ref string) { d.forget(tool, ref) }})

	c2, ctr := home(), debian(t, "clients", "ctr")
	c2.env = append(c2.env, "CONTAINERD_ADDRESS="+startContainerd(t, p.s, c2, "ctr"), "CONTAINERD_NAMESPACE=gate")
	// containerd before 2.4 asks by HEAD and shows the status alone.
	all = append(all, puller{"ctr", false, func(ref string) result {
		return c2.try("", ctr, "images", "pull", "--snapshotter", "native", "--plain-http", "--user", login, ref)
	}, func(ref string) { c2.run(ctr, "images", "rm", "--sync", ref) }})
	return d, all
}

// gated is a project in which the gate is in force. The administrator pushes and signs, the person only pulls.
type gated struct {
	*signer
	guest *person
}

// project makes one, and keys for cosign.
func (p *person) project(t *testing.T, name, cosign string, legacy bool) *gated {
	t.Helper()
	g := &gated{newCosign(t, p.s, name, cosign), p}
	p.call(t, http.MethodPut, "/api/v1/projects/"+name+"/members/"+p.name, map[string]string{"role": "guest"}, http.StatusOK, http.StatusCreated)
	switch v2 := strings.HasSuffix(cosign, "2"); {
	case v2:
		g.sign = []string{"--tlog-upload=false", "--yes"}
	case legacy:
		g.sign = []string{"--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false", "--yes"}
	default:
		g.run(cosign, "signing-config", "create", "--out", g.file("signing.json"))
		g.sign = []string{"--signing-config", g.file("signing.json"), "--yes"}
	}
	return g
}

func (g *gated) register() {
	g.t.Helper()
	g.guest.call(g.t, http.MethodPut, "/api/v1/projects/"+g.project+"/authorities/release",
		map[string]string{"public_key": string(g.read(g.file("ours.pub")))}, http.StatusOK, http.StatusCreated)
}

func (g *gated) cosign(verb string, args ...string) {
	g.t.Helper()
	g.run(g.tool, slices.Concat([]string{verb, "--key", "ours.key"}, g.signer.sign, args)...)
}

// opened checks that every client pulls.
func (g *gated) opened(what, ref string, pullers []puller) {
	g.t.Helper()
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
	for _, p := range pullers {
		r := p.pull(ref)
		if r.err == nil {
			g.t.Errorf("%s: %s pulled it: %v", what, p.name, r)
			continue
		}
		said, want := r.stdout+r.stderr, words
		if !p.told {
			want = []string{"403 Forbidden"}
		}
		for _, w := range want {
			if !strings.Contains(strings.ReplaceAll(said, `\"`, `"`), w) {
				g.t.Errorf("%s: %s does not say %q: %v", what, p.name, w, r)
			}
		}
	}
}

// becomesTrusted is the life of an image: pushed, refused, signed, pulled, given an SBOM, and refused when its key is revoked.
func (g *gated) becomesTrusted(docker *cli, pullers []puller) {
	t := g.t
	t.Helper()
	ref := g.dockerPush(docker, "app", "v1", g.project)
	_, digest := g.manifest("app", "v1")
	image := g.repo("app") + "@" + digest

	g.closed("nobody is registered", ref, pullers, `trust policy "baseline"`, "no key or identity is registered", "hallmark keys add --project "+g.project)
	g.closed("by digest", image, pullers[:1], `trust policy "baseline"`)
	g.register()
	g.closed("not signed", ref, pullers, "cosign sign --key cosign.key "+image)
	g.cosign("sign", image)
	g.opened("signed", ref, pullers)
	g.opened("by digest", image, pullers[:1])

	g.guest.call(t, http.MethodPut, "/api/v1/projects/"+g.project+"/policies/with-sbom",
		map[string]string{"document": fmt.Sprintf(withSBOM, g.project)}, http.StatusOK, http.StatusCreated)
	g.closed("without SBOM", ref, pullers, `trust policy "with-sbom"`, "cosign attest --key cosign.key --type spdxjson --predicate sbom.spdx.json "+image)
	g.cosign("attest", "--type", "spdxjson", "--predicate", "sbom.json", image)
	g.opened("with SBOM", ref, pullers)

	g.revoke(g.s)
	path := "/v2/" + g.project + "/app/manifests/v1"
	g.soon(g.s, path, http.StatusForbidden)
	g.closed("the key is revoked", ref, pullers, `trust policy "baseline"`, "hallmark keys add")
}

func (g *gated) revoke(s *stack) {
	g.t.Helper()
	path := "/api/v1/projects/" + g.project + "/authorities/release/revoke"
	if res, answer := s.do(g.t, http.MethodPost, path, nil, http.Header{"If-Match": {"*"}}); res.StatusCode >= 300 {
		g.t.Fatalf("POST %s: %s\n%s", path, res.Status, answer)
	}
}

// soon waits for the answer that the person gets, which may take a second.
func (g *gated) soon(s *stack, path string, want int) {
	g.t.Helper()
	eventually(g.t, fmt.Sprintf("%s to be answered with %d", path, want), prompt, func() error {
		if got := g.guest.status(g.t, s, http.MethodGet, path); got != want {
			return fmt.Errorf("status %d", got)
		}
		return nil
	})
	if got := g.guest.status(g.t, s, http.MethodHead, path); got != want {
		g.t.Errorf("HEAD %s: %d, want %d", path, got, want)
	}
}

// dockerPush builds an image and pushes it with docker, as the administrator.
func (g *gated) dockerPush(docker *cli, repository, tag, content string) string {
	g.t.Helper()
	d, tool := *docker, debian(g.t, "clients", "docker")
	d.t, d.env = g.t, append(slices.Clone(docker.env), "DOCKER_CONFIG="+docker.file(".admin"))
	d.pipe(g.s.password, tool, "login", "-u", g.s.user, "--password-stdin", g.s.addr)
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

// Signing an index vouches for what it lists; signing one of those does not vouch for the index, nor for the others.
func testGateIndexes(t *testing.T, guest *person) {
	g := guest.project(t, "gate-indexes", pinned(t, "cosign"), false)
	g.register()
	all := guest.light(t)
	img := g.pushImage("app")
	index, amd64, arm64 := g.repo("app")+"@"+img.index, g.repo("app")+"@"+img.arch["amd64"], g.repo("app")+"@"+img.arch["arm64"]
	for _, ref := range []string{g.ref("app", "v1"), index, amd64, arm64} {
		g.closed("not signed", ref, all, "cosign sign")
	}
	g.cosign("sign", amd64)
	g.opened("a child is signed", amd64, all)
	for _, ref := range []string{index, arm64} {
		g.closed("only another child is signed", ref, all, "cosign sign")
	}
	g.cosign("sign", index)
	for _, ref := range []string{g.ref("app", "v1"), index, amd64, arm64} {
		g.opened("the index is signed", ref, all)
	}
}

// light is crane alone, which pulls all that an index lists.
func (p *person) light(t *testing.T) []puller {
	t.Helper()
	c, crane := &cli{t: t, s: p.s, home: t.TempDir()}, pinned(t, "crane")
	c.pipe(p.password, crane, "auth", "login", p.s.addr, "-u", p.name, "--password-stdin")
	n := 0
	return []puller{{"crane", true, func(ref string) result {
		n++
		return c.try("", crane, "pull", "--format", "oci", ref, c.file(fmt.Sprint("pulled", n)))
	}, nil}}
}

// Who pushes and who signs is not held up, and who only pulls can verify by himself.
func testGatePushing(t *testing.T, guest *person, docker *cli) {
	g := guest.project(t, "gate-pushing", pinned(t, "cosign"), false)
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
	g.cosign("sign", g.repo("app")+"@"+two)
	g.run(g.tool, "trusted-root", "create", "--out", g.file("root.json"))
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
	all := guest.light(t)
	g.opened("signed", first, all)
	g.closed("not signed", g.repo("app")+"@"+one, all, "cosign sign")
	g.closed("not signed", g.ref("built", "v1"), all, "cosign sign")
}

// What one process is told counts on the other within a second.
func testGateProcesses(t *testing.T, guest *person) {
	other := guest.s.beside(t)
	g := guest.project(t, "gate-processes", pinned(t, "cosign"), false)
	img := g.pushImage("app")
	path := "/v2/" + g.project + "/app/manifests/v1"
	g.soon(other, path, http.StatusForbidden)
	g.register()
	g.cosign("sign", g.repo("app")+"@"+img.index)
	g.soon(other, path, http.StatusOK)
	g.soon(g.s, path, http.StatusOK)

	signature := g.referrers("app", img.index)
	if len(signature) != 1 {
		t.Fatalf("%d referrers", len(signature))
	}
	if res, answer := other.do(t, http.MethodDelete, "/v2/"+g.project+"/app/manifests/"+signature[0].Digest, nil, nil); res.StatusCode != http.StatusAccepted {
		t.Fatalf("delete the signature: %s\n%s", res.Status, answer)
	}
	g.soon(g.s, path, http.StatusForbidden)
	g.cosign("sign", g.repo("app")+"@"+img.index)
	g.soon(other, path, http.StatusOK)
	g.soon(g.s, path, http.StatusOK)
	g.revoke(other)
	g.soon(g.s, path, http.StatusForbidden)
	g.soon(other, path, http.StatusForbidden)
}
