package server

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

// start begins an upload and returns its path.
func (h *hub) start(repo string) string {
	h.Helper()
	a := h.want(h.call("POST", "/v2/"+repo+"/blobs/uploads/", nil), 202, "")
	id := a.Header.Get("Docker-Upload-UUID")
	h.header(a, "Location: /v2/"+repo+"/blobs/uploads/"+id, "Range: 0-0", "Content-Length: 0")
	if id == "" {
		h.Fatal("no id")
	}
	return a.Header.Get("Location")
}

func stream(s string) io.Reader { return struct{ io.Reader }{strings.NewReader(s)} }

func TestUploadInTwoRequests(t *testing.T) {
	h := newHub(t, Options{})
	for _, chunked := range []bool{false, true} {
		data := fmt.Sprint("hello ", chunked)
		d := string(digest.FromString(data))
		var body io.Reader = strings.NewReader(data)
		if chunked {
			body = stream(data)
		}
		a := h.want(h.call("PUT", h.start("p/app")+"?digest="+d, body), 201, "")
		h.header(a, "Location: /v2/p/app/blobs/"+d, "Docker-Content-Digest: "+d, "Content-Length: 0")
		if got := h.want(h.get(a.Header.Get("Location")), 200, ""); got.body != data {
			t.Errorf("%q", got.body)
		}
	}
}

func TestUploadInChunks(t *testing.T) {
	h := newHub(t, Options{})
	d := string(digest.FromString("hello world"))
	at := h.start("p/app")
	patch := func(body io.Reader, contentRange string) answer {
		var headers []string
		if contentRange != "" {
			headers = append(headers, "Content-Range: "+contentRange)
		}
		return h.call("PATCH", at, body, headers...)
	}
	id := at[strings.LastIndex(at, "/")+1:]
	stands := func(a answer, end string) {
		t.Helper()
		h.header(a, "Location: "+at, "Range: 0-"+end, "Docker-Upload-UUID: "+id)
	}
	stands(h.want(patch(strings.NewReader("he"), "0-1"), 202, ""), "1")
	stands(h.want(patch(stream("l"), "2-2"), 202, ""), "2")
	stands(h.want(patch(stream("lo "), ""), 202, ""), "5") // as docker does

	for _, out := range []string{"0-1", "7-8", "5-6"} {
		stands(h.want(patch(strings.NewReader("xx"), out), 416, registry.CodeRangeInvalid), "5")
	}
	for _, bad := range []string{"6", "6-5", "bytes 6-7/8", "a-b", "-"} {
		h.want(patch(strings.NewReader("xx"), bad), 400, registry.CodeBlobUploadInvalid)
	}
	h.want(patch(strings.NewReader("xx"), "6-8"), 400, registry.CodeSizeInvalid)
	h.want(h.call("PATCH", at, strings.NewReader("x"), "Content-Range: 6-6", "Content-Range: 6-6"), 400, registry.CodeBlobUploadInvalid)
	stands(h.want(h.get(at), 204, ""), "5")
	stands(h.want(h.call("HEAD", at, nil), 204, ""), "5")

	stands(h.want(h.call("PUT", at+"?digest="+d, strings.NewReader("world"), "Content-Range: 0-4"), 416, registry.CodeRangeInvalid), "5")
	h.want(h.call("PUT", at, nil), 400, registry.CodeDigestInvalid)
	h.want(h.call("PUT", at+"?digest="+d, strings.NewReader("world"), "Content-Range: 6-10"), 201, "")
	h.want(h.get(at), 404, registry.CodeBlobUploadUnknown)
	h.want(patch(nil, ""), 404, registry.CodeBlobUploadUnknown)

	at = h.start("p/app")
	h.want(patch(strings.NewReader("hello world"), ""), 202, "")
	h.want(h.call("PUT", at+"?digest="+d, nil), 201, "")
}

// A chunk without length that does not have what its Content-Range says: what came stays, and the client can ask.
func TestChunkOfOtherLength(t *testing.T) {
	h := newHub(t, Options{})
	at := h.start("p/app")
	h.want(h.call("PATCH", at, stream("abc"), "Content-Range: 0-3"), 400, registry.CodeSizeInvalid)
	h.header(h.want(h.get(at), 204, ""), "Range: 0-2")
	h.want(h.call("PATCH", at, stream("def"), "Content-Range: 3-4"), 400, registry.CodeSizeInvalid)
	h.header(h.want(h.get(at), 204, ""), "Range: 0-4")
}

