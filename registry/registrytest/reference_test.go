package registrytest_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/registrytest"
)

// TestReference shows that the contract can be kept, all of it: by maps under one lock. It tests the suite and nothing
// else; everywhere else SQLite in a temporary directory is the fake.
func TestReference(t *testing.T) {
	registrytest.Run(t, registrytest.Subject{
		Open: func(*testing.T) registry.Registry {
			return &reference{repos: map[string]*repository{}, uploads: map[string]*upload{}}
		},
		Ctx: func(ctx context.Context, principal string) context.Context {
			return context.WithValue(ctx, principalKey{}, principal)
		},
	})
}

type principalKey struct{}

func principal(ctx context.Context) any { return ctx.Value(principalKey{}) }

type reference struct {
	mu      sync.Mutex
	repos   map[string]*repository
	uploads map[string]*upload
	ids     int
}

type repository struct {
	blobs     map[digest.Digest][]byte
	manifests map[digest.Digest]*stored
	tags      map[string]digest.Digest
}

type stored struct {
	registry.Manifest
	parsed *registry.ParsedManifest
}

type upload struct {
	repo string
	by   any
	data []byte
	busy bool
}

func no(code registry.Code, format string, args ...any) error {
	return registry.NewError(code, fmt.Sprintf(format, args...))
}

// repo returns a repository to write to.
func (r *reference) repo(ctx context.Context, name string) (*repository, error) {
	if !registry.ValidName(name) {
		return nil, no(registry.CodeNameInvalid, "not a name")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.repos[name] == nil {
		r.repos[name] = &repository{blobs: map[digest.Digest][]byte{}, manifests: map[digest.Digest]*stored{},
			tags: map[string]digest.Digest{}}
	}
	return r.repos[name], nil
}

// known returns a repository to read from.
func (r *reference) known(name string) (*repository, error) {
	if r.repos[name] == nil {
		return nil, no(registry.CodeNameUnknown, "no such repository")
	}
	return r.repos[name], nil
}

func (r *reference) Manifest(_ context.Context, repo string, ref registry.Reference, _ bool) (*registry.Manifest, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, err := r.known(repo)
	if err != nil {
		return nil, err
	}
	m := known.manifests[cmp.Or(ref.Digest, known.tags[ref.Tag])]
	if m == nil {
		return nil, no(registry.CodeManifestUnknown, "no such manifest")
	}
	return &m.Manifest, nil
}

func (r *reference) blob(repo string, d digest.Digest) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, err := r.known(repo)
	if err != nil {
		return nil, err
	}
	data, ok := known.blobs[d]
	if !ok {
		return nil, no(registry.CodeBlobUnknown, "no such blob")
	}
	return data, nil
}

type closing struct{ *bytes.Reader }

func (closing) Close() error { return nil }

func (r *reference) Blob(_ context.Context, repo string, d digest.Digest) (*registry.Blob, error) {
	data, err := r.blob(repo, d)
	if err != nil {
		return nil, err
	}
	return &registry.Blob{Digest: d, Size: int64(len(data)), Content: closing{bytes.NewReader(data)}}, nil
}

func (r *reference) StatBlob(_ context.Context, repo string, d digest.Digest, _ bool) (int64, error) {
	data, err := r.blob(repo, d)
	return int64(len(data)), err
}

func (r *reference) MayPush(context.Context, string) error { return nil }

func (r *reference) PutManifest(ctx context.Context, repo string, put registry.ManifestPut) (*registry.Manifest, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, err := r.repo(ctx, repo)
	if err != nil {
		return nil, err
	}
	for _, tag := range put.Tags {
		if !registry.ValidTag(tag) {
			return nil, no(registry.CodeTagInvalid, "not a tag")
		}
	}
	if put.MediaType == "" {
		return nil, no(registry.CodeManifestInvalid, "no media type")
	}
	parsed, err := registry.ParseManifest(put.MediaType, put.Payload, registry.ManifestLimits{})
	if err != nil {
		return nil, err
	}
	d, err := registry.ParseDigest(cmp.Or(put.Digest, digest.FromBytes(put.Payload)).String())
	if err != nil {
		return nil, err
	}
	if d.Algorithm().FromBytes(put.Payload) != d {
		return nil, no(registry.CodeDigestInvalid, "another digest")
	}
	if err := known.complete(parsed); err != nil {
		return nil, err
	}
	m := &stored{registry.Manifest{Digest: d, MediaType: parsed.MediaType, Payload: bytes.Clone(put.Payload)}, parsed}
	if parsed.Subject != nil {
		m.Subject = parsed.Subject.Digest
	}
	known.manifests[d] = m
	for _, tag := range put.Tags {
		known.tags[tag] = d
	}
	return &m.Manifest, nil
}

