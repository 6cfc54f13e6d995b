package registrytest

import (
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

const (
	sbomType      = "application/vnd.example.sbom.v1+json"
	signatureType = "application/vnd.example.signature.v1+json"
)

func referrerTests() []test {
	return []test{
		{"what refers to an image is listed with its type and annotations", referrersListed},
		{"an image that refers to another is listed under its config's type", referrerOfImageType},
		{"an index that refers to an image is listed, without a type if it has none", referrerIndex},
		{"referrers are filtered by artifact type", referrersFiltered},
		{"referrers are listed page by page", referrerPages},
		{"pages and filter go together", referrerFilteredPages},
		{"nobody refers to what nobody refers to", referrersOfNothing},
		{"a referrer may arrive before its subject", referrerBeforeSubject},
		{"a deleted referrer is no longer listed", referrerDeleted},
		{"a referrer of a referrer belongs to that one alone", referrerOfReferrer},
		{"referrers of another repository are not listed (V-44)", referrersOfOtherRepository},
		{"a pushed manifest says what its subject is", referrerKnowsSubject},
		{"a subject of Docker's types has referrers too", referrersOfDockerImage},
		{"eight referrers pushed at once are all listed", referrersAtOnce},
	}
}

// refers makes an artifact that refers to subject, uploaded but not pushed.
func (f *fixture) refers(subject content, artifactType, name string) content {
	f.Helper()
	d := subject.descriptor()
	return f.artifact(f.repo, artifactType, &d, map[string]string{"org.example.name": name})
}

func referrersListed(f *fixture) {
	image := f.pushedImage(f.repo, "one", "1.0")
	sbom, signature := f.refers(image, sbomType, "bill"), f.refers(image, signatureType, "signed")
	f.push(f.repo, sbom)
	f.push(f.repo, signature, "signed")
	f.referrersAre(f.repo, image.digest(), "", sbom, signature)
	for _, d := range f.allReferrers(f.repo, image.digest(), "", 10) {
		want := sbom.descriptor()
		want.ArtifactType, want.Annotations = sbomType, map[string]string{"org.example.name": "bill"}
		if d.Digest == signature.digest() {
			want = signature.descriptor()
			want.ArtifactType, want.Annotations = signatureType, map[string]string{"org.example.name": "signed"}
		}
		if d.MediaType != want.MediaType || d.Size != want.Size || d.ArtifactType != want.ArtifactType ||
			!maps.Equal(d.Annotations, want.Annotations) {
			f.Fatalf("a referrer is listed as\n%+v, want\n%+v", d, want)
		}
	}
}

func referrerOfImageType(f *fixture) {
	image := f.pushedImage(f.repo, "one", "1.0")
	subject := image.descriptor()
	config := f.upload(f.repo, "application/vnd.example.config.v1+json", f.configJSON("other"))
	c := f.made(manifestJSON{MediaType: ocispec.MediaTypeImageManifest, Config: &config, Subject: &subject,
		Layers: []ocispec.Descriptor{f.upload(f.repo, ocispec.MediaTypeImageLayer, f.bytes("layer"))}})
	f.push(f.repo, c)
	f.referrersAre(f.repo, image.digest(), "", c)
	f.referrersAre(f.repo, image.digest(), config.MediaType, c)
	got := f.allReferrers(f.repo, image.digest(), "", 10)[0]
	if got.ArtifactType != config.MediaType {
		f.Fatalf("the image is listed with artifact type %q, want its config's, %q", got.ArtifactType, config.MediaType)
	}
}

func referrerIndex(f *fixture) {
	image := f.pushedImage(f.repo, "one", "1.0")
	subject := image.descriptor()
	plain := f.made(manifestJSON{MediaType: ocispec.MediaTypeImageIndex, Subject: &subject,
		Manifests: []ocispec.Descriptor{image.platform("linux", "amd64")}})
	typed := f.made(manifestJSON{MediaType: ocispec.MediaTypeImageIndex, Subject: &subject, ArtifactType: sbomType,
		Manifests: []ocispec.Descriptor{image.platform("linux", "amd64")}})
	_, err := f.r.PutManifest(f.ctx, f.repo, plain.put())
	if f.documented(err, "pushing an index with a subject", f.s.Refuses.IndexWithSubject) {
		return
	}
	f.push(f.repo, typed)
	f.referrersAre(f.repo, image.digest(), "", plain, typed)
	f.referrersAre(f.repo, image.digest(), sbomType, typed)
	for _, d := range f.allReferrers(f.repo, image.digest(), "", 10) {
		if d.Digest == plain.digest() && (d.ArtifactType != "" || d.MediaType != ocispec.MediaTypeImageIndex) {
			f.Fatalf("an index without artifact type is listed as %+v", d)
		}
	}
}

func referrersFiltered(f *fixture) {
	image := f.pushedImage(f.repo, "one", "1.0")
	a, b, c := f.refers(image, sbomType, "a"), f.refers(image, signatureType, "b"), f.refers(image, sbomType, "c")
	for _, r := range []content{a, b, c} {
		f.push(f.repo, r)
	}
	f.referrersAre(f.repo, image.digest(), sbomType, a, c)
	f.referrersAre(f.repo, image.digest(), signatureType, b)
	f.referrersAre(f.repo, image.digest(), "application/vnd.example.other")
	f.referrersAre(f.repo, image.digest(), "%' OR 1=1 --")
}

// fiveReferrers pushes five referrers of an image, three of them SBOMs.
func (f *fixture) fiveReferrers() (image content, all, sboms []content) {
	f.Helper()
	image = f.pushedImage(f.repo, "one", "1.0")
	for i, artifactType := range []string{sbomType, signatureType, sbomType, signatureType, sbomType} {
		r := f.refers(image, artifactType, string(rune('a'+i)))
		f.push(f.repo, r)
		all = append(all, r)
		if artifactType == sbomType {
			sboms = append(sboms, r)
		}
	}
	return image, all, sboms
}

func referrerPages(f *fixture) {
	image, all, _ := f.fiveReferrers()
	for _, n := range []int{1, 2, 4, 5, 6} {
		f.sameDigests(f.allReferrers(f.repo, image.digest(), "", n), all, "the pages of referrers together")
	}
	page, err := f.r.Referrers(f.ctx, f.repo, image.digest(), registry.ReferrerQuery{N: 2})
	f.ok(err, "listing two referrers")
	if len(page.Manifests) != 2 || page.Next == "" {
		f.Fatalf("the first page of two of five referrers has %d, next %q", len(page.Manifests), page.Next)
	}
}

func referrerFilteredPages(f *fixture) {
	image, _, sboms := f.fiveReferrers()
	for _, n := range []int{1, 2, 3} {
		f.sameDigests(f.allReferrers(f.repo, image.digest(), sbomType, n), sboms, "the pages of SBOMs together")
	}
}

func referrersOfNothing(f *fixture) {
	f.referrersAre(f.repo, strangeDigest("subject"), "")
	image := f.pushedImage(f.repo, "one", "1.0")
	f.referrersAre(f.repo, image.digest(), "")
	f.referrersAre(f.repo, image.digest(), sbomType)
	f.referrersAre(f.repo, strangeDigest("subject"), "")
}

func referrerBeforeSubject(f *fixture) {
	image := f.image(f.repo, "late")
	r := f.refers(image, signatureType, "early")
	f.push(f.repo, r)
	f.serves(f.repo, by(r.digest()), r)
	f.lacksManifest(f.repo, by(image.digest()))
	f.push(f.repo, image, "1.0")
	f.referrersAre(f.repo, image.digest(), "", r)
}

func referrerDeleted(f *fixture) {
	image, all, _ := f.fiveReferrers()
	f.ok(f.r.DeleteManifest(f.ctx, f.repo, all[0].digest()), "deleting a referrer")
	f.ok(f.r.DeleteManifest(f.ctx, f.repo, all[3].digest()), "deleting a referrer")
	f.referrersAre(f.repo, image.digest(), "", all[1], all[2], all[4])
	f.push(f.repo, all[0])
	f.referrersAre(f.repo, image.digest(), "", all[0], all[1], all[2], all[4])
	for _, r := range []content{all[0], all[1], all[2], all[4]} {
		f.ok(f.r.DeleteManifest(f.ctx, f.repo, r.digest()), "deleting a referrer")
	}
	f.referrersAre(f.repo, image.digest(), "")
	f.serves(f.repo, tag("1.0"), image)
}

func referrerOfReferrer(f *fixture) {
	image := f.pushedImage(f.repo, "one", "1.0")
	sbom := f.refers(image, sbomType, "bill")
	f.push(f.repo, sbom)
	signature := f.refers(sbom, signatureType, "of the bill")
	f.push(f.repo, signature)
	f.referrersAre(f.repo, image.digest(), "", sbom)
	f.referrersAre(f.repo, sbom.digest(), "", signature)
}

func referrersOfOtherRepository(f *fixture) {
	image := f.pushedImage(f.repo, "one", "1.0")
	subject := image.descriptor()
	r := f.artifact(f.other, signatureType, &subject, nil)
	f.push(f.other, r, "attached")
	f.referrersAre(f.repo, image.digest(), "")
	f.lacksManifest(f.repo, by(r.digest()))
	f.referrersAre(f.other, image.digest(), "", r)
}

func referrerKnowsSubject(f *fixture) {
	image := f.pushedImage(f.repo, "one", "1.0")
	r := f.refers(image, signatureType, "signed")
	put, err := f.r.PutManifest(f.ctx, f.repo, r.put("signed"))
	f.ok(err, "pushing a referrer")
	got, err := f.r.Manifest(f.ctx, f.repo, tag("signed"), false)
	f.ok(err, "pulling a referrer")
	plain, err := f.r.Manifest(f.ctx, f.repo, tag("1.0"), false)
	f.ok(err, "pulling an image")
	want := []digest.Digest{image.digest(), image.digest(), ""}
	if have := []digest.Digest{put.Subject, got.Subject, plain.Subject}; !slices.Equal(have, want) {
		f.Fatalf("the subjects of what was pushed, of what was pulled and of the image are %q, want %q", have, want)
	}
}

func referrersOfDockerImage(f *fixture) {
	config := f.upload(f.repo, dockerConfig, f.configJSON("docker"))
	layer := f.upload(f.repo, dockerLayer, f.bytes("docker layer"))
	image := f.made(manifestJSON{MediaType: dockerManifest, Config: &config, Layers: []ocispec.Descriptor{layer}})
	f.push(f.repo, image, "1.0")
	r := f.refers(image, signatureType, "signed")
	f.push(f.repo, r)
	f.referrersAre(f.repo, image.digest(), "", r)
}

func referrersAtOnce(f *fixture) {
	image := f.pushedImage(f.repo, "one", "1.0")
	var all []content
	for i := range 8 {
		all = append(all, f.refers(image, signatureType, string(rune('a'+i))))
	}
	f.allOK(parallel(len(all), func(i int) error {
		_, err := f.r.PutManifest(f.ctx, f.repo, all[i].put())
		return err
	}))
	f.referrersAre(f.repo, image.digest(), "", all...)
}
