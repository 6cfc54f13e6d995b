package attack

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

var hiddenHubs = newHubs()

// twin compares how the hub answers for something that is there but hidden, and for something that is not there at all.
type twin struct{ hidden, absent string }

// seen is an answer without what differs between any two answers: its time, its number, and the name that was asked for.
func (w twin) seen(a *answer) string {
	var b strings.Builder
	fmt.Fprintln(&b, a.status)
	var names []string
	for name := range a.header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name != "Date" && name != "X-Request-Id" {
			fmt.Fprintln(&b, name, a.header[name])
		}
	}
	text := b.String() + string(a.body)
	if id := a.header.Get("X-Request-Id"); id != "" {
		text = strings.ReplaceAll(text, id, "ID")
	}
	return strings.NewReplacer(w.hidden, "NAME", w.absent, "NAME").Replace(text)
}

// TestV18HiddenIsAbsent: whoever may not see something cannot find out whether it is there.
func TestV18HiddenIsAbsent(t *testing.T) {
	hiddenHubs.on(t, func(t *testing.T, h *hub) {
		hidden := h.project(t, "there", "private")
		w := twin{hidden, "where" + hidden[len("there"):]}
		repo := hidden + "/app"
		im := h.newImage(t, repo)
		layer, d := digestOf(im.layer).String(), im.digest.String()
		member := h.newMember(t, hidden, "guest")
		type ask struct {
			method, path string
			body         any
		}
		asks := []ask{
			{"POST", "/v2/NAME/app/blobs/uploads/", nil}, {"POST", "/v2/NAME/app/blobs/uploads/?mount=" + layer, nil},
			{"POST", "/v2/NAME/app/blobs/uploads/?digest=" + layer, im.layer}, {"PATCH", "/v2/NAME/app/blobs/uploads/0198c1a2-7d33-7c41-9a5e-5d1f0f6a2b10", "x"},
			{"PUT", "/v2/NAME/app/manifests/v1", im.manifest}, {"DELETE", "/v2/NAME/app/manifests/v1", nil}, {"DELETE", "/v2/NAME/app/manifests/" + d, nil},
			{"DELETE", "/v2/NAME/app/blobs/" + layer, nil}, {"POST", "/v2/NAME/app/manifests/v1", nil},
			{"PATCH", "/api/v1/projects/NAME", map[string]any{"visibility": "public"}}, {"DELETE", "/api/v1/projects/NAME", nil},
			{"PUT", "/api/v1/projects/NAME/members/" + member.user, map[string]any{"role": "owner"}},
			{"POST", "/api/v1/projects/NAME/robots", map[string]any{"name": "x", "permissions": []grant{{"**", []string{"pull"}}}}},
			{"PUT", "/api/v1/projects/NAME/labels/x", map[string]any{}}, {"DELETE", "/api/v1/projects/NAME/repositories/app", nil},
			{"PUT", "/api/v1/projects/NAME/repositories/app/tags/x", map[string]any{"digest": d}},
			{"POST", "/api/v1/projects/NAME/repositories/app/artifacts", map[string]any{"from": "library/x:y"}},
		}
		for _, path := range []string{
			"/v2/NAME/app/manifests/v1", "/v2/NAME/app/manifests/none", "/v2/NAME/app/manifests/" + d, "/v2/NAME/app/blobs/" + layer, "/v2/NAME/app/tags/list",
			"/v2/NAME/app/referrers/" + d, "/v2/NAME/none/tags/list", "/v2/NAME/app/tags/list?n=x", "/v2/NAME/app/blobs/uploads/0198c1a2-7d33-7c41-9a5e-5d1f0f6a2b10",
			"/api/v1/projects/NAME", "/api/v1/projects/NAME/members", "/api/v1/projects/NAME/members/" + member.user, "/api/v1/projects/NAME/robots",
			"/api/v1/projects/NAME/labels", "/api/v1/projects/NAME/repositories", "/api/v1/projects/NAME/repositories/app", "/api/v1/projects/NAME/audit",
			"/api/v1/projects/NAME/repositories/app/tags", "/api/v1/projects/NAME/repositories/app/tags/v1", "/api/v1/projects/NAME/repositories/app/artifacts/v1",
			"/api/v1/projects/NAME/repositories/app/artifacts/" + d + "/referrers", "/api/v1/users/me/permissions?project=NAME", "/api/v1/projects/NAME?limit=x",
		} {
			asks = append(asks, ask{"GET", path, nil}, ask{"HEAD", path, nil})
		}
		stranger := h.user(t, "stranger")
		elsewhere := h.project(t, "elsewhere", "private")
		robot := h.robot(t, elsewhere, grant{"**", []string{"pull", "push", "delete"}}).who()
		bound := basic(stranger.user, h.personalToken(t, stranger, []grant{{hidden + "/**", []string{"pull", "push", "delete"}}, {w.absent + "/**", []string{"pull", "push", "delete"}}}))
		bound.name = "a token bound to both"
		for _, p := range []who{anonymous(), stranger, robot, bound} {
			for _, a := range asks {
				see := func(name string) string {
					if raw, ok := a.body.(map[string]any); ok {
						a.body = raw
					}
					return w.seen(h.do(t, p, a.method, strings.ReplaceAll(a.path, "NAME", name), a.body, headers{"If-Match": "*"}))
				}
				if there, absent := see(w.hidden), see(w.absent); there != absent {
					t.Errorf("%s %s %s\nthere:\n%s\nabsent:\n%s", p, a.method, a.path, there, absent)
				}
			}
			// The token service gives a token for nothing in both cases.
			for _, action := range []string{"pull", "pull,push,delete", "*"} {
				one := tokenShape(t, h.do(t, p, "GET", "/service/token?service=hallmark&scope=repository:"+hidden+"/app:"+action, nil))
				two := tokenShape(t, h.do(t, p, "GET", "/service/token?service=hallmark&scope=repository:"+w.absent+"/app:"+action, nil))
				if one != two {
					t.Errorf("%s: tokens for %s\nthere: %s\nabsent: %s", p, action, one, two)
				}
			}
			// And with such a token.
			there, absent := bearer(h.token(t, p, "repository:"+hidden+"/app:pull")), bearer(h.token(t, p, "repository:"+w.absent+"/app:pull"))
			one := w.seen(h.do(t, there, "GET", "/v2/"+hidden+"/app/manifests/v1", nil))
			two := w.seen(h.do(t, absent, "GET", "/v2/"+w.absent+"/app/manifests/v1", nil))
			if one != two {
				t.Errorf("%s with a token\nthere:\n%s\nabsent:\n%s", p, one, two)
			}
		}
	})
}

