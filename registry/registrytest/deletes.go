package registrytest

import (
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

func deleteTests() []test {
	return []test{
		{"a deleted image is unknown", deletedImage},
		{"a deleted image can be pushed again", deletedImageAgain},
		{"an unknown image cannot be deleted", deleteUnknownImage},
		{"an image deleted in one repository stays in another", deletedImageElsewhere},
		{"a blob that an image needs cannot be deleted", deleteBlobInUse},
		{"a blob that no image needs any more can be deleted", deleteBlobAfterImage},
		{"a deleted blob is unknown, and no image can be made of it", deletedBlob},
		{"a deleted blob can be pushed again", deletedBlobAgain},
		{"an unknown blob cannot be deleted", deleteUnknownBlob},
		{"deleting an index keeps what it names", deletedIndex},
		{"deleting a subject keeps what refers to it", deletedSubject},
	}
}

func deletedImage(f *fixture) {
	c := f.pushedImage(f.repo, "one", "1.0")
	f.serves(f.repo, by(c.digest()), c) // fills whatever caches there are
	f.ok(f.r.DeleteManifest(f.ctx, f.repo, c.digest()), "deleting an image")
	f.lacksManifest(f.repo, by(c.digest()))
	f.lacksManifest(f.repo, tag("1.0"))
	f.refused(f.r.DeleteManifest(f.ctx, f.repo, c.digest()), "deleting it again", registry.CodeManifestUnknown)
	f.hasBlob(f.repo, f.bytes("layer one"))
}

func deletedImageAgain(f *fixture) {
	c := f.pushedImage(f.repo, "one", "1.0")
	for range 2 {
		f.ok(f.r.DeleteManifest(f.ctx, f.repo, c.digest()), "deleting an image")
		f.push(f.repo, c, "1.0")
		f.serves(f.repo, tag("1.0"), c)
		f.serves(f.repo, by(c.digest()), c)
	}
	f.tagsAre(f.repo, "1.0")
}

func deleteUnknownImage(f *fixture) {
	d := strangeDigest("image")
	f.refused(f.r.DeleteManifest(f.ctx, f.repo, d), "deleting an image of an unknown repository",
		registry.CodeManifestUnknown, registry.CodeNameUnknown)
	elsewhere := f.pushedImage(f.other, "one", "1.0")
	f.pushedImage(f.repo, "two", "1.0")
	f.refused(f.r.DeleteManifest(f.ctx, f.repo, d), "deleting an unknown image", registry.CodeManifestUnknown)
	f.refused(f.r.DeleteManifest(f.ctx, f.repo, elsewhere.digest()), "deleting another repository's image",
		registry.CodeManifestUnknown)
	f.serves(f.other, tag("1.0"), elsewhere)
}

func deletedImageElsewhere(f *fixture) {
	here, there := f.pushedImage(f.repo, "one", "1.0"), f.pushedImage(f.other, "one", "1.0")
	if here.digest() != there.digest() {
		f.Fatal("the test's two images differ")
	}
	f.ok(f.r.DeleteManifest(f.ctx, f.repo, here.digest()), "deleting an image")
	f.lacksManifest(f.repo, by(here.digest()))
	f.serves(f.other, tag("1.0"), there)
	f.hasBlob(f.other, f.bytes("layer one"))
}

func deleteBlobInUse(f *fixture) {
	c := f.pushedImage(f.repo, "one", "1.0")
	for _, data := range [][]byte{f.bytes("layer one"), f.configJSON("one")} {
		err := f.r.DeleteBlob(f.ctx, f.repo, digest.FromBytes(data))
		if f.s.Allows.BlobInUse {
			f.ok(err, "deleting a blob in use, which is documented to be possible")
			continue
		}
		f.refused(err, "deleting a blob in use", registry.CodeDenied)
		f.hasBlob(f.repo, data)
	}
	f.serves(f.repo, tag("1.0"), c)
}

func deleteBlobAfterImage(f *fixture) {
	c := f.pushedImage(f.repo, "one", "1.0")
	f.ok(f.r.DeleteManifest(f.ctx, f.repo, c.digest()), "deleting an image")
	for _, data := range [][]byte{f.bytes("layer one"), f.configJSON("one")} {
		f.ok(f.r.DeleteBlob(f.ctx, f.repo, digest.FromBytes(data)), "deleting a blob that nothing needs")
		f.lacksBlob(f.repo, digest.FromBytes(data))
	}
}

func deletedBlob(f *fixture) {
	c := f.image(f.repo, "one")
	d := digest.FromBytes(f.bytes("layer one"))
	f.ok(f.r.DeleteBlob(f.ctx, f.repo, d), "deleting a blob")
	f.lacksBlob(f.repo, d)
	f.refused(f.r.DeleteBlob(f.ctx, f.repo, d), "deleting it again", registry.CodeBlobUnknown)
	_, err := f.r.PutManifest(f.ctx, f.repo, c.put("1.0"))
	f.refused(err, "an image without its layer", registry.CodeManifestBlobUnknown)
	f.naming(err, d)
}

func deletedBlobAgain(f *fixture) {
	data := f.bytes("blob")
	for range 3 {
		f.upload(f.repo, ocispec.MediaTypeImageLayer, data)
		f.hasBlob(f.repo, data)
		f.ok(f.r.DeleteBlob(f.ctx, f.repo, digest.FromBytes(data)), "deleting a blob")
		f.lacksBlob(f.repo, digest.FromBytes(data))
	}
}

func deleteUnknownBlob(f *fixture) {
	d := strangeDigest("blob")
	f.refused(f.r.DeleteBlob(f.ctx, f.repo, d), "deleting a blob of an unknown repository",
		registry.CodeBlobUnknown, registry.CodeNameUnknown)
	data := f.bytes("elsewhere")
	f.upload(f.other, "", data)
	f.pushedImage(f.repo, "one", "1.0")
	f.refused(f.r.DeleteBlob(f.ctx, f.repo, d), "deleting an unknown blob", registry.CodeBlobUnknown)
	f.refused(f.r.DeleteBlob(f.ctx, f.repo, digest.FromBytes(data)), "deleting another repository's blob",
		registry.CodeBlobUnknown)
	f.hasBlob(f.other, data)
}

func deletedIndex(f *fixture) {
	image := f.pushedImage(f.repo, "one", "one")
	c := f.made(manifestJSON{MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{image.platform("linux", "amd64")}})
	f.push(f.repo, c, "all")
	f.ok(f.r.DeleteManifest(f.ctx, f.repo, c.digest()), "deleting an index")
	f.lacksManifest(f.repo, tag("all"))
	f.serves(f.repo, tag("one"), image)
	f.hasBlob(f.repo, f.bytes("layer one"))
}

func deletedSubject(f *fixture) {
	image := f.pushedImage(f.repo, "one", "1.0")
	r := f.refers(image, signatureType, "signed")
	f.push(f.repo, r)
	f.ok(f.r.DeleteManifest(f.ctx, f.repo, image.digest()), "deleting a subject")
	f.serves(f.repo, by(r.digest()), r)
	f.push(f.repo, image, "1.0")
	f.referrersAre(f.repo, image.digest(), "", r)
}
