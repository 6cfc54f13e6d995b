package gatekeeper_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
	"github.com/hallmarkhub/hallmark/registry"
)

func bom(basis string) gatekeeper.BOM {
	return gatekeeper.BOM{Format: "spdx", Predicate: core.PredicateSPDX, Document: []byte(`{"spdxVersion":"SPDX-2.3","name":"` + basis + `"}`), Basis: basis}
}

// attachSBOM attaches and indexes what the scanner found, the second as the inventory does.
func (h *hub) attachSBOM(i image, b gatekeeper.BOM) (carrier, content string) {
	h.Helper()
	carrier, content, err := h.keeper.AttachSBOM(h.Context(), i.repo, i.digest, b)
	h.must(err)
	id, err := h.store.SaveDocument(h.system, store.SBOMDocument{Digest: "sha256:" + b.Basis, Format: b.Format}, nil)
	h.must(err)
	h.must(h.store.ListDocument(h.system, h.team, core.SBOMScanned, id))
	h.must(h.store.SaveSBOMs(h.system, i.repo, carrier, []store.SBOM{{Subject: string(i.digest), Source: core.SBOMScanned, Document: id, Content: content}}))
	return carrier, content
}

// carried are the manifests about a digest, as its owner finds them.
func (h *hub) carried(repo string, d digest.Digest) (all []ocispec.Descriptor) {
	h.Helper()
	page, err := h.reg.Referrers(h.owner, repo, d, registry.ReferrerQuery{})
	h.must(err)
	return page.Manifests
}

func (h *hub) detach(want int) {
	h.Helper()
	if n, err := h.keeper.DetachSBOMs(h.Context()); err != nil || n != want {
		h.Errorf("%d removed, want %d: %v", n, want, err)
	}
}

// What the scanner found is attached once, replaced by what is new, and goes with the image. Nobody is charged for it.
func TestAttachSBOM(t *testing.T) {
	eachHub(t, func(h *hub) {
		i := h.image(repo, "1", "one")
		used := h.used()
		first, content := h.attachSBOM(i, bom("first"))
		if again, same := h.attachSBOM(i, bom("first")); again != first || same != content {
			t.Errorf("the same again: %s %s", again, same)
		}
		all := h.carried(repo, i.digest)
		if len(all) != 1 || string(all[0].Digest) != first || all[0].Annotations[gatekeeper.HubAnnotation] != "the-hub" ||
			all[0].Annotations["dev.sigstore.bundle.predicateType"] != core.PredicateSPDX || all[0].ArtifactType != trust.TypeBundle {
			t.Fatalf("%+v", all)
		}
		if h.used() != used {
			t.Errorf("the project is charged %d bytes for it", h.used()-used)
		}
		b, err := h.local.Blob(h.owner, repo, digest.Digest(content))
		h.must(err)
		bundle, err := io.ReadAll(b.Content)
		h.must(err)
		h.must(b.Content.Close())
		st, err := trust.ReadStatement(bundle)
		h.must(err)
		if st.PredicateType != core.PredicateSPDX || !bytes.Equal(st.Predicate, bom("first").Document) || st.Subjects[0].Digest["sha256"] != i.digest.Encoded() {
			t.Errorf("%+v", st)
		}

		second, _ := h.attachSBOM(i, bom("second"))
		if all := h.carried(repo, i.digest); len(all) != 1 || string(all[0].Digest) != second || second == first {
			t.Errorf("%+v", all)
		}
		if _, err := h.local.StatBlob(h.owner, repo, digest.Digest(content), false); registry.CodeOf(err) != registry.CodeBlobUnknown {
			t.Errorf("the content of the first: %v", err)
		}
		other := gatekeeper.BOM{Format: "cyclonedx", Predicate: core.PredicateCycloneDX, Document: []byte(`{"bomFormat":"CycloneDX"}`), Basis: "other"}
		h.attachSBOM(i, other)
		if all := h.carried(repo, i.digest); len(all) != 2 {
			t.Errorf("%+v", all)
		}
		// One that somebody deletes is attached by the next scan.
		h.must(h.reg.DeleteManifest(h.owner, repo, digest.Digest(second)))
		h.attachSBOM(i, bom("second"))
		if all := h.carried(repo, i.digest); len(all) != 2 {
			t.Errorf("%+v", all)
		}

		h.detach(0)
		h.must(h.reg.DeleteManifest(h.owner, repo, i.digest))
		if carrier, _, err := h.keeper.AttachSBOM(h.Context(), repo, i.digest, bom("late")); err != nil || carrier != "" {
			t.Errorf("about something that is gone: %q %v", carrier, err)
		}
		h.image(repo, "1", "one") // it is there again before anybody looked
		h.detach(0)
		h.detach(0)
		if all := h.carried(repo, i.digest); len(all) != 2 {
			t.Errorf("it came back without what was attached: %+v", all)
		}
		h.must(h.reg.DeleteManifest(h.owner, repo, i.digest))
		h.detach(2)
		if all := h.carried(repo, i.digest); len(all) != 0 {
			t.Errorf("left: %+v", all)
		}
		var rows int64
		h.must(h.db.QueryRow(h.system, `SELECT COUNT(*) FROM attached_sbom`).Scan(&rows))
		if rows != 0 {
			t.Errorf("%d rows are left", rows)
		}
	})
}

