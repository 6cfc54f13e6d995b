package registry

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Registry is one OCI registry. A policy (who may, what is admitted) is a wrapper around it. Implementations are safe
// for concurrent use. Errors are *Error with a code of errors.go wherever a client is to learn something; any other
// error is internal and never shown.
//
// Repository names are whole ("project/team/app"), valid by ValidName, and never short.
type Registry interface {
	Reader
	Writer
	Deleter
	Lister
}

// Reader reads content of a repository. Content that is not linked to that repository does not exist for it.
type Reader interface {
	// Manifest returns a manifest by tag or digest, bytes included. keep says that the caller is about to push
	// something that refers to it, so that it must not be collected for a lease's time.
	// Errors: CodeManifestUnknown, CodeNameUnknown.
	Manifest(ctx context.Context, repo string, ref Reference, keep bool) (*Manifest, error)

	// Blob opens a blob. The caller closes its Content. Errors: CodeBlobUnknown, CodeNameUnknown.
	Blob(ctx context.Context, repo string, d digest.Digest) (*Blob, error)

	// StatBlob says whether a blob is there and how large it is. keep as for Manifest.
	StatBlob(ctx context.Context, repo string, d digest.Digest, keep bool) (int64, error)
}

// Writer pushes. An upload belongs to the repository and to the principal that started it; for anybody else it does
// not exist (CodeBlobUploadUnknown).
type Writer interface {
	// MayPush says whether the principal of the context may push to a repository at all, before anything is received
	// for it. The verbs below decide for themselves all the same; a registry without rights of its own says yes.
	MayPush(ctx context.Context, repo string) error

	// PutManifest stores a manifest and points tags at it, all of them or none. Whatever the manifest refers to
	// must be linked to the repository before (CodeManifestBlobUnknown names what is missing); its subject need not.
	PutManifest(ctx context.Context, repo string, put ManifestPut) (*Manifest, error)

	// MountBlob links a blob of another repository to this one, without bytes. If it cannot be had there
	// the error is CodeBlobUnknown, whatever the reason: a caller then uploads.
	MountBlob(ctx context.Context, repo string, d digest.Digest, from MountSource) (int64, error)

	// StartUpload begins an upload. alg is the algorithm the digest will have, sha256 if empty.
	StartUpload(ctx context.Context, repo string, alg digest.Algorithm) (Upload, error)

	// Upload tells how far an upload has come.
	Upload(ctx context.Context, repo, id string) (Upload, error)

	// AppendUpload adds the bytes of r at offset at, which must be the upload's size (CodeRangeInvalid, and the
	// Upload returned tells the right one); at < 0 means wherever it ends. Bytes that arrived before r failed stay
	// received. A second writer on the same upload is refused with CodeRangeInvalid as well.
	AppendUpload(ctx context.Context, repo, id string, at int64, r io.Reader) (Upload, error)

	// FinishUpload adds the bytes of r, like AppendUpload, and makes the whole a blob of the repository, durable
	// when it returns. CodeDigestInvalid if the bytes do not have digest d: the upload is gone then.
	FinishUpload(ctx context.Context, repo, id string, at int64, r io.Reader, d digest.Digest) (int64, error)

	// CancelUpload forgets an upload and its bytes.
	CancelUpload(ctx context.Context, repo, id string) error
}

// Deleter removes. Bytes go later, by garbage collection.
type Deleter interface {
	// DeleteManifest removes a manifest and every tag that points at it from the repository.
	DeleteManifest(ctx context.Context, repo string, d digest.Digest) error
	// DeleteTag removes a tag; the manifest stays.
	DeleteTag(ctx context.Context, repo, tag string) error
	// DeleteBlob unlinks a blob from the repository. A blob that a manifest there refers to is refused: CodeDenied.
	DeleteBlob(ctx context.Context, repo string, d digest.Digest) error
}

// Lister lists, page by page, in byte order of the names.
type Lister interface {
	Repositories(ctx context.Context, q RepositoryQuery) (Page, error)
	// Tags: CodeNameUnknown if there is no such repository.
	Tags(ctx context.Context, repo, after string, n int) (Page, error)
	// Referrers lists manifests of the repository whose subject is d. There is always an answer: a subject that
	// nobody refers to, or that is not there, has none.
	Referrers(ctx context.Context, repo string, d digest.Digest, q ReferrerQuery) (ReferrerPage, error)
}

// Reference names a manifest in a repository: a tag or a digest, exactly one of them.
type Reference struct {
	Tag    string
	Digest digest.Digest
}

func (r Reference) String() string {
	if r.Digest != "" {
		return r.Digest.String()
	}
	return r.Tag
}

// Manifest is a stored manifest. It is shared between requests: nobody may change it or its Payload.
type Manifest struct {
	Digest    digest.Digest
	MediaType string
	Payload   []byte        // byte for byte as it was pushed
	Subject   digest.Digest // what it refers to, or ""
	// Warnings are sentences for whoever reads it, sent as Warning headers. Only wrappers set them, in a copy.
	Warnings []string
}

// ManifestPut is one push of a manifest.
type ManifestPut struct {
	Digest    digest.Digest // what the client says it is; "" takes sha256 of the payload
	MediaType string        // Content-Type, without parameters
	Payload   []byte
	Tags      []string // may be empty when Digest is given
}

// Blob is an open blob: either Content or URL is set. With a URL the client is to be redirected there.
type Blob struct {
	Digest  digest.Digest
	Size    int64
	Content BlobContent
	URL     string
}

// BlobContent is seekable content of a blob. Local disk hands out an *os.File, so that a server may use sendfile.
type BlobContent interface {
	io.ReadSeekCloser
}

// MountSource says where a mount may take a blob from.
type MountSource struct {
	Repository string // "" means: from any repository that Allowed admits
	// Allowed is asked for each repository that has the blob; nil refuses all. The access wrapper sets it.
	Allowed func(ctx context.Context, repo string) bool
}

// Upload is the state of an upload session.
type Upload struct {
	ID   string
	Size int64 // bytes received, and so the offset of the next
}

// RepositoryQuery asks for a page of repositories. The zero value sees nothing: the access wrapper opens it.
type RepositoryQuery struct {
	After string
	N     int
	// All lists everything; else Public adds the public projects, and Projects the named ones.
	All      bool
	Public   bool
	Projects []string
	// Match, if set, is asked for each name besides.
	Match func(name string) bool
}

// Page is a page of names; More says that there are further ones after the last.
type Page struct {
	Names []string
	More  bool
}

// ReferrerQuery filters and pages referrers.
type ReferrerQuery struct {
	ArtifactType string
	After        string // opaque, ReferrerPage.Next of the page before
	N            int
}

// ReferrerPage is a page of referrers; Next is "" on the last one.
type ReferrerPage struct {
	Manifests []ocispec.Descriptor
	Next      string
}
