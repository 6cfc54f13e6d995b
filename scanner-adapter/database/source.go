package database

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/scanner-adapter/image"
)

// maxDatabase bounds one unpacked file of a database; they have about a gigabyte.
const maxDatabase = 8 << 30

// Source is where a database comes from: oci://host/repository:tag, dir:///path, file:///path/db.tar.gz, or "": only
// what is uploaded.
type Source struct {
	Address       string
	Authorization string   // user:password
	Hosts         []string // where the registry may send us
}

// CheckSource says what is wrong with an address.
func CheckSource(address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("it cannot be read")
	case u.Scheme == "oci":
		_, _, err := reference(u)
		return err
	case (u.Scheme == "dir" || u.Scheme == "file") && u.Host == "" && filepath.IsAbs(u.Path):
		return nil
	}
	return errors.New("it has to be like oci://registry.example.com/trivy-db:2, dir:///path or file:///path/db.tar.gz")
}

// reference takes oci://host/repository:tag apart.
func reference(u *url.URL) (repository, tag string, err error) {
	repository, tag, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), ":")
	if !ok || u.Host == "" || !registry.ValidName(repository) || !registry.ValidTag(tag) {
		return "", "", errors.New("it has to be like oci://registry.example.com/trivy-db:2")
	}
	return repository, tag, nil
}

// Load brings the database of a source into the store.
func (s *Store) Load(ctx context.Context, k Kind, src Source) error {
	u, err := url.Parse(src.Address)
	if err != nil {
		return err
	}
	return s.Import(ctx, k, src.Address, false, func(dir string) error {
		switch u.Scheme {
		case "dir":
			return copyFiles(k, u.Path, dir)
		case "file":
			f, err := os.Open(u.Path)
			if err != nil {
				return err
			}
			defer f.Close()
			return Unpack(ctx, k, f, dir)
		}
		return pull(ctx, k, u, src, dir)
	})
}

// pull fetches the artifact that Trivy's databases are published as: one layer, which is an archive.
func pull(ctx context.Context, k Kind, u *url.URL, src Source, dir string) error {
	repository, tag, err := reference(u)
	if err != nil {
		return err
	}
	scheme := "https"
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		scheme = "http"
	}
	from := image.Source{URL: scheme + "://" + u.Host, Hosts: src.Hosts}
	if src.Authorization != "" {
		from.Authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(src.Authorization))
	}
	r, err := image.Open(from)
	if err != nil {
		return err
	}
	m, err := r.Manifest(ctx, repository, registry.Reference{Tag: tag}, false)
	if err != nil {
		return err
	}
	var parsed ocispec.Manifest
	if err := json.Unmarshal(m.Payload, &parsed); err != nil || len(parsed.Layers) != 1 || parsed.Layers[0].MediaType != k.MediaType {
		return refuse("%s is no such database: it would have one layer, of type %s.", src.Address, k.MediaType)
	}
	b, err := r.Blob(ctx, repository, parsed.Layers[0].Digest)
	if err != nil {
		return err
	}
	defer b.Content.Close()
	if err := Unpack(ctx, k, b.Content, dir); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, b.Content) // its last bytes are checked against the digest
	return err
}

// Unpack takes the two files of a database out of its archive, and nothing else.
func Unpack(ctx context.Context, k Kind, from io.Reader, dir string) error {
	z, err := gzip.NewReader(from)
	if err != nil {
		return refuse("This is no database: it would be an archive, packed with gzip.")
	}
	t := tar.NewReader(z)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return damaged(err)
		}
		name := strings.TrimPrefix(h.Name, "./")
		if name != k.File && name != metadata || h.Typeflag != tar.TypeReg {
			continue
		}
		if err := writeFile(ctx, filepath.Join(dir, name), archived{t}); err != nil {
			return err
		}
	}
}

// archived is a file in an archive: what cannot be read of it is the archive's fault.
type archived struct{ from io.Reader }

func (a archived) Read(p []byte) (int, error) {
	n, err := a.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = damaged(err)
	}
	return n, err
}

func copyFiles(k Kind, from, to string) error {
	for _, name := range []string{k.File, metadata} {
		f, err := os.Open(filepath.Join(from, name))
		if err != nil {
			return err
		}
		err = writeFile(context.Background(), filepath.Join(to, name), f)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func writeFile(ctx context.Context, path string, from io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(reading{ctx, from}, maxDatabase+1))
	if err == nil && n > maxDatabase {
		err = refuse("A file of the database has more than %d GiB.", maxDatabase>>30)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// reading ends when nobody waits any more.
type reading struct {
	ctx  context.Context
	from io.Reader
}

func (r reading) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}
