package registrytest

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

func manifestTests() []test {
	return []test{
		{"an image is pulled by tag and by digest, byte for byte", imageByTagAndDigest},
		{"an image pushed by digest needs no tag", imageWithoutTag},
		{"an image without a media type in its JSON has the one it was pushed with", imageWithoutMediaType},
		{"one push gives several tags", imageWithSeveralTags},
		{"pushing the same image again changes nothing", imagePushedTwice},
		{"an index serves several platforms", indexOfPlatforms},
		{"an index of indexes is kept", indexOfIndexes},
		{"an empty index is kept", emptyIndex},
		{"an index may name blobs, as BuildKit's cache does", indexOfBlobs},
		{"a Docker schema 2 image and list are kept as they are", dockerImageAndList},
		{"an artifact of any type with an empty config is kept", artifactWithEmptyConfig},
		{"an artifact's config and layers have any media type", artifactWithStrangeMediaTypes},
		{"an image without layers is kept", imageWithoutLayers},
		{"foreign layers need not be in the registry", foreignLayers},
		{"a manifest of nearly 4 MiB is kept", largeManifest},
		{"manifests can be named by sha512", manifestBySHA512},
	}
}

func imageByTagAndDigest(f *fixture) {
	c := f.pushedImage(f.repo, "one", "1.0")
	f.serves(f.repo, tag("1.0"), c)
	f.serves(f.repo, by(c.digest()), c)
	f.lacksManifest(f.repo, tag("2.0"))
	f.lacksManifest(f.repo, by(strangeDigest("image")))
	f.lacksManifest(f.other, by(c.digest()))
}

func imageWithoutTag(f *fixture) {
	c := f.pushedImage(f.repo, "one")
	f.serves(f.repo, by(c.digest()), c)
	page, err := f.r.Tags(f.ctx, f.repo, "", 10)
	if f.documented(err, "listing the tags of a repository without tags", f.s.Refuses.UntaggedTags) {
		return
	}
	if len(page.Names) != 0 || page.More {
		f.Fatalf("a push by digest made the tags %q", page.Names)
	}
}

func imageWithoutMediaType(f *fixture) {
	c := f.image(f.repo, "one")
	c.payload = bytes.Replace(c.payload, []byte(`"mediaType": "`+c.mediaType+"\",\n   "), nil, 1)
	if bytes.Contains(c.payload, []byte(ocispec.MediaTypeImageManifest)) {
		f.Fatalf("the test's manifest still has its media type:\n%s", c.payload)
	}
	f.push(f.repo, c, "1.0")
	f.serves(f.repo, tag("1.0"), c)
	f.serves(f.repo, by(c.digest()), c)
}

func imageWithSeveralTags(f *fixture) {
	c := f.image(f.repo, "one")
	tags := []string{"1", "1.2", "1.2.3", "latest"}
	f.push(f.repo, c, tags...)
	for _, name := range tags {
		f.serves(f.repo, tag(name), c)
	}
	f.tagsAre(f.repo, tags...)
}

func imagePushedTwice(f *fixture) {
	c := f.pushedImage(f.repo, "one", "1.0")
	f.push(f.repo, c, "1.0")
	f.push(f.repo, c)
	f.serves(f.repo, tag("1.0"), c)
	f.tagsAre(f.repo, "1.0")
}

func indexOfPlatforms(f *fixture) {
	amd64, arm64 := f.pushedImage(f.repo, "amd64"), f.pushedImage(f.repo, "arm64")
	c := f.made(manifestJSON{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{
		amd64.platform("linux", "amd64"), arm64.platform("linux", "arm64"),
	}})
	f.push(f.repo, c, "1.0")
	f.serves(f.repo, tag("1.0"), c)
	f.serves(f.repo, by(c.digest()), c)
	f.serves(f.repo, by(arm64.digest()), arm64)
}

func indexOfIndexes(f *fixture) {
	image := f.pushedImage(f.repo, "one")
	inner := f.made(manifestJSON{MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{image.platform("linux", "amd64")}})
	f.push(f.repo, inner)
	outer := f.made(manifestJSON{MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{inner.descriptor(), image.platform("linux", "amd64")}})
	f.push(f.repo, outer, "1.0")
	f.serves(f.repo, tag("1.0"), outer)
	f.serves(f.repo, by(inner.digest()), inner)
}

func emptyIndex(f *fixture) {
	c := content{ocispec.MediaTypeImageIndex, fmt.Appendf(nil,
		`{"schemaVersion":2, "mediaType":%q, "manifests":[], "annotations":{"for":%q}}`,
		ocispec.MediaTypeImageIndex, f.label)}
	f.push(f.repo, c, "none")
	f.serves(f.repo, tag("none"), c)
}

func indexOfBlobs(f *fixture) {
	c := f.made(manifestJSON{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{
		f.upload(f.repo, ocispec.MediaTypeImageLayerGzip, f.bytes("cached layer")),
		f.upload(f.repo, "application/vnd.buildkit.cacheconfig.v0", f.bytes("cache config")),
	}})
	_, err := f.r.PutManifest(f.ctx, f.repo, c.put("cache"))
	if f.documented(err, "pushing an index of blobs", f.s.Refuses.IndexOfBlobs) {
		return
	}
	f.serves(f.repo, tag("cache"), c)
}

