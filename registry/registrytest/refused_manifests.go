package registrytest

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

func refusedManifestTests() []test {
	return []test{
		{"a wrong digest (V-30)", manifestWithWrongDigest},
		{"more than 4 MiB", manifestTooLarge},
		{"a media type that is not the one in the JSON (V-29)", manifestWithOtherMediaType},
		{"a second push of the same bytes as another media type (V-29)", manifestTwiceWithOtherMediaType},
		{"Docker schema 1", manifestSchema1},
		{"what is no JSON, no object or no manifest", manifestNonsense},
		{"JSON that two parsers read differently (V-29)", ambiguousManifests},
		{"a missing layer or config, by its digest", manifestWithMissingBlob},
		{"a blob that only another repository has (V-23)", manifestWithBlobOfOtherRepository},
		{"a missing child of an index, by its digest", indexWithMissingChild},
		{"a child that only another repository has (V-23)", indexWithChildOfOtherRepository},
		{"a refused push leaves neither manifest nor tag", refusedPushLeavesNothing},
	}
}

func manifestWithWrongDigest(f *fixture) {
	c := f.image(f.repo, "one")
	wrong := strangeDigest("manifest")
	for _, tags := range [][]string{nil, {"1.0"}, {"1.0", "2.0"}} {
		_, err := f.r.PutManifest(f.ctx, f.repo, registry.ManifestPut{
			Digest: wrong, MediaType: c.mediaType, Payload: c.payload, Tags: tags})
		f.refused(err, "a push with a wrong digest", registry.CodeDigestInvalid)
	}
	f.lacksManifest(f.repo, by(wrong))
	f.lacksManifest(f.repo, by(c.digest()))
	f.lacksManifest(f.repo, tag("1.0"))
}

func manifestTooLarge(f *fixture) {
	c := f.image(f.repo, "one")
	c.payload = append(c.payload, bytes.Repeat([]byte(" "), 4<<20+1-len(c.payload))...)
	_, err := f.r.PutManifest(f.ctx, f.repo, c.put("large"))
	f.refused(err, "a manifest of 4 MiB and one byte", registry.CodeTooLarge)
	f.lacksManifest(f.repo, tag("large"))
}

func manifestWithOtherMediaType(f *fixture) {
	c := f.image(f.repo, "one")
	for _, mediaType := range []string{dockerManifest, ocispec.MediaTypeImageIndex, dockerList, "text/plain",
		ocispec.MediaTypeImageConfig} {
		put := c.put("1.0")
		put.MediaType = mediaType
		_, err := f.r.PutManifest(f.ctx, f.repo, put)
		f.refused(err, fmt.Sprintf("an image pushed as %q", mediaType),
			registry.CodeManifestInvalid, registry.CodeUnsupported)
	}
	f.lacksManifest(f.repo, tag("1.0"))
}

func manifestTwiceWithOtherMediaType(f *fixture) {
	c := f.image(f.repo, "one")
	c.payload = bytes.Replace(c.payload, []byte(`"mediaType": "`+c.mediaType+"\",\n   "), nil, 1)
	f.push(f.repo, c, "1.0")
	for _, mediaType := range []string{dockerManifest, ocispec.MediaTypeImageIndex, dockerList} {
		put := c.put("1.0")
		put.MediaType = mediaType
		_, err := f.r.PutManifest(f.ctx, f.repo, put)
		f.refused(err, "the same bytes pushed as "+mediaType, registry.CodeManifestInvalid)
	}
	f.serves(f.repo, tag("1.0"), c)
}

func manifestSchema1(f *fixture) {
	payload := []byte(`{"schemaVersion":1,"name":"` + f.repo + `","tag":"1","architecture":"amd64","fsLayers":[],"history":[]}`)
	for _, mediaType := range []string{dockerSchema1, dockerSigned1, "application/json"} {
		_, err := f.r.PutManifest(f.ctx, f.repo, registry.ManifestPut{
			MediaType: mediaType, Payload: payload, Tags: []string{"1.0"}})
		f.refused(err, "a schema 1 manifest as "+mediaType, registry.CodeManifestInvalid, registry.CodeUnsupported)
	}
	f.lacksManifest(f.repo, tag("1.0"))
}

func manifestNonsense(f *fixture) {
	for _, payload := range []string{"", "null", "[]", "{}", "true", "{", `"manifest"`, "\x00\x01",
		`{"schemaVersion":2,"config":"x","layers":{}}`,
		`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `","config":{"mediaType":"a/b","digest":"sha256:zz","size":1},"layers":[]}`,
	} {
		_, err := f.r.PutManifest(f.ctx, f.repo, registry.ManifestPut{
			MediaType: ocispec.MediaTypeImageManifest, Payload: []byte(payload), Tags: []string{"1.0"}})
		f.refused(err, fmt.Sprintf("the manifest %q", payload), registry.CodeManifestInvalid,
			registry.CodeManifestBlobUnknown, registry.CodeDigestInvalid, registry.CodeSizeInvalid)
	}
	f.lacksManifest(f.repo, tag("1.0"))
}

