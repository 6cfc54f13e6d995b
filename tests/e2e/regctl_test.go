//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func testRegctl(t *testing.T, s *stack) {
	regctl := pinned(t, "regctl")
	img := image(t)
	c := newCLI(t, s, "e2e-regctl")
	c.env = append(c.env, "REGCTL_CONFIG="+c.file("regctl.json"))
	app := c.ref("app", "v1")

	c.run(regctl, "registry", "set", "--skip-check", "--tls", "disabled", s.addr)
	c.refused(regctl, "image", "copy", "ocidir://"+img.layout+":v1", app)
	c.pipe(s.password, regctl, "registry", "login", "-u", s.user, "--pass-stdin", s.addr)

	c.run(regctl, "image", "copy", "ocidir://"+img.layout+":v1", app)
	raw, digest := c.manifest("app", "v1")
	c.same("digest on the hub", digest, img.index)
	c.same("regctl manifest get", c.run(regctl, "manifest", "get", "--format", "raw-body", app), string(raw))
	c.same("regctl image digest", c.run(regctl, "image", "digest", app), img.index)
	c.same("regctl image digest -p", c.run(regctl, "image", "digest", "-p", "linux/arm64", app), img.arch["arm64"])

	// Blobs: head, get, put.
	layer := img.layers["amd64"]
	head := c.run(regctl, "blob", "head", c.repo("app"), layer)
	if !strings.Contains(strings.ToLower(head), "docker-content-digest: "+layer) {
		t.Errorf("regctl blob head: no digest in\n%s", head)
	}
	if got := []byte(c.run(regctl, "blob", "get", c.repo("app"), layer)); !bytes.Equal(got, img.blob(t, layer)) {
		t.Errorf("regctl blob get: %d bytes, %s", len(got), sha256Of(got))
	}
	loose := strings.Repeat("some bytes of our own\n", 1000)
	c.same("regctl blob put", c.pipe(loose, regctl, "blob", "put", c.repo("app")), sha256Of([]byte(loose)))
	c.same("regctl blob get", c.run(regctl, "blob", "get", c.repo("app"), sha256Of([]byte(loose))), strings.TrimSpace(loose))

	// An artifact that refers to the image, found through the referrers API.
	put := c.pipe("a report\n", regctl, "artifact", "put", "--artifact-type", "application/vnd.example.report",
		"--annotation", "org.example.kind=report", "--format", "{{ .Manifest.GetDescriptor.Digest }}", "--subject", app)
	report := strings.TrimSpace(put)
	listed := c.run(regctl, "artifact", "list", "--format", "{{ range .Descriptors }}{{ .Digest }} {{ .ArtifactType }}\n{{ end }}", app)
	c.same("regctl artifact list", listed, report+" application/vnd.example.report")
	if got := c.referrers("app", img.index); !slices.ContainsFunc(got, func(d descriptor) bool {
		return d.Digest == report && d.ArtifactType == "application/vnd.example.report" && d.Annotations["org.example.kind"] == "report"
	}) {
		t.Errorf("referrers of the image: no %s with type and annotation in %+v", report, got)
	}
	c.same("regctl artifact get", c.run(regctl, "artifact", "get", "--subject", app, "--filter-artifact-type", "application/vnd.example.report"), "a report")

	// A copy takes the referrers along.
	c.run(regctl, "image", "copy", "--referrers", app, c.ref("copied", "v1"))
	_, digest = c.manifest("copied", "v1")
	c.same("copied digest", digest, img.index)
	if got := c.referrers("copied", img.index); len(got) != 1 || got[0].Digest != report {
		t.Errorf("referrers of the copy: %+v, want %s", got, report)
	}
	c.run(regctl, "image", "copy", app, "ocidir://"+c.file("pulled")+":v1")
	c.sameBlobs(img.layout, c.file("pulled"))

	// A tag goes, the image stays.
	c.run(regctl, "image", "copy", app, c.ref("app", "v2"))
	c.same("regctl tag ls", c.run(regctl, "tag", "ls", c.repo("app")), "v1\nv2")
	c.run(regctl, "tag", "delete", c.ref("app", "v2"))
	c.same("regctl tag ls", c.run(regctl, "tag", "ls", c.repo("app")), "v1")
	c.absent("app", "v2")
	if _, digest := c.manifest("app", "v1"); digest != img.index {
		t.Errorf("deleting tag v2 changed v1: %s", digest)
	}

	var repos struct {
		Repositories []string `json:"repositories"`
	}
	if err := json.Unmarshal([]byte(c.run(regctl, "repo", "ls", "--format", "{{ json . }}", s.addr)), &repos); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(repos.Repositories, c.project+"/app") {
		t.Errorf("regctl repo ls: %q", repos.Repositories)
	}
}
