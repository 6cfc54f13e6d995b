package registrytest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

// ok ends the test if err is one.
func (f *fixture) ok(err error, format string, args ...any) {
	f.Helper()
	if err != nil {
		f.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
}

// refused ends the test unless err has one of the codes.
func (f *fixture) refused(err error, what string, codes ...registry.Code) {
	f.Helper()
	switch {
	case err == nil:
		f.Fatalf("%s succeeded, but should be refused with %v", what, codes)
	case !slices.Contains(codes, registry.CodeOf(err)):
		f.Fatalf("%s was refused with %v (%v), want %v", what, registry.CodeOf(err), err, codes)
	}
}

// naming ends the test unless what the client is told contains the digest.
func (f *fixture) naming(err error, d digest.Digest) {
	f.Helper()
	var e *registry.Error
	if !errors.As(err, &e) {
		f.Fatalf("%v is no *registry.Error", err)
	}
	detail, _ := json.Marshal(e.Detail)
	if !strings.Contains(e.Message, d.String()) && !bytes.Contains(detail, []byte(d.String())) {
		f.Fatalf("the refusal does not name %s: %q, detail %s", d, e.Message, detail)
	}
}

// documented asserts a documented refusal if there is one; it says whether the test has to end here.
func (f *fixture) documented(err error, what string, code registry.Code) bool {
	f.Helper()
	if code == "" {
		f.ok(err, "%s", what)
		return false
	}
	f.refused(err, what, code)
	return true
}

// serves ends the test unless ref of repo is exactly c.
func (f *fixture) serves(repo string, ref registry.Reference, c content) {
	f.Helper()
	for _, keep := range []bool{false, true} {
		m, err := f.r.Manifest(f.ctx, repo, ref, keep)
		f.ok(err, "pulling %s of %s (keep %v)", ref, repo, keep)
		if !bytes.Equal(m.Payload, c.payload) {
			f.Fatalf("%s of %s is not byte for byte what was pushed:\n%s\nwant\n%s", ref, repo, m.Payload, c.payload)
		}
		if m.MediaType != c.mediaType {
			f.Fatalf("%s of %s has media type %q, pushed as %q", ref, repo, m.MediaType, c.mediaType)
		}
		want := c.digest()
		if ref.Digest != "" {
			want = ref.Digest
		}
		if m.Digest != want {
			f.Fatalf("%s of %s is called %s, want %s", ref, repo, m.Digest, want)
		}
	}
}

// hasBlob ends the test unless repo has data as a blob, byte for byte.
func (f *fixture) hasBlob(repo string, data []byte) {
	f.Helper()
	d := digest.FromBytes(data)
	for _, keep := range []bool{false, true} {
		size, err := f.r.StatBlob(f.ctx, repo, d, keep)
		f.ok(err, "asking for blob %s of %s (keep %v)", d, repo, keep)
		if size != int64(len(data)) {
			f.Fatalf("blob %s of %s is said to have %d bytes, and has %d", d, repo, size, len(data))
		}
	}
	if got := f.pulled(repo, d); !bytes.Equal(got, data) {
		f.Fatalf("blob %s of %s came back changed", d, repo)
	}
}

// lacksBlob ends the test if the blob can be had in repo.
func (f *fixture) lacksBlob(repo string, d digest.Digest) {
	f.Helper()
	gone := []registry.Code{registry.CodeBlobUnknown, registry.CodeNameUnknown}
	for _, keep := range []bool{false, true} {
		_, err := f.r.StatBlob(f.ctx, repo, d, keep)
		f.refused(err, "asking for blob "+d.String()+" of "+repo, gone...)
	}
	b, err := f.r.Blob(f.ctx, repo, d)
	if err == nil && b.Content != nil {
		b.Content.Close()
	}
	f.refused(err, "pulling blob "+d.String()+" of "+repo, gone...)
}

// lacksManifest ends the test if ref can be had in repo.
func (f *fixture) lacksManifest(repo string, ref registry.Reference) {
	f.Helper()
	for _, keep := range []bool{false, true} {
		_, err := f.r.Manifest(f.ctx, repo, ref, keep)
		f.refused(err, "pulling "+ref.String()+" of "+repo, registry.CodeManifestUnknown, registry.CodeNameUnknown)
	}
}

// tagsAre ends the test unless repo has exactly these tags, in this order.
func (f *fixture) tagsAre(repo string, want ...string) {
	f.Helper()
	page, err := f.r.Tags(f.ctx, repo, "", 1000)
	f.ok(err, "listing the tags of %s", repo)
	if !slices.Equal(page.Names, want) || page.More {
		f.Fatalf("the tags of %s are %q (more: %v), want %q", repo, page.Names, page.More, want)
	}
}

// allReferrers reads every page of the referrers of d, n at a time.
func (f *fixture) allReferrers(repo string, d digest.Digest, artifactType string, n int) []ocispec.Descriptor {
	f.Helper()
	var all []ocispec.Descriptor
	q := registry.ReferrerQuery{ArtifactType: artifactType, N: n}
	for range 100 {
		page, err := f.r.Referrers(f.ctx, repo, d, q)
		f.ok(err, "listing the referrers of %s in %s", d, repo)
		if len(page.Manifests) > n {
			f.Fatalf("a page of at most %d referrers has %d", n, len(page.Manifests))
		}
		all = append(all, page.Manifests...)
		if page.Next == "" {
			return all
		}
		q.After = page.Next
	}
	f.Fatalf("the referrers of %s in %s do not end after 100 pages", d, repo)
	return nil
}

// referrersAre ends the test unless the referrers of d are exactly these manifests, in any order.
func (f *fixture) referrersAre(repo string, d digest.Digest, artifactType string, want ...content) {
	f.Helper()
	f.sameDigests(f.allReferrers(repo, d, artifactType, 100), want, "the referrers of "+d.String()+" in "+repo)
}

func (f *fixture) sameDigests(got []ocispec.Descriptor, want []content, what string) {
	f.Helper()
	var have, need []string
	for _, d := range got {
		have = append(have, d.Digest.String())
	}
	for _, c := range want {
		need = append(need, c.digest().String())
	}
	slices.Sort(have)
	slices.Sort(need)
	if !slices.Equal(have, need) {
		f.Fatalf("%s are\n%s\nwant\n%s", what, strings.Join(have, "\n"), strings.Join(need, "\n"))
	}
}

// tag and by make references.
func tag(name string) registry.Reference    { return registry.Reference{Tag: name} }
func by(d digest.Digest) registry.Reference { return registry.Reference{Digest: d} }

// strangeDigest is the digest of something that no test pushes.
func strangeDigest(name string) digest.Digest { return digest.FromString("never pushed: " + name) }

func half(data []byte) (first, second []byte) { return data[:len(data)/2], data[len(data)/2:] }