func dockerImageAndList(f *fixture) {
	config := f.upload(f.repo, dockerConfig, f.configJSON("docker"))
	layer := f.upload(f.repo, dockerLayer, f.bytes("docker layer"))
	image := f.made(manifestJSON{MediaType: dockerManifest, Config: &config, Layers: []ocispec.Descriptor{layer}})
	f.push(f.repo, image, "image")
	f.serves(f.repo, tag("image"), image)
	list := f.made(manifestJSON{MediaType: dockerList,
		Manifests: []ocispec.Descriptor{image.platform("linux", "amd64")}})
	f.push(f.repo, list, "list")
	f.serves(f.repo, tag("list"), list)
	f.serves(f.repo, by(list.digest()), list)
}

func artifactWithEmptyConfig(f *fixture) {
	c := f.artifact(f.repo, "application/vnd.example.sbom.v1+json", nil, map[string]string{"made": "by hand"})
	f.push(f.repo, c, "sbom")
	f.serves(f.repo, tag("sbom"), c)
}

func artifactWithStrangeMediaTypes(f *fixture) {
	config := f.upload(f.repo, "application/vnd.cncf.helm.config.v1+json", f.configJSON("chart"))
	layers := []ocispec.Descriptor{
		f.upload(f.repo, "application/vnd.cncf.helm.chart.content.v1.tar+gzip", f.bytes("chart")),
		f.upload(f.repo, "application/x-nobody-knows", f.bytes("strange")),
		f.upload(f.repo, "application/wasm", f.bytes("module")),
	}
	c := f.made(manifestJSON{MediaType: ocispec.MediaTypeImageManifest, Config: &config, Layers: layers})
	f.push(f.repo, c, "chart")
	f.serves(f.repo, tag("chart"), c)
}

func imageWithoutLayers(f *fixture) {
	config := f.upload(f.repo, ocispec.MediaTypeImageConfig, f.configJSON("no layers"))
	c := content{ocispec.MediaTypeImageManifest, fmt.Appendf(nil,
		`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[]}`,
		ocispec.MediaTypeImageManifest, config.MediaType, config.Digest, config.Size)}
	f.push(f.repo, c, "1.0")
	f.serves(f.repo, tag("1.0"), c)
}

func foreignLayers(f *fixture) {
	for mediaType, foreign := range map[string]string{
		dockerManifest: dockerForeignLayer, ocispec.MediaTypeImageManifest: ociForeignLayer,
	} {
		config := f.upload(f.repo, dockerConfig, f.configJSON(foreign))
		layer := ocispec.Descriptor{
			MediaType: foreign, Digest: strangeDigest(foreign), Size: 1000,
			URLs: []string{"https://layers.example.com/windows.tar.gz"},
		}
		c := f.made(manifestJSON{MediaType: mediaType, Config: &config, Layers: []ocispec.Descriptor{layer}})
		_, err := f.r.PutManifest(f.ctx, f.repo, c.put("windows"))
		if f.documented(err, "pushing an image with a foreign layer", f.s.Refuses.ForeignLayers) {
			continue
		}
		f.serves(f.repo, tag("windows"), c)
	}
}

func largeManifest(f *fixture) {
	config := f.upload(f.repo, ocispec.MediaTypeImageConfig, f.configJSON("large"))
	c := f.made(manifestJSON{MediaType: ocispec.MediaTypeImageManifest, Config: &config,
		Layers: []ocispec.Descriptor{f.upload(f.repo, ocispec.MediaTypeImageLayerGzip, f.bytes("layer"))}})
	// Blanks are valid JSON at the end, and no limit of depth, layers or annotations is met before that of bytes.
	c.payload = append(c.payload, bytes.Repeat([]byte(" "), 4<<20-len(c.payload))...)
	f.push(f.repo, c, "large")
	f.serves(f.repo, tag("large"), c)
}

func manifestBySHA512(f *fixture) {
	c := f.image(f.repo, "one")
	sum := sha512.Sum512(c.payload)
	d := digest.NewDigestFromEncoded(digest.SHA512, hex.EncodeToString(sum[:]))
	put := registry.ManifestPut{Digest: d, MediaType: c.mediaType, Payload: c.payload, Tags: []string{"512"}}
	m, err := f.r.PutManifest(f.ctx, f.repo, put)
	if f.documented(err, "pushing a manifest by its sha512 digest", f.s.Refuses.SHA512) {
		return
	}
	if m.Digest != d {
		f.Fatalf("the manifest pushed as %s is called %s", d, m.Digest)
	}
	f.serves(f.repo, by(d), c)
	tagged, err := f.r.Manifest(f.ctx, f.repo, tag("512"), false)
	f.ok(err, "pulling the tag")
	if !slices.Contains([]digest.Digest{d, c.digest()}, tagged.Digest) || !bytes.Equal(tagged.Payload, c.payload) {
		f.Fatalf("the tag serves %s", tagged.Digest)
	}
	put.Digest = digest.NewDigestFromEncoded(digest.SHA512, hex.EncodeToString(make([]byte, 64)))
	_, err = f.r.PutManifest(f.ctx, f.repo, put)
	f.refused(err, "pushing a manifest by a wrong sha512 digest", registry.CodeDigestInvalid)
}