func (r *repository) complete(m *registry.ParsedManifest) error {
	for _, d := range m.Blobs() {
		if _, ok := r.blobs[d.Digest]; !ok {
			return no(registry.CodeManifestBlobUnknown, "%s is missing", d.Digest)
		}
	}
	for _, d := range m.Children() {
		if r.manifests[d.Digest] == nil {
			return no(registry.CodeManifestBlobUnknown, "%s is missing", d.Digest)
		}
	}
	return nil
}

func (r *reference) MountBlob(ctx context.Context, repo string, d digest.Digest, from registry.MountSource) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, err := r.repo(ctx, repo)
	if err != nil {
		return 0, err
	}
	for name, source := range r.repos {
		data, ok := source.blobs[d]
		if !ok || from.Repository != "" && name != from.Repository || from.Allowed == nil || !from.Allowed(ctx, name) {
			continue
		}
		known.blobs[d] = data
		return int64(len(data)), nil
	}
	return 0, no(registry.CodeBlobUnknown, "nothing to mount")
}

func (r *reference) StartUpload(ctx context.Context, repo string, alg digest.Algorithm) (registry.Upload, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.repo(ctx, repo); err != nil {
		return registry.Upload{}, err
	}
	if alg != "" && !registry.ValidAlgorithm(alg) {
		return registry.Upload{}, no(registry.CodeUnsupported, "unknown algorithm")
	}
	r.ids++
	id := fmt.Sprintf("upload-%04d", r.ids)
	r.uploads[id] = &upload{repo: repo, by: principal(ctx)}
	return registry.Upload{ID: id}, nil
}

// find returns an upload of this repository and principal.
func (r *reference) find(ctx context.Context, repo, id string) (*upload, error) {
	u := r.uploads[id]
	if u == nil || u.repo != repo || u.by != principal(ctx) {
		return nil, no(registry.CodeBlobUploadUnknown, "no such upload")
	}
	return u, nil
}

func (r *reference) Upload(ctx context.Context, repo, id string) (registry.Upload, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u, err := r.find(ctx, repo, id)
	if err != nil {
		return registry.Upload{}, err
	}
	return registry.Upload{ID: id, Size: int64(len(u.data))}, nil
}

// receive adds bytes; the caller ends the upload or sets busy to false.
func (r *reference) receive(ctx context.Context, repo, id string, at int64, data io.Reader) (*upload, registry.Upload, error) {
	r.mu.Lock()
	u, err := r.find(ctx, repo, id)
	if err != nil {
		r.mu.Unlock()
		return nil, registry.Upload{}, err
	}
	state := registry.Upload{ID: id, Size: int64(len(u.data))}
	if u.busy || at >= 0 && at != state.Size {
		r.mu.Unlock()
		return nil, state, &registry.Error{Code: registry.CodeRangeInvalid, Message: "not there", Upload: &state}
	}
	u.busy = true
	r.mu.Unlock()
	got, err := io.ReadAll(data)
	r.mu.Lock()
	defer r.mu.Unlock()
	u.data = append(u.data, got...)
	state.Size = int64(len(u.data))
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		u.busy = false
	}
	return u, state, err
}

func (r *reference) AppendUpload(ctx context.Context, repo, id string, at int64, data io.Reader) (registry.Upload, error) {
	u, state, err := r.receive(ctx, repo, id, at, data)
	if err == nil {
		r.mu.Lock()
		u.busy = false
		r.mu.Unlock()
	}
	return state, err
}

