package registrytest

import (
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

// Clients of registries without the referrers API keep a list of referrers under a tag: "Referrers Tag Schema".
func fallbackTests() []test {
	return []test{
		{"a list of referrers pushed as a tag is answered by the API, each once", fallbackMerged},
		{"what refers to an image in the list alone is answered too", fallbackAlone},
		{"what the list does not name is answered besides", fallbackIncomplete},
		{"the tag can be pulled, byte for byte", fallbackPulled},
		{"the tag can be moved and deleted, and referrers stay", fallbackDeleted},
		{"a tag of that name that is no list does no harm", fallbackNoList},
		{"a list in another repository is not answered (V-44)", fallbackElsewhere},
	}
}

// list is an index of referrers as such clients push it.
func (f *fixture) list(referrers ...content) content {
	f.Helper()
	entries := []ocispec.Descriptor{}
	for _, r := range referrers {
		d := r.descriptor()
		d.ArtifactType = signatureType
		entries = append(entries, d)
	}
	// A label of its own: two tests must not push the same (empty) index.
	return f.made(manifestJSON{MediaType: ocispec.MediaTypeImageIndex, Manifests: entries,
		Annotations: map[string]string{"org.example.list": f.label}})
}

// twoSigned pushes an image and two signatures of it.
func (f *fixture) twoSigned() (image, a, b content, name string) {
	f.Helper()
	image = f.pushedImage(f.repo, "one", "1.0")
	a, b = f.refers(image, signatureType, "a"), f.refers(image, signatureType, "b")
	f.push(f.repo, a)
	f.push(f.repo, b)
	return image, a, b, registry.FallbackTag(image.digest())
}

func fallbackMerged(f *fixture) {
	image, a, b, name := f.twoSigned()
	f.push(f.repo, f.list(a, b), name)
	f.referrersAre(f.repo, image.digest(), "", a, b)
	f.referrersAre(f.repo, image.digest(), signatureType, a, b)
	f.referrersAre(f.repo, image.digest(), sbomType)
	f.sameDigests(f.allReferrers(f.repo, image.digest(), "", 1), []content{a, b}, "the pages of one referrer together")
}

func fallbackAlone(f *fixture) {
	image := f.pushedImage(f.repo, "one", "1.0")
	old := f.artifact(f.repo, signatureType, nil, map[string]string{"org.example.name": "before subjects"})
	f.push(f.repo, old)
	named := f.refers(image, signatureType, "with a subject")
	f.push(f.repo, named)
	f.push(f.repo, f.list(old, named), registry.FallbackTag(image.digest()))
	f.referrersAre(f.repo, image.digest(), "", old, named)
	f.referrersAre(f.repo, image.digest(), signatureType, old, named)
	f.referrersAre(f.repo, image.digest(), sbomType)
	f.sameDigests(f.allReferrers(f.repo, image.digest(), "", 1), []content{old, named}, "the pages of one referrer together")
}

func fallbackIncomplete(f *fixture) {
	image, a, b, name := f.twoSigned()
	f.push(f.repo, f.list(a, b), name)
	c := f.refers(image, signatureType, "c")
	f.push(f.repo, c)
	f.referrersAre(f.repo, image.digest(), "", a, b, c)
}

func fallbackPulled(f *fixture) {
	_, a, b, name := f.twoSigned()
	list := f.list(a, b)
	f.push(f.repo, list, name)
	f.serves(f.repo, tag(name), list)
	f.serves(f.repo, by(list.digest()), list)
}

func fallbackDeleted(f *fixture) {
	image, a, b, name := f.twoSigned()
	f.push(f.repo, f.list(a), name)
	f.push(f.repo, f.list(a, b), name)
	f.referrersAre(f.repo, image.digest(), "", a, b)
	list := f.list(a, b)
	f.serves(f.repo, tag(name), list)
	f.ok(f.r.DeleteTag(f.ctx, f.repo, name), "deleting the list's tag")
	f.lacksManifest(f.repo, tag(name))
	for _, c := range []content{image, a, b, list} {
		f.serves(f.repo, by(c.digest()), c)
	}
}

func fallbackNoList(f *fixture) {
	image := f.pushedImage(f.repo, "one", "1.0")
	name := registry.FallbackTag(image.digest())
	other := f.pushedImage(f.repo, "not a list", name)
	f.serves(f.repo, tag(name), other)
	f.referrersAre(f.repo, image.digest(), "")
	wrong := f.pushedImage(f.repo, "oddly named", fmt.Sprintf("sha256-%s", "xyz"))
	f.serves(f.repo, tag("sha256-xyz"), wrong)
}

func fallbackElsewhere(f *fixture) {
	image := f.pushedImage(f.repo, "one", "1.0")
	subject := image.descriptor()
	r := f.artifact(f.other, signatureType, &subject, nil)
	f.push(f.other, r)
	f.push(f.other, f.list(r), registry.FallbackTag(image.digest()))
	f.referrersAre(f.repo, image.digest(), "")
}
