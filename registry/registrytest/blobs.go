package registrytest

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

func blobTests() []test {
	return []test{
		{"a blob comes back byte for byte", blobRoundTrip},
		{"an empty blob is a blob", blobEmpty},
		{"a blob of some megabytes comes back byte for byte", blobLarge},
		{"a blob can be read from any offset", blobSeek},
		{"an unknown blob is unknown", blobUnknown},
		{"a blob of another repository is unknown (V-23)", blobOfOtherRepository},
		{"a blob deleted in one repository stays in the other (V-24)", blobDeletedElsewhere},
		{"a blob pushed twice is the same blob", blobTwice},
		{"blobs can be named by sha512", blobBySHA512},
	}
}

func blobRoundTrip(f *fixture) {
	data := f.bytes("blob")
	f.upload(f.repo, "", data)
	f.hasBlob(f.repo, data)
}

func blobEmpty(f *fixture) {
	f.upload(f.repo, "", nil)
	f.hasBlob(f.repo, nil)
}

// random returns n bytes that are this test's own and do not compress.
func (f *fixture) random(n int) []byte {
	var seed [32]byte
	copy(seed[:], f.label)
	data := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(data)
	return data
}

func blobLarge(f *fixture) {
	data := f.random(5<<20 + 17)
	f.upload(f.repo, "", data)
	f.hasBlob(f.repo, data)
}

func blobSeek(f *fixture) {
	data := f.random(200_000)
	d := f.upload(f.repo, "", data).Digest
	b, err := f.r.Blob(f.ctx, f.repo, d)
	f.ok(err, "opening a blob")
	defer b.Content.Close()
	seek := func(offset int64, whence int, want int64) {
		f.Helper()
		at, err := b.Content.Seek(offset, whence)
		f.ok(err, "seeking to %d (%d)", offset, whence)
		if at != want {
			f.Fatalf("seeking to %d (%d) led to %d, want %d", offset, whence, at, want)
		}
	}
	read := func(from, to int) {
		f.Helper()
		got := make([]byte, to-from)
		_, err := io.ReadFull(b.Content, got)
		f.ok(err, "reading bytes %d to %d", from, to)
		if !bytes.Equal(got, data[from:to]) {
			f.Fatalf("bytes %d to %d are wrong", from, to)
		}
	}
	read(0, 10)
	seek(150_000, io.SeekStart, 150_000)
	read(150_000, 150_100)
	seek(-50, io.SeekCurrent, 150_050)
	read(150_050, 160_000)
	seek(-7, io.SeekEnd, int64(len(data)-7))
	read(len(data)-7, len(data))
	if n, err := b.Content.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		f.Fatalf("reading at the end gave %d bytes and %v", n, err)
	}
	seek(0, io.SeekStart, 0)
	read(0, len(data))
	if _, err := b.Content.Seek(-1, io.SeekStart); err == nil {
		f.Fatal("seeking before the start succeeded")
	}
}

func blobUnknown(f *fixture) {
	f.lacksBlob(f.repo, strangeDigest("blob"))
	f.pushedImage(f.repo, "one", "1.0")
	d := strangeDigest("blob")
	_, err := f.r.StatBlob(f.ctx, f.repo, d, false)
	f.refused(err, "asking for an unknown blob", registry.CodeBlobUnknown)
	_, err = f.r.Blob(f.ctx, f.repo, d)
	f.refused(err, "pulling an unknown blob", registry.CodeBlobUnknown)
}

func blobOfOtherRepository(f *fixture) {
	data := f.bytes("blob")
	d := f.upload(f.other, "", data).Digest
	f.lacksBlob(f.repo, d)
	f.pushedImage(f.repo, "one", "1.0") // the repository exists now; the blob still does not
	f.lacksBlob(f.repo, d)
	f.upload(f.repo, "", data)
	f.hasBlob(f.repo, data)
}

func blobDeletedElsewhere(f *fixture) {
	data := f.bytes("blob")
	d := f.upload(f.repo, "", data).Digest
	f.upload(f.other, "", data)
	f.hasBlob(f.repo, data) // fills whatever caches there are
	f.hasBlob(f.other, data)
	f.ok(f.r.DeleteBlob(f.ctx, f.repo, d), "deleting a blob")
	f.hasBlob(f.other, data)
	f.lacksBlob(f.repo, d)
}

func blobTwice(f *fixture) {
	data := f.bytes("blob")
	f.upload(f.repo, "", data)
	f.upload(f.repo, "", data)
	f.hasBlob(f.repo, data)
}

func sha512Of(data []byte) digest.Digest {
	sum := sha512.Sum512(data)
	return digest.NewDigestFromEncoded(digest.SHA512, hex.EncodeToString(sum[:]))
}

func blobBySHA512(f *fixture) {
	data := f.bytes("blob")
	d := sha512Of(data)
	u, err := f.r.StartUpload(f.ctx, f.repo, digest.SHA512)
	f.ok(err, "starting an upload for sha512")
	first, second := half(data)
	u, err = f.r.AppendUpload(f.ctx, f.repo, u.ID, 0, bytes.NewReader(first))
	f.ok(err, "appending")
	size, err := f.r.FinishUpload(f.ctx, f.repo, u.ID, u.Size, bytes.NewReader(second), d)
	if f.documented(err, "finishing an upload by its sha512 digest", f.s.Refuses.SHA512) {
		return
	}
	if size != int64(len(data)) {
		f.Fatalf("the upload of %d bytes was answered with size %d", len(data), size)
	}
	if got := f.pulled(f.repo, d); !bytes.Equal(got, data) {
		f.Fatal("the blob came back changed")
	}
	f.lacksBlob(f.repo, sha512Of(f.bytes("another")))

	u, err = f.r.StartUpload(f.ctx, f.repo, digest.SHA512)
	f.ok(err, "starting an upload for sha512")
	_, err = f.r.FinishUpload(f.ctx, f.repo, u.ID, 0, bytes.NewReader(data), sha512Of(first))
	f.refused(err, "finishing an upload with a wrong sha512 digest", registry.CodeDigestInvalid)
	f.lacksBlob(f.repo, sha512Of(first))
}
