package gatekeeper_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
	"github.com/hallmarkhub/hallmark/registry"
)

const repo = "team/app"

// From the first push to the last pull.
func TestSignedOrRefused(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := h.image(repo, "1", "one"), signertest.New()
		h.readable(h.guest, i, "1", false)
		_, err := h.reg.Manifest(h.guest, repo, registry.Reference{Tag: "1"}, false)
		var e *registry.Error
		if !errors.As(err, &e) || !strings.Contains(e.Message, "hallmark keys add") {
			t.Errorf("without any key the refusal does not say how to register one: %v", err)
		}

		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		h.readable(h.guest, i, "1", false)
		h.sign(repo, i.digest, s)
		h.readable(h.guest, i, "1", true)
		h.readable(h.guest, i, "1", true) // from memory

		now := time.Now()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM, RevokedAt: &now}, 1)
		h.readable(h.guest, i, "1", false)
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 2)
		h.readable(h.guest, i, "1", true)
	})
}

// What was signed before the key was known counts from the moment on in which it is.
func TestKeyRegisteredLater(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := h.image(repo, "1", "one"), signertest.New()
		h.sign(repo, i.digest, s)
		h.readable(h.guest, i, "1", false)
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		h.readable(h.guest, i, "1", true)
		h.must(h.store.DeleteTrustDocument(h.system, h.team, store.TrustAuthority, "release", store.AnyRevision))
		h.readable(h.guest, i, "1", false)
	})
}

func TestSignatureBeforeItsSubject(t *testing.T) {
	eachHub(t, func(h *hub) {
		s := signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		elsewhere := h.image("team/built", "1", "one")
		h.sign(repo, elsewhere.digest, s)
		i := h.image(repo, "1", "one")
		if i.digest != elsewhere.digest {
			t.Fatal("the same content has two digests")
		}
		h.readable(h.guest, i, "1", true)
		// V-42: a signature in one repository says nothing in another one.
		h.readable(h.guest, elsewhere, "1", false)
	})
}

func TestDeletedSignature(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := h.image(repo, "1", "one"), signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		d := h.sign(repo, i.digest, s)
		h.readable(h.guest, i, "1", true)
		h.must(h.reg.DeleteManifest(h.owner, repo, d))
		h.readable(h.guest, i, "1", false)
	})
}

// V-31, V-32, V-39: what looks like a signature and is none.
func TestNoSignature(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, other, s, stranger := h.image(repo, "1", "one"), h.image(repo, "2", "two"), signertest.New(), signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		for name, content := range map[string][]byte{
			"junk":                   []byte(`{"mediaType":"` + typeBundle + `"}`),
			"no JSON":                []byte("signed, believe me"),
			"a stranger's":           stranger.Bundle(i.digest, predicateSign, map[string]any{}),
			"another image's":        s.Bundle(other.digest, predicateSign, map[string]any{}),
			"an attestation of it":   s.Bundle(i.digest, "https://cosign.sigstore.dev/attestation/vuln/v1", map[string]any{}),
			"of a made up type":      s.Bundle(i.digest, predicateSign+"/", map[string]any{}),
			"an altered statement's": []byte(strings.Replace(string(s.Bundle(i.digest, predicateSign, map[string]any{})), `"sig":"M`, `"sig":"N`, 1)),
		} {
			h.attach(repo, i.digest, content)
			if got := h.code(h.guest, repo, "1", i.digest); got != registry.CodeDenied {
				t.Errorf("%s: %q", name, got)
			}
		}
		h.readable(h.guest, i, "1", false)
		// What was said of the other image counts there, and only there.
		h.readable(h.guest, other, "2", true)
		// An SBOM by somebody registered is enough for the baseline.
		h.attach(repo, i.digest, s.Bundle(i.digest, predicateSPDX, map[string]any{"spdxVersion": "SPDX-2.3"}))
		h.readable(h.guest, i, "1", true)
	})
}

