package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/registry"
)

// The first demo: pushed, refused, signed, pulled, with nothing but this program.
func TestSignDemo(t *testing.T) {
	s := newHubShell(t)
	image := s.image("team/deep/app", "one", "1.0")
	refused := s.pulls("team/deep/app", image.Digest)
	if registry.CodeOf(refused) != registry.CodeDenied || !strings.Contains(refused.Error(), "hallmark keys add") {
		t.Fatal(refused)
	}
	page, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.address+"/t/team/deep/app@"+string(image.Digest), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(page)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	if res.Body.Close(); res.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("Refused")) {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if out := s.must("", "keys", "generate", "--register", "release", "--project", "team"); !strings.Contains(out, "key/release created") {
		t.Error(out)
	}
	out, errs, err := s.run("", "sign", "--key", "cosign.key", "-a", "stage=prod", s.host()+"/team/deep/app:1.0")
	name := s.host() + "/team/deep/app@" + string(image.Digest)
	if err != nil || out != name+" signed\n" || !strings.Contains(errs, "app:1.0 is "+string(image.Digest)) {
		t.Fatal(err, out, errs)
	}
	if err := s.pulls("team/deep/app", image.Digest); err != nil {
		t.Error(err)
	}
	all := s.evidence("team/deep/app", image.Digest, "cosign.pub")
	if len(all) != 1 || all[0].Kind != core.EvidenceSignature || all[0].Signer == nil || all[0].Subject != string(image.Digest) || all[0].Annotations["stage"] != "prod" {
		t.Errorf("%+v", all)
	}
}

