package gatekeeper_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
)

// on pushes an image on a base layer.
func (h *hub) on(base ocispec.Descriptor, n int) digest.Digest {
	h.Helper()
	config := h.blob(repo, fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","n":%d}`, n))
	return h.put(repo, "", ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: as(ocispec.MediaTypeImageConfig, config), Layers: []ocispec.Descriptor{as(ocispec.MediaTypeImageLayer, base)}}, ocispec.MediaTypeImageManifest)
}

// V-37: who pushes and has one of the two keys that are wanted hides a base layer under no number of images, also from a
// process that has never decided about any.
func TestRefusedUsersHideNoLayer(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := newHub(t, open(t))
		a, b, stranger := signertest.New(), signertest.New(), signertest.New()
		h.register("ada", gatekeeper.Authority{PublicKey: a.PEM}, 0)
		h.register("ben", gatekeeper.Authority{PublicKey: b.PEM}, 0)
		exempt, base, left := digest.Digest(""), h.blob(repo, []byte("base")), h.blob(repo, []byte("left out"))
		exempt = h.on(left, 0)
		_, _, err := h.store.PutTrustDocument(h.system, h.team, store.TrustPolicy, "both", fmt.Sprintf(`apiVersion: hallmark/v1alpha1
kind: PullPolicy
metadata: {name: both, project: team}
spec:
  mode: enforce
  authorities:
    - {name: ada, key: {ref: ada}}
    - {name: ben, key: {ref: ben}}
  signature: {require: {allOf: [ada, ben]}}
  exempt:
    digests: [{digest: "%s", expires: %s, reason: "from before"}]
`, exempt, time.Now().AddDate(0, 1, 0).Format(time.DateOnly)), 0)
		h.must(err)
		signed := h.on(base, 1)
		h.sign(repo, signed, a)
		h.sign(repo, signed, b)
		h.sign(repo, exempt, a) // the baseline holds for it all the same
		for n := range 70 {
			d := h.on(base, 100+n)
			h.sign(repo, d, stranger)
			h.sign(repo, d, a)
			h.on(left, 200+n)
		}
		other := h.again(open)
		if got := other.blobCode(h.guest, repo, base.Digest); got != "" {
			t.Errorf("a base layer of an image that both have signed, with 70 that one has: %q", got)
		}
		if got := other.blobCode(h.guest, repo, left.Digest); got != "" {
			t.Errorf("a layer of an exempt image with 70 that nobody has signed: %q", got)
		}
		h.must(h.reg.DeleteManifest(h.owner, repo, signed))
		h.must(h.reg.DeleteManifest(h.owner, repo, exempt))
		for what, layer := range map[string]digest.Digest{"base": base.Digest, "exempt": left.Digest} {
			if got := h.blobCode(h.guest, repo, layer); got != "DENIED" {
				t.Errorf("the layer %s when nothing admits it any more: %q", what, got)
			}
		}
	})
}

// V-37: a signature made before its key was registered is found under whatever others said since.
func TestStrangersHideNoOldSignature(t *testing.T) {
	eachHub(t, func(h *hub) {
		i, s, stranger := h.image(repo, "1", "one"), signertest.New(), signertest.New()
		h.sign(repo, i.digest, s)
		for range 110 {
			h.sign(repo, i.digest, stranger)
		}
		h.readable(h.guest, i, "1", false)
		h.register("release", gatekeeper.Authority{PublicKey: s.PEM}, 0)
		h.readable(h.guest, i, "1", true)
	})
}
