package remote_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/remote"
)

func referrersOf(t *testing.T, r *remote.Registry, subject digest.Digest, artifactType string, n int) []digest.Digest {
	t.Helper()
	var all []digest.Digest
	q := registry.ReferrerQuery{ArtifactType: artifactType, N: n}
	for range 50 {
		page, err := r.Referrers(t.Context(), repo, subject, q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Manifests) > n {
			t.Fatalf("a page of %d has %d", n, len(page.Manifests))
		}
		for _, e := range page.Manifests {
			all = append(all, e.Digest)
		}
		if q.After = page.Next; q.After == "" {
			return all
		}
	}
	t.Fatal("the referrers do not end")
	return nil
}

// paged plays a referrers API with pages of its own size, which knows no filter, or one.
func paged(t *testing.T, entries []ocispec.Descriptor, size int, filters bool) *remote.Registry {
	return played(t, func(w http.ResponseWriter, r *http.Request) {
		all := slices.Clone(entries)
		if want := r.URL.Query().Get("artifactType"); filters && want != "" {
			w.Header().Set("OCI-Filters-Applied", "other, artifactType")
			all = slices.DeleteFunc(all, func(e ocispec.Descriptor) bool { return e.ArtifactType != want })
		}
		from := 0
		_, _ = fmt.Sscan(r.URL.Query().Get("from"), &from)
		if from+size < len(all) {
			query := r.URL.Query()
			query.Set("from", fmt.Sprint(from+size))
			// The host is not ours, and must not matter.
			w.Header().Set("Link", fmt.Sprintf(`<https://evil.example.com/x?%s>; rel="next"`, query.Encode()))
		}
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		_ = json.NewEncoder(w).Encode(ocispec.Index{Manifests: all[min(from, len(all)):min(from+size, len(all))]})
	})
}

func TestReferrersOfAnyPageSizeAreGivenInOurs(t *testing.T) {
	var entries []ocispec.Descriptor
	var all, odd []digest.Digest
	for i := range 11 {
		e := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(fmt.Sprint(i)), ArtifactType: "a/even"}
		if all = append(all, e.Digest); i%2 == 1 {
			e.ArtifactType = "a/odd"
			odd = append(odd, e.Digest)
		}
		entries = append(entries, e)
	}
	entries = slices.Insert(entries, 4, ocispec.Descriptor{Digest: "sha256:../../x", ArtifactType: "a/odd"})
	for _, size := range []int{1, 3, 5, 100} {
		for _, n := range []int{1, 2, 4, 100} {
			for _, filters := range []bool{true, false} {
				r := paged(t, entries, size, filters)
				if got := referrersOf(t, r, "sha256:"+digest.Digest(strings.Repeat("a", 64)), "", n); !slices.Equal(got, all) {
					t.Fatalf("their pages of %d, ours of %d: %q", size, n, got)
				}
				if got := referrersOf(t, r, "sha256:"+digest.Digest(strings.Repeat("a", 64)), "a/odd", n); !slices.Equal(got, odd) {
					t.Fatalf("their pages of %d (filters: %v), ours of %d, filtered: %q", size, filters, n, got)
				}
			}
		}
	}
}

// A position in a list comes back from whoever it was given to, and may have become something else.
func TestForgedPositionsLeadNowhere(t *testing.T) {
	var paths []string
	r := played(t, func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.Host+r.URL.Path)
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		_, _ = w.Write([]byte(`{"manifests":[]}`))
	})
	d := digest.FromString("subject")
	for _, forged := range []string{"x", "%", base64.RawURLEncoding.EncodeToString([]byte("[]")),
		base64.RawURLEncoding.EncodeToString([]byte(`{"q":"a;b=%zz"}`)), base64.RawURLEncoding.EncodeToString([]byte(`{"s":-1}`))} {
		_, err := r.Referrers(t.Context(), repo, d, registry.ReferrerQuery{After: forged, N: 1})
		wantCode(t, err, registry.CodeQueryInvalid)
	}
	for _, forged := range []string{`{"q":"//evil.example.com/"}`, `{"q":"#/../../x"}`, `{"s":1000000}`} {
		after := base64.RawURLEncoding.EncodeToString([]byte(forged))
		_, err := r.Referrers(t.Context(), repo, d, registry.ReferrerQuery{After: after, N: 1})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range paths {
		if path != "registry.example.com/v2/p1/app/referrers/"+d.String() {
			t.Fatalf("a forged position led to %s", path)
		}
	}
}