// What the hub's scanner found satisfies no policy, and nobody else brings what the hub has signed.
func TestScannedIsNoEvidence(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, other := h.image(repo, "1", "one"), h.image(repo, "2", "two")
		carrier, content := h.attachSBOM(i, bom("first"))
		h.readable(h.guest, i, "1", false)
		// The statement itself is for everybody to read.
		m, err := h.reg.Manifest(h.guest, repo, registry.Reference{Digest: digest.Digest(carrier)}, false)
		h.must(err)
		b, err := h.reg.Blob(h.guest, repo, digest.Digest(content))
		h.must(err)
		bundle, err := io.ReadAll(b.Content)
		h.must(err)
		h.must(b.Content.Close())
		for _, subject := range []digest.Digest{i.digest, other.digest} {
			if _, err := h.tryAttach(repo, subject, bundle, nil); registry.CodeOf(err) != registry.CodeDenied {
				t.Errorf("about %s: %v", subject, err)
			}
		}
		if _, err := h.tryAttach("team/other", i.digest, bundle, nil); registry.CodeOf(err) != registry.CodeDenied {
			t.Errorf("in another repository: %v", err)
		}
		// The same bytes while they are attached change nothing, and are still the scanner's.
		_, err = h.reg.PutManifest(h.owner, repo, registry.ManifestPut{Digest: m.Digest, MediaType: m.MediaType, Payload: m.Payload})
		h.must(err)
		h.readable(h.guest, i, "1", false)
		if owed, err := h.store.SBOMsOwed(h.system, 10); err != nil || len(owed) != 0 {
			t.Errorf("it is to be read as somebody's: %+v %v", owed, err)
		}
		if there, err := h.store.AttachedSBOMs(h.system, repo, string(i.digest)); err != nil || there["spdx"].Carrier != carrier || there["spdx"].Content != content {
			t.Errorf("%+v %v", there, err)
		}
		// Nobody can make the hub's key one that counts.
		_, _, err = h.keeper.SaveAuthority(h.system, h.team, "mine", gatekeeper.Authority{PublicKey: h.signer.PEM}, 0)
		h.refused(err)
		// A publisher's attestation does what the hub's does not.
		s := signertest.New()
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		h.attach(repo, i.digest, s.Bundle(i.digest, predicateSPDX, map[string]any{"spdxVersion": "SPDX-2.3"}))
		h.readable(h.guest, i, "1", true)
	})
}

// Of two who attach at once one is the last, and nothing of the other is left.
func TestAttachSBOMTwice(t *testing.T) {
	eachHub(t, func(h *hub) {
		i := h.image(repo, "1", "one")
		failed := make(chan error)
		const workers = 4
		for n := range workers {
			go func() {
				_, _, err := h.keeper.AttachSBOM(h.Context(), repo, i.digest, bom(string(rune('a'+n))))
				failed <- err
			}()
		}
		for range workers {
			if err := <-failed; err != nil && !errors.Is(err, store.ErrOvertaken) {
				t.Error(err)
			}
		}
		there, err := h.store.AttachedSBOMs(h.system, repo, string(i.digest))
		h.must(err)
		if all := h.carried(repo, i.digest); len(all) != 1 || string(all[0].Digest) != there["spdx"].Carrier {
			t.Errorf("%+v, and %+v is listed", there, all)
		}
	})
}
