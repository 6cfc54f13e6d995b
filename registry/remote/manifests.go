package remote

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

// accepted is what we read. The last one is for registries that would answer 404 for what was not asked for.
func accepted() []string {
	return []string{ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, registry.MediaTypeDockerManifest,
		registry.MediaTypeDockerList, "*/*;q=0.1"}
}

// Manifest is registry.Reader's. Its bytes are those of the digest asked for or announced, and strict JSON of one kind
// (registry.ParseManifest): CodeDigestInvalid, CodeManifestInvalid and CodeTooLarge say that the other side sent
// something else. keep adds nothing: the other side sees a pull in any case.
func (r *Registry) Manifest(ctx context.Context, repo string, ref registry.Reference, _ bool) (*registry.Manifest, error) {
	m, _, err := r.manifest(ctx, repo, ref)
	return m, err
}

// manifest is Manifest, with the entity tag of the answer.
func (r *Registry) manifest(ctx context.Context, repo string, ref registry.Reference) (*registry.Manifest, string, error) {
	path, err := manifestPath(repo, ref)
	if err != nil {
		return nil, "", err
	}
	data, resp, err := r.fetch(ctx, &call{
		method: http.MethodGet, path: path, header: http.Header{"Accept": accepted()}, scope: pull(repo),
		repeat: always, unknown: registry.CodeManifestUnknown, invalid: registry.CodeManifestUnknown,
	}, maxManifest)
	if err != nil {
		return nil, "", err
	}
	d, err := r.named(ref, resp, data)
	if err != nil {
		return nil, "", err
	}
	parsed, err := registry.ParseManifest(contentType(resp), data, readLimits())
	if err != nil {
		return nil, "", fmt.Errorf("%s of %s on %s: %w", ref, repo, r.Host(), err)
	}
	m := &registry.Manifest{Digest: d, MediaType: parsed.MediaType, Payload: data}
	if parsed.Subject != nil {
		m.Subject = parsed.Subject.Digest
	}
	return m, resp.Header.Get("ETag"), nil
}

// readLimits are wider than those of a push: a fallback list of a popular image is long. The payload bounds them all.
func readLimits() registry.ManifestLimits {
	return registry.ManifestLimits{Payload: maxManifest, Layers: 20_000, Children: 20_000}
}

// named checks a manifest against its name (V-30) and returns its digest.
func (r *Registry) named(ref registry.Reference, resp *http.Response, data []byte) (digest.Digest, error) {
	want := ref.Digest
	if want == "" {
		// Which revision a tag has only the registry can say; if it does not, or says it in an algorithm of which
		// we know nothing, the bytes speak for themselves.
		said, err := registry.ParseDigest(resp.Header.Get("Docker-Content-Digest"))
		if err != nil {
			return digest.FromBytes(data), nil //nolint:nilerr // what it says is of no use
		}
		want = said
	}
	if got := want.Algorithm().FromBytes(data); got != want {
		return "", refusal(registry.CodeDigestInvalid, "%s sent other bytes than those of manifest %s: their digest is %s. "+
			"Nothing of them was used.", r.Host(), want, got)
	}
	return want, nil
}

func manifestPath(repo string, ref registry.Reference) (string, error) {
	if ref.Digest != "" {
		return "/v2/" + repo + "/manifests/" + ref.Digest.String(), checkDigest(repo, ref.Digest)
	}
	if err := checkName(repo); err != nil {
		return "", err
	}
	return "/v2/" + repo + "/manifests/" + ref.Tag, checkTag(ref.Tag)
}

