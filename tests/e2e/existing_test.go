//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// existing is another vendor's registry, with content of its own and a password.
type existing struct {
	addr, user, password string
}

const existingConfig = `
version: 0.1
log: {accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %s}
  delete: {enabled: true}
http: {addr: %s, secret: only-for-this-test}
auth: {htpasswd: {realm: existing, path: %s}}
`

func startExisting(t *testing.T, logs string) *existing {
	t.Helper()
	e := &existing{freeAddr(t), "hub", secret(t)}
	hash, err := bcrypt.GenerateFromPassword([]byte(e.password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	users, config := filepath.Join(dir, "users"), filepath.Join(dir, "config.yml")
	for path, content := range map[string]string{users: e.user + ":" + string(hash) + "\n",
		config: fmt.Sprintf(existingConfig, filepath.Join(dir, "data"), e.addr, users)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(pinned(t, "distribution"), "serve", config)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	start(t, logs, "existing", cmd).ready(t, 30*time.Second, dials("tcp", e.addr))
	return e
}

// TestExisting puts the gate in front of a registry that is there already, and goes on using that one as before.
func TestExisting(t *testing.T) {
	if !slices.Contains(chosenClients(t), "existing") {
		t.Skip("E2E_CLIENTS names other tests")
	}
	for _, name := range listed(t, "E2E_STACKS", []string{"sqlite", "postgres"}) {
		t.Run(name, func(t *testing.T) {
			s := startStack(t, name)
			old := startExisting(t, s.logs)
			guest := s.person(t, "gus")
			old.introduce(t, guest)
			_, all := guest.pullers(t)
			pullers := slices.DeleteFunc(all, func(p puller) bool { return p.name != "crane" && p.name != "docker" })
			for _, way := range []string{"cosign3", "cosign2"} {
				t.Run(way, func(t *testing.T) { testExisting(t, old, guest, way, pullers) })
			}
			if name == "postgres" {
				t.Run("processes", func(t *testing.T) { testExistingProcesses(t, old, guest) })
			}
		})
	}
}

// introduce tells the hub of the registry.
func (e *existing) introduce(t *testing.T, guest *person) {
	t.Helper()
	guest.call(t, http.MethodPut, "/api/v1/registries/old", map[string]any{"url": "http://" + e.addr, "plain_http": true, "username": e.user, "password": e.password},
		http.StatusCreated)
	res, answer := guest.s.do(t, http.MethodPost, "/api/v1/registries/old/check", nil, nil)
	if res.StatusCode != http.StatusOK || !strings.Contains(string(answer), `"ok":true`) {
		t.Fatalf("check: %s\n%s", res.Status, answer)
	}
	if _, shown := guest.s.do(t, http.MethodGet, "/api/v1/registries/old", nil, nil); strings.Contains(string(shown), e.password) {
		t.Errorf("the password is shown: %s", shown)
	}
	for _, try := range []struct{ method, path, body string }{
		{http.MethodPost, "/api/v1/projects", `{"name":"mine","visibility":"private","registry":"old"}`},
		{http.MethodPut, "/api/v1/registries/mine", `{"url":"http://169.254.169.254","plain_http":true}`},
		{http.MethodGet, "/api/v1/registries/old", ""},
	} {
		res, answer := guest.s.as(t, guest.name, guest.password, try.method, try.path, []byte(try.body), http.Header{"Content-Type": {"application/json"}})
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("%s %s by a user: %s\n%s", try.method, try.path, res.Status, answer)
		}
	}
}

// front makes a project in front of the registry. Its keys sign on either side.
func (e *existing) front(t *testing.T, guest *person, project, way string) *gated {
	t.Helper()
	guest.call(t, http.MethodPost, "/api/v1/projects", map[string]string{"name": project, "visibility": "private", "registry": "old"}, http.StatusCreated)
	g := guest.gated(t, way, func(tool string) *signer {
		return cosignOf(&cli{t: t, s: guest.s, project: project, home: t.TempDir()}, tool)
	})
	for _, client := range [][]string{{g.tool, "login"}, {pinned(t, "crane"), "auth", "login"}} {
		g.pipe(e.password, client[0], append(client[1:], e.addr, "-u", e.user, "--password-stdin")...)
	}
	return g
}

func testExisting(t *testing.T, old *existing, guest *person, way string, pullers []puller) {
	project := "front-" + way
	g := old.front(t, guest, project, way)
	img, crane := image(t), pinned(t, "crane")
	// What was there before, and what is pushed there past the hub.
	app, there := project+"/app", old.addr+"/"+project+"/app" // front-cosign3/app there is front-cosign3/front-cosign3/app here
	g.run(crane, "push", img.layout, there+":v1")
	ref, path := g.ref(app, "v1"), "/v2/"+project+"/"+app+"/manifests/"
	g.closed("nobody is registered", ref, pullers, `trust policy "baseline"`, "no key or identity is registered")
	g.register()
	g.closed("not signed", ref, pullers, "cosign sign --key cosign.key "+g.repo(app)+"@"+img.index)

	// A layer or a child of something that was not pulled through the hub yet is refused, with what to do.
	unseen := "/v2/" + project + "/" + project + "/unseen/"
	g.run(crane, "push", img.layout, old.addr+"/"+project+"/unseen:v1")
	g.cosign("sign", "ours", old.addr+"/"+project+"/unseen@"+img.index)
	_, answer := guest.s.as(t, guest.name, guest.password, http.MethodGet, unseen+"manifests/"+img.arch["amd64"], nil, nil)
	if !strings.Contains(string(answer), "pull that first, by its tag") {
		t.Errorf("a child unseen: %s", answer)
	}
	for _, want := range []int{http.StatusForbidden, http.StatusOK} {
		if got, _ := guest.ask(t, g.s, http.MethodGet, unseen+"manifests/"+img.arch["amd64"]); got != want {
			t.Errorf("a child of a signed index: %d, want %d", got, want)
		}
		guest.ask(t, g.s, http.MethodGet, unseen+"manifests/v1")
	}

	// Signed there, past the hub, with no referrers API: it counts with the next pull.
	g.cosign("sign", "ours", there+"@"+img.index)
	g.opened("signed there", ref, pullers)
	g.revoke(g.s)
	g.soon("there", g.s, path+"v1", http.StatusForbidden)
	g.closed("the key is revoked", ref, pullers, `trust policy "baseline"`)

	// Pushed and signed through the hub, with another key, and refused when the signature goes through it.
	g.run(g.tool, "generate-key-pair", "--output-key-prefix", "second")
	guest.call(t, http.MethodPut, "/api/v1/projects/"+project+"/authorities/second",
		map[string]string{"public_key": string(g.read(g.file("second.pub")))}, http.StatusCreated)
	g.run(crane, "push", img.layout, g.ref("through", "v1"))
	g.closed("pushed through the hub", g.ref("through", "v1"), pullers[:1], "cosign sign")
	g.cosign("sign", "second", g.repo("through")+"@"+img.index)
	g.opened("signed through the hub", g.ref("through", "v1"), pullers)
	if way == "cosign2" {
		g.run(crane, "delete", g.repo("through")+"@"+g.signatureTag(img.index))
	} else {
		for _, s := range g.referrers("through", img.index) {
			g.run(crane, "delete", g.repo("through")+"@"+s.Digest)
		}
	}
	g.closed("the signature is gone", g.ref("through", "v1"), pullers[:1], "cosign sign")
	for _, list := range []string{"/repositories", "/repositories/through/tags"} {
		res, said := g.s.do(t, http.MethodGet, "/api/v1/projects/"+project+list, nil, nil)
		if res.StatusCode != http.StatusConflict || !strings.Contains(string(said), "lies in the registry old") {
			t.Errorf("%s: %s %s", list, res.Status, said)
		}
	}
}

// signatureTag is the digest of what cosign's tag for a digest names.
func (g *gated) signatureTag(digest string) string {
	g.t.Helper()
	_, d := g.manifest("through", strings.Replace(digest, ":", "-", 1)+".sig")
	return d
}

// What one process is told or sees counts on the other: keys, endpoints, and what a manifest read through one refers to.
func testExistingProcesses(t *testing.T, old *existing, guest *person) {
	other := guest.s.beside(t)
	g := old.front(t, guest, "front-processes", "cosign3")
	img, crane := image(t), pinned(t, "crane")
	there := old.addr + "/app"
	g.run(crane, "push", img.layout, there+":v1")
	g.register()
	path := "/v2/" + g.project + "/app/manifests/"
	g.soon("the other process", other, path+"v1", http.StatusForbidden)
	g.cosign("sign", "ours", there+"@"+img.index)
	g.soon("there", g.s, path+"v1", http.StatusOK) // the index through one, its children through the other
	if got, _ := guest.ask(t, other, http.MethodGet, path+img.arch["arm64"]); got != http.StatusOK {
		t.Errorf("a child through the other process: %d", got)
	}
	g.soon("the other process", other, path+"v1", http.StatusOK)
	g.revoke(other)
	g.soon("there", g.s, path+"v1", http.StatusForbidden)
	g.soon("the other process", other, path+"v1", http.StatusForbidden)

	// Credentials changed by one are used by the other.
	guest.call(t, http.MethodPut, "/api/v1/registries/old", map[string]any{"url": "http://" + old.addr, "plain_http": true, "username": old.user, "password": "wrong"},
		http.StatusOK)
	g.soon("the other process", other, path+"v1", http.StatusServiceUnavailable)
	guest.call(t, http.MethodPut, "/api/v1/registries/old", map[string]any{"url": "http://" + old.addr, "plain_http": true, "username": old.user, "password": old.password},
		http.StatusOK)
	g.soon("the other process", other, path+"v1", http.StatusForbidden)
}