// V-40: who pushes and who signs sees manifests that are not trusted yet, and no layers.
func TestWhoSigns(t *testing.T) {
	eachHub(t, func(h *hub) {
		i := h.image(repo, "1", "one")
		if got := h.code(h.owner, repo, "1", i.digest); got != "" {
			t.Errorf("the owner: %q", got)
		}
		_, err := h.reg.Blob(h.owner, repo, i.layer)
		if registry.CodeOf(err) != registry.CodeDenied {
			t.Errorf("a layer for the owner: %v", err)
		}
		// Before an upload clients ask whether the blob is there.
		if _, err := h.reg.StatBlob(h.owner, repo, i.layer, true); err != nil {
			t.Errorf("whether a layer is there, for the owner: %v", err)
		}
		anonymous := core.WithPrincipal(h.Context(), core.Anonymous())
		h.readable(anonymous, i, "1", false)
		// The scope of a registry token is that of one request: what the party may counts.
		p := *core.PrincipalFrom(h.owner)
		owner := p
		p.RegistryToken, p.Owner = true, &owner
		p.Grants = []core.Grant{{Repository: repo, Actions: []core.Action{core.ActionPull}}}
		if got := h.code(core.WithPrincipal(h.Context(), &p), repo, "1", i.digest); got != "" {
			t.Errorf("the owner with a token for pulling: %q", got)
		}
		owner.Grants = p.Grants // of a personal token that is for pulling alone
		if got := h.code(core.WithPrincipal(h.Context(), &p), repo, "1", i.digest); got != registry.CodeDenied {
			t.Errorf("a credential for pulling: %q", got)
		}
	})
}

func TestIndexes(t *testing.T) {
	eachHub(t, func(h *hub) {
		a, b, c, s := h.image(repo, "", "a"), h.image(repo, "", "b"), h.image(repo, "", "c"), signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		index := h.index(repo, "multi", a.digest, b.digest)
		nested := h.index(repo, "nested", index, c.digest)
		h.sign(repo, a.digest, s)
		h.readable(h.guest, a, "", true)
		h.readable(h.guest, b, "", false)
		if got := h.code(h.guest, repo, "multi", index); got != registry.CodeDenied {
			t.Errorf("a signed child blesses its index: %q", got)
		}
		h.sign(repo, nested, s)
		for _, i := range []image{a, b, c} {
			h.readable(h.guest, i, "", true)
		}
		for tag, d := range map[string]digest.Digest{"multi": index, "nested": nested} {
			if got := h.code(h.guest, repo, tag, d); got != "" {
				t.Errorf("%s: %q", tag, got)
			}
		}
		h.must(h.reg.DeleteManifest(h.owner, repo, nested))
		h.readable(h.guest, c, "", false)
		h.readable(h.guest, a, "", true)
	})
}

// V-41: what calls itself a signature and is something else.
func TestDisguises(t *testing.T) {
	eachHub(t, func(h *hub) {
		i := h.image(repo, "1", "one")
		layer := as(ocispec.MediaTypeImageLayer, h.blob(repo, []byte("run me")))
		config := as(ocispec.MediaTypeImageConfig, h.blob(repo, []byte(`{"architecture":"amd64","os":"linux"}`)))
		subject := &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: i.digest, Size: 1}
		image := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			ArtifactType: typeBundle, Config: config, Layers: []ocispec.Descriptor{layer}, Subject: subject}
		named := "sha256-" + i.digest.Encoded() + ".sig"
		disguised := h.put(repo, named, image, ocispec.MediaTypeImageManifest)
		if got := h.code(h.guest, repo, named, disguised); got != registry.CodeDenied {
			t.Errorf("a runnable image with the names of a signature: %q", got)
		}
		// A layer, and the config of a refused image, listed in what has the structure of a signature.
		fake := h.attach(repo, i.digest, []byte(`{"a":1}`), as(typeBundle, layer), as(typeBundle, ocispec.Descriptor{Digest: i.config, Size: 100}))
		if got := h.code(h.guest, repo, "", fake); got != registry.CodeDenied {
			t.Errorf("a manifest of which a layer is no JSON: %q", got)
		}
		h.attach(repo, i.digest, []byte(`{"a":2}`), as(typeBundle, ocispec.Descriptor{Digest: i.config, Size: 100}))
		for what, d := range map[string]digest.Digest{"layer": layer.Digest, "config of a refused image": i.config} {
			if got := h.blobCode(h.guest, repo, d); got != registry.CodeDenied {
				t.Errorf("the %s: %q", what, got)
			}
		}
		// It was content of something like a signature alone, and read, before an image came to use it.
		early := h.blob(repo, []byte(`{"architecture":"arm64","os":"linux"}`))
		h.attach(repo, i.digest, []byte(`{"a":3}`), as(typeBundle, early))
		if got := h.blobCode(h.guest, repo, early.Digest); got != "" {
			t.Errorf("content of a trust artifact: %q", got)
		}
		image.Config, image.Subject, image.ArtifactType = as(ocispec.MediaTypeImageConfig, early), nil, ""
		h.put(repo, "late", image, ocispec.MediaTypeImageManifest)
		if got := h.blobCode(h.guest, repo, early.Digest); got != registry.CodeDenied {
			t.Errorf("since it is the config of a refused image: %q", got)
		}
	})
}

