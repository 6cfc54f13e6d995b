package remote

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

// editTries bounds how often a fallback list is read again because somebody else has written it in between.
const editTries = 5

// fallbackList reads the list of referrers that clients keep under a tag ("Referrers Tag Schema"). What is not an index
// is no list, and then there are no referrers.
func (r *Registry) fallbackList(ctx context.Context, repo string, subject digest.Digest) ([]ocispec.Descriptor, error) {
	m, err := r.Manifest(ctx, repo, registry.Reference{Tag: registry.FallbackTag(subject)}, false)
	switch registry.CodeOf(err) {
	case "":
	case registry.CodeManifestUnknown, registry.CodeNameUnknown, registry.CodeManifestInvalid:
		return nil, nil
	default:
		return nil, err
	}
	var index ocispec.Index
	if m.MediaType != ocispec.MediaTypeImageIndex || json.Unmarshal(m.Payload, &index) != nil {
		return nil, nil //nolint:nilerr // a tag of that name which holds something else is no list
	}
	return index.Manifests, nil
}

func (r *Registry) addReferrer(ctx context.Context, repo string, subject digest.Digest, e ocispec.Descriptor) error {
	return r.editList(ctx, repo, subject, func(list []ocispec.Descriptor) []ocispec.Descriptor {
		if slices.ContainsFunc(list, func(have ocispec.Descriptor) bool { return have.Digest == e.Digest }) {
			return list
		}
		return append(list, e)
	})
}

// removeReferrer does nothing where the other side has the referrers API, which has seen the delete.
func (r *Registry) removeReferrer(ctx context.Context, repo string, subject, d digest.Digest) error {
	if r.referrers.Load() == apiUnknown {
		_, present, err := r.referrersPage(ctx, repo, subject, registry.ReferrerQuery{N: 1}, cursor{})
		if err != nil {
			return err
		}
		if present {
			return nil
		}
	}
	return r.editList(ctx, repo, subject, func(list []ocispec.Descriptor) []ocispec.Descriptor {
		return slices.DeleteFunc(list, func(e ocispec.Descriptor) bool { return e.Digest == d })
	})
}

// editList changes a fallback list: read, change, write. Writers of this process take turns; against others there is
// If-Match where the other side knows it, and the specification's warning where it does not.
func (r *Registry) editList(ctx context.Context, repo string, subject digest.Digest,
	edit func([]ocispec.Descriptor) []ocispec.Descriptor) error { // may change what it is given
	select {
	case r.lists <- struct{}{}:
		defer func() { <-r.lists }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ref := registry.Reference{Tag: registry.FallbackTag(subject)}
	for try := 1; ; try++ {
		index, condition, err := r.readList(ctx, repo, ref)
		if err != nil {
			return err
		}
		edited := edit(slices.Clone(index.Manifests))
		if slices.EqualFunc(edited, index.Manifests, sameEntry) {
			return nil
		}
		index.Manifests = edited
		err = r.writeList(ctx, repo, ref, index, condition)
		var lost *changed
		switch {
		case err == nil, try == editTries:
			return err
		case errors.As(err, &lost):
		case registry.CodeOf(err) == registry.CodeManifestBlobUnknown:
			// The list names what somebody has deleted since without taking it off; nobody else will.
			edit = r.pruned(ctx, repo, edit)
		default:
			return err
		}
	}
}

func sameEntry(a, b ocispec.Descriptor) bool { return a.Digest == b.Digest }

// readList reads a list to change it, and returns the condition under which it may be written.
func (r *Registry) readList(ctx context.Context, repo string, ref registry.Reference) (ocispec.Index, http.Header, error) {
	empty := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	empty.SchemaVersion = 2
	m, etag, err := r.manifest(ctx, repo, ref)
	switch code := registry.CodeOf(err); {
	case code == registry.CodeManifestUnknown || code == registry.CodeNameUnknown:
		return empty, http.Header{"If-None-Match": {"*"}}, nil
	case err != nil:
		return empty, nil, err
	}
	var index ocispec.Index
	if m.MediaType != ocispec.MediaTypeImageIndex || json.Unmarshal(m.Payload, &index) != nil {
		return empty, nil, refusal(registry.CodeManifestInvalid, "%s has no referrers API, and its tag %s of %s, which should "+
			"hold a list of referrers, holds something else. Delete that tag and push again.", r.Host(), ref.Tag, repo)
	}
	index.SchemaVersion, index.MediaType = 2, ocispec.MediaTypeImageIndex
	if etag == "" {
		return index, nil, nil
	}
	return index, http.Header{"If-Match": {etag}}, nil
}

func (r *Registry) writeList(ctx context.Context, repo string, ref registry.Reference, index ocispec.Index, condition http.Header) error {
	payload, err := json.Marshal(index)
	if err != nil {
		return err
	}
	put := registry.ManifestPut{Digest: digest.FromBytes(payload), MediaType: index.MediaType, Payload: payload}
	_, err = r.put(ctx, repo, ref, put, nil, condition)
	return err
}

// pruned is edit, without what the other side no longer has.
func (r *Registry) pruned(ctx context.Context, repo string, edit func([]ocispec.Descriptor) []ocispec.Descriptor) func([]ocispec.Descriptor) []ocispec.Descriptor {
	return func(list []ocispec.Descriptor) []ocispec.Descriptor {
		return slices.DeleteFunc(edit(list), func(e ocispec.Descriptor) bool {
			resp, err := r.do(ctx, &call{
				method: http.MethodHead, path: "/v2/" + repo + "/manifests/" + e.Digest.String(), scope: pull(repo),
				header: http.Header{"Accept": accepted()}, repeat: always, unknown: registry.CodeManifestUnknown,
			})
			if err == nil {
				discard(resp)
			}
			return registry.CodeOf(err) == registry.CodeManifestUnknown
		})
	}
}