// tokenShape is an answer of the token service without what differs each time.
func tokenShape(t *testing.T, a *answer) string {
	t.Helper()
	var v map[string]any
	a.decode(t, &v)
	token, _ := v["token"].(string)
	claims := claimsOf(t, token)
	shape, _ := json.Marshal([]any{a.status, len(token), claims["access"], claims["sub"], v["expires_in"], v["scope"]})
	return string(shape)
}

// TestV18HiddenUsers: the same for users, whoever asks and however.
func TestV18HiddenUsers(t *testing.T) {
	hiddenHubs.on(t, func(t *testing.T, h *hub) {
		victim, stranger := h.passwordUser(t, "alice"), h.user(t, "stranger")
		w := twin{victim.user, "elice" + victim.user[len("alice"):]}
		for _, p := range []who{anonymous(), stranger} {
			for _, method := range []string{"GET", "HEAD", "DELETE"} {
				one, two := w.seen(h.do(t, p, method, "/api/v1/users/"+w.hidden, nil)), w.seen(h.do(t, p, method, "/api/v1/users/"+w.absent, nil))
				if one != two {
					t.Errorf("%s %s\nthere:\n%s\nabsent:\n%s", p, method, one, two)
				}
			}
		}
		// One path only: five failures make everybody wait.
		one, two := w.seen(h.do(t, basic(w.hidden, "wrong"), "GET", "/v2/", nil)), w.seen(h.do(t, basic(w.absent, "wrong"), "GET", "/v2/", nil))
		if one != two {
			t.Errorf("a wrong password\nthere:\n%s\nabsent:\n%s", one, two)
		}
		login := func(name string) string {
			return w.seen(h.do(t, anonymous(), "POST", "/api/v1/sessions", map[string]any{"username": name, "password": "wrong password"}))
		}
		if one, two := login(w.hidden), login(w.absent); one != two {
			t.Errorf("logging in\nthere:\n%s\nabsent:\n%s", one, two)
		}
	})
}

