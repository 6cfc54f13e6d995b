package attack

import (
	"fmt"
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
