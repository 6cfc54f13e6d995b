package remote

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

func blobPath(repo string, d digest.Digest) (string, error) {
	return "/v2/" + repo + "/blobs/" + d.String(), checkDigest(repo, d)
}

// Blob is registry.Reader's. Content that is read from its start to its end is checked: if it is not what d names, the
// Read that would give the last bytes gives an error instead, with CodeDigestInvalid. What is read after a Seek
// elsewhere is not checked. A connection that breaks is taken up again where it broke. ctx has to last until Close.
// Content may be used by one goroutine at a time.
func (r *Registry) Blob(ctx context.Context, repo string, d digest.Digest) (*registry.Blob, error) {
	resp, err := r.getBlob(ctx, repo, d, 0)
	if err != nil {
		return nil, err
	}
	size := resp.ContentLength
	if size < 0 {
		if size, err = r.StatBlob(ctx, repo, d, false); err != nil {
			resp.Body.Close()
			return nil, err
		}
	}
	c := &content{ctx: ctx, r: r, repo: repo, digest: d, size: size, body: resp.Body, verifier: d.Algorithm().Hash()}
	return &registry.Blob{Digest: d, Size: size, Content: c}, nil
}

// getBlob asks for a blob from offset at on.
func (r *Registry) getBlob(ctx context.Context, repo string, d digest.Digest, at int64) (*http.Response, error) {
	path, err := blobPath(repo, d)
	if err != nil {
		return nil, err
	}
	c := &call{method: http.MethodGet, path: path, header: http.Header{}, scope: pull(repo), repeat: always,
		unknown: registry.CodeBlobUnknown, invalid: registry.CodeBlobUnknown}
	if at > 0 {
		c.header.Set("Range", "bytes="+strconv.FormatInt(at, 10)+"-")
	}
	return r.do(ctx, c)
}

// StatBlob is registry.Reader's. keep adds nothing: the other side sees the request in any case.
func (r *Registry) StatBlob(ctx context.Context, repo string, d digest.Digest, _ bool) (int64, error) {
	path, err := blobPath(repo, d)
	if err != nil {
		return 0, err
	}
	resp, err := r.do(ctx, &call{method: http.MethodHead, path: path, scope: pull(repo), repeat: always,
		unknown: registry.CodeBlobUnknown, invalid: registry.CodeBlobUnknown})
	if err != nil {
		return 0, err
	}
	discard(resp)
	said, err := registry.ParseDigest(resp.Header.Get("Docker-Content-Digest"))
	switch {
	case err == nil && said != d && said.Algorithm() == d.Algorithm():
		return 0, refusal(registry.CodeDigestInvalid, "%s, asked for blob %s, speaks of %s.", r.Host(), d, said)
	case resp.ContentLength < 0:
		return 0, refusal(registry.CodeSizeInvalid, "%s does not say how large blob %s is.", r.Host(), d)
	}
	return resp.ContentLength, nil
}

// DeleteBlob is registry.Deleter's. Whether a blob that is in use is refused is up to the other side.
func (r *Registry) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	path, err := blobPath(repo, d)
	if err != nil {
		return err
	}
	return r.delete(ctx, path, repo, registry.CodeBlobUnknown)
}

// MountBlob is registry.Writer's. The source must be named: which repository the other side would take on its own cannot
// be asked of Allowed, so that is CodeBlobUnknown without a request. The other side decides as well, with its own rights.
func (r *Registry) MountBlob(ctx context.Context, repo string, d digest.Digest, from registry.MountSource) (int64, error) {
	if err := checkDigest(repo, d); err != nil {
		return 0, err
	}
	unknown := refusal(registry.CodeBlobUnknown, "%s cannot be mounted from another repository of %s. Upload it.", d, r.Host())
	if !registry.ValidName(from.Repository) || from.Allowed == nil || !from.Allowed(ctx, from.Repository) {
		return 0, unknown
	}
	resp, err := r.do(ctx, &call{
		method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/",
		query:   url.Values{"mount": {d.String()}, "from": {from.Repository}},
		scope:   append(push(repo), pull(from.Repository)...),
		body:    nothing,
		unknown: registry.CodeBlobUnknown, invalid: registry.CodeBlobUnknown,
	})
	switch registry.CodeOf(err) {
	case "":
	case registry.CodeDenied, registry.CodeUnsupported, registry.CodeNameUnknown:
		return 0, unknown
	default:
		return 0, err
	}
	defer discard(resp)
	if resp.StatusCode != http.StatusCreated {
		// It began an upload instead, which nobody will use. If it cannot be taken back, it will run out.
		if at, err := r.uploadTarget(resp); err == nil {
			_ = r.cancel(ctx, repo, at)
		}
		return 0, unknown
	}
	return r.StatBlob(ctx, repo, d, false)
}
