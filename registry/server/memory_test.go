package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

// memory is the smallest correct Registry: one lock around maps.
type memory struct {
	mu      sync.Mutex
	repos   map[string]*repo
	uploads map[string]*upload

	redirect string // if set, Blob answers with this URL
	fail     error  // if set, whatever is called answers with it
	denied   error  // if set, nobody may push
	kept     int    // calls with keep
}

type repo struct {
	manifests map[digest.Digest]*stored
	tags      map[string]digest.Digest
	blobs     map[digest.Digest][]byte
}

type stored struct {
	*registry.Manifest
	referrer ocispec.Descriptor
	blobs    []ocispec.Descriptor
}

type upload struct {
	repo string
	data bytes.Buffer
}

var _ registry.Registry = (*memory)(nil)

func newMemory() *memory { return &memory{repos: map[string]*repo{}, uploads: map[string]*upload{}} }

// use locks and finds a repository, which is created if it has to be there.
func (m *memory) use(name string, create bool) (*repo, func(), error) {
	m.mu.Lock()
	if m.fail != nil {
		defer m.mu.Unlock()
		return nil, nil, m.fail
	}
	r := m.repos[name]
	if r == nil && !create {
		defer m.mu.Unlock()
		return nil, nil, registry.NewError(registry.CodeNameUnknown, "There is no such repository.")
	}
	if r == nil {
		r = &repo{map[digest.Digest]*stored{}, map[string]digest.Digest{}, map[digest.Digest][]byte{}}
		m.repos[name] = r
	}
	return r, m.mu.Unlock, nil
}

func (m *memory) Manifest(_ context.Context, name string, ref registry.Reference, keep bool) (*registry.Manifest, error) {
	r, unlock, err := m.use(name, false)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if keep {
		m.kept++
	}
	if s := r.manifests[cmp.Or(ref.Digest, r.tags[ref.Tag])]; s != nil {
		return s.Manifest, nil
	}
	return nil, registry.NewError(registry.CodeManifestUnknown, "There is no such manifest.")
}

func (m *memory) blob(name string, d digest.Digest) ([]byte, error) {
	r, unlock, err := m.use(name, false)
	if err != nil {
		return nil, err
	}
	defer unlock()
	data, ok := r.blobs[d]
	if !ok {
		return nil, registry.NewError(registry.CodeBlobUnknown, "There is no such blob.")
	}
	return data, nil
}

type content struct{ *bytes.Reader }

func (content) Close() error { return nil }

func (m *memory) Blob(_ context.Context, name string, d digest.Digest) (*registry.Blob, error) {
	data, err := m.blob(name, d)
	if err != nil {
		return nil, err
	}
	b := &registry.Blob{Digest: d, Size: int64(len(data)), URL: m.redirect}
	if m.redirect == "" {
		b.Content = content{bytes.NewReader(data)}
	}
	return b, nil
}

func (m *memory) StatBlob(_ context.Context, name string, d digest.Digest, keep bool) (int64, error) {
	if keep {
		m.kept++
	}
	data, err := m.blob(name, d)
	return int64(len(data)), err
}

func (m *memory) MayPush(context.Context, string) error { return m.denied }

func (m *memory) PutManifest(_ context.Context, name string, put registry.ManifestPut) (*registry.Manifest, error) {
	parsed, err := registry.ParseManifest(put.MediaType, put.Payload, registry.ManifestLimits{})
	if err != nil {
		return nil, err
	}
	d := cmp.Or(put.Digest, digest.FromBytes(put.Payload))
	if d.Algorithm().FromBytes(put.Payload) != d {
		return nil, registry.NewError(registry.CodeDigestInvalid, "The manifest does not have this digest.")
	}
	r, unlock, err := m.use(name, true)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for _, b := range parsed.Blobs() {
		if _, ok := r.blobs[b.Digest]; !ok {
			return nil, &registry.Error{
				Code: registry.CodeManifestBlobUnknown, Message: "Push the blob first.", Detail: map[string]string{"digest": string(b.Digest)},
			}
		}
	}
	out := &registry.Manifest{Digest: d, MediaType: parsed.MediaType, Payload: put.Payload}
	if parsed.Subject != nil {
		out.Subject = parsed.Subject.Digest
	}
	r.manifests[d] = &stored{out, parsed.Referrer(d, int64(len(put.Payload))), parsed.Blobs()}
	for _, t := range put.Tags {
		r.tags[t] = d
	}
	return out, nil
}

func (m *memory) MountBlob(_ context.Context, name string, d digest.Digest, from registry.MountSource) (int64, error) {
	data, err := m.blob(from.Repository, d)
	switch {
	case m.fail != nil:
		return 0, m.fail
	case err != nil:
		return 0, registry.NewError(registry.CodeBlobUnknown, "It cannot be mounted.")
	}
	r, unlock, err := m.use(name, true)
	if err != nil {
		return 0, err
	}
	defer unlock()
	r.blobs[d] = data
	return int64(len(data)), nil
}

func (m *memory) StartUpload(_ context.Context, name string, _ digest.Algorithm) (registry.Upload, error) {
	_, unlock, err := m.use(name, true)
	if err != nil {
		return registry.Upload{}, err
	}
	defer unlock()
	id := rand.Text()
	m.uploads[id] = &upload{repo: name}
	return registry.Upload{ID: id}, nil
}

