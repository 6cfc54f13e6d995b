package attack

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core/scan/scannertest"
)

// scanHubs enforce the gate, so that an image is scanned that nobody else may read.
var scanHubs = newHubs("HALLMARK_BASELINE=enforce", "HALLMARK_SCANNER=off")

// asked waits until the scanner is asked about an image, and returns what it was given to read it.
func asked(t *testing.T, a *scannertest.Adapter, digest string) (who, string) {
	t.Helper()
	for {
		select {
		case s := <-a.Asked():
			if s.Artifact.Digest == digest {
				token, ok := strings.CutPrefix(s.Registry.Authorization, "Bearer ")
				if !ok || token == "" {
					t.Fatal("the scanner was given no token")
				}
				return bearer(token), s.Registry.URL
			}
		case <-time.After(time.Minute):
			t.Fatal("the scanner was not asked within a minute")
		}
	}
}

// TestV10TokenOfAScan: an adapter that does with its token what it likes reads the one image that it scans, as long as it does.
func TestV10TokenOfAScan(t *testing.T) {
	scanHubs.on(t, func(t *testing.T, h *hub) {
		a := scannertest.New(t, scannertest.Options{Vulnerabilities: true})
		release := a.Hold()
		defer release()
		name := unique("scanner")
		h.do(t, h.admin(), "PUT", "/api/v1/scanners/"+name, map[string]any{"url": a.URL, "default": true}, headers{"If-Match": "*"}).want(t, "name a scanner", 200, 201)
		g := h.gated(t)
		other := g.signed(t, "other") // its own: what a token for everything would read
		open := h.ungated(t) + "/app"
		mine := g.pushImage(t, g.admin(), g.repo, "mine", makeImage(nil))
		h.pushImage(t, h.admin(), open, "mine", mine)
		adapter, address := asked(t, a, mine.digest.String())
		if address != "http://"+h.addr {
			t.Errorf("it was told to read at %s", address)
		}
		h.secrets.add("the token of a scan", adapter.secret)
		own := map[string]string{"its manifest": manifestPath(g.repo, mine.digest.String()), "its configuration": blobPath(g.repo, digestOf(mine.config)),
			"its layer": blobPath(g.repo, digestOf(mine.layer))}
		for what, path := range own {
			for _, method := range []string{"GET", "HEAD"} {
				h.do(t, adapter, method, path, nil).want(t, method+" "+what, 200)
				h.do(t, g.guest, method, path, nil).want(t, method+" "+what+", which the gate refuses to all others", 403)
			}
		}
		h.notForAdapters(t, g, adapter, map[string]string{
			"its tag": manifestPath(g.repo, "mine"), "another tag": manifestPath(g.repo, "other"), "another image": manifestPath(g.repo, other.digest.String()),
			"another layer": blobPath(g.repo, digestOf(other.layer)), "the manifest as a blob": blobPath(g.repo, mine.digest),
			"a blob that is not there": blobPath(g.repo, digestOf([]byte("none"))),
			"the tags":                 "/v2/" + g.repo + "/tags/list", "the referrers": "/v2/" + g.repo + "/referrers/" + mine.digest.String(), "the catalog": "/v2/_catalog",
			"it elsewhere": manifestPath(open, mine.digest.String()), "its layer elsewhere": blobPath(open, digestOf(mine.layer)),
		})
		release()
		h.dead(t, adapter, own)
	})
}

// notForAdapters: nothing else is read, nothing is written, and there is no way to the API or to another token.
func (h *hub) notForAdapters(t *testing.T, g *gated, adapter who, paths map[string]string) {
	t.Helper()
	refused := func(what, method, path string, body any, header ...headers) {
		t.Helper()
		got := h.do(t, adapter, method, path, body, header...)
		if got.status != http.StatusUnauthorized && got.status != http.StatusForbidden {
			t.Errorf("%s %s: %s", method, what, got)
		}
	}
	for what, path := range paths {
		refused(what, "GET", path, nil)
		refused(what, "HEAD", path, nil)
	}
	im := makeImage(nil)
	refused("an upload", "POST", "/v2/"+g.repo+"/blobs/uploads/", nil)
	refused("a blob at once", "POST", "/v2/"+g.repo+"/blobs/uploads/?digest="+digestOf(im.layer).String(), im.layer)
	refused("a mount", "POST", "/v2/"+g.repo+"/blobs/uploads/?mount="+digestOf(im.layer).String()+"&from="+g.repo, nil)
	refused("a manifest", "PUT", manifestPath(g.repo, "x"), im.manifest, headers{"Content-Type": typeManifest})
	for what, path := range paths {
		if strings.Contains(path, "/manifests/") || strings.Contains(path, "/blobs/") {
			refused(what, "DELETE", path, nil)
		}
	}
	for _, path := range []string{"/api/v1/users/me", "/api/v1/projects", "/api/v1/projects/" + g.project, "/api/v1/scanners", "/api/v1/system/info", "/api/v1/jobs",
		"/api/v1/projects/" + g.project + "/repositories/app/artifacts/mine", "/service/token?service=hallmark&scope=repository:" + g.repo + ":pull"} {
		h.do(t, adapter, "GET", path, nil).want(t, path, 401)
	}
	h.do(t, basic("admin", adapter.secret), "GET", "/v2/", nil).want(t, "the token as a password", 401)
}

// dead: within a second after its job ended the token is none.
func (h *hub) dead(t *testing.T, adapter who, own map[string]string) {
	t.Helper()
	for what, path := range own {
		eventually(t, "the end of the token", time.Minute, func() error {
			if got := h.do(t, adapter, "GET", path, nil); got.status != http.StatusUnauthorized {
				return fmt.Errorf("%s is still answered: %s", what, got)
			}
			return nil
		})
	}
	h.do(t, adapter, "GET", "/v2/", nil).want(t, "the token of a job that has ended", 401)
}
