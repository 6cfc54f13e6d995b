package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

// nothing is an empty body, which is said to be one: some registries want to read Content-Length: 0.
func nothing() (io.ReadCloser, int64) { return http.NoBody, 0 }

// MayPush is registry.Writer's. The other side says it when something is pushed.
func (r *Registry) MayPush(context.Context, string) error { return nil }

// StartUpload is registry.Writer's. Whether the other side can name a blob by another algorithm than sha256 shows only
// when the upload is finished.
func (r *Registry) StartUpload(ctx context.Context, repo string, alg digest.Algorithm) (registry.Upload, error) {
	if err := checkName(repo); err != nil {
		return registry.Upload{}, err
	}
	query := url.Values{}
	switch {
	case alg == "" || alg == digest.SHA256:
	case registry.ValidAlgorithm(alg):
		query.Set("digest-algorithm", string(alg))
	default:
		return registry.Upload{}, registry.NewError(registry.CodeUnsupported, "Digests are sha256 or sha512.")
	}
	resp, err := r.do(ctx, &call{method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/", query: query,
		scope: push(repo), body: nothing, unknown: registry.CodeNameUnknown, invalid: registry.CodeBlobUploadInvalid})
	if err != nil {
		return registry.Upload{}, err
	}
	defer discard(resp)
	at, err := r.uploadTarget(resp)
	if err != nil {
		return registry.Upload{}, err
	}
	return r.uploads.add(repo, at).upload(), nil
}

// Upload is registry.Writer's.
func (r *Registry) Upload(ctx context.Context, repo, id string) (registry.Upload, error) {
	u, err := r.uploads.find(repo, id)
	if err != nil {
		return registry.Upload{}, err
	}
	select {
	case u.busy <- struct{}{}:
		defer func() { <-u.busy }()
		err = r.refresh(ctx, u)
	default: // somebody is at it: what is known is as good as what could be asked
	}
	return u.upload(), err
}

// AppendUpload is registry.Writer's. Bytes of which the other side has said that it has them count as received. It
// returns only when data is no longer read, which a cancelled context does not interrupt.
func (r *Registry) AppendUpload(ctx context.Context, repo, id string, at int64, data io.Reader) (registry.Upload, error) {
	u, err := r.uploads.take(ctx, repo, id)
	if err != nil {
		if u != nil {
			return u.upload(), err
		}
		return registry.Upload{}, err
	}
	defer u.release()
	if err := r.ready(ctx, u, at); err != nil {
		return u.upload(), err
	}
	err = r.patch(ctx, u, data)
	return u.upload(), err
}

// FinishUpload is registry.Writer's. CodeUnsupported says that the other side cannot name blobs by d's algorithm; the
// upload is gone then as well.
func (r *Registry) FinishUpload(ctx context.Context, repo, id string, at int64, data io.Reader, d digest.Digest) (int64, error) {
	if err := checkDigest(repo, d); err != nil {
		return 0, err
	}
	u, err := r.uploads.take(ctx, repo, id)
	if err != nil {
		return 0, err
	}
	defer u.release()
	if err := r.ready(ctx, u, at); err != nil {
		return 0, err
	}
	// Not all in one request: if data breaks off, what has arrived shall stay, and not be taken for the whole.
	if data != nil {
		if err := r.patch(ctx, u, data); err != nil {
			return 0, err
		}
	}
	return r.finish(ctx, u, d)
}

// finish closes an upload all of whose bytes have been sent.
func (r *Registry) finish(ctx context.Context, u *session, d digest.Digest) (int64, error) {
	at := *u.location
	if at.RawQuery != "" {
		at.RawQuery += "&"
	}
	at.RawQuery += "digest=" + url.QueryEscape(d.String())
	resp, err := r.do(ctx, &call{method: http.MethodPut, at: &at, scope: push(u.repo), body: nothing,
		header:  http.Header{"Content-Type": {"application/octet-stream"}},
		unknown: registry.CodeBlobUploadUnknown, invalid: registry.CodeDigestInvalid})
	if err != nil {
		return 0, r.unfinished(ctx, u, err)
	}
	defer discard(resp)
	r.uploads.remove(u)
	said := resp.Header.Get("Docker-Content-Digest")
	switch {
	case resp.StatusCode != http.StatusCreated:
		return 0, refusal(registry.CodeUnavailable, "%s answers the end of an upload with %d.", r.Host(), resp.StatusCode)
	case said == "" || said == d.String():
		return u.size.Load(), nil
	case d.Algorithm() != digest.SHA256 && strings.HasPrefix(said, "sha256:"):
		return 0, r.onlySHA256(d.Algorithm(), "blobs")
	}
	return 0, refusal(registry.CodeDigestInvalid, "%s says that it stored %s instead of blob %s.", r.Host(), clean(said), d)
}