func (r *reference) FinishUpload(ctx context.Context, repo, id string, at int64, data io.Reader, d digest.Digest) (int64, error) {
	if _, err := r.Upload(ctx, repo, id); err != nil {
		return 0, err
	}
	if _, err := registry.ParseDigest(d.String()); err != nil {
		return 0, err
	}
	u, state, err := r.receive(ctx, repo, id, at, data)
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.uploads, id)
	if d.Algorithm().FromBytes(u.data) != d {
		return 0, no(registry.CodeDigestInvalid, "another digest")
	}
	r.repos[repo].blobs[d] = u.data
	return state.Size, nil
}

func (r *reference) CancelUpload(ctx context.Context, repo, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.find(ctx, repo, id); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	delete(r.uploads, id)
	return nil
}

func (r *reference) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, err := r.known(repo)
	if err != nil {
		return err
	}
	if known.manifests[d] == nil {
		return no(registry.CodeManifestUnknown, "no such manifest")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	delete(known.manifests, d)
	maps.DeleteFunc(known.tags, func(_ string, to digest.Digest) bool { return to == d })
	return nil
}

func (r *reference) DeleteTag(ctx context.Context, repo, tag string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, err := r.known(repo)
	if err != nil {
		return err
	}
	if _, ok := known.tags[tag]; !ok {
		return no(registry.CodeManifestUnknown, "no such tag")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	delete(known.tags, tag)
	return nil
}

func (r *reference) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, err := r.known(repo)
	if err != nil {
		return err
	}
	if _, ok := known.blobs[d]; !ok {
		return no(registry.CodeBlobUnknown, "no such blob")
	}
	for _, m := range known.manifests {
		if slices.ContainsFunc(m.parsed.Blobs(), func(b ocispec.Descriptor) bool { return b.Digest == d }) {
			return no(registry.CodeDenied, "in use")
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	delete(known.blobs, d)
	return nil
}

// page cuts n names after a name out of all of them.
func page(names []string, after string, n int) registry.Page {
	slices.Sort(names)
	names = slices.DeleteFunc(names, func(name string) bool { return name <= after })
	if len(names) > n {
		return registry.Page{Names: names[:n], More: n > 0}
	}
	return registry.Page{Names: names}
}

func (r *reference) Repositories(_ context.Context, q registry.RepositoryQuery) (registry.Page, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := slices.DeleteFunc(slices.Collect(maps.Keys(r.repos)), func(name string) bool {
		project, _, _ := strings.Cut(name, "/")
		return !q.All && !slices.Contains(q.Projects, project) || q.Match != nil && !q.Match(name)
	})
	return page(names, q.After, q.N), nil
}

func (r *reference) Tags(_ context.Context, repo, after string, n int) (registry.Page, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, err := r.known(repo)
	if err != nil {
		return registry.Page{}, err
	}
	return page(slices.Collect(maps.Keys(known.tags)), after, n), nil
}

func (r *reference) Referrers(_ context.Context, repo string, d digest.Digest, q registry.ReferrerQuery) (registry.ReferrerPage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, err := r.known(repo)
	if err != nil {
		return registry.ReferrerPage{}, nil
	}
	entries := map[string]ocispec.Descriptor{}
	for _, m := range known.manifests {
		if m.Subject == d {
			entries[m.Digest.String()] = m.parsed.Referrer(m.Digest, int64(len(m.Payload)))
		}
	}
	known.merge(d, entries)
	maps.DeleteFunc(entries, func(_ string, e ocispec.Descriptor) bool {
		return q.ArtifactType != "" && e.ArtifactType != q.ArtifactType
	})
	names := page(slices.Collect(maps.Keys(entries)), q.After, q.N)
	var out registry.ReferrerPage
	for _, name := range names.Names {
		out.Manifests = append(out.Manifests, entries[name])
	}
	if names.More {
		out.Next = names.Names[len(names.Names)-1]
	}
	return out, nil
}

// merge adds what a fallback list names and is still there.
func (r *repository) merge(subject digest.Digest, entries map[string]ocispec.Descriptor) {
	if _, err := registry.ParseDigest(subject.String()); err != nil {
		return
	}
	m := r.manifests[r.tags[registry.FallbackTag(subject)]]
	var index ocispec.Index
	if m == nil || json.Unmarshal(m.Payload, &index) != nil {
		return
	}
	for _, e := range index.Manifests {
		if _, twice := entries[e.Digest.String()]; !twice && r.manifests[e.Digest] != nil {
			entries[e.Digest.String()] = e
		}
	}
}
