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
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/remote"
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
	Plain         []string // hosts besides loopback that are spoken to without TLS, because somebody said so
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

// Load brings the database of a source into the store. Of a registry only the manifest is asked for if it is the one that was
// brought in last, or that was refused of late.
func (s *Store) Load(ctx context.Context, k Kind, src Source) error {
	u, err := url.Parse(src.Address)
	if err != nil {
		return err
	}
	switch u.Scheme {
	case "dir":
		return s.Import(ctx, k, src.Address, false, func(dir string) error { return copyFiles(k, u.Path, dir) })
	case "file":
		return s.Import(ctx, k, src.Address, false, func(dir string) error {
			f, err := os.Open(u.Path)
			if err != nil {
				return err
			}
			defer f.Close()
			return Unpack(ctx, k, f, dir)
		})
	}
	p, err := find(ctx, u, src)
	if err != nil {
		return err
	}
	source := src.Address + "@" + p.digest.String()
	// Of which address does not matter: a hub beside us has another port after each start.
	if have, ok := s.Age(k); ok && strings.HasSuffix(have.Source, "@"+p.digest.String()) {
		return nil
	}
	if err := s.refusedBefore(source); err != nil {
		return err
	}
	err = s.Import(ctx, k, source, false, func(dir string) error { return p.pull(ctx, k, dir) })
	s.noteRefusal(source, err)
	return err
}

// again is how long a refused database is not fetched again: what refuses it may be the clock.
const again = time.Hour

// refusal is why a published database was not taken.
type refusal struct {
	err error
	at  time.Time
}

func (s *Store) refusedBefore(source string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.refused[source]; ok && time.Since(r.at) < again {
		return r.err
	}
	return nil
}

// noteRefusal keeps the last refusals only: a tag that moves leaves them behind.
func (s *Store) noteRefusal(source string, err error) {
	var refused *Refused
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.refused) > 16 {
		clear(s.refused)
	}
	if delete(s.refused, source); errors.As(err, &refused) {
		s.refused[source] = refusal{err, time.Now()}
	}
}

// published is the artifact that Trivy's databases are published as: one layer, which is an archive.
type published struct {
	registry   *remote.Registry
	address    string
	repository string
	digest     digest.Digest
	payload    []byte
}

// find asks a registry what a tag is.
func find(ctx context.Context, u *url.URL, src Source) (*published, error) {
	repository, tag, err := reference(u)
	if err != nil {
		return nil, err
	}
	scheme := "https"
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() || slices.Contains(src.Plain, u.Host) {
		scheme = "http"
	}
	from := image.Source{URL: scheme + "://" + u.Host, Hosts: src.Hosts}
	if src.Authorization != "" {
		from.Authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(src.Authorization))
	}
	r, err := image.Open(from)
	if err != nil {
		return nil, err
	}
	m, err := r.Manifest(ctx, repository, registry.Reference{Tag: tag}, false)
	if err != nil {
		return nil, err
	}
	return &published{registry: r, address: src.Address, repository: repository, digest: m.Digest, payload: m.Payload}, nil
}

func (p *published) pull(ctx context.Context, k Kind, dir string) error {
	var parsed ocispec.Manifest
	if err := json.Unmarshal(p.payload, &parsed); err != nil || len(parsed.Layers) != 1 || parsed.Layers[0].MediaType != k.MediaType {
		return refuse("%s is no such database: it would have one layer, of type %s.", p.address, k.MediaType)
	}
	b, err := p.registry.Blob(ctx, p.repository, parsed.Layers[0].Digest)
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