func TestListThatSomebodyElseChangesIsReadAgain(t *testing.T) {
	subject := digest.FromString("subject")
	name := registry.FallbackTag(subject)
	o := &oldRegistry{etags: true, manifests: map[string][]byte{}}
	r := played(t, o.serve)
	if _, err := r.PutManifest(t.Context(), repo, referrer(subject, "first")); err != nil {
		t.Fatal(err)
	}
	// Another client adds its own between our reading and our writing of the list.
	other := referrer(subject, "other")
	o.manifests[other.Digest.String()] = other.Payload
	interfered := false
	o.before = func(method, path string) {
		if method != http.MethodPut || !strings.HasSuffix(path, name) || interfered {
			return
		}
		interfered = true
		var index ocispec.Index
		_ = json.Unmarshal(o.manifests[name], &index)
		index.Manifests = append(index.Manifests, ocispec.Descriptor{MediaType: mediaType, Digest: other.Digest, Size: int64(len(other.Payload))})
		o.manifests[name], _ = json.Marshal(index)
	}
	second := referrer(subject, "second")
	if _, err := r.PutManifest(t.Context(), repo, second); err != nil {
		t.Fatal(err)
	}
	want := []digest.Digest{referrer(subject, "first").Digest, other.Digest, second.Digest}
	slices.Sort(want)
	if got := referrersOf(t, r, subject, "", 2); !interfered || !slices.Equal(got, want) {
		t.Fatalf("the referrers are %q, want %q", got, want)
	}
}

func TestListThatIsChangedWithoutEndIsGivenUp(t *testing.T) {
	subject := digest.FromString("subject")
	r := played(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/sha256-"):
			w.WriteHeader(http.StatusPreconditionFailed)
		case r.Method == http.MethodPut:
			w.WriteHeader(http.StatusCreated)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	_, err := r.PutManifest(t.Context(), repo, referrer(subject, "one"))
	wantCode(t, err, registry.CodeUnavailable, "Somebody else")
}

func TestListThatNamesWhatIsGoneIsMended(t *testing.T) {
	subject := digest.FromString("subject")
	o := &oldRegistry{manifests: map[string][]byte{}}
	r := played(t, o.serve)
	first, second := referrer(subject, "first"), referrer(subject, "second")
	if _, err := r.PutManifest(t.Context(), repo, first); err != nil {
		t.Fatal(err)
	}
	delete(o.manifests, first.Digest.String()) // by a client that does not know of lists
	if _, err := r.PutManifest(t.Context(), repo, second); err != nil {
		t.Fatal(err)
	}
	if got := referrersOf(t, r, subject, "", 10); !slices.Equal(got, []digest.Digest{second.Digest}) {
		t.Fatalf("the referrers are %q", got)
	}
}

func TestListIsNotWrittenTwice(t *testing.T) {
	subject := digest.FromString("subject")
	o := &oldRegistry{manifests: map[string][]byte{}}
	r := played(t, o.serve)
	for range 3 {
		if _, err := r.PutManifest(t.Context(), repo, referrer(subject, "one")); err != nil {
			t.Fatal(err)
		}
	}
	if o.writes != 4 { // three manifests and one list
		t.Fatalf("%d manifests were written", o.writes)
	}
}

// A tag of the list's name that is something else is not overwritten.
func TestTagThatIsNoListIsLeftAlone(t *testing.T) {
	subject := digest.FromString("subject")
	payload, _ := image("not a list")
	o := &oldRegistry{manifests: map[string][]byte{registry.FallbackTag(subject): payload}}
	r := played(t, o.serve)
	_, err := r.PutManifest(t.Context(), repo, referrer(subject, "one"))
	wantCode(t, err, registry.CodeManifestInvalid, registry.FallbackTag(subject), "registry.example.com")
	if string(o.manifests[registry.FallbackTag(subject)]) != string(payload) {
		t.Fatal("the tag was overwritten")
	}
	if got := referrersOf(t, r, subject, "", 10); len(got) != 0 {
		t.Fatalf("the referrers are %q", got)
	}
}
