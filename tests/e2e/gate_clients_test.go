//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
)

// person is somebody with an account, who may do what projects let.
type person struct {
	s              *stack
	at             *stack // the process that pulls go to, which may be another one of the same hub
	name, password string
}

func (s *stack) person(t *testing.T, name string) *person {
	t.Helper()
	p := &person{s, s, name, secret(t)}
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

// ask is what a request of this person to one of the processes is answered.
func (p *person) ask(t *testing.T, s *stack, method, path string) (int, string) {
	t.Helper()
	res, body := s.as(t, p.name, p.password, method, path, nil, http.Header{"Accept": {typeManifest, typeIndex}})
	return res.StatusCode, string(body)
}

// puller is a client of a person who may only pull. What it pulled it forgets again.
type puller struct {
	name   string
	told   bool // shows the sentence of a refusal
	pull   func(ref string) result
	forget func(ref string)
}

// pullers are all clients, docker first, and docker's home.
func (p *person) pullers(t *testing.T) (docker *cli, all []puller) {
	t.Helper()
	home := func() *cli { return &cli{t: t, s: p.s, home: t.TempDir()} }
	login, n := p.name+":"+p.password, 0
	out := func(c *cli) string { n++; return c.file(fmt.Sprint("pulled", n)) }

	d := home()
	startDocker(t, p.s, d)
	tool := debian(t, "clients", "docker")
	d.pipe(p.password, tool, "login", "-u", p.name, "--password-stdin", p.at.addr)
	all = append(all, puller{"docker", true, func(ref string) result { return d.try("", tool, "pull", ref) },
		func(ref string) { d.forget(tool, ref) }})

	c, crane := home(), pinned(t, "crane")
	c.pipe(p.password, crane, "auth", "login", p.at.addr, "-u", p.name, "--password-stdin")
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

	c2, ctr := home(), debian(t, "clients", "ctr")
	c2.env = append(c2.env, "CONTAINERD_ADDRESS="+startContainerd(t, p.s, c2, "ctr"), "CONTAINERD_NAMESPACE=gate")
	// containerd before 2.4 asks by HEAD and shows the status alone.
	all = append(all, puller{"ctr", false, func(ref string) result {
		return c2.try("", ctr, "images", "pull", "--snapshotter", "native", "--plain-http", "--user", login, ref)
	}, func(ref string) { c2.run(ctr, "images", "rm", "--sync", ref) }})
	return d, all
}

// light is crane alone, which pulls all that an index lists.
func (p *person) light(t *testing.T) []puller {
	t.Helper()
	c, crane := &cli{t: t, s: p.s, home: t.TempDir()}, pinned(t, "crane")
	c.pipe(p.password, crane, "auth", "login", p.at.addr, "-u", p.name, "--password-stdin")
	n := 0
	return []puller{{"crane", true, func(ref string) result {
		n++
		return c.try("", crane, "pull", "--format", "oci", ref, c.file(fmt.Sprint("pulled", n)))
	}, nil}}
}