// Signatures themselves are readable, or nobody could verify anything.
func TestTrustArtifactsAreReadable(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := h.image(repo, "1", "one"), signertest.New()
		content := s.Bundle(i.digest, predicateSign, map[string]any{})
		d := h.attach(repo, i.digest, content)
		if got := h.code(h.guest, repo, "", d); got != "" {
			t.Errorf("the manifest: %q", got)
		}
		if got := h.blobCode(h.guest, repo, digest.FromBytes(content)); got != "" {
			t.Errorf("the bundle: %q", got)
		}
		if got := h.blobCode(h.guest, repo, digest.FromString("{}")); got != "" {
			t.Errorf("the empty config: %q", got)
		}
		// Of what refers to an image a reader is told what he may read.
		h.put(repo, "", ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			ArtifactType: "application/x.tool", Config: as("application/vnd.oci.empty.v1+json", h.blob(repo, []byte("{}"))),
			Layers:  []ocispec.Descriptor{as("application/x.tool", h.blob(repo, []byte("#!/bin/sh")))},
			Subject: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: i.digest, Size: 1}}, ocispec.MediaTypeImageManifest)
		for ctx, want := range map[context.Context]int{h.guest: 1, h.owner: 2} {
			page, err := h.reg.Referrers(ctx, repo, i.digest, registry.ReferrerQuery{})
			if err != nil || len(page.Manifests) != want {
				t.Errorf("%s: %d referrers, %v", core.PrincipalFrom(ctx).Name, len(page.Manifests), err)
			}
		}
	})
}

// V-42: not by way of a repository that asks for nothing either.
func TestMount(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := h.image(repo, "1", "one"), signertest.New()
		h.project("open", core.BaselineOff)
		mount := func(ctx context.Context) error {
			_, err := h.reg.MountBlob(ctx, "open/copy", i.layer, registry.MountSource{Repository: repo, Allowed: func(context.Context, string) bool { return true }})
			return err
		}
		if err := mount(h.guest); registry.CodeOf(err) != registry.CodeBlobUnknown {
			t.Errorf("a layer of a refused image: %v", err)
		}
		if err := mount(h.owner); registry.CodeOf(err) != registry.CodeBlobUnknown {
			t.Errorf("a layer of a refused image, for who pushed it: %v", err)
		}
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		h.sign(repo, i.digest, s)
		h.must(mount(h.guest))
	})
}

func TestModes(t *testing.T) {
	eachHub(t, func(h *hub) {
		i := h.image(repo, "1", "one")
		for mode, want := range map[core.Baseline]struct{ readable, warned bool }{
			core.BaselineWarn: {true, true}, core.BaselineOff: {true, false}, core.BaselineEnforce: {false, false}} {
			_, err := h.store.UpdateProject(h.system, h.team, store.ProjectPatch{Baseline: &mode}, store.AnyRevision)
			h.must(err)
			h.readable(h.guest, i, "1", want.readable)
			m, err := h.reg.Manifest(h.guest, repo, registry.Reference{Tag: "1"}, false)
			if want.readable && (err != nil || (len(m.Warnings) > 0) != want.warned) {
				t.Errorf("%s: %v, %v", mode, m, err)
			}
		}
	})
}