func ambiguousManifests(f *fixture) {
	c := f.image(f.repo, "one")
	list := f.made(manifestJSON{MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{f.pushedImage(f.repo, "child").platform("linux", "amd64")}})
	insert := func(c content, text string) content {
		at := bytes.IndexByte(c.payload, '{') + 1
		return content{c.mediaType, []byte(string(c.payload[:at]) + text + string(c.payload[at:]))}
	}
	cases := map[string]content{
		"an image that is an index as well":  insert(c, `"manifests":[],`),
		"an index that has layers":           insert(list, `"layers":[],`),
		"an index that has a config":         insert(list, `"config":{},`),
		"a key twice":                        insert(c, `"layers":[],`),
		"a key in another case":              insert(c, `"Layers":[],`),
		"something after the JSON":           {c.mediaType, append(bytes.Clone(c.payload), "{}"...)},
		"a byte order mark":                  {c.mediaType, append([]byte("\xef\xbb\xbf"), c.payload...)},
		"a string that is no UTF-8":          insert(c, "\"annotations\":{\"a\":\"\xff\"},"),
		"an image pushed as an index's type": {ocispec.MediaTypeImageIndex, c.payload},
		"an index pushed as an image's type": {ocispec.MediaTypeImageManifest, list.payload},
	}
	for name, c := range cases {
		_, err := f.r.PutManifest(f.ctx, f.repo, c.put("1.0"))
		if err == nil && f.s.Allows.AmbiguousManifests {
			continue
		}
		f.refused(err, name, registry.CodeManifestInvalid, registry.CodeManifestBlobUnknown)
	}
}

func manifestWithMissingBlob(f *fixture) {
	config := f.upload(f.repo, ocispec.MediaTypeImageConfig, f.configJSON("one"))
	layer := f.upload(f.repo, ocispec.MediaTypeImageLayerGzip, f.bytes("layer"))
	missing := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: strangeDigest(f.label), Size: 12}
	for name, m := range map[string]manifestJSON{
		"layer":  {Config: &config, Layers: []ocispec.Descriptor{layer, missing}},
		"config": {Config: &missing, Layers: []ocispec.Descriptor{layer}},
	} {
		m.MediaType = ocispec.MediaTypeImageManifest
		_, err := f.r.PutManifest(f.ctx, f.repo, f.made(m).put("1.0"))
		f.refused(err, "an image without its "+name, registry.CodeManifestBlobUnknown)
		f.naming(err, missing.Digest)
	}
	f.lacksManifest(f.repo, tag("1.0"))
}

func manifestWithBlobOfOtherRepository(f *fixture) {
	c := f.image(f.other, "one")
	_, err := f.r.PutManifest(f.ctx, f.repo, c.put("1.0"))
	f.refused(err, "an image whose blobs only another repository has", registry.CodeManifestBlobUnknown)
	f.lacksManifest(f.repo, tag("1.0"))
	f.push(f.other, c, "1.0")
	_, err = f.r.PutManifest(f.ctx, f.repo, c.put("1.0"))
	f.refused(err, "an image that only another repository has", registry.CodeManifestBlobUnknown)
}

func indexWithMissingChild(f *fixture) {
	present := f.pushedImage(f.repo, "one")
	missing := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: strangeDigest(f.label), Size: 12,
		Platform: &ocispec.Platform{OS: "linux", Architecture: "arm64"}}
	for _, mediaType := range []string{ocispec.MediaTypeImageIndex, dockerList} {
		c := f.made(manifestJSON{MediaType: mediaType,
			Manifests: []ocispec.Descriptor{present.platform("linux", "amd64"), missing}})
		_, err := f.r.PutManifest(f.ctx, f.repo, c.put("1.0"))
		f.refused(err, "an index without its child", registry.CodeManifestBlobUnknown)
		f.naming(err, missing.Digest)
	}
	f.lacksManifest(f.repo, tag("1.0"))
}

func indexWithChildOfOtherRepository(f *fixture) {
	child := f.pushedImage(f.other, "one", "1.0")
	f.image(f.repo, "one") // same blobs here, but no manifest
	c := f.made(manifestJSON{MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{child.platform("linux", "amd64")}})
	_, err := f.r.PutManifest(f.ctx, f.repo, c.put("1.0"))
	f.refused(err, "an index whose child only another repository has", registry.CodeManifestBlobUnknown)
	f.naming(err, child.digest())
	f.lacksManifest(f.repo, tag("1.0"))
}

func refusedPushLeavesNothing(f *fixture) {
	good := f.pushedImage(f.repo, "good", "1.0")
	bad := f.made(manifestJSON{MediaType: ocispec.MediaTypeImageManifest,
		Config: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: strangeDigest("config"), Size: 3},
		Layers: []ocispec.Descriptor{}})
	_, err := f.r.PutManifest(f.ctx, f.repo, bad.put("1.0", "2.0"))
	f.refused(err, "an image without its config", registry.CodeManifestBlobUnknown)
	c := f.image(f.repo, "second")
	_, err = f.r.PutManifest(f.ctx, f.repo, c.put("2.0", "no such/tag", "1.0"))
	f.refused(err, "a push with one bad tag of three", registry.CodeTagInvalid)
	_, err = f.r.PutManifest(f.ctx, f.repo, c.put("2.0", strings.Repeat("x", 129)))
	f.refused(err, "a push with a tag of 129 characters", registry.CodeTagInvalid)
	f.tagsAre(f.repo, "1.0")
	f.serves(f.repo, tag("1.0"), good)
	for _, d := range []digest.Digest{bad.digest(), c.digest()} {
		f.lacksManifest(f.repo, by(d))
	}
}
