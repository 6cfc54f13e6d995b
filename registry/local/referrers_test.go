package local_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob/memory"
	"github.com/hallmarkhub/hallmark/registry/local"
)

// artifact is a manifest that refers to subject, if that is not empty.
func artifact(name string, subject digest.Digest, annotation string) registry.ManifestPut {
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.test",
		Config:      ocispec.Descriptor{MediaType: ocispec.MediaTypeEmptyJSON, Digest: digest.FromString("{}"), Size: 2},
		Annotations: map[string]string{"name": name, "text": annotation}}
	m.SchemaVersion = 2
	if subject != "" {
		m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 2}
	}
	return put(m.MediaType, m)
}

// pages reads all referrers, page by page.
func (h *hub) pages(d digest.Digest, q registry.ReferrerQuery) (pages [][]ocispec.Descriptor) {
	h.Helper()
	for {
		p, err := h.Referrers(h.ctx, repo, d, q)
		h.must(err)
		pages = append(pages, p.Manifests)
		if q.After = p.Next; q.After == "" {
			return pages
		}
	}
}

func TestReferrerPagesAreBounded(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := newHub(t, open(t), memory.New(memory.Options{}), local.Options{})
		h.blobs(repo, "{}")
		subject := digest.FromString("subject")
		const each, n = 900 << 10, 11
		var want []string
		for i := range n {
			size := each
			if i == 3 {
				size = 4<<20 - 1000 // alone it is as large as a page may be
			}
			p := artifact(fmt.Sprint(i), subject, strings.Repeat("x", size))
			h.push(repo, p)
			want = append(want, string(p.Digest))
		}
		for _, q := range []registry.ReferrerQuery{{}, {N: 2}, {ArtifactType: "application/vnd.test"}} {
			var got []string
			for _, p := range h.pages(subject, q) {
				bytes := 0
				for _, d := range p {
					got = append(got, string(d.Digest))
					bytes += len(d.Annotations["text"])
				}
				if len(p) == 0 || (bytes > 4<<20 && len(p) > 1) || (q.N > 0 && len(p) > q.N) {
					t.Errorf("%+v: a page of %d with %d bytes", q, len(p), bytes)
				}
			}
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%+v: %d of %d referrers, or in another order", q, len(got), n)
			}
		}
		if got := h.pages(subject, registry.ReferrerQuery{ArtifactType: "application/vnd.other"}); len(got) != 1 || len(got[0]) != 0 {
			t.Errorf("another type: %v", got)
		}
	})
}

// The index at the fallback tag adds manifests that say nothing of a subject. Who has another one is no referrer of this.
func TestFallbackEntries(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := newHub(t, open(t), memory.New(memory.Options{}), local.Options{})
		h.blobs(repo, "{}")
		subject, other := digest.FromString("subject"), digest.FromString("other")
		named, silent, foreign := artifact("named", subject, ""), artifact("silent", "", ""), artifact("foreign", other, "")
		index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
		index.SchemaVersion = 2
		for _, p := range []registry.ManifestPut{named, silent, foreign} {
			h.push(repo, p)
			index.Manifests = append(index.Manifests, ocispec.Descriptor{MediaType: p.MediaType, Digest: p.Digest, Size: int64(len(p.Payload))})
		}
		h.push(repo, tagged(put(index.MediaType, index), registry.FallbackTag(subject)))
		want := []string{string(named.Digest), string(silent.Digest)}
		slices.Sort(want)
		for _, q := range []registry.ReferrerQuery{{}, {N: 1}} {
			var got []string
			for _, p := range h.pages(subject, q) {
				for _, d := range p {
					got = append(got, string(d.Digest))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v: got %v, want %v", q, got, want)
			}
		}
	})
}
