package attack

import (
	"net/url"
	"testing"
)

var deleteHubs = newHubs()

// TestV24DeletedStaysDeleted: what was deleted in one repository does not come back because another one has it.
func TestV24DeletedStaysDeleted(t *testing.T) {
	deleteHubs.on(t, func(t *testing.T, h *hub) {
		project := h.project(t, "revive", "private")
		a, b := project+"/a", project+"/b"
		admin, im := h.admin(), makeImage(nil)
		h.pushImage(t, admin, a, "v1", im)
		h.pushImage(t, admin, b, "v1", im)
		layer, config := digestOf(im.layer), digestOf(im.config)
		reader := h.newMember(t, project, "guest")
		both := bearer(h.token(t, admin, "repository:"+a+":pull", "repository:"+b+":pull"))
		readAll := func(repo string, status int) {
			t.Helper()
			for _, p := range []who{reader, both} {
				for _, method := range []string{"HEAD", "GET"} {
					h.do(t, p, method, manifestPath(repo, "v1"), nil).want(t, repo+" by tag", status)
					h.do(t, p, method, manifestPath(repo, im.digest.String()), nil).want(t, repo+" by digest", status)
					h.do(t, p, method, blobPath(repo, layer), nil).want(t, repo+" layer", status)
					h.do(t, p, method, blobPath(repo, config), nil).want(t, repo+" config", status)
				}
			}
		}
		readAll(a, 200) // whatever is remembered is remembered now
		readAll(b, 200)
		// A blob that an image needs stays; then the image goes, then its blobs.
		h.do(t, admin, "DELETE", blobPath(a, layer), nil).want(t, "a layer in use", 403)
		h.do(t, admin, "DELETE", manifestPath(a, im.digest.String()), nil).want(t, "delete", 202)
		h.do(t, admin, "DELETE", blobPath(a, layer), nil).want(t, "delete", 202)
		h.do(t, admin, "DELETE", blobPath(a, config), nil).want(t, "delete", 202)
		for range 3 {
			readAll(b, 200)
			readAll(a, 404)
		}
		h.do(t, admin, "DELETE", manifestPath(a, im.digest.String()), nil).want(t, "again", 404)
		h.do(t, admin, "DELETE", blobPath(a, layer), nil).want(t, "again", 404)
		// A manifest that is known elsewhere is no way to get its blobs back.
		h.putManifest(t, admin, a, "v1", typeManifest, im.manifest).want(t, "the manifest alone", 400, 404)
		readAll(a, 404)

		// The same for a tag: the image stays, by digest.
		h.do(t, admin, "DELETE", manifestPath(b, "v1"), nil).want(t, "delete the tag", 202)
		for range 3 {
			h.do(t, reader, "GET", manifestPath(b, "v1"), nil).want(t, "the deleted tag", 404)
			h.do(t, reader, "GET", manifestPath(b, im.digest.String()), nil).want(t, "the image", 200)
		}
		// And for a whole repository through the API.
		h.do(t, admin, "DELETE", "/api/v1/projects/"+project+"/repositories/b", nil, headers{"If-Match": "*"}).want(t, "delete the repository", 204, 202)
		readAll(b, 404)
		h.do(t, admin, "GET", "/v2/"+b+"/tags/list", nil).want(t, "tags of a deleted repository", 404)
	})
}

// TestV25WhoMayDelete: every way to delete asks for the same right.
func TestV25WhoMayDelete(t *testing.T) {
	deleteHubs.on(t, func(t *testing.T, h *hub) {
		project := h.project(t, "deletes", "public")
		repo := project + "/app"
		people := h.everybody(t, project)
		remover := h.robot(t, project, grant{"app", []string{"delete"}}).who()
		remover.name = "robot that deletes"
		pusher := h.robot(t, project, grant{"**", []string{"pull", "push"}}).who()
		pusher.name = "robot that pushes"
		elsewhere := h.robot(t, project, grant{"other", []string{"pull", "push", "delete"}}).who()
		elsewhere.name = "robot of another repository"
		people = append(people, remover, pusher, elsewhere)
		may := map[string]bool{"maintainer": true, "owner": true, "admin": true, "robot that deletes": true}
		api := "/api/v1/projects/" + project + "/repositories/app"
		ways := []struct {
			name string
			path func(im image) string
		}{
			{"by tag", func(image) string { return manifestPath(repo, "v1") }},
			{"by digest", func(im image) string { return manifestPath(repo, im.digest.String()) }},
			{"a blob", func(im image) string { return blobPath(repo, digestOf(im.layer)) }},
			{"a tag through the API", func(image) string { return api + "/tags/v1" }},
			{"an artifact through the API", func(im image) string { return api + "/artifacts/" + im.digest.String() }},
			{"an artifact by tag through the API", func(image) string { return api + "/artifacts/v1" }},
			{"a tag that is not there", func(image) string { return manifestPath(repo, "none") }},
			{"with an empty scope", func(image) string { return manifestPath(repo, "v1") + "?" + url.Values{"force": {"true"}}.Encode() }},
		}
		admin := h.admin()
		for _, p := range people {
			for _, w := range ways {
				im := makeImage(nil)
				if w.name == "a blob" { // one that no image needs, or it would be refused for that
					h.pushBlob(t, admin, repo, im.layer)
				} else {
					h.pushImage(t, admin, repo, "v1", im)
				}
				for _, credential := range []who{p, bearer(h.token(t, p, "repository:"+repo+":*"))} {
					if credential.name == "bearer" && w.path(im)[:4] != "/v2/" {
						continue
					}
					a := h.do(t, credential, "DELETE", w.path(im), nil, headers{"If-Match": "*"})
					switch {
					case !may[p.name] && a.status != 401 && a.status != 403:
						t.Errorf("%s deletes %s: %s", p, w.name, a)
					case may[p.name] && w.name == "an artifact by tag through the API" && a.status == 400: // only by digest, whoever asks
					case may[p.name] && a.status != 202 && a.status != 204 && a.status != 404:
						t.Errorf("%s cannot delete %s: %s", p, w.name, a)
					}
				}
				if !may[p.name] && w.name != "a blob" {
					h.do(t, admin, "GET", manifestPath(repo, "v1"), nil).want(t, p.name+" "+w.name, 200)
				}
			}
		}
	})
}