func (m *memory) upload(name, id string) (*upload, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	if u := m.uploads[id]; u != nil && u.repo == name {
		return u, nil
	}
	return nil, registry.NewError(registry.CodeBlobUploadUnknown, "There is no such upload.")
}

func (m *memory) Upload(_ context.Context, name, id string) (registry.Upload, error) {
	u, err := m.upload(name, id)
	if err != nil {
		return registry.Upload{}, err
	}
	return registry.Upload{ID: id, Size: int64(u.data.Len())}, nil
}

func (m *memory) AppendUpload(_ context.Context, name, id string, at int64, r io.Reader) (registry.Upload, error) {
	u, err := m.upload(name, id)
	if err != nil {
		return registry.Upload{}, err
	}
	state := registry.Upload{ID: id, Size: int64(u.data.Len())}
	if at >= 0 && at != state.Size {
		return state, registry.NewError(registry.CodeRangeInvalid, "The upload stands elsewhere.")
	}
	_, err = u.data.ReadFrom(r)
	state.Size = int64(u.data.Len())
	return state, err
}

func (m *memory) FinishUpload(ctx context.Context, name, id string, at int64, r io.Reader, d digest.Digest) (int64, error) {
	if _, err := m.AppendUpload(ctx, name, id, at, r); err != nil {
		return 0, err
	}
	u, err := m.upload(name, id)
	if err != nil {
		return 0, err
	}
	rep, unlock, err := m.use(name, true)
	if err != nil {
		return 0, err
	}
	defer unlock()
	delete(m.uploads, id)
	if d.Algorithm().FromBytes(u.data.Bytes()) != d {
		return 0, registry.NewError(registry.CodeDigestInvalid, "The blob does not have this digest.")
	}
	rep.blobs[d] = u.data.Bytes()
	return int64(u.data.Len()), nil
}

func (m *memory) CancelUpload(_ context.Context, name, id string) error {
	if _, err := m.upload(name, id); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.uploads, id)
	return nil
}

func (m *memory) DeleteManifest(_ context.Context, name string, d digest.Digest) error {
	r, unlock, err := m.use(name, false)
	if err != nil {
		return err
	}
	defer unlock()
	if r.manifests[d] == nil {
		return registry.NewError(registry.CodeManifestUnknown, "There is no such manifest.")
	}
	delete(r.manifests, d)
	maps.DeleteFunc(r.tags, func(_ string, to digest.Digest) bool { return to == d })
	return nil
}

func (m *memory) DeleteTag(_ context.Context, name, tag string) error {
	r, unlock, err := m.use(name, false)
	if err != nil {
		return err
	}
	defer unlock()
	if _, ok := r.tags[tag]; !ok {
		return registry.NewError(registry.CodeManifestUnknown, "There is no such tag.")
	}
	delete(r.tags, tag)
	return nil
}

func (m *memory) DeleteBlob(_ context.Context, name string, d digest.Digest) error {
	if _, err := m.blob(name, d); err != nil {
		return err
	}
	r, unlock, err := m.use(name, false)
	if err != nil {
		return err
	}
	defer unlock()
	for _, s := range r.manifests {
		if slices.ContainsFunc(s.blobs, func(b ocispec.Descriptor) bool { return b.Digest == d }) {
			return registry.NewError(registry.CodeDenied, "A manifest refers to it.")
		}
	}
	delete(r.blobs, d)
	return nil
}

func page(names []string, after string, n int) registry.Page {
	slices.Sort(names)
	names = slices.DeleteFunc(names, func(s string) bool { return s <= after })
	return registry.Page{Names: names[:min(n, len(names))], More: len(names) > n}
}

func (m *memory) Repositories(_ context.Context, q registry.RepositoryQuery) (registry.Page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return page(slices.Collect(maps.Keys(m.repos)), q.After, q.N), m.fail
}

func (m *memory) Tags(_ context.Context, name, after string, n int) (registry.Page, error) {
	r, unlock, err := m.use(name, false)
	if err != nil {
		return registry.Page{}, err
	}
	defer unlock()
	return page(slices.Collect(maps.Keys(r.tags)), after, n), nil
}

func (m *memory) Referrers(_ context.Context, name string, d digest.Digest, q registry.ReferrerQuery) (registry.ReferrerPage, error) {
	r, unlock, err := m.use(name, false)
	if err != nil {
		return registry.ReferrerPage{}, err
	}
	defer unlock()
	var out registry.ReferrerPage
	for _, k := range slices.Sorted(maps.Keys(r.manifests)) {
		s := r.manifests[k]
		if s.Subject == d && string(k) > q.After && (q.ArtifactType == "" || q.ArtifactType == s.referrer.ArtifactType) {
			if len(out.Manifests) == q.N {
				out.Next = string(out.Manifests[q.N-1].Digest)
				break
			}
			out.Manifests = append(out.Manifests, s.referrer)
		}
	}
	return out, nil
}

var errInternal = errors.New("SELECT secret FROM host-17: \x1b[31m")
