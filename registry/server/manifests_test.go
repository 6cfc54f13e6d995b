package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

func TestManifests(t *testing.T) {
	h := newHub(t, Options{})
	d := h.pushImage("p/app", "1.0", "")
	payload := string(imageOf(""))
	for _, ref := range []string{"1.0", string(d)} {
		path := "/v2/p/app/manifests/" + ref
		lines := []string{
			"Content-Type: " + ocispec.MediaTypeImageManifest, "Docker-Content-Digest: " + string(d), "Etag: \"" + string(d) + `"`,
			fmt.Sprint("Content-Length: ", len(payload)),
		}
		a := h.header(h.want(h.get(path), 200, ""), lines...)
		if a.body != payload {
			t.Errorf("%q", a.body)
		}
		h.header(h.want(h.call("HEAD", path, nil), 200, ""), lines...)
		// Whoever does not accept it gets it all the same.
		h.header(h.want(h.get(path, "Accept: application/vnd.docker.distribution.manifest.v2+json"), 200, ""), lines...)
		for _, tag := range []string{`"` + string(d) + `"`, "*", `"x", W/"` + string(d) + `"`} {
			for _, method := range []string{"GET", "HEAD"} {
				a := h.want(h.call(method, path, nil, "If-None-Match: "+tag), 304, "")
				h.header(a, "Etag: \""+string(d)+`"`, "Content-Type:", "Docker-Content-Digest: "+string(d))
			}
		}
		h.want(h.get(path, `If-None-Match: "sha256:00"`), 200, "")
	}
	if h.mem.kept == 0 {
		t.Error("nothing was kept")
	}
	h.want(h.get("/v2/p/app/manifests/2.0"), 404, registry.CodeManifestUnknown)
	h.want(h.get("/v2/p/other/manifests/1.0"), 404, registry.CodeNameUnknown)

	h.want(h.call("DELETE", "/v2/p/app/manifests/1.0", nil), 202, "")
	h.want(h.get("/v2/p/app/manifests/1.0"), 404, registry.CodeManifestUnknown)
	h.want(h.get("/v2/p/app/manifests/"+string(d)), 200, "")
	h.want(h.call("DELETE", "/v2/p/app/manifests/1.0", nil), 404, registry.CodeManifestUnknown)
	h.want(h.call("DELETE", "/v2/p/app/manifests/"+string(d), nil), 202, "")
	h.want(h.get("/v2/p/app/manifests/"+string(d)), 404, registry.CodeManifestUnknown)
	h.header(h.want(h.call("PATCH", "/v2/p/app/manifests/1.0", nil), 405, registry.CodeUnsupported),
		"Allow: GET, HEAD, PUT, DELETE")
}

func TestPutManifest(t *testing.T) {
	h := newHub(t, Options{})
	h.want(h.putManifest("p/app", "latest", imageOf("")), 400, registry.CodeManifestBlobUnknown)
	h.pushBlob("p/app", []byte("{}"))
	subject := digest.FromString("subject")
	payload := imageOf(fmt.Sprintf(`,"subject":{"mediaType":%q,"digest":%q,"size":7}`, ocispec.MediaTypeImageManifest, subject))
	d := digest.FromBytes(payload)

	a := h.want(h.putManifest("p/app", "latest", payload), 201, "")
	h.header(a, "Location: /v2/p/app/manifests/"+string(d), "Docker-Content-Digest: "+string(d), "Oci-Subject: "+string(subject),
		"Content-Length: 0", "Oci-Tag:")
	h.want(h.get(a.Header.Get("Location")), 200, "")

	sha512 := digest.SHA512.FromBytes(payload)
	a = h.want(h.putManifest("p/app", string(sha512)+"?tag=a&tag=b&tag=1.2-x", payload), 201, "")
	h.header(a, "Docker-Content-Digest: "+string(sha512))
	if got := strings.Join(a.Header.Values("OCI-Tag"), ","); got != "a,b,1.2-x" {
		t.Errorf("%q", got)
	}
	h.header(h.want(h.get("/v2/p/app/manifests/b"), 200, ""), "Docker-Content-Digest: "+string(sha512))

	// A short name is one of library/.
	h.pushBlob("app", []byte("{}"))
	h.header(h.want(h.putManifest("app", "latest", imageOf("")), 201, ""),
		"Location: /v2/library/app/manifests/"+string(digest.FromBytes(imageOf(""))))
	h.want(h.get("/v2/library/app/manifests/latest"), 200, "")
}

