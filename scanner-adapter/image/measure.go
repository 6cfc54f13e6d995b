package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// Measure reads all layers once, as many at once as there are cpus, and says what is wrong with them. The scanner reads
// them after that: it never sees what did not pass.
func (img *Image) Measure(ctx context.Context, l Limits, cpus int) error {
	b := &budget{limits: l}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(cpus, 1))
	for _, layer := range img.Layers {
		g.Go(func() error { return layer.measure(ctx, b) })
	}
	return g.Wait()
}

func (l Layer) measure(ctx context.Context, b *budget) error {
	content, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer content.Close()
	hash := l.DiffID.Algorithm().Hash()
	raw := &counted{ctx: ctx, r: io.TeeReader(content, hash), left: b.limits.Unpacked}
	if err = l.entries(ctx, tar.NewReader(raw), b); err == nil {
		_, err = io.Copy(io.Discard, raw) // what stands behind the end of the archive belongs to the digest
	}
	var refused *Error
	switch {
	case errors.As(err, &refused):
		return refused
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return refuse(CodeHostile, "The layer %s cannot be unpacked: %v", l.Descriptor.Digest, err)
	}
	if l.DiffID.Encoded() != hex.EncodeToString(hash.Sum(nil)) {
		return refuse(CodeHostile, "The layer %s is not the one that the image's configuration names.", l.Descriptor.Digest)
	}
	return nil
}

// counted ends a stream that is longer than everything may be, and one that nobody waits for any more.
type counted struct {
	ctx  context.Context
	r    io.Reader
	left int64
}

func (c *counted) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, refuse(CodeLimit, "A layer unpacks to more than the limit. Raise limits.unpacked if you trust the image.")
	}
	return n, err
}

// entries looks at the headers of a layer, and into the archives among its files.
func (l Layer) entries(ctx context.Context, t *tar.Reader, b *budget) error {
	links := map[string]string{} // symbolic links of this layer that lead out of where they are
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := b.addFile(); err != nil {
			return err
		}
		// The size that a file claims, and not what it takes in the archive: a sparse one is all holes.
		if err := b.addBytes(h.Size); err != nil {
			return err
		}
		if err := l.entry(h, links, b.limits.Depth); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeReg && isArchive(h.Name) {
			if err := l.archive(ctx, t, b, 1); err != nil {
				return err
			}
		}
	}
}

// entry refuses an entry that unpacking would put, or link, outside of the image. Absolute names and targets are those of
// the image itself, as for every runtime.
func (l Layer) entry(h *tar.Header, links map[string]string, depth int) error {
	hostile := func(format string, args ...any) error {
		return refuse(CodeHostile, "In the layer "+l.Descriptor.Digest.String()+" "+format, args...)
	}
	name, ok := inside("", h.Name)
	switch {
	case len(h.Name) > maxName || len(h.Linkname) > maxName:
		return refuse(CodeLimit, "In the layer %s a name has more than %d bytes.", l.Descriptor.Digest, maxName)
	case !ok:
		return hostile("the entry %q leaves the image.", short(h.Name))
	case strings.Count(name, "/") >= depth:
		return refuse(CodeLimit, "In the layer %s %q is more than %d directories deep.", l.Descriptor.Digest, short(name), depth)
	}
	for dir := path.Dir(name); dir != "." && len(links) > 0; dir = path.Dir(dir) {
		if to, ok := links[dir]; ok {
			return hostile("the entry %q would be written through the link %q to %q.", short(name), short(dir), short(to))
		}
	}
	delete(links, name)
	switch h.Typeflag {
	case tar.TypeSymlink:
		if path.IsAbs(h.Linkname) {
			links[name] = h.Linkname
		} else if _, ok := inside(path.Dir(name), h.Linkname); !ok {
			return hostile("the link %q leads out of the image, to %q.", short(name), short(h.Linkname))
		}
	case tar.TypeLink:
		if _, ok := inside("", h.Linkname); !ok {
			return hostile("the hard link %q leads out of the image, to %q.", short(name), short(h.Linkname))
		}
	}
	return nil
}

// inside is name, seen from dir, without dots; ok is false if it climbs out of the root on its way.
func inside(dir, name string) (clean string, ok bool) {
	level := 0
	if dir != "" && dir != "." {
		level = strings.Count(dir, "/") + 1
	}
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "", ".":
		case "..":
			if level--; level < 0 {
				return "", false
			}
		default:
			level++
		}
	}
	return strings.TrimPrefix(path.Join("/", dir, name), "/"), true
}

// short is a name that fits a sentence.
func short(s string) string {
	if len(s) > 120 {
		return s[:120] + "..."
	}
	return s
}

// Uncompressed is the layer's archive. What it is packed with is seen from its first bytes, as runtimes do.
func (l Layer) Uncompressed() (io.ReadCloser, error) {
	f, err := os.Open(l.Path)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(f, 256<<10)
	head, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		f.Close()
		return nil, err
	}
	out := &unpacked{Reader: in, file: f}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		out.Reader, err = gzip.NewReader(in)
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		var d *zstd.Decoder
		if d, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20)); err == nil {
			out.Reader, out.end = d, d.Close
		}
	default:
		err = nil
	}
	if err != nil {
		f.Close()
		return nil, refuse(CodeHostile, "The layer %s cannot be unpacked: %v", l.Descriptor.Digest, err)
	}
	return out, nil
}

type unpacked struct {
	io.Reader
	file *os.File
	end  func()
}

func (u *unpacked) Close() error {
	if u.end != nil {
		u.end()
	}
	return u.file.Close()
}
