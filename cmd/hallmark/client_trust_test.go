package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/registry"
)

// file writes a file and returns its name.
func (s *shell) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *shell) publicKey() string {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.file("cosign.pub", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
}

// pushArtifact pushes something that is no image and unsigned.
func (s *shell) pushArtifact(repository, tag string) digest.Digest {
	s.t.Helper()
	ctx, empty := core.WithPrincipal(s.t.Context(), core.System()), ocispec.DescriptorEmptyJSON
	u, err := s.hub.registry.StartUpload(ctx, repository, digest.SHA256)
	if err == nil {
		_, err = s.hub.registry.FinishUpload(ctx, repository, u.ID, 0, strings.NewReader("{}"), empty.Digest)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	payload, _ := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: "application/vnd.example", Config: empty, Layers: []ocispec.Descriptor{empty}})
	m, err := s.hub.registry.PutManifest(ctx, repository, registry.ManifestPut{Digest: digest.FromBytes(payload),
		MediaType: ocispec.MediaTypeImageManifest, Payload: payload, Tags: []string{tag}})
	if err != nil {
		s.t.Fatal(err)
	}
	return m.Digest
}

const signedPolicy = `apiVersion: hallmark/v1alpha1
kind: PullPolicy
metadata: {name: signed, project: team}
spec:
  authorities: [{name: release, key: {ref: release}}]
  signature: {require: {allOf: [release]}}
`

func TestClientTrust(t *testing.T) {
	s := newShell(t)
	s.login()
	s.must("", "create", "project", "team")
	policy, root := s.file("signed.yaml", signedPolicy), s.file("root.json", string(trust.PublicGood()))
	s.fails(1, "no key", "policy", "put", policy)
	for _, step := range [][2]string{
		{"keys add release " + s.publicKey() + " --project team", "key/release created"},
		{"keys add hub-wide " + s.publicKey() + " --description ours", "key/hub-wide created"},
		{"keys list --project team", "release"},
		{"keys list", "hub-wide"},
		{"get authority team/release -o yaml", "fingerprint: sha256:"},
		{"trust-root add ours " + root, "trust-root/ours created"},
		{"trust-root add ours " + root, "trust-root/ours changed"},
		{"trust-root list", "public-good"},
		{"identity add ci --issuer https://accounts.example --subject ci@example.org --trust-root ours --project team", "identity/ci created"},
		{"keys list --project team", "ci@example.org"},
		{"policy dry-run " + policy, "it would refuse 0."},
		{"policy put " + policy, "policy/team/signed created"},
		{"policy put " + policy, "policy/team/signed changed"},
		{"policy list --project team", "signature by release"},
		{"policy show signed --project team", "metadata: {name: signed, project: team}"},
		{"keys revoke release --project team", "key/release revoked"},
		{"policy delete signed --project team", "policy/signed deleted"},
		{"keys delete release --project team", "key/release deleted"},
		{"keys delete hub-wide", "key/hub-wide deleted"},
		{"keys delete ci --project team", "key/ci deleted"},
		{"trust-root delete ours", "trust-root/ours deleted"},
	} {
		if out := s.must("", strings.Fields(step[0])...); !strings.Contains(out, step[1]) {
			t.Errorf("%s: %s", step[0], out)
		}
	}
	s.must("", "keys", "add", "release", s.publicKey(), "--project", "team")
	s.fails(1, "there is another release already", "keys", "add", "release", s.publicKey(), "--project", "team")
	s.fails(1, "no PEM", "keys", "add", "x", policy)
	s.fails(2, "no such file", "keys", "add", "x", policy+"x")
	s.fails(2, "metadata.name is missing", "policy", "put", s.file("x", "kind: PullPolicy"))
	s.fails(1, "line 5", "policy", "put", s.file("x", strings.Replace(signedPolicy, "ref: release", "ref: nobody", 1)))
	s.fails(2, "a dry run is of one project", "policy", "dry-run", s.file("x", strings.Replace(signedPolicy, ", project: team", "", 1)))
	s.fails(1, "lets anybody in", "identity", "add", "x", "--issuer", "https://accounts.example", "--subject-regex", ".*")
	s.fails(1, "built in", "trust-root", "delete", "public-good")
	s.fails(2, "say what", "keys")
}

func TestClientVerify(t *testing.T) {
	s := newShell(t)
	s.login()
	s.must("", "create", "project", "team")
	d := string(s.pushArtifact("team/deep/app", "1.0"))
	out, _, err := s.run("", "verify", "team/deep/app:1.0")
	if exitCode(err) != 1 || !strings.Contains(err.Error(), "may not be pulled") {
		t.Error(err)
	}
	for _, want := range []string{"refused: team/deep/app@" + d, "policy baseline (enforce): denied", "no key or identity is registered", "hallmark keys add"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
	if out, _, err := s.run("", "verify", "team/deep/app@"+d, "-o", "json"); exitCode(err) != 1 || !strings.Contains(out, `"allowed": false`) {
		t.Error(out, err)
	}
	if out := s.must("", "policy", "dry-run", s.file("p", strings.Replace(signedPolicy, "key: {ref: release}", "keyless: {trustRoot: public-good, identities: [{issuer: \"https://a.example\", subject: x}]}", 1))); !strings.Contains(out, "it would refuse 1.") || !strings.Contains(out, "no signature by release") {
		t.Error(out)
	}
	if out := s.must("", "project", "set", "team", "--baseline", "warn"); out != "project/team changed\n" {
		t.Error(out)
	}
	if out := s.must("", "verify", "team/deep/app:1.0"); !strings.Contains(out, "allowed: team/deep/app@") || !strings.Contains(out, "(warn): warned") {
		t.Error(out)
	}
	s.fails(1, "no manifest", "verify", "team/deep/app:2.0")
	s.fails(2, "is no image", "verify", "Team")
	s.fails(2, "PROJECT/REPOSITORY", "verify", "app")
	s.fails(2, "say what to change", "project", "set", "team")
	s.fails(1, "baseline", "project", "set", "team", "--baseline", "loud")
}

func TestClientTrustCompletion(t *testing.T) {
	s := newShell(t)
	s.login()
	s.must("", "create", "project", "team")
	s.must("", "keys", "add", "release", s.publicKey(), "--project", "team")
	for line, want := range map[string]string{"__complete keys revoke --project team ": "release", "__complete keys delete --project te": "team",
		"__complete project set ": "team", "__complete project set team --baseline ": "enforce", "__complete identity add x --trust-root ": "public-good",
		"__complete get authorities --project team ": "release", "__complete delete trust-root ": "public-good"} {
		if out := s.must("", strings.Split(line, " ")...); !strings.Contains(out, want) {
			t.Errorf("%q: %s", line, out)
		}
	}
}
