package gatekeeper_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/ledger"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
	"github.com/hallmarkhub/hallmark/migrations"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob/memory"
	"github.com/hallmarkhub/hallmark/registry/local"
)

const (
	typeBundle    = signertest.TypeBundle
	predicateSign = signertest.PredicateSign
	predicateSPDX = "https://spdx.dev/Document"
)

// hub is a registry behind the gate, with an owner who pushes and a guest who only pulls.
type hub struct {
	*testing.T
	db     *db.DB
	store  *store.Store
	dir    *store.Directory
	keeper *gatekeeper.Keeper
	local  *local.Registry
	blobs  *memory.Store
	signer *trust.Signer // the hub's own
	reg    registry.Registry
	below  *failing // what the gate stands in front of: the storage, or what between makes of it
	own    registry.Registry
	team   *core.Project

	between func(h *hub, dir *store.Directory, own registry.Registry) registry.Registry

	system, owner, guest context.Context

	noting *sync.Mutex
	noted  map[store.GateRead]int // what the audit trail would have
	by     core.PrincipalKind     // who was named with it last
}

func eachHub(t *testing.T, f func(h *hub)) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) { f(newHub(t, open(t))) })
}

func newHub(t *testing.T, d *db.DB) *hub {
	return newHubOn(t, d, func(_ *hub, _ *store.Directory, own registry.Registry) registry.Registry { return own })
}

// newHubOn makes a hub whose gate stands in front of what between makes of its storage.
func newHubOn(t *testing.T, d *db.DB, between func(h *hub, dir *store.Directory, own registry.Registry) registry.Registry) *hub {
	ctx := t.Context()
	h := &hub{T: t, db: d, system: core.WithPrincipal(ctx, core.System()), noting: &sync.Mutex{}, noted: map[store.GateRead]int{}}
	h.must(migrations.Up(ctx, d))
	secret, err := trust.NewSecret()
	h.must(err)
	h.signer, err = trust.LoadSigner(secret)
	h.must(err)
	h.between = between
	h.serve(memory.New(memory.Options{}))
	h.team = h.project("team", core.BaselineEnforce)
	h.owner, h.guest = h.member("olga", core.RoleOwner), h.member("gus", core.RoleGuest)
	return h
}

// serve starts what there is on the hub's database.
func (h *hub) serve(blobs *memory.Store) {
	h.Helper()
	h.blobs, h.store = blobs, store.New(h.db)
	h.dir = store.NewDirectory(h.store)
	h.local, h.keeper = h.process(h.db, h.store, h.dir)
	h.reg = h.keeper.Wrap()
	h.must(h.db.Follow(h.Context()))
}

// process is a registry and a gate over a database and the blobs of h.
func (h *hub) process(d *db.DB, s *store.Store, dir *store.Directory) (*local.Registry, *gatekeeper.Keeper) {
	h.Helper()
	loc, err := local.New(d, h.blobs, local.Options{Record: ledger.Record})
	h.must(err)
	h.own, h.below = loc, &failing{Registry: h.between(h, dir, loc)}
	return loc, gatekeeper.New(h.below, gatekeeper.Options{Store: s, Directory: dir, Host: "hub.example",
		Attaching: &gatekeeper.Attaching{HubID: "the-hub", URL: "https://hub.example", Signer: h.signer, Put: loc.Attach, Remove: loc.Detach},
		Log:       slog.New(slog.NewTextHandler(io.Discard, nil)), Note: func(ctx context.Context, read store.GateRead) {
			h.noting.Lock()
			defer h.noting.Unlock()
			h.noted[read]++
			h.by = core.PrincipalFrom(ctx).Kind
		}})
}

func (h *hub) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *hub) project(name string, b core.Baseline) *core.Project {
	h.Helper()
	p, err := h.store.CreateProject(h.system, store.NewProject{Name: name, Visibility: core.Public, Baseline: b})
	h.must(err)
	return p
}

// member is a context in which a new user with a role in team asks.
func (h *hub) member(name string, role core.Role) context.Context {
	h.Helper()
	a, err := h.store.CreateAccount(h.system, store.NewAccount{Username: name, PasswordHash: "hash"})
	h.must(err)
	_, _, err = h.store.PutMember(h.system, h.team, name, role, 0)
	h.must(err)
	return core.WithPrincipal(h.Context(), &core.Principal{Kind: core.KindUser, ID: a.ID, Name: name})
}

// blob pushes bytes.
func (h *hub) blob(repo string, data []byte) ocispec.Descriptor {
	h.Helper()
	d := digest.FromBytes(data)
	u, err := h.reg.StartUpload(h.owner, repo, "")
	h.must(err)
	_, err = h.reg.FinishUpload(h.owner, repo, u.ID, 0, bytes.NewReader(data), d)
	h.must(err)
	return ocispec.Descriptor{MediaType: "application/octet-stream", Digest: d, Size: int64(len(data))}
}

func as(mediaType string, d ocispec.Descriptor) ocispec.Descriptor {
	d.MediaType = mediaType
	return d
}

