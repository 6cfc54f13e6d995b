package gatekeeper_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
	"github.com/hallmarkhub/hallmark/registry"
)

const anyRevision = store.AnyRevision

func (h *hub) policy(p *core.Project, name, authority string) {
	h.Helper()
	of := ""
	if p != nil {
		of = ", project: " + p.Name
	}
	_, _, err := h.keeper.SavePolicy(h.system, p, name, fmt.Sprintf(`{apiVersion: hallmark/v1alpha1, kind: PullPolicy, metadata: {name: %s%s},
		spec: {mode: enforce, authorities: [%s], signature: {require: {allOf: [x]}}}}`, name, of, authority), anyRevision)
	h.must(err)
}

// inUse checks that a removal is refused, and by whom what was to be removed is used.
func (h *hub) inUse(err error, users ...string) {
	h.Helper()
	if core.CodeOf(err) != core.CodeConflict || !strings.Contains(err.Error(), " is used by "+strings.Join(users, ", ")+": ") || !strings.Contains(err.Error(), "?force=true") {
		h.Errorf("%v, want users %q", err, users)
	}
}

// says checks what a policy misses of an image, and which command puts that right.
func (h *hub) says(i image, policy, text, fix string) {
	h.Helper()
	x, err := h.keeper.Explain(h.guest, i.repo, registry.Reference{Digest: i.digest})
	h.must(err)
	for _, p := range x.Policies {
		if p.Name == policy {
			if x.Allowed || len(p.Reasons) != 1 || p.Reasons[0].Text != text || p.Reasons[0].Fix != fix {
				h.Errorf("%+v", p.Reasons)
			}
			return
		}
	}
	h.Errorf("policy %s is not asked", policy)
}

// A key that a policy means is not removed by mistake; if it is meant, what it vouched for is refused, and the refusal names it.
func TestRemovingAKeyInUse(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s, other := h.image(repo, "1", "one"), signertest.New(), signertest.New()
		key := func(p *core.Project, s *signertest.Signer) {
			_, _, err := h.keeper.SaveAuthority(h.system, p, "release", gatekeeper.Authority{PublicKey: s.PEM}, anyRevision)
			h.must(err)
		}
		key(nil, other)
		key(h.team, s)
		h.policy(h.team, "signed", "{name: x, key: {ref: release}}")
		h.policy(nil, "everywhere", "{name: x, key: {ref: release}}")
		h.must(h.store.DeleteTrustDocument(h.system, nil, store.TrustPolicy, "everywhere", anyRevision))
		h.sign(repo, i.digest, s)
		h.readable(h.guest, i, "1", true)

		h.inUse(h.keeper.DeleteAuthority(h.system, h.team, "release", anyRevision, false), "policy signed of project team")
		h.readable(h.guest, i, "1", true)
		// The hub's key of that name is not the one that the project's policy means, unless it is the only one.
		h.must(h.keeper.DeleteAuthority(h.system, nil, "release", anyRevision, false))
		key(nil, other)
		h.policy(nil, "everywhere", "{name: x, key: {ref: release}}")
		h.inUse(h.keeper.DeleteAuthority(h.system, nil, "release", anyRevision, false), "policy everywhere of the hub")
		h.must(h.store.DeleteTrustDocument(h.system, nil, store.TrustPolicy, "everywhere", anyRevision))
		h.must(h.keeper.DeleteAuthority(h.system, nil, "release", anyRevision, false))

		h.must(h.keeper.DeleteAuthority(h.system, h.team, "release", anyRevision, true))
		h.readable(h.guest, i, "1", false)
		h.says(i, "signed", "no key release is registered", "hallmark keys add --project team release cosign.pub")
		key(nil, s) // the hub's vouches for every project
		h.readable(h.guest, i, "1", true)
		h.inUse(h.keeper.DeleteAuthority(h.system, nil, "release", anyRevision, false), "policy signed of project team")
		// Revoking asks nobody.
		_, err := h.keeper.RevokeAuthority(h.system, nil, "release")
		h.must(err)
		h.readable(h.guest, i, "1", false)
		if err := h.keeper.DeleteAuthority(h.system, h.team, "nobody", anyRevision, false); core.CodeOf(err) != core.CodeNotFound {
			t.Errorf("what is not there: %v", err)
		}
	})
}

func TestRemovingATrustRootInUse(t *testing.T) {
	eachHub(t, func(h *hub) {
		for _, p := range []*core.Project{nil, h.team} {
			name := "house"
			if p != nil {
				name = "own"
			}
			_, _, err := h.keeper.SaveTrustRoot(h.system, p, name, string(trust.PublicGood()), 0)
			h.must(err)
		}
		identity := gatekeeper.Authority{Identity: &gatekeeper.Identity{TrustRoot: "house", Issuer: "https://login.example", Subject: "ci@example.org"}}
		_, _, err := h.keeper.SaveAuthority(h.system, h.team, "ci", identity, 0)
		h.must(err)
		h.policy(h.team, "signed", "{name: x, keyless: {trustRoot: own, identities: [{issuer: \"https://login.example\", subject: ci@example.org}]}}")
		h.inUse(h.keeper.DeleteTrustRoot(h.system, nil, "house", anyRevision, false), "identity ci of project team")
		h.inUse(h.keeper.DeleteTrustRoot(h.system, h.team, "own", anyRevision, false), "policy signed of project team")
		if err := h.keeper.DeleteTrustRoot(h.system, nil, trust.PublicGoodName, anyRevision, true); core.CodeOf(err) != core.CodeConflict {
			t.Errorf("the built-in one: %v", err)
		}
		i := h.image(repo, "1", "one")
		h.must(h.keeper.DeleteTrustRoot(h.system, h.team, "own", anyRevision, true))
		h.says(i, "signed", "no trust root own is there", "hallmark trust-root add --project team own trusted_root.json")
		h.must(h.store.DeleteTrustDocument(h.system, h.team, store.TrustAuthority, "ci", anyRevision))
		h.must(h.keeper.DeleteTrustRoot(h.system, nil, "house", anyRevision, false))
	})
}