// TestV18ListsShowWhatMayBeRead: lists have what may be read and nothing else, on every page.
func TestV18ListsShowWhatMayBeRead(t *testing.T) {
	hiddenHubs.on(t, func(t *testing.T, h *hub) {
		hidden, shown := h.project(t, "hidden", "private"), h.project(t, "shown", "public")
		h.newImage(t, hidden+"/app")
		h.newImage(t, shown+"/app")
		guest, stranger := h.newMember(t, hidden, "guest"), h.user(t, "stranger")
		has := func(p who, name string) (in bool) {
			next := "/v2/_catalog?n=1"
			for next != "" {
				a := h.do(t, p, "GET", next, nil).want(t, "catalog", 200)
				in = in || strings.Contains(string(a.body), name)
				next, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
				if strings.Contains(next, hidden) && name == hidden && p.name != "guest" {
					t.Errorf("%s: Link %s", p, next)
				}
			}
			projects := h.do(t, p, "GET", "/api/v1/projects?limit=200", nil)
			return in || strings.Contains(string(projects.body), name)
		}
		token := bearer(h.token(t, anonymous(), "registry:catalog:*"))
		for _, p := range []who{stranger, token} {
			if has(p, hidden) {
				t.Errorf("%s sees %s", p, hidden)
			}
		}
		if !has(guest, hidden) || !has(stranger, shown) || !has(token, shown) {
			t.Error("what may be read is not listed")
		}
	})
}

// TestV44Referrers: they are those of one repository, for those who may pull there.
func TestV44Referrers(t *testing.T) {
	hiddenHubs.on(t, func(t *testing.T, h *hub) {
		project := h.project(t, "refer", "private")
		a, b := project+"/a", project+"/b"
		im := h.newImage(t, a)
		subject := map[string]any{"subject": descriptor{typeManifest, im.digest, len(im.manifest)}, "artifactType": "application/x.test"}
		here, there := h.pushImage(t, h.admin(), a, "", makeImage(subject)), h.pushImage(t, h.admin(), b, "", makeImage(subject))
		guest := h.newMember(t, project, "guest")
		list := func(repo string) string {
			return string(h.do(t, guest, "GET", "/v2/"+repo+"/referrers/"+im.digest.String(), nil).want(t, repo, 200).body)
		}
		if s := list(a); !strings.Contains(s, here.digest.String()) || strings.Contains(s, there.digest.String()) {
			t.Errorf("referrers in a: %s", s)
		}
		if s := list(b); !strings.Contains(s, there.digest.String()) || strings.Contains(s, here.digest.String()) {
			t.Errorf("referrers in b, where the subject is not: %s", s)
		}
		h.do(t, guest, "GET", manifestPath(b, im.digest.String()), nil).want(t, "the subject in b", 404)
		h.do(t, h.user(t, "stranger"), "GET", "/v2/"+a+"/referrers/"+im.digest.String(), nil).want(t, "a stranger", 403)
		h.do(t, anonymous(), "GET", "/v2/"+a+"/referrers/"+im.digest.String(), nil).want(t, "anonymous", 401)
	})
}

