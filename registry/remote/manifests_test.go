package remote_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/remote"
)

// pushes plays a registry that takes every manifest, answers with header, and remembers method, path and query.
func pushes(t *testing.T, header http.Header) (*remote.Registry, *[]string) {
	var seen []string
	return played(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Method+" "+r.URL.RequestURI())
		if r.Method != http.MethodPut {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		maps.Copy(w.Header(), header)
		w.WriteHeader(http.StatusCreated)
	}), &seen
}

func TestSeveralTagsGoTogetherWhereTheyAreTaken(t *testing.T) {
	payload, d := image("one")
	r, seen := pushes(t, http.Header{"Oci-Tag": {"1, 1.0", "1.0.0"}})
	put := registry.ManifestPut{MediaType: mediaType, Payload: payload, Tags: []string{"1", "1.0", "1.0.0"}}
	if _, err := r.PutManifest(t.Context(), repo, put); err != nil {
		t.Fatal(err)
	}
	want := []string{"PUT /v2/p1/app/manifests/" + d.String() + "?tag=1&tag=1.0&tag=1.0.0"}
	if !slices.Equal(*seen, want) {
		t.Fatalf("the requests were %q, want %q", *seen, want)
	}
}

func TestTagsThatWereNotTakenAreSetOneByOne(t *testing.T) {
	payload, d := image("one")
	r, seen := pushes(t, http.Header{"Oci-Tag": {"b"}})
	put := registry.ManifestPut{MediaType: mediaType, Payload: payload, Tags: []string{"a", "b", "c"}}
	if _, err := r.PutManifest(t.Context(), repo, put); err != nil {
		t.Fatal(err)
	}
	want := []string{"PUT /v2/p1/app/manifests/" + d.String() + "?tag=a&tag=b&tag=c",
		"PUT /v2/p1/app/manifests/a", "PUT /v2/p1/app/manifests/c"}
	if !slices.Equal(*seen, want) {
		t.Fatalf("the requests were %q, want %q", *seen, want)
	}
}

func TestStoredUnderAnotherDigestIsAnError(t *testing.T) {
	payload, _ := image("one")
	r, _ := pushes(t, http.Header{"Docker-Content-Digest": {digest.FromString("other").String()}})
	put := registry.ManifestPut{MediaType: mediaType, Payload: payload, Tags: []string{"1.0"}}
	_, err := r.PutManifest(t.Context(), repo, put)
	wantCode(t, err, registry.CodeDigestInvalid, "registry.example.com")
}

// referrer is an image that refers to subject.
func referrer(subject digest.Digest, note string) registry.ManifestPut {
	payload := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"artifactType":"application/x-signature",`+
		`"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":7},`+
		`"annotations":{"note":%q}}`, mediaType, ocispec.MediaTypeEmptyJSON, digest.FromString("{}"), mediaType, subject, note)
	return registry.ManifestPut{Digest: digest.FromBytes(payload), MediaType: mediaType, Payload: payload}
}

func TestRegistryThatKnowsSubjectsKeepsItsOwnList(t *testing.T) {
	subject := digest.FromString("subject")
	r, seen := pushes(t, http.Header{"Oci-Subject": {subject.String()}})
	m, err := r.PutManifest(t.Context(), repo, referrer(subject, "one"))
	if err != nil || m.Subject != subject {
		t.Fatalf("%+v, %v", m, err)
	}
	if len(*seen) != 1 {
		t.Fatalf("the requests were %q", *seen)
	}
}

// oldRegistry plays a registry without referrers API, with conditional writes if etags is true.
type oldRegistry struct {
	etags     bool
	manifests map[string][]byte
	before    func(method, path string) // called ahead of each request, to interfere
	writes    int
}

func (o *oldRegistry) serve(w http.ResponseWriter, r *http.Request) {
	if o.before != nil {
		o.before(r.Method, r.URL.Path)
	}
	if strings.Contains(r.URL.Path, "/referrers/") {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	have, ok := o.manifests[name]
	etag := `"` + digest.FromBytes(have).String() + `"`
	switch {
	case r.Method == http.MethodPut:
		if o.etags && (r.Header.Get("If-None-Match") == "*" && ok ||
			r.Header.Get("If-Match") != "" && r.Header.Get("If-Match") != etag) {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		data, _ := io.ReadAll(r.Body)
		if missing := o.missing(data); missing != "" {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","detail":{"digest":%q}}]}`, missing)
			return
		}
		o.writes++
		o.manifests[name], o.manifests[digest.FromBytes(data).String()] = data, data
		w.WriteHeader(http.StatusCreated)
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodDelete:
		delete(o.manifests, name)
		w.WriteHeader(http.StatusAccepted)
	default:
		var m struct {
			MediaType string `json:"mediaType"`
		}
		_ = json.Unmarshal(have, &m)
		w.Header().Set("Content-Type", m.MediaType)
		if o.etags {
			w.Header().Set("ETag", etag)
		}
		_, _ = w.Write(have)
	}
}

func (o *oldRegistry) missing(data []byte) digest.Digest {
	var index ocispec.Index
	_ = json.Unmarshal(data, &index)
	for _, e := range index.Manifests {
		if o.manifests[e.Digest.String()] == nil {
			return e.Digest
		}
	}
	return ""
}