// A policy of the project holds besides the baseline, and one that cannot be read any more refuses everything.
func TestPolicies(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := h.image(repo, "1", "one"), signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		h.sign(repo, i.digest, s)
		policy := func(text string, revision int64) {
			_, _, err := h.store.PutTrustDocument(h.system, h.team, store.TrustPolicy, "with-sbom", text, revision)
			h.must(err)
		}
		policy(`apiVersion: hallmark/v1alpha1
kind: PullPolicy
metadata: {name: with-sbom, project: team}
spec:
  require: all
  mode: enforce
  authorities:
    - name: release
      key: {ref: release}
  attestations:
    - name: sbom
      predicateTypes: [spdx]
      require: {allOf: [release]}
      fields: [{path: "$.spdxVersion", matches: "SPDX-2\\.[23]"}]
`, 0)
		h.readable(h.guest, i, "1", false)
		h.attach(repo, i.digest, s.Bundle(i.digest, predicateSPDX, map[string]any{"spdxVersion": "SPDX-9"}))
		h.readable(h.guest, i, "1", false)
		h.attach(repo, i.digest, s.Bundle(i.digest, predicateSPDX, map[string]any{"spdxVersion": "SPDX-2.3"}))
		h.readable(h.guest, i, "1", true)
		x, err := h.keeper.Explain(h.guest, repo, registry.Reference{Tag: "1"})
		if err != nil || !x.Allowed || len(x.Policies) != 2 {
			t.Errorf("%+v %v", x, err)
		}
		policy(`kind: [`, 1)
		h.readable(h.guest, i, "1", false)
	})
}

// A warm read asks the database nothing; a cold one once for the manifest and once for its evidence.
func TestStatementsOfARead(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := h.image(repo, "1", "one"), signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		h.sign(repo, i.digest, s)
		var r db.Recorder
		read := func(ref registry.Reference) []string {
			h.db.Record(&r)
			defer h.db.Record(nil)
			_, err := h.reg.Manifest(h.guest, repo, ref, false)
			h.must(err)
			return r.Take()
		}
		read(registry.Reference{Digest: i.digest}) // the project's documents
		h.put("team/other", "x", ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}, ocispec.MediaTypeImageIndex)
		if warm := read(registry.Reference{Digest: i.digest}); len(warm) != 0 {
			t.Errorf("a warm read asks %d times: %q", len(warm), warm)
		}
		h.image(repo, "2", "two") // what was decided of the repository is over
		if cold := read(registry.Reference{Digest: i.digest}); len(cold) > 2 {
			t.Errorf("a cold read asks %d times: %q", len(cold), cold)
		}
		h.db.Record(&r)
		_, err := h.reg.StatBlob(h.guest, repo, i.layer, false)
		h.db.Record(nil)
		h.must(err)
		if asked := slices.DeleteFunc(r.Take(), func(q string) bool {
			return !strings.Contains(q, "evidence") && !strings.Contains(q, "manifest_reference")
		}); len(asked) != 0 {
			t.Errorf("a layer of what was just pulled is decided on anew: %q", asked)
		}
	})
}

// A layer that more manifests use than are looked at: what is trusted stays readable, and what is not does not become so.
func TestSharedLayer(t *testing.T) {
	eachHub(t, func(h *hub) {
		s := signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		layer := as(ocispec.MediaTypeImageLayer, h.blob(repo, []byte("base")))
		image := func(n int) digest.Digest {
			config := h.blob(repo, fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","n":%d}`, n))
			return h.put(repo, "", ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
				Config: as(ocispec.MediaTypeImageConfig, config), Layers: []ocispec.Descriptor{layer}}, ocispec.MediaTypeImageManifest)
		}
		signed := image(0)
		h.sign(repo, signed, s)
		for n := range 40 {
			image(n + 1)
		}
		if got := h.blobCode(h.guest, repo, layer.Digest); got != "" {
			t.Errorf("a base layer of a signed image: %q", got)
		}
		// The config of a refused image does not become readable by being listed in many things like signatures.
		refused := h.image(repo, "refused", "refused")
		for n := range 40 {
			h.attach(repo, refused.digest, fmt.Appendf(nil, `{"n":%d}`, n), as(typeBundle, ocispec.Descriptor{Digest: refused.config, Size: 100}))
		}
		h.readable(h.guest, refused, "refused", false)
	})
}
