package gatekeeper_test

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
)

// scannedBy is what the end of a job of any scanner leaves, in any repository.
func (h *hub) scannedBy(scanner, repository string, d digest.Digest, s core.Scan) {
	h.Helper()
	s.Matched = true
	report, err := h.store.SaveReport(h.system, &s, nil)
	h.must(err)
	h.must(h.db.Write(h.system, func(tx *db.Tx) error {
		_, err := store.SetScan(tx, store.ScanResult{Repository: repository, Digest: string(d), Scanner: scanner, Report: report})
		return err
	}))
}

// manifest is that of an image, to be pushed once more in another form.
func (i *image) manifest() ocispec.Manifest {
	return ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: i.config, Size: 1},
		Layers: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: i.layer, Size: 1}}}
}

// What is refused for what was found in it is not had in another form, under another name or in another place: whatever has
// another digest, and whatever is new in a repository, is asked for a scan of its own.
func TestAnotherFormOfWhatIsRefused(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s := signedHub(h, noHigh)
		h.scanned(i.digest, bad())
		h.readable(h.guest, i, "1", false)
		refused := func(what string, repository string, d digest.Digest) {
			t.Helper()
			_, err := h.reg.Manifest(h.guest, repository, registry.Reference{Digest: d}, false)
			if registry.CodeOf(err) != registry.CodeDenied {
				t.Errorf("%s: %v", what, err)
			}
		}
		push := func(what, tag string, m any, mediaType string) digest.Digest {
			t.Helper()
			d := h.put(repo, tag, m, mediaType)
			h.sign(repo, d, s)
			refused(what, repo, d)
			return d
		}
		m := i.manifest()
		m.Annotations = map[string]string{"again": "1"}
		push("with another annotation", "2", m, ocispec.MediaTypeImageManifest)
		m = i.manifest()
		m.Config.MediaType = "application/vnd.example.config"
		push("as something else", "3", m, ocispec.MediaTypeImageManifest)
		m = i.manifest()
		m.Subject, m.ArtifactType = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: i.digest, Size: 1}, typeBundle
		push("as a signature of itself", "", m, ocispec.MediaTypeImageManifest)
		m = i.manifest()
		m.Annotations = map[string]string{"again": "2"}
		push("under the tag of a signature", strings.Replace(string(i.digest), ":", "-", 1)+".sig", m, ocispec.MediaTypeImageManifest)

		list := func(platform *ocispec.Platform, mediaType string, d digest.Digest) ocispec.Index {
			return ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
				Manifests: []ocispec.Descriptor{{MediaType: mediaType, Digest: d, Size: 1, Platform: platform}}}
		}
		index := push("in an index", "4", list(nil, ocispec.MediaTypeImageManifest, i.digest), ocispec.MediaTypeImageIndex)
		push("in an index, for no platform", "5", list(&ocispec.Platform{OS: "unknown", Architecture: "unknown"}, ocispec.MediaTypeImageManifest, i.digest), ocispec.MediaTypeImageIndex)
		push("in an index in an index", "6", list(nil, ocispec.MediaTypeImageIndex, index), ocispec.MediaTypeImageIndex)
		h.readable(h.guest, i, "1", false)

		// Copied to where nobody has scanned it, it is not clean but not scanned.
		copied := h.image("team/copy", "1", "one")
		h.sign("team/copy", copied.digest, s)
		if copied.digest != i.digest {
			t.Fatal("it is another image")
		}
		h.readable(h.guest, copied, "1", false)
		h.scannedBy("trivy", "team/copy", copied.digest, bad())
		h.readable(h.guest, copied, "1", false)
		// Deleted and pushed again, likewise, whatever was kept of it.
		h.must(h.reg.DeleteManifest(h.owner, repo, i.digest))
		i = h.image(repo, "1", "one")
		h.sign(repo, i.digest, s)
		h.readable(h.guest, i, "1", false)
		h.scanned(i.digest, core.Scan{})
		h.readable(h.guest, i, "1", true)
		h.readable(h.guest, copied, "1", false) // what is found in one repository says nothing of another
	})
}

// A project may name another of the hub's scanners. Where a policy of the hub names those that count, no other does; and what
// any of them found is not undone by one that finds nothing.
func TestScannerOfAProject(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, _ := signedHub(h, noHigh)
		h.demand(nil, "vulnerabilities: {maxSeverity: Medium, scanners: [trivy]}")
		h.scannedBy("blind", repo, i.digest, core.Scan{})
		h.readable(h.guest, i, "1", false)
		h.scannedBy("trivy", repo, i.digest, core.Scan{})
		h.readable(h.guest, i, "1", true)
		h.scannedBy("trivy", repo, i.digest, bad())
		h.scannedBy("blind", repo, i.digest, core.Scan{})
		h.readable(h.guest, i, "1", false)
		h.demand(nil, "vulnerabilities: {maxSeverity: Medium}")
		h.readable(h.guest, i, "1", false)
	})
}
