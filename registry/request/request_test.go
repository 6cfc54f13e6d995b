package request

import (
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

const (
	hex      = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	sha256   = digest.Digest("sha256:" + hex)
	sha512   = digest.Digest("sha512:" + hex + hex)
	uploadID = "0192f0c1-2b3c-7d4e-8f50-617283940a1b"
)

// target reads what stands in a request line, as net/http does.
func target(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.ParseRequestURI(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return u
}

func TestParse(t *testing.T) {
	tag := registry.Reference{Tag: "1.2"}
	byDigest := registry.Reference{Digest: sha256}
	for _, c := range []struct {
		method, target string
		want           Request
	}{
		{"GET", "/v2/", Request{Kind: Ping}},
		{"HEAD", "/v2", Request{Kind: Ping}},
		{"GET", "/v2/?x=y", Request{Kind: Ping}},
		{"GET", "/v2/_catalog", Request{Kind: Catalog, N: 100}},
		{"GET", "/v2/_catalog?n=7&last=p%2Fapp", Request{Kind: Catalog, N: 7, Last: "p/app"}},
		{"GET", "/v2/p/app/tags/list", Request{Kind: TagList, Repository: "p/app", N: 100}},
		{"GET", "/v2/p/app/tags/list?last=1.2&n=0", Request{Kind: TagList, Repository: "p/app", Last: "1.2"}},
		{"GET", "/v2/p/app/tags/list?last=", Request{Kind: TagList, Repository: "p/app", N: 100}},
		{"GET", "/v2/p/app/manifests/1.2", Request{Kind: ManifestGet, Repository: "p/app", Ref: tag}},
		{"GET", "/v2/p/app/manifests/1.2?ns=docker.io", Request{Kind: ManifestGet, Repository: "p/app", Ref: tag}},
		{"HEAD", "/v2/p/app/manifests/" + string(sha256), Request{Kind: ManifestGet, Repository: "p/app", Ref: byDigest}},
		{"GET", "/v2/p/a/b/c/manifests/1.2", Request{Kind: ManifestGet, Repository: "p/a/b/c", Ref: tag}},
		{"GET", "/v2/alpine/manifests/1.2", Request{Kind: ManifestGet, Repository: "library/alpine", Ref: tag}},
		{"GET", "/v2/p/manifests/manifests/1.2", Request{Kind: ManifestGet, Repository: "p/manifests", Ref: tag}},
		{"GET", "/v2/p/blobs/uploads/manifests/1.2", Request{Kind: ManifestGet, Repository: "p/blobs/uploads", Ref: tag}},
		{"PUT", "/v2/p/app/manifests/1.2", Request{Kind: ManifestPut, Repository: "p/app", Ref: tag}},
		{
			"PUT", "/v2/p/app/manifests/" + string(sha256) + "?tag=a&tag=b&tag=a",
			Request{Kind: ManifestPut, Repository: "p/app", Ref: byDigest, Tags: []string{"a", "b"}},
		},
		{"DELETE", "/v2/p/app/manifests/1.2", Request{Kind: ManifestDelete, Repository: "p/app", Ref: tag}},
		{"GET", "/v2/p/app/blobs/" + string(sha512), Request{Kind: BlobGet, Repository: "p/app", Digest: sha512}},
		{"DELETE", "/v2/p/app/blobs/" + string(sha256), Request{Kind: BlobDelete, Repository: "p/app", Digest: sha256}},
		{"POST", "/v2/p/app/blobs/uploads/", Request{Kind: UploadStart, Repository: "p/app"}},
		{"POST", "/v2/app/blobs/uploads/", Request{Kind: UploadStart, Repository: "library/app"}},
		{
			"POST", "/v2/p/app/blobs/uploads/?digest-algorithm=sha512",
			Request{Kind: UploadStart, Repository: "p/app", Algorithm: digest.SHA512},
		},
		{
			"POST", "/v2/p/app/blobs/uploads/?digest=" + url.QueryEscape(string(sha256)),
			Request{Kind: UploadWhole, Repository: "p/app", Digest: sha256},
		},
		{
			"POST", "/v2/p/app/blobs/uploads/?mount=" + string(sha256) + "&from=app",
			Request{Kind: UploadMount, Repository: "p/app", Mount: sha256, From: "library/app"},
		},
		{
			"POST", "/v2/p/app/blobs/uploads/?mount=" + string(sha256),
			Request{Kind: UploadMount, Repository: "p/app", Mount: sha256},
		},
		{"GET", "/v2/p/app/blobs/uploads/" + uploadID, Request{Kind: UploadStatus, Repository: "p/app", UploadID: uploadID}},
		{"PATCH", "/v2/p/app/blobs/uploads/" + uploadID, Request{Kind: UploadAppend, Repository: "p/app", UploadID: uploadID}},
		{
			"PUT", "/v2/p/app/blobs/uploads/" + uploadID + "?digest=" + string(sha256),
			Request{Kind: UploadFinish, Repository: "p/app", UploadID: uploadID, Digest: sha256},
		},
		{"DELETE", "/v2/p/app/blobs/uploads/" + uploadID, Request{Kind: UploadCancel, Repository: "p/app", UploadID: uploadID}},
		{"GET", "/v2/p/app/referrers/" + string(sha256), Request{Kind: Referrers, Repository: "p/app", Digest: sha256, N: 200}},
		{
			"GET", "/v2/p/app/referrers/" + string(sha256) + "?artifactType=a%2Fb%2Bjson&last=cursor&n=1000",
			Request{Kind: Referrers, Repository: "p/app", Digest: sha256, N: 200, ArtifactType: "a/b+json", Last: "cursor"},
		},
	} {
		got, err := Parse(c.method, target(t, c.target), Limits{})
		if err != nil {
			t.Errorf("%s %s: %v", c.method, c.target, err)
			continue
		}
		c.want.Endpoint = got.Endpoint
		if got.Endpoint == 0 || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s:\ngot  %+v\nwant %+v", c.method, c.target, got, c.want)
		}
	}
}

// V-17: whatever is not the canonical path does not exist, or has an invalid name; it is never another path.
func TestV17OnlyCanonicalPaths(t *testing.T) {
	canonical := []string{
		"/v2/p/app/tags/list", "/v2/p/app/manifests/latest", "/v2/p/app/manifests/" + string(sha256),
		"/v2/p/app/blobs/" + string(sha256), "/v2/p/app/blobs/uploads/" + uploadID, "/v2/p/app/referrers/" + string(sha256),
		"/v2/_catalog",
	}
	bend := map[string]func(string) string{
		"slash at the end":    func(p string) string { return p + "/" },
		"two at the end":      func(p string) string { return p + "//" },
		"two in front":        func(p string) string { return "/" + p },
		"double":              func(p string) string { return strings.Replace(p, "/v2/", "/v2//", 1) },
		"double later":        func(p string) string { i := strings.LastIndex(p, "/"); return p[:i] + "/" + p[i:] },
		"dot":                 func(p string) string { return strings.Replace(p, "/v2/", "/v2/./", 1) },
		"dot at the end":      func(p string) string { return p + "/." },
		"dot dot":             func(p string) string { return strings.Replace(p, "/v2/", "/v2/x/../", 1) },
		"dot dot at the end":  func(p string) string { return p + "/.." },
		"dot dot out":         func(p string) string { return "/v2/.." + p },
		"encoded slash":       func(p string) string { i := strings.LastIndex(p, "/"); return p[:i] + "%2f" + p[i+1:] },
		"encoded dots":        func(p string) string { return strings.Replace(p, "/v2/", "/v2/%2e%2e/v2/", 1) },
		"encoded letter":      func(p string) string { return strings.Replace(p, "/v2/", "/%762/", 1) },
		"encoded last letter": func(p string) string { return p[:len(p)-1] + "%" + strconv.FormatInt(int64(p[len(p)-1]), 16) },
		"encoded twice":       func(p string) string { return strings.Replace(p, "/v2/", "/v2/%252e/", 1) },
		"encoded NUL":         func(p string) string { return p + "%00" },
		"encoded line":        func(p string) string { return p + "%0d%0aX:%20y" },
		"semicolon":           func(p string) string { return p + ";x" },
		"semicolon inside":    func(p string) string { return strings.Replace(p, "/v2/", "/v2;x/", 1) },
		"upper-case v2":       func(p string) string { return strings.Replace(p, "/v2/", "/V2/", 1) },
		"backslash":           func(p string) string { return strings.Replace(p, "/v2/", "/v2\\", 1) },
		"blank":               func(p string) string { return p + "%20" },
		"host":                func(p string) string { return "http://evil.example" + p },
		"host, other scheme":  func(p string) string { return "file://evil.example" + p },
		"not ASCII":           func(p string) string { return p + "é" },
		"v3":                  func(p string) string { return strings.Replace(p, "/v2/", "/v3/", 1) },
		"prefix":              func(p string) string { return "/x" + p },
	}
	for how, f := range bend {
		for _, p := range canonical {
			for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS"} {
				r, err := Parse(method, target(t, f(p)), Limits{})
				if err == nil || r.Kind != 0 || err.Code != registry.CodeNameUnknown {
					t.Errorf("%s: %s %s: %+v, %v", how, method, f(p), r, err)
				}
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	long := "/v2/" + strings.Repeat("a", 250) + "/manifests/latest" // with "library/" it is too long
	m := "/v2/p/app/manifests/"
	uploads := "/v2/p/app/blobs/uploads/"
	var tags strings.Builder
	for i := range 33 {
		tags.WriteString("tag=t" + strconv.Itoa(i) + "&")
	}
	for _, c := range []struct {
		method, target string
		code           registry.Code
	}{
		{"GET", "/", registry.CodeNameUnknown},
		{"GET", "/v2/p", registry.CodeNameUnknown},
		{"GET", "/v2/p/app", registry.CodeNameUnknown},
		{"GET", "/v2/p/app/", registry.CodeNameUnknown},
		{"GET", "/v2/manifests/latest", registry.CodeNameUnknown},
		{"GET", "/v2/tags/list", registry.CodeNameUnknown},
		{"POST", "/v2/blobs/uploads/", registry.CodeNameUnknown},
		{"POST", "/v2/p/app/blobs/uploads", registry.CodeNameUnknown},
		{"GET", "/v2/p/app/manifests/", registry.CodeNameUnknown},
		{"GET", "/v2/p/app/tags/lists", registry.CodeNameUnknown},
		{"GET", "/v2/p/uploads/x", registry.CodeNameUnknown},
		{"GET", "/v2/p/App/tags/list", registry.CodeNameInvalid},
		{"GET", "/v2/P/app/tags/list", registry.CodeNameInvalid},
		{"GET", "/v2/p/a..b/tags/list", registry.CodeNameInvalid},
		{"GET", "/v2/p/-a/tags/list", registry.CodeNameInvalid},
		{"GET", long, registry.CodeNameInvalid},
		{"GET", m + ".hidden", registry.CodeTagInvalid},
		{"GET", m + "-x", registry.CodeTagInvalid},
		{"GET", m + strings.Repeat("a", 129), registry.CodeTagInvalid},
		{"GET", m + "sha256:baddigeststring", registry.CodeDigestInvalid},
		{"PUT", m + "sha256:" + strings.ToUpper(hex), registry.CodeDigestInvalid},
		{"GET", "/v2/p/app/blobs/latest", registry.CodeDigestInvalid},
		{"GET", "/v2/p/app/referrers/sha256:00", registry.CodeDigestInvalid},
		{"GET", uploads + "a.b", registry.CodeBlobUploadUnknown},
		{"GET", uploads + strings.Repeat("a", 129), registry.CodeBlobUploadUnknown},
		{"PUT", uploads + uploadID, registry.CodeDigestInvalid},
		{"PUT", uploads + uploadID + "?digest=", registry.CodeDigestInvalid},
		{"PUT", uploads + uploadID + "?digest=" + string(sha256) + "&digest=" + string(sha512), registry.CodeQueryInvalid},
		{"POST", uploads + "?digest=md5:" + hex[:32], registry.CodeDigestInvalid},
		{"POST", uploads + "?mount=x", registry.CodeDigestInvalid},
		{"POST", uploads + "?mount=" + string(sha256) + "&from=../x", registry.CodeNameInvalid},
		{"POST", uploads + "?digest-algorithm=md5", registry.CodeDigestInvalid},
		{"POST", uploads + "?digest-algorithm=", registry.CodeDigestInvalid},
		{"PUT", m + "latest?tag=x", registry.CodeQueryInvalid},
		{"PUT", m + string(sha256) + "?tag=", registry.CodeTagInvalid},
		{"PUT", m + string(sha256) + "?" + tags.String(), registry.CodeQueryInvalid},
		{"GET", "/v2/p/app/tags/list?last=a%2Fb", registry.CodeQueryInvalid},
		{"GET", "/v2/p/app/tags/list?last=%1b%5b31m", registry.CodeQueryInvalid},
		{"GET", "/v2/p/app/tags/list?n=1;last=x", registry.CodeQueryInvalid},
		{"GET", "/v2/p/app/tags/list?n=1&n=2", registry.CodeQueryInvalid},
		{"GET", "/v2/_catalog?last=A", registry.CodeQueryInvalid},
		{"GET", "/v2/p/app/referrers/" + string(sha256) + "?artifactType=%0d%0a", registry.CodeQueryInvalid},
		{"GET", "/v2/p/app/referrers/" + string(sha256) + "?last=" + strings.Repeat("x", 1025), registry.CodeQueryInvalid},
		{"POST", "/v2/", registry.CodeUnsupported},
		{"OPTIONS", m + "latest", registry.CodeUnsupported},
		{"PATCH", m + "latest", registry.CodeUnsupported},
		{"PUT", "/v2/p/app/blobs/" + string(sha256), registry.CodeUnsupported},
		{"GET", uploads, registry.CodeUnsupported},
		{"POST", uploads + uploadID, registry.CodeUnsupported},
		{"get", m + "latest", registry.CodeUnsupported},
		{"DELETE", "/v2/p/app/tags/list", registry.CodeUnsupported},
	} {
		r, err := Parse(c.method, target(t, c.target), Limits{})
		if err == nil || err.Code != c.code || r.Kind != 0 {
			t.Errorf("%s %s: %v, want %s", c.method, c.target, err, c.code)
		}
		if err != nil && err.Code == registry.CodeUnsupported && r.Endpoint.Allow() == "" {
			t.Errorf("%s %s: nothing allowed", c.method, c.target)
		}
	}
}

// V-15: n on every list.
func TestV15Number(t *testing.T) {
	lists := map[string]int{
		"/v2/_catalog": 1000, "/v2/p/app/tags/list": 1000, "/v2/p/app/referrers/" + string(sha256): 200,
	}
	for list, most := range lists {
		for n, want := range map[string]int{
			"0": 0, "1": 1, "199": 199, "1000": most, "1001": most, "2147483648": most, "9223372036854775807": most, "007": 7,
			"-1": -1, "9223372036854775808": -1, "99999999999999999999": -1, "abc": -1, "": -1, "NaN": -1, "1e3": -1, "0x10": -1,
			"%2b1": -1, "1.0": -1, "%201": -1, "1_000": -1,
		} {
			r, err := Parse("GET", target(t, list+"?n="+n), Limits{})
			switch {
			case want < 0 && (err == nil || err.Code != registry.CodeQueryInvalid):
				t.Errorf("%s?n=%s: %+v, %v", list, n, r, err)
			case want >= 0 && (err != nil || r.N != want):
				t.Errorf("%s?n=%s: %d, %v", list, n, r.N, err)
			}
		}
	}
	r, err := Parse("GET", target(t, "/v2/_catalog?n=50"), Limits{Page: 100, MaxPage: 20})
	if err != nil || r.N != 20 {
		t.Errorf("with a maximum of 20: %d, %v", r.N, err)
	}
}

func TestScope(t *testing.T) {
	for in, want := range map[string]string{
		"GET /v2/":                                   "",
		"GET /v2/_catalog":                           "registry:catalog:*",
		"GET /v2/p/app/tags/list":                    "repository:p/app:pull",
		"HEAD /v2/app/manifests/latest":              "repository:library/app:pull",
		"PUT /v2/p/app/manifests/latest":             "repository:p/app:pull,push",
		"GET /v2/p/app/blobs/uploads/" + uploadID:    "repository:p/app:pull,push",
		"DELETE /v2/p/app/blobs/uploads/" + uploadID: "repository:p/app:pull,push",
		"DELETE /v2/p/app/blobs/" + string(sha256):   "repository:p/app:delete",
	} {
		method, path, _ := strings.Cut(in, " ")
		r, err := Parse(method, target(t, path), Limits{})
		if err != nil || r.Scope() != want {
			t.Errorf("%s: %q, %v", in, r.Scope(), err)
		}
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	for _, s := range []string{
		"/v2/p/app/manifests/latest", "/v2/p/app/manifests/" + string(sha256) + "?ns=docker.io",
		"/v2/p/app/blobs/" + string(sha256),
	} {
		u := target(t, s)
		if n := testing.AllocsPerRun(100, func() { _, _ = Parse(http.MethodGet, u, Limits{}) }); n != 0 {
			t.Errorf("%s allocates %v times", s, n)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	u := target(b, "/v2/project/team/app/manifests/"+string(sha256))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(http.MethodGet, u, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

// Whatever Parse accepts is valid, and has one spelling: the path built from the result is the path that came.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"/v2/", "/v2/_catalog?n=1", "/v2/p/app/tags/list?n=2&last=x", "/v2/p/app/manifests/latest",
		"/v2/p/app/blobs/uploads/?mount=" + string(sha256) + "&from=a/b", "/v2/p/app/blobs/uploads/" + uploadID,
		"/v2/p/app/referrers/" + string(sha256) + "?artifactType=a/b", "/v2/p/../x/manifests/y", "/v2/p%2fa/manifests/y",
	} {
		for _, m := range []string{"GET", "PUT", "POST"} {
			f.Add(m, s)
		}
	}
	f.Fuzz(func(t *testing.T, method, s string) {
		u, err := url.ParseRequestURI(s)
		if err != nil {
			return
		}
		r, e := Parse(method, u, Limits{})
		if e != nil {
			if r.Kind != 0 || e.Code == "" || e.Message == "" {
				t.Fatalf("%+v, %v", r, e)
			}
			return
		}
		path, _, _ := strings.Cut(s, "?")
		if got := rebuilt(&r); got != path && shortened(got) != path && r.Kind != Ping {
			t.Fatalf("%q was read as %q", path, got)
		}
		if r.Repository != "" && !registry.ValidName(r.Repository) || r.N < 0 || r.N > 1000 || len(r.Tags) > 32 {
			t.Fatalf("%+v", r)
		}
	})
}

func shortened(path string) string { return strings.Replace(path, "/v2/library/", "/v2/", 1) }

func rebuilt(r *Request) string {
	base := "/v2/" + r.Repository
	switch r.Endpoint {
	case endpointCatalog:
		return "/v2/_catalog"
	case endpointTags:
		return base + "/tags/list"
	case endpointManifest:
		return base + "/manifests/" + r.Ref.String()
	case endpointBlob:
		return base + "/blobs/" + string(r.Digest)
	case endpointUploads:
		return base + "/blobs/uploads/"
	case endpointUpload:
		return base + "/blobs/uploads/" + r.UploadID
	case endpointReferrers:
		return base + "/referrers/" + string(r.Digest)
	}
	return "/v2/"
}
