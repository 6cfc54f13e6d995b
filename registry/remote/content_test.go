package remote_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/remote"
)

const mediaType = ocispec.MediaTypeImageManifest

func writeBlob(w http.ResponseWriter, data []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
}

func readBlob(t *testing.T, r *remote.Registry, d digest.Digest) ([]byte, error) {
	t.Helper()
	b, err := r.Blob(t.Context(), repo, d)
	if err != nil {
		return nil, err
	}
	defer b.Content.Close()
	return io.ReadAll(b.Content)
}

// V-30: one bit of a manifest on its way.
func TestManifestWithAFlippedBitIsRefused(t *testing.T) {
	payload, d := image("one")
	flipped := bytes.Clone(payload)
	flipped[len(flipped)-5] ^= 1
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) { writeManifest(w, flipped, d) })
	r := client(t, s)
	for _, ref := range []registry.Reference{byDigest(d), byTag("1.0")} {
		_, err := r.Manifest(t.Context(), repo, ref, false)
		wantCode(t, err, registry.CodeDigestInvalid, d.String(), s.host())
	}
}

// V-30: a manifest that is whole, but not the one that was asked for, with a header that agrees with it.
func TestAnotherManifestIsRefused(t *testing.T) {
	_, asked := image("one")
	other, d := image("two")
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) { writeManifest(w, other, d) })
	_, err := client(t, s).Manifest(t.Context(), repo, byDigest(asked), false)
	wantCode(t, err, registry.CodeDigestInvalid, asked.String())
}

// V-29: the type in the header and the type in the JSON are one, and the JSON is one thing.
func TestManifestOfTwoMindsIsRefused(t *testing.T) {
	payload, _ := image("one")
	twice := bytes.Replace(payload, []byte(`"layers":[]`), []byte(`"layers":[],"manifests":[]`), 1)
	for name, answer := range map[string]struct {
		contentType string
		payload     []byte
	}{
		"another type in the header":  {ocispec.MediaTypeImageIndex, payload},
		"an image that is an index":   {mediaType, twice},
		"no JSON":                     {mediaType, []byte("<html>")},
		"something that is none":      {"text/html", payload},
		"a manifest and another byte": {mediaType, append(bytes.Clone(payload), 'x')},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", answer.contentType)
				_, _ = w.Write(answer.payload)
			})
			_, err := client(t, s).Manifest(t.Context(), repo, byTag("1.0"), false)
			wantCode(t, err, registry.CodeManifestInvalid)
		})
	}
}

// V-30: one bit of a blob on its way; whoever reads it gets an error and not the last bytes, also when they read
// exactly as many as were announced.
func TestBlobWithAFlippedBitIsAReadError(t *testing.T) {
	data := bytes.Repeat([]byte("layer"), 20_000)
	d := digest.FromBytes(data)
	for _, at := range []int{0, len(data) / 2, len(data) - 1} {
		flipped := bytes.Clone(data)
		flipped[at] ^= 1
		s := serve(t, false, func(w http.ResponseWriter, r *http.Request) { writeBlob(w, flipped) })
		r := client(t, s)
		_, err := readBlob(t, r, d)
		wantCode(t, err, registry.CodeDigestInvalid, d.String(), s.host())

		b, err := r.Blob(t.Context(), repo, d)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Content.Close()
		n, err := io.CopyN(io.Discard, b.Content, b.Size)
		wantCode(t, err, registry.CodeDigestInvalid)
		if n >= b.Size {
			t.Fatalf("all %d bytes of a wrong blob were given", n)
		}
		_, err = b.Content.Read(make([]byte, 1))
		wantCode(t, err, registry.CodeDigestInvalid)
	}
}

// V-30: fewer or more bytes than the digest's.
func TestBlobOfWrongSizeIsAReadError(t *testing.T) {
	data := []byte(strings.Repeat("layer", 1000))
	for name, sent := range map[string][]byte{
		"less": data[:len(data)-1], "more": append(bytes.Clone(data), 'x'), "nothing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, false, func(w http.ResponseWriter, r *http.Request) { writeBlob(w, sent) })
			_, err := readBlob(t, client(t, s), digest.FromBytes(data))
			wantCode(t, err, registry.CodeDigestInvalid)
		})
	}
}

