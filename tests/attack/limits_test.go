package attack

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// limitHubs have the limits that are built in, smallHubs small ones.
var (
	limitHubs = newHubs()
	smallHubs = newHubs("HALLMARK_LIMITS_UPLOADS_PER_REPOSITORY=5", "HALLMARK_LIMITS_UPLOADS_PER_PRINCIPAL=3", "HALLMARK_LIMITS_BLOB_BYTES=1MiB", "HALLMARK_LIMITS_MANIFEST_BYTES=64KiB",
		"HALLMARK_LIMITS_PAGE_DEFAULT=2", "HALLMARK_LIMITS_PAGE_MAX=3", "HALLMARK_LIMITS_TOKEN_LIFE=90s")
)

// refusedUpload asks for one upload too many.
func (h *hub) refusedUpload(t testing.TB, p who, repo string) {
	t.Helper()
	a := h.do(t, p, "POST", "/v2/"+repo+"/blobs/uploads/", nil).want(t, "one upload too many", 429)
	if a.code() != "TOOMANYREQUESTS" || a.header.Get("Retry-After") == "" {
		t.Errorf("one upload too many: %s, %v", a, a.header)
	}
}

func TestLimitUploadsOfPrincipal(t *testing.T) {
	limitHubs.on(t, func(t *testing.T, h *hub) {
		project := h.project(t, "many", "private")
		p, other := h.newMember(t, project, "developer"), h.newMember(t, project, "developer")
		var paths []string
		for i := range 64 {
			paths = append(paths, h.startUpload(t, p, fmt.Sprintf("%s/r%d", project, i%3)))
		}
		h.refusedUpload(t, p, project+"/elsewhere")
		h.do(t, p, "POST", "/v2/"+project+"/r0/blobs/uploads/?digest="+digest.FromString("x").String(), "x").want(t, "a blob in one request needs an upload too", 429)
		h.startUpload(t, other, project+"/r0") // others have their own
		h.do(t, p, "DELETE", paths[0], nil).want(t, "cancel", 204)
		h.startUpload(t, p, project+"/elsewhere")
		h.refusedUpload(t, p, project+"/elsewhere")
		h.do(t, p, "PUT", paths[1]+"?digest="+digest.FromString("x").String(), "x").want(t, "finish", 201)
		h.startUpload(t, p, project+"/elsewhere")
	})
}

func TestLimitUploadsOfRepository(t *testing.T) {
	smallHubs.on(t, func(t *testing.T, h *hub) {
		project := h.project(t, "few", "private")
		repo := project + "/app"
		a, b := h.newMember(t, project, "developer"), h.newMember(t, project, "developer")
		for range 3 {
			h.startUpload(t, a, repo)
		}
		h.refusedUpload(t, a, repo)
		h.startUpload(t, b, repo)
		h.startUpload(t, b, repo)
		h.refusedUpload(t, b, repo) // five in this repository
		h.startUpload(t, b, project+"/other")
	})
}

func TestLimitSizes(t *testing.T) {
	smallHubs.on(t, func(t *testing.T, h *hub) {
		admin, repo := h.admin(), h.project(t, "sizes", "private")+"/app"
		largest := bytes.Repeat([]byte("x"), mib)
		larger := append(largest, 'x')
		push := func(content []byte) *answer {
			return h.do(t, admin, "POST", "/v2/"+repo+"/blobs/uploads/?digest="+digestOf(content).String(), content)
		}
		push(largest).want(t, "1 MiB at once", 201)
		push(larger).want(t, "1 MiB + 1 at once", 413)
		inChunks := func(content []byte, parts int) *answer {
			path := h.startUpload(t, admin, repo)
			size := (len(content) + parts - 1) / parts
			for i := range parts {
				a := h.do(t, admin, "PATCH", path, io.MultiReader(bytes.NewReader(content[i*size:min((i+1)*size, len(content))])))
				if a.status != 202 {
					return a
				}
			}
			return h.do(t, admin, "PUT", path+"?digest="+digestOf(content).String(), nil)
		}
		inChunks(largest, 2).want(t, "1 MiB in two chunks", 201)
		inChunks(larger, 2).want(t, "1 MiB + 1 in two chunks", 413)
		path := h.startUpload(t, admin, repo)
		h.do(t, admin, "PATCH", path, largest[:10]).want(t, "a chunk", 202)
		h.do(t, admin, "PUT", path+"?digest="+digestOf(larger).String(), io.MultiReader(bytes.NewReader(larger[10:]))).want(t, "the rest with the finish", 413)
		h.do(t, admin, "GET", path, nil).want(t, "an upload that was too large", 404)
		h.do(t, admin, "HEAD", blobPath(repo, digestOf(larger)), nil).want(t, "what was too large", 404)

		im := h.newImage(t, repo)
		h.putManifest(t, admin, repo, "t", typeManifest, padded(im, 64<<10)).want(t, "a manifest of 64 KiB", 201)
		h.putManifest(t, admin, repo, "t", typeManifest, padded(im, 64<<10+1)).want(t, "a manifest of 64 KiB + 1", 413)

		// Lists: two entries unless said otherwise, three at most.
		for i := range 5 {
			h.putManifest(t, admin, repo, fmt.Sprint("page", i), typeManifest, im.manifest).want(t, "tag", 201)
		}
		for query, want := range map[string]int{"": 2, "?n=3": 3, "?n=4": 3} {
			a := h.do(t, admin, "GET", "/v2/"+repo+"/tags/list"+query, nil).want(t, query, 200)
			if got := length(t, a, "tags"); got != want {
				t.Errorf("tags%s: %d entries, not %d", query, got, want)
			}
		}
	})
}

