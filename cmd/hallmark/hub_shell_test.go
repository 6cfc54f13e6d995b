package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/remote"
)

// newHubShell is a shell at a whole hub, in an empty directory, with a project that asks for signatures.
func newHubShell(t *testing.T) *shell {
	t.Helper()
	t.Chdir(t.TempDir())
	s := &shell{t: t, hub: startHub(t), env: map[string]string{"XDG_CONFIG_HOME": t.TempDir(), passwordVariable: "secret"}}
	srv := httptest.NewServer(s.hub.public)
	t.Cleanup(srv.Close)
	s.address = srv.URL
	s.login()
	s.must("", "create", "project", "team", "--public", "--baseline", "enforce")
	return s
}

func (s *shell) host() string { return strings.TrimPrefix(s.address, "http://") }

// anybody is the hub's registry for who has not logged in.
func (s *shell) anybody() *remote.Registry {
	s.t.Helper()
	u, err := url.Parse(s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	reg, err := remote.New(u, remote.Options{PlainHTTP: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return reg
}

func (s *shell) put(repository, mediaType string, m any, tags ...string) ocispec.Descriptor {
	s.t.Helper()
	payload, err := json.Marshal(m)
	if err != nil {
		s.t.Fatal(err)
	}
	d := digest.FromBytes(payload)
	ctx := core.WithPrincipal(s.t.Context(), core.System())
	if _, err := s.hub.registry.PutManifest(ctx, repository, registry.ManifestPut{Digest: d, MediaType: mediaType, Payload: payload, Tags: tags}); err != nil {
		s.t.Fatal(err)
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(payload))}
}

func (s *shell) image(repository, content string, tags ...string) ocispec.Descriptor {
	s.t.Helper()
	ctx := core.WithPrincipal(s.t.Context(), core.System())
	config, err := pushBytes(ctx, s.hub.registry, repository, ocispec.MediaTypeImageConfig, []byte(`{"os":"linux","of":"`+content+`"}`))
	if err != nil {
		s.t.Fatal(err)
	}
	layer, err := pushBytes(ctx, s.hub.registry, repository, ocispec.MediaTypeImageLayer, []byte("layer of "+content))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.put(repository, ocispec.MediaTypeImageManifest, ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{layer}}, tags...)
}

// pulls is what a pull of a manifest by somebody who only pulls ends with.
func (s *shell) pulls(repository string, d digest.Digest) error {
	_, err := s.anybody().Manifest(s.t.Context(), repository, registry.Reference{Digest: d}, false)
	return err
}

// evidence is what core/trust makes of all that refers to a digest.
func (s *shell) evidence(repository string, d digest.Digest, publicKey string) []core.Evidence {
	s.t.Helper()
	text, err := os.ReadFile(publicKey)
	if err != nil {
		s.t.Fatal(err)
	}
	key, err := trust.ParseKey(text)
	if err != nil {
		s.t.Fatal(err)
	}
	page, err := s.hub.registry.Referrers(core.WithPrincipal(s.t.Context(), core.System()), repository, d, registry.ReferrerQuery{N: 100})
	if err != nil {
		s.t.Fatal(err)
	}
	var all []core.Evidence
	for _, r := range page.Manifests {
		m, err := s.anybody().Manifest(s.t.Context(), repository, registry.Reference{Digest: r.Digest}, false)
		if err != nil {
			s.t.Fatal(err)
		}
		parsed, err := registry.ParseManifest(m.MediaType, m.Payload, registry.ManifestLimits{})
		if err != nil {
			s.t.Fatal(err)
		}
		items, err := trust.Read(s.t.Context(), r.Digest, parsed, func(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
			b, err := s.anybody().Blob(ctx, repository, d)
			if err != nil {
				return nil, err
			}
			return b.Content, nil
		})
		if err != nil {
			s.t.Fatal(err)
		}
		found, err := trust.NewVerifier([]*trust.Key{key}, nil).Verify(s.t.Context(), items)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}
