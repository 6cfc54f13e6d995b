package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"math/rand"
	"os"
	"path/filepath"
)

const (
	mtManifest = "application/vnd.oci.image.manifest.v1+json"
	mtConfig   = "application/vnd.oci.image.config.v1+json"
	mtLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

type desc struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

func manifestBytes(config desc, layers []desc) []byte {
	if layers == nil {
		layers = []desc{}
	}
	b, err := json.Marshal(struct {
		SchemaVersion int    `json:"schemaVersion"`
		MediaType     string `json:"mediaType"`
		Config        desc   `json:"config"`
		Layers        []desc `json:"layers"`
	}{2, mtManifest, config, layers})
	if err != nil {
		panic(err) // strings and numbers only
	}
	return b
}

func configBytes(id string) []byte {
	return []byte(`{"architecture":"amd64","os":"linux","created":"2026-01-01T00:00:00Z","author":"` + id +
		`","config":{"Cmd":["/bin/true"]},"rootfs":{"type":"layers","diff_ids":[]}}`)
}

func hexDigest(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }

func digestOf(b []byte) string {
	h := sha256.New()
	h.Write(b)
	return hexDigest(h)
}

// randBytes is deterministic incompressible content.
func randBytes(seed int64, n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(b)
	return b
}

// bigBlob is content made from one random block whose first 8 bytes differ in each repetition: it costs the load program
// next to nothing, and no storage can find the same bytes twice.
type bigBlob struct {
	block []byte
	salt  uint64
}

func newBigBlob(seed int64) *bigBlob { return &bigBlob{randBytes(7, 4<<20), uint64(seed) << 20} }

func (b *bigBlob) reader(off, n int64) io.Reader { return &bigReader{b: b, off: off, end: off + n} }

type bigReader struct {
	b        *bigBlob
	off, end int64
}

func (r *bigReader) Read(p []byte) (int, error) {
	if r.off >= r.end {
		return 0, io.EOF
	}
	bs := int64(len(r.b.block))
	i, in := r.off/bs, r.off%bs
	if rest := r.end - r.off; int64(len(p)) > rest {
		p = p[:rest]
	}
	var n int
	if in < 8 {
		var h [8]byte
		binary.LittleEndian.PutUint64(h[:], r.b.salt+uint64(i))
		n = copy(p, h[in:])
	} else {
		n = copy(p, r.b.block[in:])
	}
	r.off += int64(n)
	return n, nil
}

func (b *bigBlob) digest(size int64) (string, error) {
	h := sha256.New()
	_, err := io.CopyBuffer(h, b.reader(0, size), make([]byte, 1<<20))
	return hexDigest(h), err
}

const big256 = 256 << 20

// readSet is what the read tests read; it is the same for every registry and for static files.
type readSet struct {
	repo             string
	manifest, config []byte
	b1k, b1m         []byte
	big              *bigBlob
	bigDigest        string
}

func newReadSet() (*readSet, error) {
	s := &readSet{repo: *prefix + "read", b1k: randBytes(1, 1<<10), b1m: randBytes(2, 1<<20), big: newBigBlob(3), config: configBytes("read")}
	var err error
	if s.bigDigest, err = s.big.digest(big256); err != nil {
		return nil, err
	}
	s.manifest = manifestBytes(desc{mtConfig, digestOf(s.config), int64(len(s.config))}, []desc{
		{mtLayer, digestOf(s.b1k), int64(len(s.b1k))}, {mtLayer, digestOf(s.b1m), int64(len(s.b1m))}, {mtLayer, s.bigDigest, big256}})
	return s, nil
}

func (s *readSet) push(ctx context.Context, c *client) error {
	for _, b := range [][]byte{s.config, s.b1k, s.b1m} {
		if !c.hasBlob(ctx, s.repo, digestOf(b)) {
			if _, err := c.putBytes(ctx, s.repo, b, modePatch); err != nil {
				return err
			}
		}
	}
	if !c.hasBlob(ctx, s.repo, s.bigDigest) {
		if err := c.upload(ctx, s.repo, s.bigDigest, s.big.reader, big256, modePatch, 0); err != nil {
			return err
		}
	}
	return c.putManifest(ctx, s.repo, "latest", s.manifest)
}

// static writes the read set as files whose names are the paths of the registry API.
func static() error {
	s, err := newReadSet()
	if err != nil {
		return err
	}
	put := func(path string, r io.Reader) error {
		p := filepath.Join(*dir, "v2", s.repo, path)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		f, err := os.Create(p)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	}
	for _, b := range [][]byte{s.config, s.b1k, s.b1m} {
		if err := put("blobs/"+digestOf(b), bytes.NewReader(b)); err != nil {
			return err
		}
	}
	if err := put("blobs/"+s.bigDigest, s.big.reader(0, big256)); err != nil {
		return err
	}
	if err := put("manifests/latest", bytes.NewReader(s.manifest)); err != nil {
		return err
	}
	return put("manifests/"+digestOf(s.manifest), bytes.NewReader(s.manifest))
}