// unfinished decides what becomes of an upload whose end was refused.
func (r *Registry) unfinished(ctx context.Context, u *session, err error) error {
	switch registry.CodeOf(err) {
	case registry.CodeDigestInvalid, registry.CodeSizeInvalid, registry.CodeBlobUploadInvalid, registry.CodeUnsupported:
		// Most registries have forgotten it by now; those that have not are asked to, and would time it out.
		r.uploads.remove(u)
		_ = r.cancel(ctx, u.repo, u.location)
	case registry.CodeBlobUploadUnknown:
		r.uploads.remove(u)
	default:
		u.stale = true
	}
	return err
}

// CancelUpload is registry.Writer's.
func (r *Registry) CancelUpload(ctx context.Context, repo, id string) error {
	u, err := r.uploads.take(ctx, repo, id)
	if err != nil {
		return err
	}
	defer u.release()
	if u.stale {
		if err := r.refresh(ctx, u); err != nil {
			return err
		}
	}
	err = r.cancel(ctx, repo, u.location)
	switch registry.CodeOf(err) {
	case "", registry.CodeBlobUploadUnknown, registry.CodeUnsupported: // those who cannot cancel forget in time
		r.uploads.remove(u)
		return nil
	}
	return err
}

func (r *Registry) cancel(ctx context.Context, repo string, at *url.URL) error {
	resp, err := r.do(ctx, &call{method: http.MethodDelete, at: at, scope: push(repo), repeat: ifRefused,
		unknown: registry.CodeBlobUploadUnknown, invalid: registry.CodeBlobUploadUnknown})
	if err == nil {
		discard(resp)
	}
	return err
}

// ready brings a session up to date, and checks the offset at which somebody wants to go on.
func (r *Registry) ready(ctx context.Context, u *session, at int64) error {
	if u.stale {
		if err := r.refresh(ctx, u); err != nil {
			return err
		}
	}
	if at >= 0 && at != u.size.Load() {
		return u.misplaced("The upload stands at " + strconv.FormatInt(u.size.Load(), 10) + ".")
	}
	return nil
}

// refresh asks the other side how far an upload has come, and where it goes on.
func (r *Registry) refresh(ctx context.Context, u *session) error {
	resp, err := r.do(ctx, &call{method: http.MethodGet, at: u.location, scope: push(u.repo), repeat: always,
		unknown: registry.CodeBlobUploadUnknown, invalid: registry.CodeBlobUploadUnknown})
	if err != nil {
		if registry.CodeOf(err) == registry.CodeBlobUploadUnknown {
			r.uploads.remove(u)
		}
		return err
	}
	defer discard(resp)
	if err := r.moved(u, resp); err != nil {
		return err
	}
	u.size.Store(arrived(resp, u.size.Load()))
	u.stale = false
	return nil
}

// moved takes the address of the next request from an answer.
func (r *Registry) moved(u *session, resp *http.Response) error {
	if resp.Header.Get("Location") == "" {
		return nil
	}
	at, err := r.uploadTarget(resp)
	if err != nil {
		return err
	}
	u.location = at
	return nil
}

// arrived reads how many bytes an answer says have arrived. "0-0" is said of one byte and, by many, of none: known,
// which is what was acknowledged before, decides. If it was in fact one, the digest will tell.
func arrived(resp *http.Response, known int64) int64 {
	_, end, ok := strings.Cut(resp.Header.Get("Range"), "-")
	last, err := strconv.ParseInt(end, 10, 64)
	switch {
	case !ok || err != nil || last < 0:
		return known
	case last == 0 && known <= 1:
		return known
	case last == 0:
		return 0
	}
	return last + 1
}

// patch sends the bytes of data to where the session stands.
func (r *Registry) patch(ctx context.Context, u *session, data io.Reader) error {
	body, err := newBody(data)
	if err != nil || body == nil {
		return err
	}
	before := u.size.Load()
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	if body.length > 0 {
		header.Set("Content-Range", strconv.FormatInt(before, 10)+"-"+strconv.FormatInt(before+body.length-1, 10))
	}
	resp, err := r.do(ctx, &call{method: http.MethodPatch, at: u.location, scope: push(u.repo), header: header, stream: true,
		body: body.once, unknown: registry.CodeBlobUploadUnknown, invalid: registry.CodeBlobUploadInvalid})
	sent, broken := body.wait()
	if err != nil {
		return errors.Join(r.interrupted(ctx, u, err), broken)
	}
	defer discard(resp)
	if err := r.moved(u, resp); err != nil {
		return errors.Join(err, broken)
	}
	u.size.Store(arrived(resp, before+sent))
	if now := u.size.Load(); now != before+sent {
		return errors.Join(u.misplaced("The upload stands at "+strconv.FormatInt(now, 10)+"."), broken)
	}
	return broken
}

// interrupted decides what becomes of an upload a part of which was not accepted.
func (r *Registry) interrupted(ctx context.Context, u *session, err error) error {
	u.stale = true
	switch registry.CodeOf(err) {
	case registry.CodeBlobUploadUnknown:
		r.uploads.remove(u)
	case registry.CodeRangeInvalid:
		if again := r.refresh(ctx, u); again != nil {
			return again
		}
		return u.misplaced("The upload stands at " + strconv.FormatInt(u.size.Load(), 10) + ".")
	}
	return err
}