// TestLimitTooLargeUploads: an upload that can never be finished is ended at once, whoever it belongs to is told, and its
// bytes are given up. Nobody else can end it that way.
func TestLimitTooLargeUploads(t *testing.T) {
	smallHubs.on(t, func(t *testing.T, h *hub) {
		project := h.project(t, "endless", "private")
		repo := project + "/app"
		p, thief := h.newMember(t, project, "developer"), h.newMember(t, project, "developer")
		larger := strings.Repeat("x", mib+1)
		before := h.blobFiles(t)
		for name, attempt := range map[string]func(path string) *answer{
			"PATCH":           func(path string) *answer { return h.do(t, p, "PATCH", path, larger) },
			"PATCH in chunks": func(path string) *answer { return h.do(t, p, "PATCH", path, onlyReader{strings.NewReader(larger)}) },
			"PATCH with range": func(path string) *answer {
				return h.do(t, p, "PATCH", path, larger, headers{"Content-Range": fmt.Sprint("0-", mib)})
			},
			"one byte too many": func(path string) *answer {
				h.do(t, p, "PATCH", path, larger[1:]).want(t, "1 MiB", 202)
				return h.do(t, p, "PATCH", path, onlyReader{strings.NewReader("x")})
			},
			"PUT": func(path string) *answer {
				return h.do(t, p, "PUT", path+"?digest="+digest.FromString(larger).String(), larger)
			},
			"PUT in chunks": func(path string) *answer {
				return h.do(t, p, "PUT", path+"?digest="+digest.FromString(larger).String(), onlyReader{strings.NewReader(larger)})
			},
			"POST": func(string) *answer {
				return h.do(t, p, "POST", "/v2/"+repo+"/blobs/uploads/?digest="+digest.FromString(larger).String(), larger)
			},
			"POST in chunks": func(string) *answer {
				return h.do(t, p, "POST", "/v2/"+repo+"/blobs/uploads/?digest="+digest.FromString(larger).String(), onlyReader{strings.NewReader(larger)})
			},
		} {
			path := h.startUpload(t, p, repo)
			if a := attempt(path).want(t, name, 413); a.code() != "TOO_LARGE" {
				t.Errorf("%s: %s", name, a)
			}
			if strings.HasPrefix(name, "POST") {
				h.do(t, p, "DELETE", path, nil).want(t, "an upload beside it", 204)
			}
			h.do(t, p, "GET", path, nil).want(t, name+": the upload afterwards", 404)
		}
		if after := h.blobFiles(t); after != before {
			t.Errorf("there were %d files of blobs, and now there are %d", before, after)
		}
		path := h.startUpload(t, p, repo)
		h.do(t, p, "PATCH", path, larger[1:]).want(t, "1 MiB", 202)
		h.do(t, thief, "PATCH", path, larger).want(t, "somebody else's PATCH", 404, 413)
		h.do(t, anonymous(), "PATCH", path, larger).want(t, "nobody's PATCH", 401, 413)
		h.do(t, p, "PUT", path+"?digest="+digest.FromString(larger[1:]).String(), nil).want(t, "finish", 201)
	})
}

