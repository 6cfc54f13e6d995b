package registry

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"
)

// Unsupported refuses everything. Security wrappers embed it, and never the registry they wrap, so that a verb that is
// added later is refused until somebody has thought about it.
type Unsupported struct{}

var _ Registry = Unsupported{}

func refused(verb string) error {
	return NewError(CodeUnsupported, "this registry does not support "+verb+".")
}

func (Unsupported) Manifest(context.Context, string, Reference, bool) (*Manifest, error) {
	return nil, refused("reading manifests")
}

func (Unsupported) Blob(context.Context, string, digest.Digest) (*Blob, error) {
	return nil, refused("reading blobs")
}

func (Unsupported) StatBlob(context.Context, string, digest.Digest, bool) (int64, error) {
	return 0, refused("reading blobs")
}

func (Unsupported) MayPush(context.Context, string) error { return refused("pushing") }

func (Unsupported) PutManifest(context.Context, string, ManifestPut) (*Manifest, error) {
	return nil, refused("pushing manifests")
}

func (Unsupported) MountBlob(context.Context, string, digest.Digest, MountSource) (int64, error) {
	return 0, refused("mounting blobs")
}

func (Unsupported) StartUpload(context.Context, string, digest.Algorithm) (Upload, error) {
	return Upload{}, refused("uploads")
}

func (Unsupported) Upload(context.Context, string, string) (Upload, error) {
	return Upload{}, refused("uploads")
}

func (Unsupported) AppendUpload(context.Context, string, string, int64, io.Reader) (Upload, error) {
	return Upload{}, refused("uploads")
}

func (Unsupported) FinishUpload(context.Context, string, string, int64, io.Reader, digest.Digest) (int64, error) {
	return 0, refused("uploads")
}

func (Unsupported) CancelUpload(context.Context, string, string) error { return refused("uploads") }

func (Unsupported) DeleteManifest(context.Context, string, digest.Digest) error {
	return refused("deleting manifests")
}

func (Unsupported) DeleteTag(context.Context, string, string) error { return refused("deleting tags") }

func (Unsupported) DeleteBlob(context.Context, string, digest.Digest) error {
	return refused("deleting blobs")
}

func (Unsupported) Repositories(context.Context, RepositoryQuery) (Page, error) {
	return Page{}, refused("listing repositories")
}

func (Unsupported) Tags(context.Context, string, string, int) (Page, error) {
	return Page{}, refused("listing tags")
}

func (Unsupported) Referrers(context.Context, string, digest.Digest, ReferrerQuery) (ReferrerPage, error) {
	return ReferrerPage{}, refused("listing referrers")
}
