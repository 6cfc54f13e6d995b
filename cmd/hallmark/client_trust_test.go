package main

import (
	"context"
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
		{"keys hub", "-----BEGIN PUBLIC KEY-----"},
		{"project set team --attach-verdicts on", "project/team changed"},
		{"get project team -o yaml", "attach_verdicts: true"},
		{"project set team --attach-verdicts off", "project/team changed"},
		{"get project team -o yaml", "attach_verdicts: false"},
		{"get project team -o yaml", "sbom_on_push: true"},
		{"project set team --sbom-on-push off", "project/team changed"},
		{"get project team -o yaml", "sbom_on_push: false"},
		{"create project portable --attach-verdicts", "project/portable created"},
		{"get project portable -o yaml", "attach_verdicts: true"},
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
		{"keys add other " + s.publicKey() + " --project team", "key/other created"},
		{"keys revoke release --project team", "key/release revoked"},
		{"policy delete signed --project team", "policy/signed deleted"},
		{"keys delete release --project team", "key/release deleted"},
		{"keys delete hub-wide", "key/hub-wide deleted"},
		{"keys delete ci --project team", "key/ci deleted"},
		{"keys delete other --project team", "key/other deleted"},
		{"trust-root delete ours", "trust-root/ours deleted"},
	} {
		if out := s.must("", strings.Fields(step[0])...); !strings.Contains(out, step[1]) {
			t.Errorf("%s: %s", step[0], out)
		}
	}
	s.must("", "keys", "add", "release", s.publicKey(), "--project", "team")
	s.fails(1, "there is another release already", "keys", "add", "release", s.publicKey(), "--project", "team")
	s.fails(1, "taken by the key", "keys", "add", "hub", s.publicKey())
	s.fails(2, "is on or off", "project", "set", "team", "--attach-verdicts", "yes")
	s.fails(1, "no PEM", "keys", "add", "x", policy)
	s.fails(2, "no such file", "keys", "add", "x", policy+"x")
	s.fails(2, "metadata.name is missing", "policy", "put", s.file("x", "kind: PullPolicy"))
	s.fails(1, "line 5", "policy", "put", s.file("x", strings.Replace(signedPolicy, "ref: release", "ref: nobody", 1)))
	s.fails(2, "a dry run is of one project", "policy", "dry-run", s.file("x", strings.Replace(signedPolicy, ", project: team", "", 1)))
	s.fails(1, "lets anybody in", "identity", "add", "x", "--issuer", "https://accounts.example", "--subject-regex", ".*")
	s.fails(1, "built in", "trust-root", "delete", "public-good")
	for _, words := range []string{"keys revoke nobody", "keys delete nobody", "delete authority nobody", "get authority nobody"} {
		s.fails(1, "hallmark get authorities; those of a project with --project", strings.Fields(words)...)
	}
	s.fails(1, "hallmark get policies --project team; those of the hub without", "policy", "show", "nobody", "--project", "team")
	s.fails(1, "hallmark get trust-roots --project team", "trust-root", "delete", "team/nobody")
	s.fails(2, "say what", "keys")
}

// What others rely on is deleted only by who insists, and the refusal says how.
func TestClientDeletesWhatIsInUse(t *testing.T) {
	s := newShell(t)
	s.login()
	s.must("", "create", "project", "team")
	root := s.file("root.json", string(trust.PublicGood()))
	prepare := func() {
		s.must("", "keys", "add", "release", s.publicKey(), "--project", "team")
		s.must("", "policy", "put", s.file("signed.yaml", signedPolicy))
		s.must("", "trust-root", "add", "ours", root, "--project", "team")
		s.must("", "identity", "add", "ci", "--issuer", "https://accounts.example", "--subject", "ci@example.org", "--trust-root", "ours", "--project", "team")
	}
	prepare()
	for _, words := range []string{"keys delete release --project team", "delete authority team/release", "trust-root delete ours --project team", "delete trust-root team/ours"} {
		s.fails(1, "again with --force", strings.Fields(words)...)
	}
	s.fails(1, "policy signed of project team", "keys", "delete", "release", "--project", "team")
	s.fails(1, "identity ci of project team", "trust-root", "delete", "ours", "--project", "team")
	s.must("", "keys", "delete", "release", "--project", "team", "--force")
	s.must("", "trust-root", "delete", "ours", "--project", "team", "--force")
	s.must("", "delete", "policy", "team/signed")
	s.must("", "delete", "authority", "team/ci")
	prepare()
	s.must("", "delete", "authority", "team/release", "--force")
	s.must("", "delete", "trust-root", "team/ours", "--force")
	s.fails(2, "--force is for", "delete", "project", "team", "--force")
	s.fails(2, "unknown flag", "policy", "delete", "signed", "--project", "team", "--force")
}

