package attack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/trust/signertest"
)

// onlyPull are those who may pull from a public project and no more, each as another kind of principal.
func (g *gated) onlyPull(t *testing.T) []who {
	t.Helper()
	h := g.hub
	h.do(t, g.admin(), "PATCH", "/api/v1/projects/"+g.project, map[string]any{"visibility": "public"}, headers{"If-Match": "*"}).want(t, "open the project", 200)
	named := func(name string, w who) who {
		w.name = name
		return w
	}
	owner := h.member(t, g.project, h.passwordUser(t, "owner"), "owner")
	narrow := h.personalToken(t, owner, []grant{{g.project + "/**", []string{"pull"}}})
	return []who{
		anonymous(), g.guest, named("somebody else", h.user(t, "else")),
		named("a robot that pulls", h.robot(t, g.project, grant{"**", []string{"pull"}}).who()),
		named("a token of the guest", bearer(h.token(t, g.guest, "repository:"+g.repo+":pull"))),
		named("a token of the guest for pushing", bearer(h.token(t, g.guest, "repository:"+g.repo+":pull,push"))),
		named("an owner's credential for pulling", basic(owner.user, narrow)),
	}
}

// TestV42EveryRoute: of an index that nobody signed, none of what it is made of is read by anybody who may only pull, on any
// route. Once it is signed, all of it is.
func TestV42EveryRoute(t *testing.T) {
	gateHubs.on(t, func(t *testing.T, h *hub) {
		g := h.gated(t)
		child := g.pushImage(t, g.admin(), g.repo, "", makeImage(nil))
		raw, _ := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": []any{map[string]any{
			"mediaType": typeManifest, "digest": child.digest, "size": len(child.manifest), "platform": map[string]string{"os": "linux", "architecture": "amd64"}}}})
		index := digest.FromBytes(raw)
		g.putManifest(t, g.admin(), g.repo, "multi", typeIndex, raw).want(t, "push the index", 201)
		routes := g.routes("multi", child)
		routes["the index"], routes["the child"] = manifestPath(g.repo, index.String()), manifestPath(g.repo, child.digest.String())
		api := "/api/v1/projects/" + g.project + "/repositories/app/artifacts/"
		told := map[string]string{
			"its build history": api + index.String() + "/history", "the child's build history": api + child.digest.String() + "/history",
			"the artifact": api + child.digest.String(), "the list": "/api/v1/projects/" + g.project + "/repositories/app/artifacts",
			"its referrers": api + child.digest.String() + "/referrers", "its verdict": api + child.digest.String() + "/verdict",
		}
		ways := []headers{nil, {"Range": "bytes=0-0"}, {"Range": "bytes=2-"}, {"If-None-Match": `"` + child.digest.String() + `"`}, {"If-None-Match": "*"}}
		everybody := g.onlyPull(t)
		for _, p := range everybody {
			for what, path := range routes {
				for _, way := range ways {
					for _, method := range []string{"GET", "HEAD"} {
						if a := h.do(t, p, method, path, nil, way); a.status != 403 && (p.header != "" || a.status != 401) {
							t.Errorf("%s %s of %s for %s with %v: %s", method, path, what, p.name, way, a)
						}
					}
				}
			}
			for what, path := range told {
				a := h.do(t, p, "GET", path, nil)
				for _, secret := range [][]byte{child.config, child.layer, child.manifest, []byte(`"seed"`), []byte(`"steps"`)} {
					if bytes.Contains(a.body, secret) {
						t.Errorf("%s tells %s: %s", what, p.name, a)
					}
				}
			}
		}
		g.attach(t, g.admin(), g.repo, index, g.key.Bundle(index, predicateSign, map[string]any{}))
		for _, p := range everybody {
			for what, path := range routes {
				for _, method := range []string{"GET", "HEAD"} {
					h.do(t, p, method, path, nil).want(t, fmt.Sprintf("%s of %s for %s, once the index is signed", method, what, p.name), 200)
				}
			}
		}
	})
}

// TestV42Copy: a copy made by the hub takes along no more than who asks may read: not what is refused, and for who pushes
// there not its layers.
func TestV42Copy(t *testing.T) {
	gateHubs.on(t, func(t *testing.T, h *hub) {
		g := h.gated(t)
		good, bad := g.signed(t, "good"), g.pushImage(t, g.admin(), g.repo, "bad", makeImage(nil))
		open, pusher := h.ungated(t), h.newMember(t, g.project, "developer")
		for _, p := range []who{g.guest, pusher} {
			h.member(t, open, p, "developer")
			for _, ref := range []string{":bad", "@" + bad.digest.String()} {
				a := h.do(t, p, "POST", "/api/v1/projects/"+open+"/repositories/copy/artifacts", map[string]any{"from": g.repo + ref, "tags": []string{"bad"}})
				if a.status < 400 || a.status >= 500 {
					t.Errorf("%s copies %s: %s", p.name, ref, a)
				}
			}
			for what, path := range map[string]string{"the tag": manifestPath(open+"/copy", "bad"), "the manifest": manifestPath(open+"/copy", bad.digest.String()),
				"the layer": blobPath(open+"/copy", digestOf(bad.layer)), "the config": blobPath(open+"/copy", digestOf(bad.config))} {
				h.do(t, p, "GET", path, nil).want(t, what+" there", 404)
			}
			h.do(t, p, "POST", "/api/v1/projects/"+open+"/repositories/copy/artifacts", map[string]any{"from": g.repo + ":good", "tags": []string{"good"}}).
				want(t, p.name+" copies the signed image", 201)
			h.do(t, p, "GET", blobPath(open+"/copy", digestOf(good.layer)), nil).want(t, "its layer there", 200)
		}
	})
}

// TestV31EveryWrongPair: type, key, image and what is said must be right in the same attestation; of the sixteen ways in
// which they can be put together one counts, and the other fifteen do not make up for each other.
func TestV31EveryWrongPair(t *testing.T) {
	gateHubs.on(t, func(t *testing.T, h *hub) {
		g := h.gated(t)
		stranger, other := signertest.New(), digest.FromString("another image")
		im := g.signed(t, "v1")
		policy := fmt.Sprintf(wantsTests, g.project)
		policy = policy[:len(policy)-len("}]\n")] + `, fields: [{path: "$.result", matches: "passed"}]}]` + "\n"
		h.do(t, h.admin(), "PUT", "/api/v1/projects/"+g.project+"/policies/tested", map[string]string{"document": policy}, headers{"If-Match": "*"}).want(t, "save the policy", 200, 201)
		pull := func(what string, want int) {
			t.Helper()
			for _, path := range g.routes("v1", im) {
				h.do(t, g.guest, "GET", path, nil).want(t, what, want)
			}
		}
		pull("without attestations", 403)
		for wrong := 15; wrong >= 0; wrong-- {
			key, subject, kind, result := g.key, im.digest, "https://example.com/tests", "passed"
			if wrong&1 != 0 {
				key = stranger
			}
			if wrong&2 != 0 {
				subject = other
			}
			if wrong&4 != 0 {
				kind = "https://cosign.sigstore.dev/attestation/vuln/v1"
			}
			if wrong&8 != 0 {
				result = "failed"
			}
			g.attach(t, g.admin(), g.repo, im.digest, key.Bundle(subject, kind, map[string]string{"result": result}))
			want := 403
			if wrong == 0 {
				want = 200
			}
			pull(fmt.Sprintf("wrong key %t, image %t, type %t, result %t", wrong&1 != 0, wrong&2 != 0, wrong&4 != 0, wrong&8 != 0), want)
		}
	})
}
