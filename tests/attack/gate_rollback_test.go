package attack

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core/trust/signertest"
)

// TestV38Rollback: neither an image of before, nor a signature of before, nor a policy of before comes back by being put
// there again. What was decided under an earlier policy or key is not what is answered now.
func TestV38Rollback(t *testing.T) {
	gateHubs.on(t, func(t *testing.T, h *hub) {
		g := h.gated(t)
		pusher, project := h.newMember(t, g.project, "maintainer"), "/api/v1/projects/"+g.project
		api := func(method, path string, body any, match string, want ...int) *answer {
			t.Helper()
			return h.do(t, h.admin(), method, project+path, body, headers{"If-Match": match}).want(t, method+" "+path, want...)
		}
		pull := func(what string, want int, refs ...string) {
			t.Helper()
			for _, ref := range refs {
				for range 2 { // the second one could be answered from memory
					h.do(t, g.guest, "GET", manifestPath(g.repo, ref), nil).want(t, what+" "+ref, want)
				}
			}
		}
		former := signertest.New()
		api("PUT", "/authorities/former", map[string]any{"public_key": former.PEM}, "*", 200, 201)
		old, now := g.pushImage(t, g.admin(), g.repo, "stable", makeImage(nil)), makeImage(nil)
		bundle := former.Bundle(old.digest, predicateSign, map[string]any{})
		signature := g.attach(t, pusher, g.repo, old.digest, bundle)
		pull("the image of then", 200, "stable", old.digest.String())
		g.pushImage(t, g.admin(), g.repo, "stable", now)
		g.attach(t, g.admin(), g.repo, now.digest, g.key.Bundle(now.digest, predicateSign, map[string]any{}))
		pull("the image of now", 200, "stable")

		// The tag moved back, the signature pushed anew, the key registered anew: the key has been revoked since.
		api("POST", "/authorities/former/revoke", nil, "*", 200, 204)
		h.putManifest(t, pusher, g.repo, "stable", typeManifest, old.manifest).want(t, "move the tag back", 201)
		pull("once the key is revoked,", 403, "stable", old.digest.String())
		h.do(t, pusher, "DELETE", manifestPath(g.repo, signature.String()), nil).want(t, "delete the signature", 202)
		g.attach(t, pusher, g.repo, old.digest, bundle)
		pull("with the signature pushed again,", 403, "stable", old.digest.String())
		api("PUT", "/authorities/former", map[string]any{"public_key": former.PEM}, "*", 200)
		pull("with the key saved again,", 403, "stable", old.digest.String())
		h.putManifest(t, pusher, g.repo, "stable", typeManifest, now.manifest).want(t, "move the tag", 201)
		pull("the image of now", 200, "stable")

		// A verdict is of one revision of the policies, and a revision that has been replaced is not written over the new one.
		strict := fmt.Sprintf(wantsTests, g.project)
		lax := strings.Replace(strict, "mode: enforce", "mode: warn", 1)
		first := api("PUT", "/policies/tested", map[string]string{"document": lax}, "*", 200, 201).header.Get("ETag")
		pull("under the first policy,", 200, "stable")
		second := api("PUT", "/policies/tested", map[string]string{"document": strict}, first, 200).header.Get("ETag")
		if first == "" || first == second {
			t.Fatalf("the revisions are %q and %q", first, second)
		}
		pull("under the second one,", 403, "stable")
		api("PUT", "/policies/tested", map[string]string{"document": lax}, first, 412)
		api("DELETE", "/policies/tested", nil, first, 412)
		pull("under the second one,", 403, "stable")
	})
}