// V-30 and V-29 as far as they show here: the type is that of the bytes, without parameters and whatever the case.
func TestPutManifestRefuses(t *testing.T) {
	h := newHub(t, Options{})
	h.pushBlob("p/app", []byte("{}"))
	payload := imageOf("")
	put := func(ref, contentType string) answer {
		return h.call("PUT", "/v2/p/app/manifests/"+ref, bytes.NewReader(payload), "Content-Type: "+contentType)
	}
	image := ocispec.MediaTypeImageManifest
	h.want(put("a", image+"; charset=utf-8"), 201, "")
	h.want(put("a", "application/json"), 400, registry.CodeManifestInvalid)
	h.want(put("a", ocispec.MediaTypeImageIndex), 400, registry.CodeManifestInvalid)
	h.want(put(string(digest.FromString("other")), image), 400, registry.CodeDigestInvalid)
	h.want(put("sha256:short", image), 400, registry.CodeDigestInvalid)
	h.want(put("sha256:"+strings.ToUpper(digest.FromBytes(payload).Encoded()), image), 400, registry.CodeDigestInvalid)
	h.want(put("md5:"+digest.FromBytes(payload).Encoded()[:32], image), 400, registry.CodeDigestInvalid)
	h.want(put(string(digest.FromBytes(payload))+"?tag=.x", image), 400, registry.CodeTagInvalid)
	h.want(h.get("/v2/p/app/manifests/"+string(digest.FromString("other"))), 404, registry.CodeManifestUnknown)
}

// V-16: 4 MiB is taken, one byte more is not, with Content-Length and without.
func TestV16ManifestBody(t *testing.T) {
	h := newHub(t, Options{})
	h.pushBlob("p/app", []byte("{}"))
	sized := func(n int) []byte { return append(imageOf(""), bytes.Repeat([]byte(" "), n-len(imageOf("")))...) }
	const limit = 4 << 20
	for _, chunked := range []bool{false, true} {
		put := func(payload []byte) answer {
			var body io.Reader = bytes.NewReader(payload)
			if chunked {
				body = struct{ io.Reader }{body}
			}
			return h.call("PUT", "/v2/p/app/manifests/latest", body, "Content-Type: "+ocispec.MediaTypeImageManifest)
		}
		h.want(put(sized(limit)), 201, "")
		a := h.want(put(sized(limit+1)), 413, registry.CodeTooLarge)
		if !strings.Contains(a.body, fmt.Sprint(limit)) {
			t.Errorf("%s", a.body)
		}
	}
	if a := h.want(h.get("/v2/p/app/manifests/latest"), 200, ""); len(a.body) != limit { // in pieces
		t.Errorf("%d bytes", len(a.body))
	}
	h.want(h.putManifest("p/app", "latest", nil), 400, registry.CodeManifestInvalid)
}

// Who may not push is refused before anything is read, however large it is.
func TestPutManifestAsksFirst(t *testing.T) {
	h := newHub(t, Options{})
	h.mem.denied = registry.NewError(registry.CodeDenied, "No.")
	h.want(h.putManifest("p/app", "latest", bytes.Repeat([]byte(" "), 4<<20+1)), 403, registry.CodeDenied)
}

// The body ends before Content-Length.
func TestTruncatedManifest(t *testing.T) {
	h := newHub(t, Options{})
	payload := imageOf("")
	body := bytes.NewReader(payload[:10])
	req, err := http.NewRequest("PUT", h.srv.URL+"/v2/p/app/manifests/latest", struct{ io.Reader }{body})
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(payload))
	if res, err := h.srv.Client().Do(req); err == nil {
		defer res.Body.Close()
		if res.StatusCode != 400 {
			t.Errorf("%d", res.StatusCode)
		}
	}
	h.want(h.get("/v2/p/app/manifests/latest"), 404, registry.CodeNameUnknown)
}
