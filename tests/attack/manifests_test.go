package attack

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

var manifestHubs = newHubs()

const mib = 1 << 20

// padded is the image's manifest made this many bytes long by an annotation.
func padded(im image, size int) []byte {
	const add = `,"annotations":{"padding":""}}`
	text := strings.TrimSuffix(string(im.manifest), "}")
	return []byte(strings.Replace(text+add, `"padding":""`, `"padding":"`+strings.Repeat("x", size-len(text)-len(add))+`"`, 1))
}

// onlyReader hides how long a body is, so that it is sent in chunks without Content-Length.
type onlyReader struct{ *strings.Reader }

// TestV16LargeManifest: a manifest of the largest size is taken, one byte more is refused, and costs nothing.
func TestV16LargeManifest(t *testing.T) {
	manifestHubs.on(t, func(t *testing.T, h *hub) {
		admin, repo := h.admin(), h.project(t, "large", "private")+"/app"
		im := h.newImage(t, repo)
		atLimit := padded(im, 4*mib)
		if len(atLimit) != 4*mib {
			t.Fatalf("the test's manifest has %d bytes", len(atLimit))
		}
		h.putManifest(t, admin, repo, "largest", typeManifest, atLimit).want(t, "4 MiB", 201)
		tooLarge := string(padded(im, 4*mib+1))
		huge := strings.Repeat(tooLarge, 8)
		typed := headers{"Content-Type": typeManifest}
		h.frugal(t, 16*mib, func() {
			for range 4 {
				a := h.do(t, admin, "PUT", manifestPath(repo, "huge"), tooLarge, typed).want(t, "4 MiB + 1", 413)
				if a.code() == "" {
					t.Errorf("no code in %s", a)
				}
				h.do(t, admin, "PUT", manifestPath(repo, "huge"), onlyReader{strings.NewReader(tooLarge)}, typed).want(t, "4 MiB + 1 in chunks", 413)
			}
		})
		h.frugal(t, 16*mib, func() {
			for range 4 {
				// The hub answers without waiting for the rest, so the client may see the connection end instead.
				a, err := h.try(admin, "PUT", manifestPath(repo, "huge"), onlyReader{strings.NewReader(huge)}, typed)
				if err == nil && a.status != 413 {
					t.Errorf("32 MiB in chunks: %s", a)
				}
			}
		})
		h.do(t, admin, "GET", manifestPath(repo, "huge"), nil).want(t, "what was refused", 404)
	})
}

