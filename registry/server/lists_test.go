package server

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

// follow reads a list page by page, as its Link header leads.
func (h *hub) follow(path string, page func(a answer) int) (pages, entries int) {
	h.Helper()
	for path != "" {
		a := h.want(h.get(path), 200, "")
		entries += page(a)
		pages++
		link := a.Header.Get("Link")
		path = ""
		if link != "" {
			target, rel, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
			if !ok || rel != `; rel="next"` || !strings.HasPrefix(target, "/v2/") {
				h.Fatalf("Link: %s", link)
			}
			path = target
		}
		if pages > 100 {
			h.Fatal("no end")
		}
	}
	return pages, entries
}

func (h *hub) decode(a answer, into any) {
	h.Helper()
	if err := json.Unmarshal([]byte(a.body), into); err != nil || a.Header.Get("Content-Length") != strconv.Itoa(len(a.body)) {
		h.Fatalf("%v: %s", err, a.body)
	}
}

func TestTags(t *testing.T) {
	h := newHub(t, Options{})
	h.want(h.get("/v2/p/app/tags/list"), 404, registry.CodeNameUnknown)
	h.want(h.get("/v2/p/app/tags/list?n=0"), 404, registry.CodeNameUnknown)
	d := h.pushImage("p/app", "t000", "")
	for i := range 250 {
		h.mem.repos["p/app"].tags[fmt.Sprintf("t%03d", i)] = d
	}
	type list struct {
		Name string
		Tags []string
	}
	for query, want := range map[string][2]int{"": {3, 250}, "?n=250": {1, 250}, "?n=1000": {1, 250}, "?n=249": {2, 250}, "?last=t199": {1, 50}} {
		last := ""
		pages, entries := h.follow("/v2/p/app/tags/list"+query, func(a answer) int {
			var l list
			h.decode(a, &l)
			if l.Name != "p/app" || l.Tags[0] <= last {
				t.Errorf("%+v", l)
			}
			last = l.Tags[len(l.Tags)-1]
			return len(l.Tags)
		})
		if got := [2]int{pages, entries}; got != want {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	a := h.header(h.want(h.get("/v2/p/app/tags/list?n=2&last=t010"), 200, ""), "Content-Type: application/json",
		`Link: </v2/p/app/tags/list?n=2&last=t012>; rel="next"`)
	if a.body != `{"name":"p/app","tags":["t011","t012"]}`+"\n" {
		t.Errorf("%s", a.body)
	}
	h.header(h.want(h.call("HEAD", "/v2/p/app/tags/list?n=2&last=t010", nil), 200, ""), fmt.Sprint("Content-Length: ", len(a.body)))
}

// V-15: n, as the specification and the limits have it.
func TestV15Lists(t *testing.T) {
	h := newHub(t, Options{})
	d := h.pushImage("p/app", "latest", "")
	for path, empty := range map[string]string{
		"/v2/p/app/tags/list":                  `{"name":"p/app","tags":[]}`,
		"/v2/_catalog":                         `{"repositories":[]}`,
		"/v2/p/app/referrers/" + string(d):     `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`,
		"/v2/none/none/referrers/" + string(d): `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`,
	} {
		a := h.header(h.want(h.get(path+"?n=0"), 200, ""), "Link:")
		if strings.TrimSpace(a.body) != empty {
			t.Errorf("%s: %s", path, a.body)
		}
		for _, n := range []string{"1", "1001", "2147483648", "9223372036854775807"} {
			h.want(h.get(path+"?n="+n), 200, "")
		}
		for _, n := range []string{"-1", "9223372036854775808", "abc", "", "NaN", "1e9"} {
			h.want(h.get(path+"?n="+n), 400, registry.CodeQueryInvalid)
		}
	}
}

func TestCatalog(t *testing.T) {
	h := newHub(t, Options{})
	for i := range 5 {
		h.mem.repos[fmt.Sprintf("p/a%d", i)] = &repo{}
	}
	var all []string
	pages, _ := h.follow("/v2/_catalog?n=2", func(a answer) int {
		var l struct{ Repositories []string }
		h.decode(a, &l)
		all = append(all, l.Repositories...)
		return len(l.Repositories)
	})
	if pages != 3 || strings.Join(all, " ") != "p/a0 p/a1 p/a2 p/a3 p/a4" {
		t.Errorf("%d: %v", pages, all)
	}
	h.header(h.get("/v2/_catalog?n=2"), `Link: </v2/_catalog?n=2&last=p%2Fa1>; rel="next"`)
	h.mem.fail = registry.NewError(registry.CodeUnauthorized, "Log in.")
	h.want(h.get("/v2/_catalog"), 401, registry.CodeUnauthorized)
}

// refer pushes n manifests that refer to a subject.
func (h *hub) refer(n int, annotation string) digest.Digest {
	h.Helper()
	subject := digest.FromString("subject")
	for i := range n {
		h.pushImage("p/app", fmt.Sprint("r", i), fmt.Sprintf(
			`,"artifactType":"a/%d+json","annotations":{"b":%q,"a":"\u0001\"<"},"subject":{"mediaType":%q,"digest":%q,"size":7}`,
			i%2, annotation, ocispec.MediaTypeImageManifest, subject)+strings.Repeat(" ", i))
	}
	return subject
}

func TestReferrers(t *testing.T) {
	h := newHub(t, Options{})
	subject := h.refer(5, "x")
	path := "/v2/p/app/referrers/" + string(subject)
	count := func(artifactType string) func(answer) int {
		return func(a answer) int {
			h.header(a, "Content-Type: "+ocispec.MediaTypeImageIndex)
			var index ocispec.Index
			h.decode(a, &index)
			for _, d := range index.Manifests {
				if d.MediaType != ocispec.MediaTypeImageManifest || d.Size == 0 || d.Annotations["a"] != "\x01\"<" || d.Annotations["b"] != "x" ||
					artifactType != "" && d.ArtifactType != artifactType || d.Digest.Validate() != nil {
					t.Errorf("%+v", d)
				}
			}
			if index.SchemaVersion != 2 || index.MediaType != ocispec.MediaTypeImageIndex {
				t.Errorf("%+v", index)
			}
			return len(index.Manifests)
		}
	}
	for query, want := range map[string][2]int{"": {1, 5}, "?n=2": {3, 5}, "?n=5": {1, 5}} {
		if pages, entries := h.follow(path+query, count("")); [2]int{pages, entries} != want {
			t.Errorf("%s: %d, %d", query, pages, entries)
		}
	}
	h.header(h.get(path), "OCI-Filters-Applied:")
	filtered := path + "?n=2&artifactType=a%2F0%2Bjson"
	if pages, entries := h.follow(filtered, count("a/0+json")); pages != 2 || entries != 3 {
		t.Errorf("%d, %d", pages, entries)
	}
	a := h.header(h.get(filtered), "OCI-Filters-Applied: artifactType")
	if !strings.Contains(a.Header.Get("Link"), "&artifactType=a%2F0%2Bjson>") {
		t.Errorf("%s", a.Header.Get("Link"))
	}
	h.want(h.get("/v2/p/app/referrers/sha256:short"), 400, registry.CodeDigestInvalid)
	// There is always an answer, unless one has no right to it.
	h.want(h.get("/v2/p/none/referrers/"+string(subject)), 200, "")
	h.mem.fail = registry.NewError(registry.CodeUnauthorized, "Log in.")
	h.want(h.get(path), 401, registry.CodeUnauthorized)
}

// A page has at most so many bytes, but always an entry, and nothing is left out.
func TestReferrersBySize(t *testing.T) {
	for limit, want := range map[int]int{1: 7, 2700: 4, 4000: 3, 1 << 20: 1} {
		h := newHub(t, Options{Limits: Limits{ReferrerBytes: limit}})
		path := "/v2/p/app/referrers/" + string(h.refer(7, strings.Repeat("x", 1000)))
		pages, entries := h.follow(path, func(a answer) int {
			var index ocispec.Index
			h.decode(a, &index)
			if len(index.Manifests) == 0 || len(index.Manifests) > 1 && len(a.body) > limit {
				t.Errorf("%d entries in %d bytes", len(index.Manifests), len(a.body))
			}
			return len(index.Manifests)
		})
		if pages != want || entries != 7 {
			t.Errorf("limit %d: %d pages, %d entries", limit, pages, entries)
		}
	}
}
