package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"time"
)

// uploadMode says how a blob's bytes travel.
type uploadMode string

const (
	modePut   uploadMode = "put"   // POST, PUT with the bytes
	modePatch uploadMode = "patch" // POST, one streamed PATCH, empty PUT (what docker does)
	modeChunk uploadMode = "chunk" // POST, PATCH per chunk with Content-Range, empty PUT
)

func addDigest(loc, dgst string) string {
	sep := "?"
	if strings.Contains(loc, "?") {
		sep = "&"
	}
	return loc + sep + "digest=" + url.QueryEscape(dgst)
}

// upload pushes size bytes; body makes a reader of n bytes from off on.
func (c *client) upload(ctx context.Context, repo, dgst string, body func(off, n int64) io.Reader, size int64, mode uploadMode, chunk int64) error {
	sc := scopePush(repo)
	resp, err := c.expect(ctx, 202, "POST", "/v2/"+repo+"/blobs/uploads/", sc, nil, bytes.NewReader(nil), 0)
	if err != nil {
		return err
	}
	loc, err := c.location(resp)
	if err != nil {
		return err
	}
	if mode == modePut {
		_, err = c.expect(ctx, 201, "PUT", addDigest(loc, dgst), sc, octets(), body(0, size), size)
		return err
	}
	if mode == modePatch {
		chunk = size
	}
	for off := int64(0); off < size; off += chunk {
		n := min(chunk, size-off)
		h := octets()
		if mode == modeChunk {
			h["Content-Range"] = fmt.Sprintf("%d-%d", off, off+n-1)
		}
		resp, err = c.expect(ctx, 202, "PATCH", loc, sc, h, body(off, n), n)
		if err != nil {
			return err
		}
		if loc, err = c.location(resp); err != nil {
			return err
		}
	}
	_, err = c.expect(ctx, 201, "PUT", addDigest(loc, dgst), sc, octets(), bytes.NewReader(nil), 0)
	return err
}

func octets() map[string]string { return map[string]string{"Content-Type": "application/octet-stream"} }

func (c *client) putBytes(ctx context.Context, repo string, b []byte, mode uploadMode) (string, error) {
	d := digestOf(b)
	part := func(off, n int64) io.Reader { return bytes.NewReader(b[off : off+n]) }
	return d, c.upload(ctx, repo, d, part, int64(len(b)), mode, 0)
}

func (c *client) hasBlob(ctx context.Context, repo, dgst string) bool {
	resp, err := c.do(ctx, "HEAD", "/v2/"+repo+"/blobs/"+dgst, scopePush(repo), nil, nil, 0)
	return err == nil && resp.code == 200
}

func (c *client) putManifest(ctx context.Context, repo, ref string, m []byte) error {
	_, err := c.expect(ctx, 201, "PUT", "/v2/"+repo+"/manifests/"+ref, scopePush(repo),
		map[string]string{"Content-Type": mtManifest}, bytes.NewReader(m), int64(len(m)))
	return err
}

// pushImage pushes an image of two 10 KiB layers and a config as docker does: HEAD, POST, PATCH, PUT for each blob, then
// the manifest: 13 requests.
func (c *client) pushImage(ctx context.Context, repo, tag string, seed int64) error {
	var layers []desc
	put := func(b []byte, mt string) (desc, error) {
		d := desc{mt, digestOf(b), int64(len(b))}
		if c.hasBlob(ctx, repo, d.Digest) {
			return d, nil
		}
		_, err := c.putBytes(ctx, repo, b, modePatch)
		return d, err
	}
	for l := int64(0); l < 2; l++ {
		d, err := put(randBytes(seed+l, 10<<10), mtLayer)
		if err != nil {
			return err
		}
		layers = append(layers, d)
	}
	cfg, err := put(configBytes(fmt.Sprint(seed)), mtConfig)
	if err != nil {
		return err
	}
	return c.putManifest(ctx, repo, tag, manifestBytes(cfg, layers))
}

// parallel runs f(0..n-1) on c workers until done, the time limit (0: none) or the first error; it returns how many
// finished.
func parallel(n, c int, limit time.Duration, f func(i int) error) (int, error) {
	var (
		mu    sync.Mutex
		next  int
		done  int
		first error
		wg    sync.WaitGroup
	)
	end := time.Now().Add(limit)
	for range c {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				stop := first != nil || i >= n || (limit > 0 && time.Now().After(end))
				mu.Unlock()
				if stop {
					return
				}
				err := f(i)
				mu.Lock()
				if err != nil && first == nil {
					first = err
				}
				if err == nil {
					done++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return done, first
}
