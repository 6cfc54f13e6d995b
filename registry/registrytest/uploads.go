package registrytest

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

func uploadTests() []test {
	return []test{
		{"a blob is uploaded in chunks", uploadInChunks},
		{"the last chunk may come with the finish, or not", uploadLastChunk},
		{"a chunk may be empty", uploadEmptyChunk},
		{"a chunk goes to the end when no offset is given", uploadWithoutOffset},
		{"a chunk at a wrong offset is refused with the right one", uploadWrongOffset},
		{"a finish at a wrong offset is refused with the right one, and the upload stays", finishWrongOffset},
		{"a connection that breaks loses nothing that arrived", uploadBrokenChunk},
		{"a connection that breaks during the finish loses nothing that arrived", uploadBrokenFinish},
		{"the status says how far an upload has come", uploadStatus},
		{"a finish with a wrong digest leaves neither blob nor upload (V-30)", uploadWrongDigest},
		{"a finish with fewer or more bytes than the digest's is refused (V-30)", uploadWrongLength},
		{"an upload of nothing is the empty blob", uploadOfNothing},
		{"an unsupported digest algorithm is refused", uploadUnsupportedAlgorithm},
	}
}

// started begins an upload in f.repo.
func (f *fixture) started() registry.Upload {
	f.Helper()
	u, err := f.r.StartUpload(f.ctx, f.repo, "")
	f.ok(err, "starting an upload")
	if u.ID == "" || u.Size != 0 {
		f.Fatalf("a new upload is %+v", u)
	}
	return u
}

// appended adds data at offset at and checks the answer.
func (f *fixture) appended(id string, at int64, data []byte, want int64) {
	f.Helper()
	u, err := f.r.AppendUpload(f.ctx, f.repo, id, at, bytes.NewReader(data))
	f.ok(err, "appending %d bytes at %d", len(data), at)
	if u.Size != want || u.ID != id {
		f.Fatalf("after %d bytes at %d the upload is %+v, want %d bytes of %s", len(data), at, u, want, id)
	}
}

// stands checks the status of an upload.
func (f *fixture) stands(id string, want int64) {
	f.Helper()
	u, err := f.r.Upload(f.ctx, f.repo, id)
	f.ok(err, "asking for the status of an upload")
	if u.Size != want || u.ID != id {
		f.Fatalf("the upload is %+v, want %d bytes of %s", u, want, id)
	}
}

// finished ends an upload with the bytes of rest and checks that whole is a blob now.
func (f *fixture) finished(id string, at int64, rest, whole []byte) {
	f.Helper()
	size, err := f.r.FinishUpload(f.ctx, f.repo, id, at, bytes.NewReader(rest), digest.FromBytes(whole))
	f.ok(err, "finishing an upload at %d", at)
	if size != int64(len(whole)) {
		f.Fatalf("the blob of %d bytes was answered with size %d", len(whole), size)
	}
	f.hasBlob(f.repo, whole)
	f.noUpload(f.repo, id)
}

// noUpload checks that nobody can do anything with an upload.
func (f *fixture) noUpload(repo, id string) {
	f.Helper()
	_, err := f.r.Upload(f.ctx, repo, id)
	f.refused(err, "asking for an upload that is not there", registry.CodeBlobUploadUnknown)
	_, err = f.r.AppendUpload(f.ctx, repo, id, -1, strings.NewReader("x"))
	f.refused(err, "appending to an upload that is not there", registry.CodeBlobUploadUnknown)
	_, err = f.r.FinishUpload(f.ctx, repo, id, -1, strings.NewReader("x"), digest.FromString("x"))
	f.refused(err, "finishing an upload that is not there", registry.CodeBlobUploadUnknown)
	f.refused(f.r.CancelUpload(f.ctx, repo, id), "cancelling an upload that is not there",
		registry.CodeBlobUploadUnknown)
}

// offset checks a refusal because of a wrong offset: the right one is told.
func (f *fixture) offset(err error, what string, want int64) {
	f.Helper()
	f.refused(err, what, registry.CodeRangeInvalid)
	var e *registry.Error
	if !errors.As(err, &e) || e.Upload == nil || e.Upload.Size != want {
		f.Fatalf("%s was refused with %+v, which does not say that the upload stands at %d", what, e, want)
	}
}

func uploadInChunks(f *fixture) {
	data := f.random(100_000)
	u := f.started()
	f.appended(u.ID, 0, data[:1], 1)
	f.appended(u.ID, 1, data[1:40_000], 40_000)
	f.appended(u.ID, 40_000, data[40_000:99_999], 99_999)
	f.finished(u.ID, 99_999, data[99_999:], data)
}

func uploadLastChunk(f *fixture) {
	data := f.bytes("blob")
	u := f.started()
	f.appended(u.ID, 0, data, int64(len(data)))
	f.finished(u.ID, int64(len(data)), nil, data)
	data = f.bytes("another")
	u = f.started()
	f.appended(u.ID, 0, data, int64(len(data)))
	f.finished(u.ID, -1, nil, data)
}

func uploadEmptyChunk(f *fixture) {
	data := f.bytes("blob")
	first, second := half(data)
	at := int64(len(first))
	u := f.started()
	f.appended(u.ID, 0, nil, 0)
	f.appended(u.ID, 0, first, at)
	f.appended(u.ID, at, nil, at)
	f.appended(u.ID, -1, nil, at)
	f.finished(u.ID, at, second, data)
}

func uploadWithoutOffset(f *fixture) {
	data := f.bytes("blob")
	first, second := half(data)
	u := f.started()
	f.appended(u.ID, -1, first, int64(len(first)))
	f.appended(u.ID, -1, second[:1], int64(len(first)+1))
	f.finished(u.ID, -1, second[1:], data)
}