// put pushes a manifest.
func (h *hub) put(repo, tag string, m any, mediaType string) digest.Digest {
	h.Helper()
	d, err := h.tryPut(repo, tag, m, mediaType)
	h.must(err)
	return d
}

func (h *hub) tryPut(repo, tag string, m any, mediaType string) (digest.Digest, error) {
	h.Helper()
	b, err := json.Marshal(m)
	h.must(err)
	p := registry.ManifestPut{Digest: digest.FromBytes(b), MediaType: mediaType, Payload: b}
	if tag != "" {
		p.Tags = []string{tag}
	}
	_, err = h.reg.PutManifest(h.owner, repo, p)
	return p.Digest, err
}

// image is a pushed image.
type image struct {
	repo          string
	digest        digest.Digest
	config, layer digest.Digest
}

func (h *hub) image(repo, tag, content string) image {
	h.Helper()
	config := h.blob(repo, fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","of":%q}`, content))
	layer := h.blob(repo, []byte("layer of "+content))
	d := h.put(repo, tag, ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: as(ocispec.MediaTypeImageConfig, config), Layers: []ocispec.Descriptor{as(ocispec.MediaTypeImageLayer, layer)}},
		ocispec.MediaTypeImageManifest)
	return image{repo, d, config.Digest, layer.Digest}
}

// index pushes an index of images.
func (h *hub) index(repo, tag string, children ...digest.Digest) digest.Digest {
	h.Helper()
	var list []ocispec.Descriptor
	for _, c := range children {
		m, err := h.reg.Manifest(h.owner, repo, registry.Reference{Digest: c}, false)
		h.must(err)
		list = append(list, ocispec.Descriptor{MediaType: m.MediaType, Digest: c, Size: int64(len(m.Payload))})
	}
	return h.put(repo, tag, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: list},
		ocispec.MediaTypeImageIndex)
}

// register makes a key one whose signatures count in team.
func (h *hub) register(name string, a gatekeeper.Authority, revision int64) {
	h.Helper()
	doc, err := a.Document()
	h.must(err)
	_, _, err = h.store.PutTrustDocument(h.system, h.team, store.TrustAuthority, name, doc, revision)
	h.must(err)
}

// attach pushes content as cosign does: a manifest with an empty config and a subject.
func (h *hub) attach(repo string, subject digest.Digest, content []byte, more ...ocispec.Descriptor) digest.Digest {
	h.Helper()
	d, err := h.tryAttach(repo, subject, content, nil, more...)
	h.must(err)
	return d
}

func (h *hub) tryAttach(repo string, subject digest.Digest, content []byte, annotations map[string]string, more ...ocispec.Descriptor) (digest.Digest, error) {
	h.Helper()
	config := as("application/vnd.oci.empty.v1+json", h.blob(repo, []byte("{}")))
	layers := append([]ocispec.Descriptor{as(typeBundle, h.blob(repo, content))}, more...)
	return h.tryPut(repo, "", ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: typeBundle, Config: config, Layers: layers, Annotations: annotations,
		Subject: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 1}}, ocispec.MediaTypeImageManifest)
}

func (h *hub) sign(repo string, subject digest.Digest, s *signertest.Signer) digest.Digest {
	h.Helper()
	return h.attach(repo, subject, s.Bundle(subject, predicateSign, map[string]any{}))
}

// code is what reading a manifest ends with, which has to be the same by each way.
func (h *hub) code(ctx context.Context, repo, tag string, d digest.Digest) registry.Code {
	h.Helper()
	_, err := h.reg.Manifest(ctx, repo, registry.Reference{Digest: d}, false)
	code := registry.CodeOf(err)
	if tag != "" {
		if _, err := h.reg.Manifest(ctx, repo, registry.Reference{Tag: tag}, false); registry.CodeOf(err) != code {
			h.Errorf("by digest %q, by tag %v", code, err)
		}
	}
	return code
}

// readable checks that all of an image is, or nothing.
func (h *hub) readable(ctx context.Context, i image, tag string, want bool) {
	h.Helper()
	code := registry.Code("")
	if !want {
		code = registry.CodeDenied
	}
	if got := h.code(ctx, i.repo, tag, i.digest); got != code {
		h.Errorf("the manifest: %q, want %q", got, code)
	}
	for what, d := range map[string]digest.Digest{"config": i.config, "layer": i.layer} {
		if got := h.blobCode(ctx, i.repo, d); got != code {
			h.Errorf("the %s: %q, want %q", what, got, code)
		}
	}
}

// blobCode is what reading a blob ends with, and asking for it.
func (h *hub) blobCode(ctx context.Context, repo string, d digest.Digest) registry.Code {
	h.Helper()
	b, err := h.reg.Blob(ctx, repo, d)
	if err == nil && b.Content != nil {
		h.must(b.Content.Close())
	}
	if _, serr := h.reg.StatBlob(ctx, repo, d, false); registry.CodeOf(serr) != registry.CodeOf(err) {
		h.Errorf("GET %v, HEAD %v", err, serr)
	}
	return registry.CodeOf(err)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