// ranges plays a registry that serves data, and breaks off after a number of bytes of each answer.
func ranges(data []byte, breakAfter int, honest bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from := 0
		if text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok && honest {
			from, _ = strconv.Atoi(strings.TrimSuffix(text, "-"))
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(data)-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		end := min(len(data), from+breakAfter)
		_, _ = w.Write(data[from:end])
		if end < len(data) {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}
}

func TestBrokenBlobIsTakenUpWhereItBroke(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 500_000)
	s := serve(t, false, ranges(data, 2<<20, true))
	got, err := readBlob(t, client(t, s), digest.FromBytes(data))
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes came, %v", len(got), err)
	}
	if n := len(s.seen()); n != 3 {
		t.Fatalf("%d requests for 5 MB in pieces of 2 MiB", n)
	}
}

func TestBlobFromAServerWithoutRanges(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 1000)
	s := serve(t, false, ranges(data, len(data), false))
	b, err := client(t, s).Blob(t.Context(), repo, digest.FromBytes(data))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Content.Close()
	if _, err := b.Content.Seek(5003, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(b.Content)
	if err != nil || !bytes.Equal(got, data[5003:]) {
		t.Fatalf("%d bytes came, %v", len(got), err)
	}
}

// A server that breaks off after every few bytes is not asked for ever.
func TestBlobThatKeepsBreakingIsGivenUp(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 100_000)
	s := serve(t, false, ranges(data, 10, true))
	_, err := readBlob(t, client(t, s), digest.FromBytes(data))
	wantCode(t, err, registry.CodeUnavailable)
	if n := len(s.seen()); n > 10 {
		t.Fatalf("%d requests were sent", n)
	}
}

// V-30: a piece of something else after a break is found at the end.
func TestBlobTakenUpFromOtherBytesIsAReadError(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 300_000)
	other := bytes.Clone(data)
	other[len(other)-100] ^= 1
	first := true
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if first {
			first = false
			ranges(data, 2<<20, true)(w, r)
			return
		}
		ranges(other, len(other), true)(w, r)
	})
	_, err := readBlob(t, client(t, s), digest.FromBytes(data))
	wantCode(t, err, registry.CodeDigestInvalid)
}

func TestWrongRangeIsRefused(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 1000)
	for name, contentRange := range map[string]string{"another": "bytes 1-9999/10000", "none": "", "odd": "x"} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Range") != "" {
					w.Header().Set("Content-Range", contentRange)
					w.Header().Set("Content-Length", strconv.Itoa(len(data)))
					w.WriteHeader(http.StatusPartialContent)
				}
				writeBlob(w, data)
			})
			b, err := client(t, s).Blob(t.Context(), repo, digest.FromBytes(data))
			if err != nil {
				t.Fatal(err)
			}
			defer b.Content.Close()
			_, _ = b.Content.Seek(7, io.SeekStart)
			_, err = b.Content.Read(make([]byte, 10))
			wantCode(t, err, registry.CodeSizeInvalid)
		})
	}
}

func TestReadingASecondTimeIsCheckedAgain(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 1000)
	wrong := bytes.Clone(data)
	wrong[7] ^= 1
	answers := [][]byte{data, wrong}
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		writeBlob(w, answers[0])
		answers = answers[1:]
	})
	b, err := client(t, s).Blob(t.Context(), repo, digest.FromBytes(data))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Content.Close()
	if _, err := io.Copy(io.Discard, b.Content); err != nil {
		t.Fatal(err)
	}
	_, _ = b.Content.Seek(0, io.SeekStart)
	_, err = io.Copy(io.Discard, b.Content)
	wantCode(t, err, registry.CodeDigestInvalid)
}

func TestClosedBlobCannotBeRead(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("x")) })
	b, err := client(t, s).Blob(t.Context(), repo, digest.FromString("x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Content.Close(), b.Content.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Content.Read(make([]byte, 1)); err == nil {
		t.Fatal("a closed blob was read")
	}
	if _, err := b.Content.Seek(0, io.SeekStart); err == nil {
		t.Fatal("a closed blob was sought")
	}
}

// A blob that says it is compressed is passed on as it is: its digest is that of the packed bytes.
func TestPackedBlobIsNotUnpacked(t *testing.T) {
	data := []byte("\x1f\x8b not really gzip")
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("Accept-Encoding is %q", got)
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(data)
	})
	r := client(t, s, func(o *remote.Options) { o.Retry.Wait = time.Millisecond })
	if got, err := readBlob(t, r, digest.FromBytes(data)); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("the blob is %q, %v", got, err)
	}
}