// TestV23OthersBlobs: a blob that another repository has is as good as none.
func TestV23OthersBlobs(t *testing.T) {
	hiddenHubs.on(t, func(t *testing.T, h *hub) {
		victim, mine := h.project(t, "victim", "private"), h.project(t, "mine", "private")
		im := h.newImage(t, victim+"/app")
		d := digestOf(im.layer)
		absent := digest.FromString("nobody has this " + random(8))
		w := twin{d.String(), absent.String()}
		thief := h.newMember(t, mine, "owner")
		repo := mine + "/app"
		thiefs := bearer(h.token(t, thief, "repository:"+repo+":pull,push", "repository:"+victim+"/app:pull"))
		for _, p := range []who{thief, thiefs} {
			for _, method := range []string{"HEAD", "GET", "DELETE"} {
				one, two := h.do(t, p, method, blobPath(repo, d), nil), h.do(t, p, method, blobPath(repo, absent), nil)
				if one.status < 400 || w.seen(one) != w.seen(two) {
					t.Errorf("%s of another's blob: %s, of none: %s", method, one, two)
				}
			}
			for _, from := range []string{"", "&from=" + victim + "/app", "&from=" + victim + "/none", "&from=nobody/none", "&from="} {
				one := h.do(t, p, "POST", "/v2/"+repo+"/blobs/uploads/?mount="+d.String()+from, nil).want(t, "mount"+from, 202)
				two := h.do(t, p, "POST", "/v2/"+repo+"/blobs/uploads/?mount="+absent.String()+from, nil).want(t, "mount"+from, 202)
				for _, a := range []*answer{one, two} {
					path := a.header.Get("Location")
					id := uploadID(path)
					a.header.Set("Location", strings.Replace(path, id, "ID", 1))
					a.header.Set("Docker-Upload-Uuid", strings.Replace(a.header.Get("Docker-Upload-Uuid"), id, "ID", 1))
					h.do(t, p, "DELETE", path, nil).want(t, "cancel", 204)
				}
				if w.seen(one) != w.seen(two) {
					t.Errorf("mount%s\nof another's:\n%s\nof none:\n%s", from, w.seen(one), w.seen(two))
				}
			}
			// Nothing says "already there" before all bytes have been sent.
			for _, content := range [][]byte{nil, im.layer[:5], []byte("something else")} {
				h.do(t, p, "POST", "/v2/"+repo+"/blobs/uploads/?digest="+d.String(), content).want(t, "other bytes", 400)
				path := h.startUpload(t, p, repo)
				h.do(t, p, "PATCH", path, content).want(t, "other bytes", 202)
				h.do(t, p, "PUT", path+"?digest="+d.String(), nil).want(t, "other bytes", 400)
			}
			// A manifest cannot bring it along.
			h.pushBlob(t, p, repo, im.config)
			a := h.putManifest(t, p, repo, "stolen", typeManifest, im.manifest)
			if a.status < 400 || a.code() != "MANIFEST_BLOB_UNKNOWN" {
				t.Errorf("a manifest that names another's layer: %s", a)
			}
			child := h.putManifest(t, p, repo, "stolen", typeIndex, []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
				typeIndex, typeManifest, im.digest, len(im.manifest))))
			if child.status < 400 {
				t.Errorf("an index that names another's image: %s", child)
			}
			h.do(t, p, "GET", manifestPath(repo, "stolen"), nil).want(t, "what was refused", 404)
			h.do(t, p, "GET", manifestPath(repo, im.digest.String()), nil).want(t, "another's image", 404)
			copied := h.do(t, thief, "POST", "/api/v1/projects/"+mine+"/repositories/app/artifacts", map[string]any{"from": victim + "/app@" + im.digest.String()})
			if copied.status < 400 {
				t.Errorf("a copy of another's image: %s", copied)
			}
		}
		// Who has the bytes may have the blob, and with rights on the source it is mounted.
		h.pushBlob(t, thief, repo, im.layer)
		h.do(t, h.admin(), "POST", "/v2/"+repo+"2/blobs/uploads/?mount="+d.String()+"&from="+victim+"/app", nil).want(t, "mount with rights", 201)
	})
}