// blobFiles counts the files below the directory of blobs.
func (h *hub) blobFiles(t testing.TB) (n int) {
	t.Helper()
	if err := filepath.WalkDir(filepath.Join(h.dir, "blobs"), func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			n++
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLimitTokenLife: a registry token lives as long as limits.token_life says.
func TestLimitTokenLife(t *testing.T) {
	smallHubs.on(t, func(t *testing.T, h *hub) {
		var token struct {
			Expires int `json:"expires_in"`
		}
		h.do(t, anonymous(), "GET", "/service/token?service=hallmark", nil).decode(t, &token)
		if token.Expires != 90 {
			t.Errorf("limits.token_life is 90 s, and a token lives %d s", token.Expires)
		}
	})
}

func TestLimitTags(t *testing.T) {
	limitHubs.on(t, func(t *testing.T, h *hub) {
		admin, repo := h.admin(), h.project(t, "tags", "private")+"/app"
		im := h.newImage(t, repo)
		put := func(n int) *answer {
			var q strings.Builder
			for i := range n {
				fmt.Fprintf(&q, "&tag=t%d", i)
			}
			return h.do(t, admin, "PUT", manifestPath(repo, im.digest.String())+"?"+q.String()[1:], im.manifest, headers{"Content-Type": typeManifest})
		}
		put(33).want(t, "33 tags", 400)
		h.do(t, admin, "GET", manifestPath(repo, "t0"), nil).want(t, "none of them", 404)
		put(32).want(t, "32 tags", 201)
		h.do(t, admin, "GET", manifestPath(repo, "t31"), nil).want(t, "the last one", 200)
		h.putManifest(t, admin, repo, strings.Repeat("t", 128), typeManifest, im.manifest).want(t, "a tag of 128", 201)
		h.putManifest(t, admin, repo, strings.Repeat("t", 129), typeManifest, im.manifest).want(t, "a tag of 129", 400)
		project := strings.TrimSuffix(repo, "app")
		h.pushImage(t, admin, project+strings.Repeat("a", 255-len(project)), "v1", makeImage(nil))
		h.do(t, admin, "POST", "/v2/"+project+strings.Repeat("a", 256-len(project))+"/blobs/uploads/", nil).want(t, "a name of 256", 400)

		// 200 referrers in one answer, then a link.
		subject := map[string]any{"subject": descriptor{typeManifest, im.digest, len(im.manifest)}}
		h.pushBlob(t, admin, repo, im.config)
		for i := range 201 {
			m := map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": []any{}, "annotations": map[string]string{"n": fmt.Sprint(i)}, "subject": subject["subject"]}
			h.putManifest(t, admin, repo, "", typeIndex, []byte(text(t, m))).want(t, "a referrer", 201)
		}
		a := h.do(t, admin, "GET", "/v2/"+repo+"/referrers/"+im.digest.String()+"?n=1000", nil).want(t, "referrers", 200)
		link := a.header.Get("Link")
		if got := length(t, a, "manifests"); got != 200 || link == "" {
			t.Fatalf("%d referrers, Link %q", got, link)
		}
		next, _, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">")
		a = h.do(t, admin, "GET", next, nil).want(t, "the rest", 200)
		if got := length(t, a, "manifests"); got != 1 || a.header.Get("Link") != "" {
			t.Errorf("%d referrers on the second page, Link %q", got, a.header.Get("Link"))
		}
	})
}

func TestLimitRequests(t *testing.T) {
	limitHubs.on(t, func(t *testing.T, h *hub) {
		form := headers{"Content-Type": "application/x-www-form-urlencoded"}
		fill := func(s string, size int) string { return s + strings.Repeat("x", size-len(s)) }
		h.do(t, anonymous(), "POST", "/service/token", fill("service=hallmark&client_id=", 8<<10), form).want(t, "a form of 8 KiB", 200)
		h.do(t, anonymous(), "POST", "/service/token", fill("service=hallmark&client_id=", 8<<10+1), form).want(t, "a form of 8 KiB + 1", 413)
		h.do(t, anonymous(), "POST", "/service/token", onlyReader{strings.NewReader(fill("service=hallmark&client_id=", 8<<10+1))}, form).want(t, "the same in chunks", 413)
		h.do(t, anonymous(), "GET", "/service/token?"+fill("service=hallmark&client_id=", 8<<10), nil).want(t, "a query of 8 KiB", 200, 414)
		h.do(t, anonymous(), "GET", "/service/token?"+fill("service=hallmark&client_id=", 8<<10+1), nil).want(t, "a query of 8 KiB + 1", 413, 414)

		body := func(size int) string {
			const begin, end = `{"name":"`, `"}`
			return begin + strings.Repeat("x", size-len(begin)-len(end)) + end
		}
		typed := headers{"Content-Type": "application/json"}
		for range 2 {
			h.do(t, h.admin(), "POST", "/api/v1/projects", body(mib), typed).want(t, "a body of 1 MiB", 400) // read, and found to be no project
			h.do(t, h.admin(), "POST", "/api/v1/projects", body(mib+1), typed).want(t, "a body of 1 MiB + 1", 413)
			h.do(t, h.admin(), "POST", "/api/v1/projects", onlyReader{strings.NewReader(body(mib + 1))}, typed).want(t, "the same in chunks", 413)
		}
		project := h.project(t, "readme", "private")
		h.newImage(t, project+"/app")
		readme := func(size int) *answer {
			return h.do(t, h.admin(), "PATCH", "/api/v1/projects/"+project+"/repositories/app", map[string]any{"readme": strings.Repeat("x", size)}, headers{"If-Match": "*"})
		}
		readme(64<<10).want(t, "a README of 64 KiB", 200)
		readme(64<<10+1).want(t, "a README of 64 KiB + 1", 400, 413)

		for size, want := range map[int]int{30 << 10: 401, 40 << 10: 431, 1 << 20: 431} {
			h.raw(t, "GET", h.rawRequest(anonymous(), "GET", "/v2/", "X-Long: "+strings.Repeat("x", size))).want(t, fmt.Sprintf("headers of %d bytes", size), want)
		}
		// What there may be of headers and address, and one more; /service/token bounds its own query, see above.
		for path, refused := range map[string][2]int{"/v2/_catalog": {431, 414}, "/api/v1/projects": {413, 413}} {
			ask := func(headers, address int) *answer {
				more := strings.Repeat("X-Many: y\r\n", headers-3) + "X: y" // and Connection, and Authorization; Host is none of them
				return h.raw(t, "GET", h.rawRequest(h.admin(), "GET", fill(path+"?ns=", address), more))
			}
			ask(100, 8<<10).want(t, path+" with 100 headers and an address of 8 KiB", 200, 400)
			for _, a := range []*answer{ask(101, 100).want(t, path+" with 101 headers", refused[0]), ask(3, 8<<10+1).want(t, path+" with an address of 8 KiB + 1", refused[1])} {
				if a.code() == "" {
					t.Errorf("no code in %s", a)
				}
			}
		}
	})
}

func TestLimitPasswordsAndLives(t *testing.T) {
	limitHubs.on(t, func(t *testing.T, h *hub) {
		make := func(password string) *answer {
			h.secrets.add("a password", password)
			return h.do(t, h.admin(), "POST", "/api/v1/users", map[string]any{"username": unique("u"), "password": password})
		}
		make(random(6)[:11]).want(t, "11 characters", 400)
		make(random(6)).want(t, "12 characters", 201)
		make(random(64)).want(t, "128 characters", 201)
		make(random(64)+"x").want(t, "129 characters", 400)
		h.do(t, h.admin(), "POST", "/api/v1/users", map[string]any{"username": unique("u"), "password": "password1234"}).want(t, "a common one", 400)

		const year = 365 * 24 * 3600
		project := h.project(t, "lives", "private")
		p := h.newMember(t, project, "owner")
		for life, want := range map[int]int{59: 400, 60: 201, year: 201, year + 1: 400, -1: 400, 1 << 53: 400} {
			var token struct{ Token string }
			a := h.do(t, p, "POST", "/api/v1/users/me/tokens", map[string]any{"name": unique("t"), "expires_in": life}).want(t, fmt.Sprintf("a token for %d s", life), want)
			if want == 201 {
				a.decode(t, &token)
				h.secrets.add("a personal token", token.Token)
			}
			var robot struct{ Secret string }
			a = h.do(t, p, "POST", "/api/v1/projects/"+project+"/robots", map[string]any{"name": unique("t"), "expires_in": life, "permissions": []grant{{"**", []string{"pull"}}}}).
				want(t, fmt.Sprintf("a robot for %d s", life), want)
			if want == 201 {
				a.decode(t, &robot)
				h.secrets.add("a robot's secret", robot.Secret)
			}
		}
		var token struct {
			Token   string
			Expires int `json:"expires_in"`
		}
		h.do(t, anonymous(), "GET", "/service/token?service=hallmark", nil).decode(t, &token)
		c := claimsOf(t, token.Token)
		if life := c["exp"].(float64) - c["iat"].(float64); token.Expires != 300 || life != 300 {
			t.Errorf("a token lives %d s, by its claims %v s", token.Expires, life)
		}
		var scopes []string
		for i := range 64 {
			scopes = append(scopes, fmt.Sprintf("repository:a/%d:pull", i))
		}
		h.token(t, h.admin(), scopes...)
		h.do(t, h.admin(), "GET", "/service/token?service=hallmark&scope="+strings.Join(append(scopes, "repository:a/b:pull"), "+"), nil).want(t, "65 scopes", 400)
	})
}