// Who was refused what stands in the audit trail when the hub has ended, and what who pushes read all the same.
func TestRefusedPullsAreAudited(t *testing.T) {
	s := newHubShell(t)
	d := s.image("team/app", "one", "1").Digest
	for range 3 {
		if _, err := s.anybody().Manifest(t.Context(), "team/app", registry.Reference{Tag: "1"}, false); registry.CodeOf(err) != registry.CodeDenied {
			t.Fatal(err)
		}
	}
	if _, err := s.hub.registry.Manifest(core.WithPrincipal(t.Context(), core.System()), "team/app", registry.Reference{Digest: d}, false); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	s.hub.background(ended)
	var rows []struct{ Action, Actor, Object, Project, Detail string }
	if err := json.Unmarshal([]byte(s.must("", "get", "audit", "--project", "team", "--filter", "action=pull.*", "-o", "json")), &rows); err != nil {
		t.Fatal(err)
	}
	var refused struct {
		Digest, Reason string
		Count          int
	}
	counted := 0
	for _, r := range rows {
		if r.Object != "team/app@"+string(d) || r.Project != "team" {
			t.Errorf("%+v", r)
		}
		if r.Action == "pull.exempted" && r.Actor == "system" {
			continue
		}
		if err := json.Unmarshal([]byte(r.Detail), &refused); err != nil || r.Action != "pull.refused" || r.Actor != "anonymous" || refused.Reason != "baseline: NO_KEY" {
			t.Errorf("%+v %v", r, err)
		}
		counted += refused.Count
	}
	if counted != 3 || len(rows) < 2 {
		t.Errorf("%d refusals in %+v", counted, rows)
	}
}

// What get -o yaml and policy show write is what policy put reads, and putting it changes nothing.
func TestClientPolicyRoundTrip(t *testing.T) {
	s := newShell(t)
	s.login()
	s.must("", "create", "project", "team")
	s.must("", "keys", "add", "release", s.publicKey(), "--project", "team")
	s.must("", "policy", "put", s.file("signed.yaml", signedPolicy))
	before := s.must("", "get", "policy", "team/signed", "-o", "json")
	for _, words := range []string{"policy show signed --project team", "policy show signed --project team -o yaml", "policy show signed --project team -o json",
		"get policy team/signed -o yaml", "get policy team/signed -o json"} {
		s.must(s.must("", strings.Fields(words)...), "policy", "put", "-")
		if after := s.must("", "get", "policy", "team/signed", "-o", "json"); after != before {
			t.Errorf("%s does not round-trip:\n%s\n%s", words, before, after)
		}
	}
	s.fails(2, "it is one PullPolicy", "policy", "put", s.file("list", s.must("", "get", "policies", "--project", "team", "-o", "yaml")))
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
	s.must("", "policy", "put", s.file("signed.yaml", signedPolicy))
	for line, want := range map[string]string{"__complete keys revoke --project team ": "release", "__complete keys delete --project te": "team",
		"__complete project set ": "team", "__complete project set team --baseline ": "enforce", "__complete identity add x --trust-root ": "public-good",
		"__complete get authorities --project team ": "release", "__complete delete trust-root ": "public-good", "__complete policy show --project team ": "signed",
		"__complete policy delete --project team ": "signed", "__complete trust-root delete ": "public-good", "__complete get policies team/": "team/signed", "__complete keys revoke team/": "team/release"} {
		if out := s.must("", strings.Split(line, " ")...); !strings.Contains(out, want) {
			t.Errorf("%q: %s", line, out)
		}
	}
}
