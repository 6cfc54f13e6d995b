//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

var helmDigest = regexp.MustCompile(`(?m)^Digest: (sha256:[0-9a-f]{64})$`)

func testHelm(t *testing.T, s *stack) {
	helm := pinned(t, "helm")
	c := newCLI(t, s, "e2e-helm")
	c.write("hello/Chart.yaml", []byte("apiVersion: v2\nname: hello\nversion: 0.1.0\nappVersion: \"1\"\ndescription: A chart of the client tests\n"))
	c.write("hello/values.yaml", []byte("greeting: hello\n"))
	c.write("hello/templates/config.yaml", []byte("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  greeting: {{ .Values.greeting }}\n"))
	c.run(helm, "package", "hello")
	target := "oci://" + s.addr + "/" + c.project

	c.refused(helm, "push", "hello-0.1.0.tgz", target, "--plain-http")
	c.pipe(s.password, helm, "registry", "login", s.addr, "--plain-http", "-u", s.user, "--password-stdin")

	// Helm prints the digest to stderr or stdout, depending on the version.
	said := func(args ...string) string {
		t.Helper()
		r := c.try("", helm, args...)
		found := helmDigest.FindStringSubmatch(r.stdout + r.stderr)
		if r.err != nil || found == nil {
			t.Fatalf("no digest: %v", r)
		}
		return found[1]
	}
	pushed := said("push", "hello-0.1.0.tgz", target, "--plain-http")
	raw, digest := c.manifest("hello", "0.1.0")
	c.same("digest on the hub", digest, pushed)
	var manifest ociManifest
	if err := json.Unmarshal(raw, &manifest); err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	chart := c.read(c.file("hello-0.1.0.tgz"))
	if manifest.Config.MediaType != "application/vnd.cncf.helm.config.v1+json" || len(manifest.Layers) != 1 || manifest.Layers[0].Digest != sha256Of(chart) {
		t.Errorf("not the chart %s: %s", sha256Of(chart), raw)
	}

	if err := os.Mkdir(c.file("pulled"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.same("pulled digest", said("pull", target+"/hello", "--version", "0.1.0", "--plain-http", "-d", c.file("pulled")), pushed)
	if got := c.read(c.file("pulled", "hello-0.1.0.tgz")); !bytes.Equal(got, chart) {
		t.Errorf("the pulled chart differs: %s, want %s", sha256Of(got), sha256Of(chart))
	}
	c.same("digest of a pull by digest", said("pull", target+"/hello@"+pushed, "--plain-http", "-d", c.file("pulled")), pushed)
	if shown := c.run(helm, "show", "chart", target+"/hello", "--version", "0.1.0", "--plain-http"); !strings.Contains(shown, "description: A chart of the client tests") {
		t.Errorf("helm show chart:\n%s", shown)
	}

	// Version ranges are resolved over the list of tags, and a "+" becomes "_" in one.
	c.run(helm, "package", "hello", "--version", "0.2.0+build.7")
	pushed = said("push", "hello-0.2.0+build.7.tgz", target, "--plain-http")
	_, digest = c.manifest("hello", "0.2.0_build.7")
	c.same("digest of the second version", digest, pushed)
	rendered := c.run(helm, "template", "x", target+"/hello", "--version", ">=0.2.0", "--plain-http", "--set", "greeting=again")
	if !strings.Contains(rendered, "greeting: again") {
		t.Errorf("helm template:\n%s", rendered)
	}
	if shown := c.run(helm, "show", "chart", target+"/hello", "--version", "^0.2", "--plain-http"); !strings.Contains(shown, "version: 0.2.0+build.7") {
		t.Errorf("helm show chart of a range:\n%s", shown)
	}
}