func contentType(resp *http.Response) string {
	t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// PutManifest is registry.Writer's. One tag goes with the manifest; several go together if the other side takes them
// so (it says which in OCI-Tag), else one after the other, each with the whole manifest: if one of them fails, those
// before it are set, and the same push again does no harm. A manifest named by sha512 is CodeUnsupported where the other
// side computes sha256 only. If the other side has no referrers API and the manifest has a subject, the fallback list
// (FallbackTag) is kept up to date; an error of that leaves the manifest pushed.
func (r *Registry) PutManifest(ctx context.Context, repo string, put registry.ManifestPut) (*registry.Manifest, error) {
	if err := checkPut(repo, &put); err != nil {
		return nil, err
	}
	parsed, err := registry.ParseManifest(put.MediaType, put.Payload, registry.ManifestLimits{})
	if err != nil {
		return nil, err
	}
	m := &registry.Manifest{Digest: put.Digest, MediaType: parsed.MediaType, Payload: put.Payload}
	resp, err := r.putTags(ctx, repo, put)
	if err != nil {
		return nil, err
	}
	if parsed.Subject == nil {
		return m, nil
	}
	m.Subject = parsed.Subject.Digest
	if resp.Get("OCI-Subject") != "" {
		r.referrers.Store(apiPresent)
		return m, nil
	}
	return m, r.addReferrer(ctx, repo, m.Subject, parsed.Referrer(put.Digest, int64(len(put.Payload))))
}

// checkPut checks a push before anything is sent, and fills in its digest.
func checkPut(repo string, put *registry.ManifestPut) error {
	if err := checkName(repo); err != nil {
		return err
	}
	for _, tag := range put.Tags {
		if err := checkTag(tag); err != nil {
			return err
		}
	}
	if put.MediaType == "" {
		return refusal(registry.CodeManifestInvalid, "A manifest is pushed with its media type as Content-Type.")
	}
	if put.Digest == "" {
		put.Digest = digest.FromBytes(put.Payload)
		return nil
	}
	d, err := registry.ParseDigest(put.Digest.String())
	if err != nil {
		return err
	}
	if got := d.Algorithm().FromBytes(put.Payload); got != d {
		return refusal(registry.CodeDigestInvalid, "The manifest's digest is %s, not %s.", got, d)
	}
	return nil
}

// putTags pushes a manifest with its tags, and returns the header of the first answer.
func (r *Registry) putTags(ctx context.Context, repo string, put registry.ManifestPut) (http.Header, error) {
	canonical := put.Digest.Algorithm() == digest.SHA256
	if len(put.Tags) == 1 && canonical {
		return r.put(ctx, repo, registry.Reference{Tag: put.Tags[0]}, put, nil, nil)
	}
	first, err := r.put(ctx, repo, registry.Reference{Digest: put.Digest}, put, put.Tags, nil)
	if err != nil {
		return nil, err
	}
	set := tagsSet(first)
	for _, tag := range put.Tags {
		switch {
		case slices.Contains(set, tag):
		case !canonical: // pushed by tag, it would get its sha256 digest
			return nil, refusal(registry.CodeUnsupported, "%s cannot give a tag to a manifest that is named by %s. It was "+
				"pushed without.", r.Host(), put.Digest.Algorithm())
		default:
			if _, err := r.put(ctx, repo, registry.Reference{Tag: tag}, put, nil, nil); err != nil {
				return nil, err
			}
		}
	}
	return first, nil
}

// tagsSet reads the OCI-Tag header: which tags a push by digest has set.
func tagsSet(h http.Header) []string {
	var tags []string
	for _, line := range h.Values("OCI-Tag") {
		for tag := range strings.SplitSeq(line, ",") {
			tags = append(tags, strings.TrimSpace(tag))
		}
	}
	return tags
}

// put is one request that pushes a manifest. condition are further header fields.
func (r *Registry) put(ctx context.Context, repo string, ref registry.Reference, put registry.ManifestPut, tags []string,
	condition http.Header) (http.Header, error) {
	path, err := manifestPath(repo, ref)
	if err != nil {
		return nil, err
	}
	header := http.Header{"Content-Type": {put.MediaType}}
	for name, values := range condition {
		header[name] = values
	}
	query := url.Values{}
	if len(tags) > 0 {
		query["tag"] = tags
	}
	resp, err := r.do(ctx, &call{
		method: http.MethodPut, path: path, query: query, header: header, scope: push(repo), repeat: always,
		body: func() (io.ReadCloser, int64) {
			return io.NopCloser(bytes.NewReader(put.Payload)), int64(len(put.Payload))
		},
		unknown: registry.CodeNameUnknown, invalid: registry.CodeManifestInvalid,
	})
	if err != nil {
		if registry.CodeOf(err) == registry.CodeDigestInvalid && put.Digest.Algorithm() != digest.SHA256 {
			return nil, r.onlySHA256(put.Digest.Algorithm(), "manifests") // its bytes were checked by us
		}
		return nil, err
	}
	defer discard(resp)
	if said := resp.Header.Get("Docker-Content-Digest"); said != "" && said != put.Digest.String() {
		if put.Digest.Algorithm() != digest.SHA256 {
			return nil, r.onlySHA256(put.Digest.Algorithm(), "manifests")
		}
		return nil, refusal(registry.CodeDigestInvalid, "%s says that it stored %s instead of manifest %s.", r.Host(),
			clean(said), put.Digest)
	}
	return resp.Header, nil
}

func (r *Registry) onlySHA256(a digest.Algorithm, what string) error {
	return refusal(registry.CodeUnsupported, "%s does not name %s by %s. Push them by their sha256 digests.", r.Host(), what, a)
}

// DeleteManifest is registry.Deleter's. Where the other side has no referrers API, a deleted referrer is taken off its
// subject's fallback list as well.
func (r *Registry) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	ref := registry.Reference{Digest: d}
	path, err := manifestPath(repo, ref)
	if err != nil {
		return err
	}
	var subject digest.Digest
	if r.referrers.Load() != apiPresent {
		m, err := r.Manifest(ctx, repo, ref, false)
		switch code := registry.CodeOf(err); {
		case err == nil:
			subject = m.Subject
		case code == registry.CodeManifestInvalid, code == registry.CodeDigestInvalid, code == registry.CodeTooLarge:
			// What cannot be read is no referrer of anything, and all the more reason to delete it.
		default:
			return err
		}
	}
	if err := r.delete(ctx, path, repo, registry.CodeManifestUnknown); err != nil || subject == "" {
		return err
	}
	return r.removeReferrer(ctx, repo, subject, d)
}

// DeleteTag is registry.Deleter's; CodeUnsupported where the other side cannot delete a tag alone.
func (r *Registry) DeleteTag(ctx context.Context, repo, tag string) error {
	path, err := manifestPath(repo, registry.Reference{Tag: tag})
	if err != nil {
		return err
	}
	return r.delete(ctx, path, repo, registry.CodeManifestUnknown)
}

func (r *Registry) delete(ctx context.Context, path, repo string, unknown registry.Code) error {
	resp, err := r.do(ctx, &call{
		method: http.MethodDelete, path: path, scope: erase(repo), repeat: ifRefused,
		unknown: unknown, invalid: registry.CodeUnsupported, // 400 is how a registry says that it does not delete
	})
	if err != nil {
		return err
	}
	discard(resp)
	return nil
}