// What cosign 3 writes about an image, member for member: another tool finds it as its own.
func TestSignatureIsCosigns(t *testing.T) {
	s := newHubShell(t)
	image := s.image("team/app", "one", "1.0")
	s.must("", "keys", "generate")
	s.must("", "sign", "--key", "cosign.key", "team/app@"+string(image.Digest)) // by the hub that is logged in to
	page, err := s.anybody().Referrers(t.Context(), "team/app", image.Digest, registry.ReferrerQuery{N: 10})
	if err != nil || len(page.Manifests) != 1 {
		t.Fatal(err, page)
	}
	r, err := s.anybody().Manifest(t.Context(), "team/app", registry.Reference{Digest: page.Manifests[0].Digest}, false)
	if err != nil {
		t.Fatal(err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(r.Payload, &m); err != nil {
		t.Fatal(err)
	}
	if m.ArtifactType != trust.TypeBundle || m.Config.MediaType != ocispec.MediaTypeEmptyJSON || m.Config.Digest != ocispec.DescriptorEmptyJSON.Digest ||
		m.Config.ArtifactType != trust.TypeBundle || len(m.Layers) != 1 || m.Layers[0].MediaType != trust.TypeBundle || m.Subject.Digest != image.Digest ||
		m.Subject.MediaType != image.MediaType || m.Subject.Size != image.Size || m.Annotations["dev.sigstore.bundle.content"] != "dsse-envelope" ||
		m.Annotations["dev.sigstore.bundle.predicateType"] != core.PredicateSignature || m.Annotations[ocispec.AnnotationCreated] == "" {
		t.Errorf("%s", r.Payload)
	}
}

func TestAttest(t *testing.T) {
	s := newHubShell(t)
	image := s.image("team/app", "one", "1.0")
	s.must("", "keys", "generate", "--register", "release", "--project", "team")
	for name, text := range map[string]string{"sbom.json": `{"spdxVersion": "SPDX-2.3"}`, "list.json": `[1]`, "note.txt": "checked by hand"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.fails(2, "is no JSON object", "attest", "--key", "cosign.key", "--type", "spdxjson", "--predicate", "list.json", "team/app:1.0")
	s.fails(2, "--type is a URI or one of", "attest", "--key", "cosign.key", "--type", "sbom", "--predicate", "sbom.json", "team/app:1.0")
	s.fails(2, "--predicate FILE", "attest", "--key", "cosign.key", "team/app:1.0")
	s.must("", "attest", "--key", "cosign.key", "--predicate", "note.txt", "team/app:1.0")
	if err := s.pulls("team/app", image.Digest); registry.CodeOf(err) != registry.CodeDenied {
		t.Error("a custom attestation is taken for an SBOM:", err)
	}
	s.must("", "attest", "--key", "cosign.key", "--type", "spdxjson", "--predicate", "sbom.json", "team/app:1.0")
	if err := s.pulls("team/app", image.Digest); err != nil {
		t.Error(err)
	}
	var types []string
	for _, e := range s.evidence("team/app", image.Digest, "cosign.pub") {
		if e.Signer == nil || e.Kind != core.EvidenceAttestation || e.Repository != s.host()+"/team/app" {
			t.Errorf("%+v", e)
		}
		types = append(types, e.PredicateType)
	}
	if slices.Sort(types); strings.Join(types, " ") != "https://cosign.sigstore.dev/attestation/v1 https://spdx.dev/Document" {
		t.Error(types)
	}
}

func TestSignRecursive(t *testing.T) {
	s := newHubShell(t)
	a, b := s.image("team/app", "a"), s.image("team/app", "b")
	index := s.put("team/app", ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{a, b, a}}, "latest")
	s.must("", "keys", "generate")
	if out := s.must("", "sign", "--key", "cosign.key", s.host()+"/team/app"); strings.Count(out, " signed\n") != 1 || !strings.Contains(out, string(index.Digest)) {
		t.Error(out)
	}
	if out := s.must("", "sign", "--key", "cosign.key", "-r", s.host()+"/team/app"); strings.Count(out, " signed\n") != 3 {
		t.Error(out)
	}
	for d, want := range map[digest.Digest]int{index.Digest: 2, a.Digest: 1, b.Digest: 1} {
		if all := s.evidence("team/app", d, "cosign.pub"); len(all) != want {
			t.Errorf("%d signatures of %s, want %d", len(all), d, want)
		}
	}
}

func TestSignRefusals(t *testing.T) {
	s := newHubShell(t)
	s.image("team/app", "one", "1.0")
	s.must("", "keys", "generate")
	s.fails(1, "cosign.key is there already", "keys", "generate")
	s.fails(2, "--register NAME", "keys", "generate", "--project", "team", "--output-key-prefix", "other")
	s.fails(2, "with which key", "sign", "team/app:1.0")
	s.fails(1, "public key", "sign", "--key", "cosign.pub", "team/app:1.0")
	s.fails(1, "cannot be read", "sign", "--key", "none.key", "team/app:1.0")
	s.fails(2, "is no image", "sign", "--key", "cosign.key", "Team/app")
	s.fails(2, "NAME=VALUE", "sign", "--key", "cosign.key", "-a", "x", "team/app:1.0")
	s.fails(2, "given twice", "sign", "--key", "cosign.key", "-a", "x=1", "-a", "x=2", "team/app:1.0")
	s.fails(1, "", "sign", "--key", "cosign.key", "team/app:2.0")
	s.env[passwordVariable] = "wrong"
	s.fails(1, "password of the private key is wrong", "sign", "--key", "cosign.key", "team/app:1.0")
	delete(s.env, passwordVariable)
	if _, _, err := s.run("secret\n", "sign", "--key", "cosign.key", "team/app:1.0"); err != nil {
		t.Error(err)
	}
	_, errs, err := s.run("", "keys", "generate", "--output-key-prefix", "open")
	if err != nil || !strings.Contains(errs, "has no password") {
		t.Error(err, errs)
	}
	s.must("", "sign", "--key", "open.key", "team/app:1.0")
	for name, mode := range map[string]os.FileMode{"cosign.key": 0o600, "cosign.pub": 0o644} {
		if st, err := os.Stat(name); err != nil || st.Mode().Perm()&^mode != 0 { // the umask may take more
			t.Errorf("%s: %v %v", name, st, err)
		}
	}
	s.must("", "logout")
	s.fails(1, "hallmark login "+s.address, "sign", "--key", "open.key", s.host()+"/team/app:1.0")
	s.fails(2, "which hub", "sign", "--key", "open.key", "team/app:1.0")
}

func TestParseImage(t *testing.T) {
	const d = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
	for s, want := range map[string]image{
		"team/app":                     {repository: "team/app", tag: "latest"},
		"team/deep/app:1.0":            {repository: "team/deep/app", tag: "1.0"},
		"hub.example/team/app":         {host: "hub.example", repository: "team/app", tag: "latest"},
		"127.0.0.1:8080/team/app:v1":   {host: "127.0.0.1:8080", repository: "team/app", tag: "v1"},
		"localhost/team/app@" + d:      {host: "localhost", repository: "team/app", digest: d},
		"[::1]:8080/team/app:1@" + d:   {host: "[::1]:8080", repository: "team/app", digest: d},
		"team/app:1.0@" + d:            {repository: "team/app", digest: d},
		"hub.example:5000/a/b/c:x-y_z": {host: "hub.example:5000", repository: "a/b/c", tag: "x-y_z"},
	} {
		if got, err := parseImage(s); err != nil || got != want {
			t.Errorf("%s: %+v %v", s, got, err)
		}
	}
	for _, s := range []string{"", "Team/app", "team/app:", "team/app@sha256:12", "team/app@", "http://hub/team/app", "team/app:a b", "hub.example/", "team//app"} {
		if got, err := parseImage(s); err == nil || exitCode(err) != 2 {
			t.Errorf("%q: %+v %v", s, got, err)
		}
	}
}

// A token in the environment goes to the hub in the environment and to no other.
func TestTokenStaysAtItsHub(t *testing.T) {
	config := &clientConfig{Hubs: []clientHub{{Address: "http://127.0.0.1:2", Username: "bob", Token: "hmp_bob"}}}
	c := &cli{getenv: func(name string) string {
		return map[string]string{"HALLMARK_SERVER": "http://127.0.0.1:1", "HALLMARK_TOKEN": "hmp_other"}[name]
	}}
	got, err := c.credentials(t.Context(), config, "http://127.0.0.1:2")
	if err != nil || got.Username != "bob" || got.Password != "hmp_bob" {
		t.Errorf("%+v %v", got, err)
	}
	for host, want := range map[string]string{"": "http://127.0.0.1:1", "127.0.0.1:1": "http://127.0.0.1:1", "127.0.0.1:2": "http://127.0.0.1:2", "hub.example": "https://hub.example"} {
		if got, err := c.addressOf(config, host); err != nil || got != want {
			t.Errorf("%q: %s %v, want %s", host, got, err, want)
		}
	}
}