func TestUploadInOneRequest(t *testing.T) {
	h := newHub(t, Options{})
	for _, d := range []digest.Digest{digest.FromString("hello"), digest.SHA512.FromString("hello"), digest.FromString("")} {
		data := "hello"
		if d == digest.FromString("") {
			data = ""
		}
		a := h.want(h.call("POST", "/v2/p/app/blobs/uploads/?digest="+string(d), strings.NewReader(data)), 201, "")
		h.header(a, "Location: /v2/p/app/blobs/"+string(d), "Docker-Content-Digest: "+string(d))
		h.want(h.get(a.Header.Get("Location")), 200, "")
	}
	// V-30: nothing is visible, and no upload is left.
	for _, body := range []io.Reader{strings.NewReader("other"), stream("other")} {
		d := string(digest.FromString("none"))
		h.want(h.call("POST", "/v2/p/app/blobs/uploads/?digest="+d, body), 400, registry.CodeDigestInvalid)
		h.want(h.get("/v2/p/app/blobs/"+d), 404, registry.CodeBlobUnknown)
	}
	if len(h.mem.uploads) != 0 {
		t.Errorf("%d uploads are left", len(h.mem.uploads))
	}
}

func TestV30WrongDigests(t *testing.T) {
	h := newHub(t, Options{})
	good := digest.FromString("hello")
	for _, d := range []string{
		"", "sha256:short", "sha256:" + strings.ToUpper(good.Encoded()), "md5:" + good.Encoded()[:32], "sha384:" + good.Encoded(),
		string(digest.FromString("other")), "sha512:" + good.Encoded(),
	} {
		at := h.start("p/app")
		h.want(h.call("PUT", at+"?digest="+d, strings.NewReader("hello")), 400, registry.CodeDigestInvalid)
	}
	h.want(h.get("/v2/p/app/blobs/"+string(good)), 404, registry.CodeBlobUnknown)
}

func TestMount(t *testing.T) {
	h := newHub(t, Options{})
	d := string(h.pushBlob("p/from", []byte("hello")))
	a := h.want(h.call("POST", "/v2/p/app/blobs/uploads/?mount="+d+"&from=p/from", nil), 201, "")
	h.header(a, "Location: /v2/p/app/blobs/"+d, "Docker-Content-Digest: "+d)
	h.want(h.get("/v2/p/app/blobs/"+d), 200, "")
	other := string(digest.FromString("other"))
	for _, query := range []string{"mount=" + other + "&from=p/from", "mount=" + d + "&from=p/none", "mount=" + d} {
		a := h.want(h.call("POST", "/v2/p/app/blobs/uploads/?"+query, nil), 202, "")
		h.want(h.get(a.Header.Get("Location")), 204, "")
	}
	h.mem.fail = registry.NewError(registry.CodeUnsupported, "No.")
	h.want(h.call("POST", "/v2/p/app/blobs/uploads/?mount="+d+"&from=p/from", nil), 405, registry.CodeUnsupported) // nor uploads
	h.mem.fail = registry.NewError(registry.CodeDenied, "No.")
	h.want(h.call("POST", "/v2/p/app/blobs/uploads/?mount="+d+"&from=p/from", nil), 403, registry.CodeDenied)
}

// V-28: an upload is not there for another repository.
func TestV28UploadOfAnotherRepository(t *testing.T) {
	h := newHub(t, Options{})
	at := h.start("p/app")
	elsewhere := strings.Replace(at, "p/app", "p/other", 1)
	for _, c := range [][2]string{
		{"GET", elsewhere}, {"DELETE", elsewhere}, {"PATCH", elsewhere}, {"PUT", elsewhere + "?digest=" + string(digest.FromString(""))},
		{"GET", "/v2/p/app/blobs/uploads/none"},
	} {
		h.want(h.call(c[0], c[1], nil), 404, registry.CodeBlobUploadUnknown)
	}
	h.want(h.get("/v2/p/app/blobs/uploads/../../x"), 404, registry.CodeNameUnknown)
	h.want(h.call("DELETE", at, nil), 204, "")
	h.want(h.call("DELETE", at, nil), 404, registry.CodeBlobUploadUnknown)
}