func TestV16ManifestBombs(t *testing.T) {
	manifestHubs.on(t, func(t *testing.T, h *hub) {
		admin, repo := h.admin(), h.project(t, "bombs", "private")+"/app"
		im := h.newImage(t, repo)
		with := func(more string) string {
			return strings.TrimSuffix(string(im.manifest), "}") + "," + more + "}"
		}
		nested := func(depth int) string { // the manifest itself is the first level
			return with(`"x":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1))
		}
		layer := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, typeLayer, digest.FromBytes(im.layer), len(im.layer))
		layers := func(n int) string {
			one, _, _ := strings.Cut(string(im.manifest), `"layers":`)
			return one + `"layers":[` + strings.Repeat(layer+",", n-1) + layer + `],"mediaType":"` + typeManifest + `","schemaVersion":2}`
		}
		child := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, typeManifest, im.digest, len(im.manifest))
		index := func(n int) string {
			return `{"schemaVersion":2,"mediaType":"` + typeIndex + `","manifests":[` + strings.Repeat(child+",", n-1) + child + `]}`
		}
		// docs/limits.md counts them: their bytes are bounded by those of the manifest, of which the specification wants 4 MB
		// taken, and its conformance suite pushes one that is nearly all annotations.
		annotations := func(n int) string {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, `,"%x":""`, i)
			}
			return with(`"annotations":{` + b.String()[1:] + "}")
		}
		put := func(name, mediaType, body string, status int) {
			t.Helper()
			if len(body) > 4*mib {
				t.Fatalf("%s: the test's manifest has %d bytes", name, len(body))
			}
			h.putManifest(t, admin, repo, unique("t"), mediaType, []byte(body)).want(t, name, status)
		}
		put("32 levels", typeManifest, nested(32), 201)
		put("500 layers", typeManifest, layers(500), 201)
		put("1,000 children", typeIndex, index(1000), 201)
		put("10,000 annotations", typeManifest, annotations(10_000), 201)
		h.frugal(t, 16*mib, func() {
			put("33 levels", typeManifest, nested(33), 400)
			put("10,000 levels", typeManifest, nested(10_000), 400)
			put("2,000,000 levels", typeManifest, nested(2_000_000), 400)
			put("levels that are never closed", typeManifest, strings.Repeat(`{"a":`, 800_000), 400)
			put("501 layers", typeManifest, layers(501), 400)
			put("20,000 layers", typeManifest, layers(20_000), 400)
			put("1,001 children", typeIndex, index(1001), 400)
			put("20,000 children", typeIndex, index(20_000), 400)
			put("10,001 annotations", typeManifest, annotations(10_001), 400)
			put("300,000 annotations", typeManifest, annotations(300_000), 400)
			put("members that mean nothing", typeManifest, with(`"x":[`+strings.Repeat("0,", 1_500_000)+`0]`), 400)
		})
	})
}

// TestV29TypeConfusion: what two programs could read differently is not stored.
func TestV29TypeConfusion(t *testing.T) {
	manifestHubs.on(t, func(t *testing.T, h *hub) {
		admin, repo := h.admin(), h.project(t, "types", "private")+"/app"
		im := h.newImage(t, repo)
		ok := string(im.manifest)
		with := func(more string) string { return strings.TrimSuffix(ok, "}") + "," + more + "}" }
		child := fmt.Sprintf(`[{"mediaType":%q,"digest":%q,"size":%d}]`, typeManifest, im.digest, len(im.manifest))
		index := `{"schemaVersion":2,"mediaType":"` + typeIndex + `","manifests":` + child + `}`
		layers := ok[strings.Index(ok, `"layers":`)+len(`"layers":`) : strings.Index(ok, `,"mediaType":"`+typeManifest)]
		config := ok[strings.Index(ok, `"config":`)+len(`"config":`) : strings.Index(ok, `,"layers":`)]
		untyped := `{"schemaVersion":2,"config":` + config + `,"layers":` + layers + `}`
		for _, c := range []struct{ name, mediaType, body string }{
			{"an image with manifests", typeManifest, with(`"manifests":` + child)},
			{"an image with no manifests, said so", typeManifest, with(`"manifests":[]`)},
			{"an image with null manifests", typeManifest, with(`"manifests":null`)},
			{"an index with layers", typeIndex, strings.TrimSuffix(index, "}") + `,"layers":` + layers + `}`},
			{"an index with a config", typeIndex, strings.TrimSuffix(index, "}") + `,"config":` + config + `}`},
			{"an image as an index", typeIndex, ok},
			{"an index as an image", typeManifest, index},
			{"an image of Docker as one of OCI", typeDocker, ok},
			{"an untyped index as an image", typeManifest, `{"schemaVersion":2,"manifests":` + child + `}`},
			{"an untyped image as an index", typeIndex, untyped},
			{"an untyped image as one of Docker", typeDocker, untyped},
			{"no type at all", "", untyped},
			{"layers twice", typeManifest, with(`"layers":[]`)},
			{"mediaType twice", typeManifest, with(`"mediaType":"` + typeManifest + `"`)},
			{"the same name twice, once escaped", typeManifest, with(`"la\u0079ers":[]`)},
			{"Layers", typeManifest, with(`"Layers":[]`)},
			{"MEDIATYPE", typeManifest, with(`"MEDIATYPE":"` + typeIndex + `"`)},
			{"Manifests", typeManifest, with(`"Manifests":` + child)},
			{"Kelvin sign", typeManifest, strings.Replace(ok, `"size"`, `"\u017Fize":1,"size"`, 1)},
			{"Digest within a descriptor", typeManifest, strings.Replace(ok, `"digest"`, `"Digest":"sha256:0","digest"`, 1)},
			{"something after it", typeManifest, ok + "{}"},
			{"a letter after it", typeManifest, ok + "x"},
			{"NUL after it", typeManifest, ok + "\x00"},
			{"a byte order mark", typeManifest, "\ufeff" + ok},
			{"UTF-16", typeManifest, utf16(ok)},
			{"invalid UTF-8", typeManifest, with("\"x\":\"\xff\"")},
			{"a lone surrogate", typeManifest, with(`"x":"\ud800"`)},
			{"a comment", typeManifest, with(`/* */"x":1`)},
			{"a comma too many", typeManifest, with("")},
			{"no JSON", typeManifest, "schemaVersion: 2"},
			{"a list", typeManifest, "[" + ok + "]"},
			{"a text", typeManifest, `"manifest"`},
			{"null", typeManifest, "null"},
			{"nothing", typeManifest, ""},
			{"schema 1", "application/vnd.docker.distribution.manifest.v1+prettyjws", `{"schemaVersion":1,"name":"x","fsLayers":[]}`},
			{"schemaVersion 1", typeManifest, strings.Replace(ok, `"schemaVersion":2`, `"schemaVersion":1`, 1)},
			{"schemaVersion as text", typeManifest, strings.Replace(ok, `"schemaVersion":2`, `"schemaVersion":"2"`, 1)},
			{"schemaVersion 2.5", typeManifest, strings.Replace(ok, `"schemaVersion":2`, `"schemaVersion":2.5`, 1)},
			{"a negative size", typeManifest, strings.Replace(ok, `"size":`, `"size":-`, 1)},
			{"a page", "text/html", "<html>"},
			{"another JSON", "application/json", ok},
			{"two types", typeManifest + "," + typeIndex, ok},
		} {
			a := h.do(t, admin, "PUT", manifestPath(repo, "confused"), c.body, headers{"Content-Type": c.mediaType})
			if a.status != 400 || a.code() == "" {
				t.Errorf("%s: want 400 with a code, got %s", c.name, a)
			}
		}
		h.do(t, admin, "GET", manifestPath(repo, "confused"), nil).want(t, "what was refused", 404)

		// Spellings of the right type are no other type.
		for _, spelled := range []string{typeManifest + "; charset=utf-8", strings.ToUpper(typeManifest), " " + typeManifest + " "} {
			h.putManifest(t, admin, repo, im.digest.String(), spelled, im.manifest).want(t, spelled, 201)
		}
		// The same bytes keep their type, whatever is said about them later, and whatever somebody would like to get.
		for _, other := range []string{typeIndex, typeDocker, typeList, "application/octet-stream"} {
			h.putManifest(t, admin, repo, im.digest.String(), other, im.manifest).want(t, other, 400)
		}
		for _, accept := range []string{"", typeIndex, typeDocker, "text/html", "*/*;q=0"} {
			a := h.do(t, admin, "GET", manifestPath(repo, "v1"), nil, headers{"Accept": accept}).want(t, "Accept "+accept, 200)
			if got := a.header.Get("Content-Type"); got != typeManifest || string(a.body) != ok {
				t.Errorf("Accept %q: Content-Type %q", accept, got)
			}
		}
	})
}

func utf16(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteByte(s[i])
		b.WriteByte(0)
	}
	return b.String()
}

// TestV30WrongDigests: what is not what it is called is not stored.
func TestV30WrongDigests(t *testing.T) {
	manifestHubs.on(t, func(t *testing.T, h *hub) {
		admin, repo := h.admin(), h.project(t, "digests", "private")+"/app"
		im := h.newImage(t, repo)
		other := makeImage(nil)
		right := im.digest.String()
		wrong := map[string]string{
			"another's":            other.digest.String(),
			"in upper case":        "sha256:" + strings.ToUpper(im.digest.Encoded()),
			"with an upper prefix": "SHA256:" + im.digest.Encoded(),
			"too short":            right[:len(right)-1],
			"too long":             right + "0",
			"without a value":      "sha256:",
			"of md5":               "md5:d41d8cd98f00b204e9800998ecf8427e",
			"of sha384":            "sha384:" + strings.Repeat("0", 96),
			"sha512 of nothing":    "sha512:" + strings.Repeat("0", 128),
			"with a g":             right[:len(right)-1] + "g",
			"of two algorithms":    "sha256+b64:" + im.digest.Encoded(),
		}
		content := []byte("content " + random(8))
		for name, d := range wrong {
			a := h.do(t, admin, "PUT", manifestPath(repo, d), im.manifest, headers{"Content-Type": typeManifest})
			if a.status != 400 && a.status != 404 { // where it is no reference at all there is nothing at that address
				t.Errorf("a manifest with a digest %s: %s", name, a)
			}
			h.do(t, admin, "POST", "/v2/"+repo+"/blobs/uploads/?digest="+strings.ReplaceAll(d, "+", "%2B"), content).want(t, "a blob with a digest "+name, 400)
			path := h.startUpload(t, admin, repo)
			h.do(t, admin, "PATCH", path, content).want(t, "a chunk", 202)
			h.do(t, admin, "PUT", path+"?digest="+strings.ReplaceAll(d, "+", "%2B"), nil).want(t, "a finish with a digest "+name, 400)
			for _, p := range []string{"/v2/" + repo + "/blobs/" + d, manifestPath(repo, d)} {
				a = h.do(t, admin, "GET", p, nil)
				if a.status < 400 || a.status >= 500 {
					t.Errorf("GET %s: %s", p, a)
				}
			}
		}
		d := digest.FromBytes(content)
		h.do(t, admin, "HEAD", blobPath(repo, d), nil).want(t, "what was never called right", 404)

		// Fewer bytes than were announced, and more.
		path := h.startUpload(t, admin, repo)
		h.do(t, admin, "PATCH", path, content, headers{"Content-Range": fmt.Sprintf("0-%d", len(content))}).want(t, "too short a chunk", 400, 416)
		h.do(t, admin, "PUT", path+"?digest="+d.String(), content[:4]).want(t, "a part of it", 400)
		h.do(t, admin, "HEAD", blobPath(repo, d), nil).want(t, "a part of it", 404)
		// Descriptors that lie about the size of what is there.
		var m map[string]any
		if err := json.Unmarshal(im.manifest, &m); err != nil {
			t.Fatal(err)
		}
		m["config"].(map[string]any)["digest"] = other.digest
		lie, _ := json.Marshal(m)
		a := h.putManifest(t, admin, repo, "lie", typeManifest, lie).want(t, "a config that is not there", 400, 404)
		if a.code() != "MANIFEST_BLOB_UNKNOWN" {
			t.Errorf("a config that is not there: %s", a)
		}
		h.do(t, admin, "GET", manifestPath(repo, "lie"), nil).want(t, "what was refused", 404)
	})
}