func uploadWrongOffset(f *fixture) {
	data := f.bytes("blob")
	first, second := half(data)
	at := int64(len(first))
	u := f.started()
	got, err := f.r.AppendUpload(f.ctx, f.repo, u.ID, 1, bytes.NewReader(data))
	f.offset(err, "a first chunk at offset 1", 0)
	if got.Size != 0 {
		f.Fatalf("the refused chunk was answered with %+v", got)
	}
	f.appended(u.ID, 0, first, at)
	for _, wrong := range []int64{0, 1, at - 1, at + 1, 1 << 40} {
		got, err := f.r.AppendUpload(f.ctx, f.repo, u.ID, wrong, bytes.NewReader(second))
		f.offset(err, "a chunk at a wrong offset", at)
		if got.Size != at || got.ID != u.ID {
			f.Fatalf("the refused chunk was answered with %+v, want %d bytes", got, at)
		}
	}
	f.stands(u.ID, at)
	f.finished(u.ID, at, second, data)
}

func finishWrongOffset(f *fixture) {
	data := f.bytes("blob")
	first, second := half(data)
	at := int64(len(first))
	u := f.started()
	f.appended(u.ID, 0, first, at)
	for _, wrong := range []int64{0, at - 1, at + 1} {
		_, err := f.r.FinishUpload(f.ctx, f.repo, u.ID, wrong, bytes.NewReader(second), digest.FromBytes(data))
		f.offset(err, "a finish at a wrong offset", at)
	}
	f.lacksBlob(f.repo, digest.FromBytes(data))
	f.finished(u.ID, at, second, data)
}

var errBroken = errors.New("the connection broke")

// breaking is a reader of data that then fails.
func breaking(data []byte) io.Reader {
	return io.MultiReader(bytes.NewReader(data), failing{})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

func uploadBrokenChunk(f *fixture) {
	data := f.random(300_000)
	u := f.started()
	_, err := f.r.AppendUpload(f.ctx, f.repo, u.ID, 0, breaking(data[:100_000]))
	if err == nil {
		f.Fatal("a chunk whose reader fails was accepted")
	}
	f.stands(u.ID, 100_000)
	_, err = f.r.AppendUpload(f.ctx, f.repo, u.ID, 100_000, breaking(nil))
	if err == nil {
		f.Fatal("a chunk whose reader fails at once was accepted")
	}
	f.stands(u.ID, 100_000)
	f.appended(u.ID, 100_000, data[100_000:200_000], 200_000)
	f.finished(u.ID, 200_000, data[200_000:], data)
}

func uploadBrokenFinish(f *fixture) {
	data := f.random(200_000)
	u := f.started()
	_, err := f.r.FinishUpload(f.ctx, f.repo, u.ID, 0, breaking(data[:100_000]), digest.FromBytes(data))
	if err == nil {
		f.Fatal("a finish whose reader fails was accepted")
	}
	f.lacksBlob(f.repo, digest.FromBytes(data))
	f.stands(u.ID, 100_000)
	f.finished(u.ID, 100_000, data[100_000:], data)
}

func uploadStatus(f *fixture) {
	data := f.bytes("blob")
	u := f.started()
	f.stands(u.ID, 0)
	f.appended(u.ID, 0, data[:1], 1)
	f.stands(u.ID, 1)
	f.appended(u.ID, 1, data[1:], int64(len(data)))
	f.stands(u.ID, int64(len(data)))
	f.finished(u.ID, int64(len(data)), nil, data)
}

func uploadWrongDigest(f *fixture) {
	data := f.bytes("blob")
	first, second := half(data)
	wrong := strangeDigest("upload")
	for _, chunks := range [][][]byte{{nil, data}, {first, second}, {data, nil}} {
		u := f.started()
		f.appended(u.ID, 0, chunks[0], int64(len(chunks[0])))
		_, err := f.r.FinishUpload(f.ctx, f.repo, u.ID, int64(len(chunks[0])), bytes.NewReader(chunks[1]), wrong)
		f.refused(err, "finishing with a wrong digest", registry.CodeDigestInvalid)
		f.noUpload(f.repo, u.ID)
	}
	f.lacksBlob(f.repo, wrong)
	f.lacksBlob(f.repo, digest.FromBytes(data))
}

func uploadWrongLength(f *fixture) {
	data := f.bytes("blob")
	for _, sent := range [][]byte{data[:len(data)-1], append(bytes.Clone(data), 'x'), nil} {
		u := f.started()
		_, err := f.r.FinishUpload(f.ctx, f.repo, u.ID, 0, bytes.NewReader(sent), digest.FromBytes(data))
		f.refused(err, "finishing with bytes missing or added", registry.CodeDigestInvalid, registry.CodeSizeInvalid)
		f.lacksBlob(f.repo, digest.FromBytes(data))
	}
}

func uploadOfNothing(f *fixture) {
	u := f.started()
	f.finished(u.ID, 0, nil, nil)
}

func uploadUnsupportedAlgorithm(f *fixture) {
	_, err := f.r.StartUpload(f.ctx, f.repo, "md5")
	f.refused(err, "starting an upload for md5", registry.CodeUnsupported, registry.CodeDigestInvalid)
	u := f.started()
	_, err = f.r.FinishUpload(f.ctx, f.repo, u.ID, 0, strings.NewReader("x"), "md5:9dd4e461268c8034f5c8564e155c67a6")
	f.refused(err, "finishing an upload with an md5 digest", registry.CodeUnsupported, registry.CodeDigestInvalid)
}
