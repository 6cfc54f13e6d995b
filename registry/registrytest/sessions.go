package registrytest

import (
	"bytes"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

func sessionTests() []test {
	return []test{
		{"a cancelled upload is gone", uploadCancelled},
		{"a finished upload is gone", uploadFinishedTwice},
		{"an unknown upload is unknown, however it is spelled", uploadUnknown},
		{"an upload belongs to its repository (V-28)", uploadOfOtherRepository},
		{"an upload belongs to who started it (V-28)", uploadOfOtherPrincipal},
		{"uploads have different names", uploadNames},
		{"uploads of one repository do not mix", uploadsDoNotMix},
	}
}

func uploadCancelled(f *fixture) {
	data := f.bytes("blob")
	u := f.started()
	f.appended(u.ID, 0, data, int64(len(data)))
	f.ok(f.r.CancelUpload(f.ctx, f.repo, u.ID), "cancelling an upload")
	f.noUpload(f.repo, u.ID)
	f.lacksBlob(f.repo, digest.FromBytes(data))
}

func uploadFinishedTwice(f *fixture) {
	data := f.bytes("blob")
	u := f.started()
	f.finished(u.ID, 0, data, data)
	_, err := f.r.FinishUpload(f.ctx, f.repo, u.ID, -1, bytes.NewReader(nil), digest.FromBytes(data))
	f.refused(err, "finishing an upload twice", registry.CodeBlobUploadUnknown)
	f.hasBlob(f.repo, data)
}

func uploadUnknown(f *fixture) {
	u := f.started()
	for _, id := range []string{
		"", "x", ".", "..", "../" + u.ID, u.ID + "/..", u.ID + "/", "/" + u.ID, u.ID + "\x00", u.ID + "x", u.ID + " ",
		u.ID[:len(u.ID)-1], "00000000-0000-0000-0000-000000000000", strings.Repeat("a", 5000), "%2e%2e", "ü",
	} {
		f.noUpload(f.repo, id)
	}
	f.stands(u.ID, 0)
}

func uploadOfOtherRepository(f *fixture) {
	data := f.bytes("blob")
	first, second := half(data)
	u := f.started()
	f.appended(u.ID, 0, first, int64(len(first)))
	for _, repo := range []string{f.other, f.repo + "/below", f.repo + "x"} {
		f.noUpload(repo, u.ID)
	}
	f.pushedImage(f.other, "one", "1.0") // the other repository exists now; the upload still does not
	f.noUpload(f.other, u.ID)
	f.stands(u.ID, int64(len(first)))
	f.finished(u.ID, int64(len(first)), second, data)
	f.lacksBlob(f.other, digest.FromBytes(data))
}

func uploadOfOtherPrincipal(f *fixture) {
	data := f.bytes("blob")
	first, second := half(data)
	u := f.started()
	f.appended(u.ID, 0, first, int64(len(first)))
	alice := f.ctx
	f.ctx = f.as("bob")
	if f.s.Allows.AnyPrincipal {
		f.finished(u.ID, int64(len(first)), second, data)
		return
	}
	if f.s.Ctx == nil {
		f.Fatal("the Subject has no Ctx: say how principals act, or that uploads belong to anybody (Allows.AnyPrincipal)")
	}
	f.noUpload(f.repo, u.ID)
	f.ctx = alice
	f.stands(u.ID, int64(len(first)))
	f.finished(u.ID, int64(len(first)), second, data)
}

func uploadNames(f *fixture) {
	seen := map[string]bool{}
	for range 20 {
		u := f.started()
		if seen[u.ID] {
			f.Fatalf("two uploads are called %s", u.ID)
		}
		seen[u.ID] = true
	}
	for id := range seen {
		f.ok(f.r.CancelUpload(f.ctx, f.repo, id), "cancelling an upload")
	}
}

func uploadsDoNotMix(f *fixture) {
	one, two := f.bytes("one"), f.bytes("two")
	a, b := f.started(), f.started()
	a1, a2 := half(one)
	b1, b2 := half(two)
	f.appended(a.ID, 0, a1, int64(len(a1)))
	f.appended(b.ID, 0, b1, int64(len(b1)))
	f.ok(f.r.CancelUpload(f.ctx, f.repo, f.started().ID), "cancelling a third upload")
	f.finished(b.ID, int64(len(b1)), b2, two)
	f.finished(a.ID, int64(len(a1)), a2, one)
}
