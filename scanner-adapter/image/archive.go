package image

import (
	"archive/zip"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"strings"
)

// maxNested is how many archives may be inside of each other.
const maxNested = 8

// isArchive reports whether a file is an archive that scanners unpack, by its name: what they go by.
func isArchive(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".jar", ".war", ".ear", ".par", ".egg", ".whl", ".zip":
		return true
	}
	return false
}

// archive counts what is in an archive, and in archives in it, by unpacking it. One that cannot be read is left to the scanner, which cannot read it either.
func (l Layer) archive(ctx context.Context, from io.Reader, b *budget, nested int) error {
	if nested > maxNested {
		return refuse(CodeLimit, "In the layer %s more than %d archives are inside of each other.", l.Descriptor.Digest, maxNested)
	}
	f, err := os.CreateTemp(path.Dir(l.Path), "archive-")
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		os.Remove(f.Name())
	}()
	n, err := io.Copy(f, from)
	if err != nil {
		return err
	}
	z, err := zip.NewReader(f, n)
	if err != nil {
		return nil //nolint:nilerr // not an archive, whatever it is called
	}
	for _, one := range z.File {
		if err := b.addFile(); err != nil {
			return err
		}
		if err := l.member(ctx, one, b, nested); err != nil {
			return err
		}
	}
	return nil
}

func (l Layer) member(ctx context.Context, one *zip.File, b *budget, nested int) error {
	content, err := one.Open()
	if err != nil {
		return nil //nolint:nilerr // packed in a way that nobody here knows
	}
	defer content.Close()
	in := &spent{ctx: ctx, r: content, b: b}
	if isArchive(one.Name) {
		err = l.archive(ctx, in, b, nested+1)
	} else {
		_, err = io.Copy(io.Discard, in)
	}
	var refused *Error
	if errors.As(err, &refused) || ctx.Err() != nil {
		return err
	}
	return nil // damaged: the scanner will say so if it matters
}

// spent takes what is read from it off the budget.
type spent struct {
	ctx context.Context
	r   io.Reader
	b   *budget
}

func (s *spent) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	if over := s.b.addBytes(int64(n)); over != nil {
		return 0, over
	}
	return n, err
}
