package registrytest

import (
	"context"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

func nameTests() []test {
	return []test{
		{"hostile repository names reach nothing", hostileRepositories},
		{"nothing can be pushed under a hostile repository name", hostileRepositoryPushes},
		{"hostile tags are refused", hostileTags},
		{"hostile digests are refused", hostileDigests},
		{"a reference to nothing is refused", emptyReference},
		{"a repository name may be as long as allowed", longestRepository},
	}
}

func hostileNames(repo string) []string {
	return []string{
		"", "/", ".", "..", "/" + repo, repo + "/", repo + "//x", repo + "/../x", repo + "/./x", strings.ToUpper(repo),
		repo + "/Up", repo + " ", " " + repo, repo + "\x00", repo + "\n", repo + "?n=1", repo + "#x", repo + "%2fx",
		repo + `\x`, repo + ":1", repo + "@x", repo + "/-x", repo + "/x-", repo + "/_x", repo + "/a..b", repo + "/a___b",
		repo + "/é", repo + "/\u0430\u0440\u0440", repo + "/\u202etxt", repo + "/\uff0f", repo + "/\xff",
		repo + "/_manifests/tags", repo + "/" + strings.Repeat("a", 256), "'; DROP TABLE repository; --",
	}
}

// unknownOr are the codes with which a read may answer what cannot exist.
func unknownOr(invalid registry.Code) []registry.Code {
	return []registry.Code{invalid, registry.CodeNameUnknown, registry.CodeManifestUnknown, registry.CodeBlobUnknown,
		registry.CodeBlobUploadUnknown}
}

func hostileRepositories(f *fixture) {
	c := f.pushedImage(f.repo, "one", "1.0")
	d := digest.FromBytes(f.bytes("layer one"))
	codes := unknownOr(registry.CodeNameInvalid)
	for _, repo := range hostileNames(f.repo) {
		on := fmt.Sprintf(" on %q", repo)
		_, err := f.r.Manifest(f.ctx, repo, tag("1.0"), false)
		f.refused(err, "Manifest"+on, codes...)
		_, err = f.r.Manifest(f.ctx, repo, by(c.digest()), true)
		f.refused(err, "Manifest"+on, codes...)
		_, err = f.r.StatBlob(f.ctx, repo, d, false)
		f.refused(err, "StatBlob"+on, codes...)
		_, err = f.r.Blob(f.ctx, repo, d)
		f.refused(err, "Blob"+on, codes...)
		_, err = f.r.Tags(f.ctx, repo, "", 10)
		f.refused(err, "Tags"+on, codes...)
		_, err = f.r.Upload(f.ctx, repo, "x")
		f.refused(err, "Upload"+on, codes...)
		f.refused(f.r.DeleteManifest(f.ctx, repo, c.digest()), "DeleteManifest"+on, codes...)
		f.refused(f.r.DeleteTag(f.ctx, repo, "1.0"), "DeleteTag"+on, codes...)
		f.refused(f.r.DeleteBlob(f.ctx, repo, d), "DeleteBlob"+on, codes...)
		page, err := f.r.Referrers(f.ctx, repo, c.digest(), registry.ReferrerQuery{N: 10})
		if err == nil && len(page.Manifests) != 0 {
			f.Fatalf("Referrers%s found %v", on, page.Manifests)
		}
	}
	f.serves(f.repo, tag("1.0"), c)
}

func hostileRepositoryPushes(f *fixture) {
	c := f.pushedImage(f.repo, "one", "1.0")
	d := digest.FromBytes(f.bytes("layer one"))
	all := func(context.Context, string) bool { return true }
	for _, repo := range hostileNames(f.repo) {
		on := fmt.Sprintf(" on %q", repo)
		_, err := f.r.PutManifest(f.ctx, repo, c.put("1.0"))
		f.refused(err, "PutManifest"+on, registry.CodeNameInvalid)
		_, err = f.r.StartUpload(f.ctx, repo, "")
		f.refused(err, "StartUpload"+on, registry.CodeNameInvalid)
		_, err = f.r.MountBlob(f.ctx, repo, d, registry.MountSource{Repository: f.repo, Allowed: all})
		f.refused(err, "MountBlob"+on, registry.CodeNameInvalid)
		if repo == "" {
			continue // as a source it means any
		}
		_, err = f.r.MountBlob(f.ctx, f.other, d, registry.MountSource{Repository: repo, Allowed: all})
		f.refused(err, fmt.Sprintf("MountBlob from %q", repo), registry.CodeBlobUnknown, registry.CodeNameInvalid)
	}
}

func hostileTags(f *fixture) {
	c := f.pushedImage(f.repo, "one", "1.0")
	for _, name := range []string{".", "..", ".x", "-x", "a/b", "../1.0", "a:b", "a@b", "a b", "1.0\n", "1.0\x00", "ä",
		"\u202e", "\xff", "%2e%2e", "a?b", "a#b", strings.Repeat("x", 129), "'; DROP TABLE tag; --"} {
		on := fmt.Sprintf(" with %q", name)
		_, err := f.r.PutManifest(f.ctx, f.repo, c.put(name))
		f.refused(err, "PutManifest"+on, registry.CodeTagInvalid)
		_, err = f.r.Manifest(f.ctx, f.repo, tag(name), false)
		f.refused(err, "Manifest"+on, registry.CodeTagInvalid, registry.CodeManifestUnknown)
		f.refused(f.r.DeleteTag(f.ctx, f.repo, name), "DeleteTag"+on,
			registry.CodeTagInvalid, registry.CodeManifestUnknown)
	}
	f.tagsAre(f.repo, "1.0")
	f.serves(f.repo, tag("1.0"), c)
}

func hostileDigests(f *fixture) {
	c := f.pushedImage(f.repo, "one", "1.0")
	hex := c.digest().Encoded()
	codes := unknownOr(registry.CodeDigestInvalid)
	for _, d := range []digest.Digest{
		"sha256", "sha256:", "sha256:abc", digest.Digest("sha256:" + strings.ToUpper(hex)), digest.Digest(hex),
		digest.Digest("SHA256:" + hex), digest.Digest("sha256:" + hex[1:]), digest.Digest("sha256:" + hex + "0"),
		digest.Digest("sha512:" + hex), digest.Digest("md5:" + hex[:32]), digest.Digest("sha256:" + hex + "\n"),
		digest.Digest("sha256:../../" + hex[6:]), digest.Digest(" sha256:" + hex), digest.Digest("sha256-" + hex),
	} {
		on := fmt.Sprintf(" with %q", d)
		_, err := f.r.PutManifest(f.ctx, f.repo, registry.ManifestPut{Digest: d, MediaType: c.mediaType, Payload: c.payload})
		f.refused(err, "PutManifest"+on, registry.CodeDigestInvalid)
		_, err = f.r.Manifest(f.ctx, f.repo, by(d), false)
		f.refused(err, "Manifest"+on, codes...)
		_, err = f.r.StatBlob(f.ctx, f.repo, d, true)
		f.refused(err, "StatBlob"+on, codes...)
		_, err = f.r.Blob(f.ctx, f.repo, d)
		f.refused(err, "Blob"+on, codes...)
		f.refused(f.r.DeleteManifest(f.ctx, f.repo, d), "DeleteManifest"+on, codes...)
		f.refused(f.r.DeleteBlob(f.ctx, f.repo, d), "DeleteBlob"+on, codes...)
		_, err = f.r.MountBlob(f.ctx, f.other, d, registry.MountSource{Repository: f.repo,
			Allowed: func(context.Context, string) bool { return true }})
		f.refused(err, "MountBlob"+on, registry.CodeDigestInvalid, registry.CodeBlobUnknown)
		u := f.started()
		_, err = f.r.FinishUpload(f.ctx, f.repo, u.ID, 0, strings.NewReader("x"), d)
		f.refused(err, "FinishUpload"+on, registry.CodeDigestInvalid)
		page, err := f.r.Referrers(f.ctx, f.repo, d, registry.ReferrerQuery{N: 10})
		if err == nil && len(page.Manifests) != 0 {
			f.Fatalf("Referrers%s found %v", on, page.Manifests)
		}
	}
	f.serves(f.repo, tag("1.0"), c)
}

func emptyReference(f *fixture) {
	f.pushedImage(f.repo, "one", "1.0")
	_, err := f.r.Manifest(f.ctx, f.repo, registry.Reference{}, false)
	f.refused(err, "Manifest without tag and digest", registry.CodeManifestUnknown, registry.CodeTagInvalid,
		registry.CodeDigestInvalid)
	f.refused(f.r.DeleteTag(f.ctx, f.repo, ""), "DeleteTag without a tag", registry.CodeManifestUnknown,
		registry.CodeTagInvalid)
}

func longestRepository(f *fixture) {
	repo := f.repo + "/" + strings.Repeat("a", registry.MaxNameLength-len(f.repo)-1)
	if !registry.ValidName(repo) {
		f.Fatalf("the test's name of %d bytes is not valid", len(repo))
	}
	c := f.pushedImage(repo, "one", "1.0")
	f.serves(repo, tag("1.0"), c)
	f.tagsAre(repo, "1.0")
}
