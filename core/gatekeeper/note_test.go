package gatekeeper_test

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
	"github.com/hallmarkhub/hallmark/registry"
)

// What is refused, excused, or served against a policy that only audits is told; what is trusted is not.
func TestReadsAreNoted(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := h.image(repo, "1", "one"), signertest.New()
		told := func(f func()) []store.GateRead {
			clear(h.noted)
			f()
			return slices.Collect(maps.Keys(h.noted))
		}
		expect := func(what string, got []store.GateRead, action, reason string) {
			t.Helper()
			want := store.GateRead{Action: action, Repository: repo, Digest: string(i.digest), Reason: reason}
			if len(got) != 1 || got[0] != want {
				t.Errorf("%s: %+v, want %+v", what, got, want)
			}
		}
		read := func(ctx context.Context) func() {
			return func() { _, _ = h.reg.Manifest(ctx, repo, registry.Reference{Digest: i.digest}, false) }
		}
		expect("a guest", told(func() { h.readable(h.guest, i, "1", false) }), store.PullRefused, "baseline: NO_KEY")
		expect("who pushes", told(read(h.owner)), store.PullExempted, "baseline: signer")
		if got := told(func() { _, err := h.reg.StatBlob(h.owner, repo, i.layer, false); h.must(err) }); len(got) != 0 {
			t.Errorf("asking whether a blob is there before pushing it: %+v", got)
		}
		signature := h.sign(repo, i.digest, s)
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		if got := told(func() {
			h.readable(h.guest, i, "1", true)
			_, err := h.reg.Manifest(h.guest, repo, registry.Reference{Digest: signature}, false)
			h.must(err)
		}); len(got) != 0 {
			t.Errorf("what is trusted, and the signature: %+v", got)
		}

		policy := func(spec string, revision int64) {
			_, _, err := h.keeper.SavePolicy(h.system, h.team, "more", `{apiVersion: hallmark/v1alpha1, kind: PullPolicy, metadata: {name: more, project: team}, spec: {
				authorities: [{name: release, key: {ref: release}}], attestations: [{name: sbom, predicateTypes: [spdx], require: {allOf: [release]}}], `+spec+`}}`, revision)
			h.must(err)
		}
		policy("mode: audit", 0)
		expect("a policy that audits", told(func() { h.readable(h.guest, i, "1", true) }), store.PullUnsatisfied, "more: MISSING_ATTESTATION")
		policy(`mode: enforce, exempt: {digests: [{digest: "`+string(i.digest)+`", expires: `+time.Now().AddDate(0, 1, 0).Format(time.DateOnly)+`, reason: "before there were any"}]}`, 1)
		expect("an exempted digest", told(func() { h.readable(h.guest, i, "1", true) }), store.PullExempted, "more: before there were any")
		if h.by != core.KindUser {
			t.Errorf("told without who asks: %q", h.by)
		}
	})
}
