package gatekeeper_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
	"github.com/hallmarkhub/hallmark/registry"
)

const withSBOM = `apiVersion: hallmark/v1alpha1
kind: PullPolicy
metadata: {name: with-sbom, project: team}
spec:
  mode: enforce
  authorities: [{name: release, key: {ref: release}}]
  attestations: [{name: sbom, predicateTypes: [spdx], require: {allOf: [release]}}]
`

// attaches switches the setting of team.
func (h *hub) attaches(on bool) {
	h.Helper()
	_, err := h.store.UpdateProject(h.system, h.team, store.ProjectPatch{AttachVerdicts: &on}, store.AnyRevision)
	h.must(err)
	// Sweeping waits a little for pushes that began before.
	h.must(h.db.Write(h.system, func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE verdict_sweep SET due_at = 0`)
		return err
	}))
}

// work works off what is owed, and reports how much that was.
func (h *hub) work() int {
	h.Helper()
	n, err := h.keeper.AttachVerdicts(h.Context())
	h.must(err)
	return n
}

// stated is a statement of the hub as it is found.
type stated struct {
	carrier   ocispec.Descriptor
	bundle    []byte
	Predicate struct {
		Verifier     struct{ ID string }
		TimeVerified time.Time
		ResourceURI  string
		Policy       struct {
			URI    string
			Digest map[string]string
		}
		InputAttestations []struct {
			URI    string
			Digest map[string]string
		}
		VerificationResult string
		VerifiedLevels     []string
		SLSAVersion        string
	}
}

// statements are those that the hub has attached to a digest and that verify by its key, as a guest finds them.
func (h *hub) statements(repo string, d digest.Digest) (all []stated) {
	h.Helper()
	page, err := h.reg.Referrers(h.guest, repo, d, registry.ReferrerQuery{})
	h.must(err)
	for _, r := range page.Manifests {
		if r.Annotations[gatekeeper.HubAnnotation] != "the-hub" {
			continue
		}
		m, err := h.reg.Manifest(h.guest, repo, registry.Reference{Digest: r.Digest}, false)
		h.must(err)
		parsed, err := registry.ParseManifest(m.MediaType, m.Payload, registry.ManifestLimits{})
		h.must(err)
		s := stated{carrier: r}
		items, err := trust.Read(h.Context(), r.Digest, parsed, func(_ context.Context, d digest.Digest) (io.ReadCloser, error) {
			b, err := h.reg.Blob(h.guest, repo, d)
			if err != nil {
				return nil, err
			}
			defer b.Content.Close()
			s.bundle, err = io.ReadAll(b.Content)
			return io.NopCloser(bytes.NewReader(s.bundle)), err
		})
		h.must(err)
		found, err := trust.NewVerifier([]*trust.Key{h.signer.Public}, nil).Verify(h.Context(), items)
		h.must(err)
		if len(found) != 1 || found[0].Signer == nil || found[0].Subject != string(d) || found[0].PredicateType != core.PredicateVerdict {
			h.Errorf("not a verdict of the hub about %s: %+v", d, found)
		}
		st, err := trust.ReadStatement(s.bundle)
		h.must(err)
		h.must(json.Unmarshal(st.Predicate, &s.Predicate))
		all = append(all, s)
	}
	return all
}

// one is the only statement there is to be.
func (h *hub) one(repo string, d digest.Digest) stated {
	h.Helper()
	all := h.statements(repo, d)
	if len(all) != 1 {
		h.Fatalf("%d statements about %s, want 1", len(all), d)
	}
	return all[0]
}

func (h *hub) none(repo string, d digest.Digest) {
	h.Helper()
	if all := h.statements(repo, d); len(all) != 0 {
		h.Fatalf("%d statements about %s, want none", len(all), d)
	}
}

func (h *hub) used() int64 {
	h.Helper()
	u, err := h.store.Usage(h.system, h.team)
	h.must(err)
	return u.Bytes
}

// From the first signature to the last revocation.
func TestVerdictIsAttached(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := h.image(repo, "1", "one"), signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		signature := h.sign(repo, i.digest, s)
		h.work()
		h.none(repo, i.digest) // nobody asked for it

		h.attaches(true)
		unsigned := h.image(repo, "2", "two")
		used := h.used()
		h.work()
		h.none(repo, unsigned.digest)
		first := h.one(repo, i.digest)
		p := first.Predicate
		if p.VerificationResult != "PASSED" || p.Verifier.ID != "https://hub.example" || p.SLSAVersion != "1.1" || p.TimeVerified.IsZero() ||
			p.ResourceURI != "pkg:oci/app@"+strings.Replace(string(i.digest), ":", "%3A", 1)+"?repository_url=hub.example%2Fteam%2Fapp" ||
			p.Policy.URI != "https://hub.example/api/v1/projects/team/policies" || len(p.Policy.Digest["sha256"]) != 64 ||
			!slices.Equal(p.VerifiedLevels, []string{"hallmark:baseline"}) || len(p.InputAttestations) != 1 ||
			p.InputAttestations[0].URI != "https://hub.example/v2/"+repo+"/manifests/"+string(signature) {
			t.Errorf("%+v", p)
		}
		if got := h.used(); got != used {
			t.Errorf("the project is charged %d bytes for it", got-used)
		}
		h.readable(h.guest, i, "1", true)
		h.readable(h.guest, unsigned, "2", false)

		// A second signature is another reason: one statement takes the place of the other.
		h.sign(repo, i.digest, s)
		h.work()
		second := h.one(repo, i.digest)
		if second.carrier.Digest == first.carrier.Digest || len(second.Predicate.InputAttestations) != 2 {
			t.Errorf("after a second signature: %+v", second.Predicate)
		}
		if _, err := h.reg.Manifest(h.owner, repo, registry.Reference{Digest: first.carrier.Digest}, false); registry.CodeOf(err) != registry.CodeManifestUnknown {
			t.Errorf("the first statement: %v", err)
		}
		if _, err := h.local.StatBlob(h.owner, repo, digest.FromBytes(first.bundle), false); registry.CodeOf(err) != registry.CodeBlobUnknown {
			t.Errorf("the content of the first statement: %v", err)
		}

		// A further policy, which is not satisfied; then it is.
		_, _, err := h.keeper.SavePolicy(h.system, h.team, "with-sbom", withSBOM, 0)
		h.must(err)
		h.work()
		h.none(repo, i.digest)
		h.attach(repo, i.digest, s.Bundle(i.digest, predicateSPDX, map[string]any{"spdxVersion": "SPDX-2.3"}))
		h.work()
		third := h.one(repo, i.digest)
		if !slices.Equal(third.Predicate.VerifiedLevels, []string{"hallmark:baseline", "hallmark:team/with-sbom"}) ||
			third.Predicate.Policy.Digest["sha256"] == p.Policy.Digest["sha256"] {
			t.Errorf("with another policy: %+v", third.Predicate)
		}

		_, err = h.keeper.RevokeAuthority(h.system, h.team, "release")
		h.must(err)
		h.work()
		h.none(repo, i.digest)
	})
}

// What the hub attaches makes nothing owed: it comes to rest, and then nothing is asked.
func TestAttachingConverges(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := h.image(repo, "1", "one"), signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		h.sign(repo, i.digest, s)
		h.readable(h.guest, i, "1", true)
		h.attaches(true)
		if n := h.work(); n == 0 {
			t.Fatal("nothing was owed")
		}
		was := h.one(repo, i.digest).carrier.Digest
		if n := h.work(); n != 0 {
			t.Errorf("%d are owed by what the hub did itself", n)
		}
		if _, any, err := h.store.VerdictsDue(h.system); any || err != nil {
			t.Errorf("something is due: %v", err)
		}
		// What is owed without a reason is looked at, and nothing is written. Verdicts in memory hold on.
		var before, after int64
		count := func(n *int64) {
			h.must(h.db.QueryRow(h.system, `SELECT COUNT(*) FROM audit`).Scan(n))
		}
		count(&before)
		h.attaches(true)
		h.must(h.db.Write(h.system, func(tx *db.Tx) error { return store.OweVerdicts(tx, repo, string(i.digest)) }))
		r := &db.Recorder{}
		h.db.Record(r)
		if n := h.work(); n != 1 {
			t.Errorf("%d were looked at, want 1", n)
		}
		for _, q := range r.Take() {
			if strings.Contains(q, "manifest_link (") || strings.Contains(q, "INTO audit") || strings.Contains(q, "INTO change") {
				t.Errorf("written: %s", q)
			}
		}
		h.db.Record(nil)
		count(&after)
		if h.one(repo, i.digest).carrier.Digest != was || after != before {
			t.Errorf("%d audit rows of nothing", after-before)
		}
	})
}

// Owing and attaching stand in the trail as the hub's own doing.
func TestAttachingIsTheHubs(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := h.image(repo, "1", "one"), signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		h.attaches(true)
		h.sign(repo, i.digest, s)
		h.work()
		carrier := h.one(repo, i.digest).carrier.Digest
		h.attaches(false)
		h.work()
		h.none(repo, i.digest)
		entries, _, err := h.store.AuditEntries(h.system, store.AuditQuery{N: 100})
		h.must(err)
		seen := map[string]string{}
		for _, e := range entries {
			if strings.HasSuffix(e.Object, string(carrier)) {
				seen[e.Action] = e.Actor
			}
		}
		if len(seen) != 2 || seen["manifest.attach"] != "system" || seen["manifest.detach"] != "system" {
			t.Error(seen)
		}
	})
}

// What is done to a subject and to a statement by hand.
func TestAttachedByHand(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := h.image(repo, "1", "one"), signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		signature := h.sign(repo, i.digest, s)
		h.attaches(true)
		h.work()
		// A statement that somebody deletes comes back: the setting is what takes it away.
		was := h.one(repo, i.digest)
		h.must(h.reg.DeleteManifest(h.owner, repo, was.carrier.Digest))
		h.none(repo, i.digest)
		h.work()
		now := h.one(repo, i.digest)
		// One that somebody tags goes all the same, with the tag.
		m, err := h.reg.Manifest(h.owner, repo, registry.Reference{Digest: now.carrier.Digest}, false)
		h.must(err)
		_, err = h.reg.PutManifest(h.owner, repo, registry.ManifestPut{Digest: m.Digest, MediaType: m.MediaType, Payload: m.Payload, Tags: []string{"kept"}})
		h.must(err)
		h.work()
		if h.one(repo, i.digest).carrier.Digest != now.carrier.Digest {
			t.Error("a tag made another statement of it")
		}
		h.must(h.reg.DeleteManifest(h.owner, repo, signature))
		h.work()
		h.none(repo, i.digest)
		if _, err := h.reg.Manifest(h.owner, repo, registry.Reference{Tag: "kept"}, false); registry.CodeOf(err) != registry.CodeManifestUnknown {
			t.Errorf("under a tag: %v", err)
		}
		h.sign(repo, i.digest, s)
		h.work()
		carrier := h.one(repo, i.digest).carrier.Digest
		h.must(h.reg.DeleteManifest(h.owner, repo, i.digest))
		h.work()
		if _, err := h.reg.Manifest(h.owner, repo, registry.Reference{Digest: carrier}, false); registry.CodeOf(err) != registry.CodeManifestUnknown {
			t.Errorf("about something that is gone: %v", err)
		}
		var rows int64
		h.must(h.db.QueryRow(h.system, `SELECT COUNT(*) FROM attached_verdict`).Scan(&rows))
		if rows != 0 {
			t.Errorf("%d rows are left", rows)
		}
	})
}

// Statements in the hub's name that the hub did not put there.
func TestForgedVerdicts(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, other, s := h.image(repo, "1", "one"), h.image(repo, "2", "two"), signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		signature := h.sign(repo, i.digest, s)
		h.attaches(true)
		h.work()
		was := h.one(repo, i.digest)
		m, err := h.reg.Manifest(h.owner, repo, registry.Reference{Digest: was.carrier.Digest}, false)
		h.must(err)
		again := registry.ManifestPut{Digest: m.Digest, MediaType: m.MediaType, Payload: m.Payload}
		// The same bytes while they are attached change nothing.
		_, err = h.reg.PutManifest(h.owner, repo, again)
		h.must(err)
		h.work()
		if h.one(repo, i.digest).carrier.Digest != was.carrier.Digest {
			t.Error("pushing the same bytes made another statement of them")
		}
		h.must(h.reg.DeleteManifest(h.owner, repo, signature))
		h.work()
		h.none(repo, i.digest)
		refused := func(what, repo string, subject digest.Digest, layers ...ocispec.Descriptor) {
			h.Helper()
			if _, err := h.tryAttach(repo, subject, was.bundle, nil, layers...); registry.CodeOf(err) != registry.CodeDenied {
				t.Errorf("%s: %v", what, err)
			}
		}
		refused("what was true once", repo, i.digest)
		refused("of another digest", repo, other.digest)
		// In an envelope of the older format, among more signatures than are read here.
		var bundle struct{ DSSEEnvelope map[string]any }
		h.must(json.Unmarshal(was.bundle, &bundle))
		many := []any{}
		for range 20 {
			many = append(many, map[string]string{"sig": "bm9uZQ=="})
		}
		bundle.DSSEEnvelope["signatures"] = append(many, bundle.DSSEEnvelope["signatures"].([]any)...)
		envelope := as("application/vnd.dsse.envelope.v1+json", h.blob(repo, must(json.Marshal(bundle.DSSEEnvelope))))
		config := as("application/vnd.oci.empty.v1+json", h.blob(repo, []byte("{}")))
		if _, err := h.tryPut(repo, strings.Replace(string(i.digest), ":", "-", 1)+".att", ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2},
			MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{envelope}}, ocispec.MediaTypeImageManifest); registry.CodeOf(err) != registry.CodeDenied {
			t.Errorf("in another envelope: %v", err)
		}
		refused("in another repository", "team/other", i.digest)
		var junk []ocispec.Descriptor
		for n := range trust.MaxItems + 10 {
			junk = append(junk, as(typeBundle, h.blob(repo, []byte{'{', '"', byte('A' + n/26), byte('a' + n%26), '"', ':', '1', '}'})))
		}
		refused("before more than is read", repo, i.digest, junk...)
		h.none(repo, i.digest)
		// An annotation is nobody's word.
		_, err = h.tryAttach(repo, other.digest, signertest.New().Bundle(other.digest, core.PredicateVerdict, map[string]any{"verificationResult": "PASSED"}),
			map[string]string{gatekeeper.HubAnnotation: "the-hub"})
		h.must(err)
		h.work()
		h.readable(h.guest, other, "2", false)
		// Nor is the hub's own word a reason for it.
		_, _, err = h.keeper.SaveAuthority(h.system, nil, "mine", gatekeeper.Authority{PublicKey: h.signer.PEM}, 0)
		h.refused(err)
		_, _, err = h.keeper.SaveAuthority(h.system, h.team, gatekeeper.HubKeyName, gatekeeper.Authority{PublicKey: s.PEM}, 0)
		h.refused(err)
		_, _, err = h.keeper.SavePolicy(h.system, h.team, "with-sbom", strings.Replace(withSBOM, "{ref: release}",
			"{pem: "+string(must(json.Marshal(h.signer.PEM)))+"}", 1), 0)
		h.refused(err)
	})
}

// The content of a signature has to be there when its manifest comes, or it would come when nobody looks at it any more.
func TestContentComesFirst(t *testing.T) {
	eachHub(t, func(h *hub) {
		sparse := true
		_, err := h.store.UpdateProject(h.system, h.team, store.ProjectPatch{SparseIndexes: &sparse}, store.AnyRevision)
		h.must(err)
		i := h.image(repo, "1", "one")
		missing := ocispec.Descriptor{MediaType: typeBundle, Digest: digest.FromString("later"), Size: 5}
		if _, err := h.tryAttach(repo, i.digest, []byte("{}"), nil, missing); registry.CodeOf(err) != registry.CodeManifestBlobUnknown {
			t.Error(err)
		}
	})
}

func (h *hub) refused(err error) {
	h.Helper()
	if err == nil || !strings.Contains(err.Error(), "the hub") {
		h.Errorf("not refused, or without a reason: %v", err)
	}
}

// Indexes and what they list: a signature of one is a verdict about both.
func TestAttachedToIndexes(t *testing.T) {
	eachHub(t, func(h *hub) {
		one, two, s := h.image(repo, "", "one"), h.image(repo, "", "two"), signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		h.attaches(true)
		index := h.index(repo, "all", one.digest, two.digest)
		h.work()
		signature := h.sign(repo, index, s)
		h.work()
		for _, d := range []digest.Digest{index, one.digest, two.digest} {
			h.one(repo, d)
		}
		h.must(h.reg.DeleteManifest(h.owner, repo, signature))
		h.work()
		for _, d := range []digest.Digest{index, one.digest, two.digest} {
			h.none(repo, d)
		}
		h.sign(repo, index, s)
		h.work()
		h.one(repo, one.digest)
		h.must(h.reg.DeleteManifest(h.owner, repo, index))
		h.work()
		h.none(repo, one.digest)
		h.none(repo, two.digest)
	})
}

// What ends by itself: a key that runs out.
func TestAttachedUntil(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := h.image(repo, "1", "one"), signertest.New()
		end := time.Now().Add(time.Hour)
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM, NotAfter: &end}, 0)
		h.attaches(true)
		h.sign(repo, i.digest, s)
		h.work()
		h.one(repo, i.digest)
		due, any, err := h.store.VerdictsDue(h.system)
		if err != nil || !any || due.Sub(end).Abs() > time.Second {
			t.Errorf("it is looked at again at %v, want %v: %v", due, end, err)
		}
	})
}

// An exemption, a policy that only warns and a lowered baseline let somebody pull, and verify nothing.
func TestNotAttached(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := h.image(repo, "1", "one"), signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		h.attaches(true)
		h.sign(repo, i.digest, s)
		unsigned := h.image(repo, "2", "two")
		off, warn, enforce := core.BaselineOff, core.BaselineWarn, core.BaselineEnforce
		set := func(b core.Baseline) {
			h.Helper()
			_, err := h.store.UpdateProject(h.system, h.team, store.ProjectPatch{Baseline: &b}, store.AnyRevision)
			h.must(err)
			h.attaches(true)
			h.must(h.db.Write(h.system, func(tx *db.Tx) error { _, err := tx.Exec(`UPDATE verdict_sweep SET due_at = 0`); return err }))
			h.work()
		}
		set(enforce)
		h.one(repo, i.digest)
		for _, b := range []core.Baseline{off, warn} {
			set(b)
			h.none(repo, i.digest)
			h.none(repo, unsigned.digest)
		}
		exempt := strings.Replace(withSBOM, "spec:\n", "spec:\n  exempt: {digests: [{digest: \""+string(i.digest)+"\", expires: 2099-01-01, reason: old}]}\n", 1)
		_, _, err := h.keeper.SavePolicy(h.system, h.team, "with-sbom", exempt, 0)
		h.must(err)
		set(enforce)
		h.readable(h.guest, i, "1", true)
		h.none(repo, i.digest)
	})
}