// The largest blob, at the limit and one above, in every way that bytes can come.
func TestBlobLimit(t *testing.T) {
	h := newHub(t, Options{Limits: Limits{Blob: 10}})
	ten, eleven := "0123456789", "0123456789a"
	ways := map[string]func(data string) answer{
		"POST": func(s string) answer {
			return h.call("POST", "/v2/p/app/blobs/uploads/?digest="+sum(s), strings.NewReader(s))
		},
		"POST chunked": func(s string) answer { return h.call("POST", "/v2/p/app/blobs/uploads/?digest="+sum(s), stream(s)) },
		"PUT":          func(s string) answer { return h.call("PUT", h.start("p/app")+"?digest="+sum(s), strings.NewReader(s)) },
		"PUT chunked":  func(s string) answer { return h.call("PUT", h.start("p/app")+"?digest="+sum(s), stream(s)) },
		"PATCH and PUT": func(s string) answer {
			at := h.start("p/app")
			h.want(h.call("PATCH", at, stream(s[:5])), 202, "")
			return h.call("PUT", at+"?digest="+sum(s), strings.NewReader(s[5:]))
		},
		"PATCH and PUT chunked": func(s string) answer {
			at := h.start("p/app")
			h.want(h.call("PATCH", at, stream(s[:5])), 202, "")
			return h.call("PUT", at+"?digest="+sum(s), stream(s[5:]))
		},
		"PUT with range": func(s string) answer {
			at := h.start("p/app")
			h.want(h.call("PATCH", at, stream(s[:5])), 202, "")
			return h.call("PUT", at+"?digest="+sum(s), strings.NewReader(s[5:]), fmt.Sprintf("Content-Range: 5-%d", len(s)-1))
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			h.want(way(ten), 201, "")
			h.want(way(eleven), 413, registry.CodeTooLarge)
			h.noUploads()
			h.want(h.get("/v2/p/app/blobs/"+sum(eleven)), 404, registry.CodeBlobUnknown)
		})
	}
	patches := map[string]func(at, s string) answer{
		"PATCH":         func(at, s string) answer { return h.call("PATCH", at, strings.NewReader(s)) },
		"PATCH chunked": func(at, s string) answer { return h.call("PATCH", at, stream(s)) },
		"PATCH with range": func(at, s string) answer {
			return h.call("PATCH", at, strings.NewReader(s), fmt.Sprintf("Content-Range: 0-%d", len(s)-1))
		},
		"two PATCHes": func(at, s string) answer {
			h.want(h.call("PATCH", at, stream(s[:5])), 202, "")
			return h.call("PATCH", at, stream(s[5:]))
		},
		"a range beyond all bounds": func(at, s string) answer {
			if len(s) <= 10 {
				return h.call("PATCH", at, stream(s))
			}
			return h.call("PATCH", at, stream(s), "Content-Range: 0-9223372036854775806")
		},
	}
	for name, patch := range patches {
		t.Run(name, func(t *testing.T) {
			at := h.start("p/app")
			h.want(patch(at, ten), 202, "")
			h.want(h.call("PUT", at+"?digest="+sum(ten), nil), 201, "")
			at = h.start("p/app")
			h.want(patch(at, eleven), 413, registry.CodeTooLarge)
			h.want(h.get(at), 404, registry.CodeBlobUploadUnknown)
			h.noUploads()
		})
	}
}

// noUploads checks that none is left: what can never be finished does not wait for its end.
func (h *hub) noUploads() {
	h.Helper()
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	if n := len(h.mem.uploads); n != 0 {
		h.Errorf("%d uploads are left", n)
	}
}

func sum(s string) string { return string(digest.FromString(s)) }

// A client that goes away in the middle: what arrived stays.
func TestUploadBreaksOff(t *testing.T) {
	h := newHub(t, Options{})
	at := h.start("p/app")
	conn, err := net.Dial("tcp", h.srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "PATCH "+at+" HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	res, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(res), "HTTP/1.1 400 ") || !strings.Contains(string(res), "BLOB_UPLOAD_INVALID") {
		t.Errorf("%v: %s", err, res)
	}
	h.header(h.want(h.get(at), 204, ""), "Range: 0-4")
	h.want(h.call("PUT", at+"?digest="+sum("0123456789"), strings.NewReader("56789"), "Content-Range: 5-9"), 201, "")
}
