package image

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
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
	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
)

// maxConfig bounds a configuration, which is read into memory.
const maxConfig = 8 << 20

// Source is where an image is, and with what it can be read.
type Source struct {
	URL           string
	Authorization string   // "Basic ..", "Bearer .." or nothing
	Hosts         []string // hosts besides the registry's own: for tokens, and for where it sends readers of blobs
}

// Image is an image in a directory. All of it is what its digests say.
type Image struct {
	Name      string // host/repository@digest
	Digest    digest.Digest
	MediaType string
	Manifest  []byte
	Config    []byte
	ConfigID  digest.Digest
	Layers    []Layer
}

// Layer is one layer of an image, as it came from the registry.
type Layer struct {
	Descriptor ocispec.Descriptor
	DiffID     digest.Digest
	Path       string
}

// Open is the registry of a source. Authorization goes to its host and to hosts that are named, and only when asked for.
func Open(src Source) (*remote.Registry, error) {
	u, err := url.Parse(src.URL)
	if err != nil {
		return nil, refuse(CodeFetch, "The registry's URL cannot be read. It has to be like https://registry.example.com.")
	}
	who, err := credentials(src.Authorization)
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil // its environment is empty; an image comes from where it is, or not at all
	t.DisableCompression = true
	t.ResponseHeaderTimeout = time.Minute
	t.MaxResponseHeaderBytes = 64 << 10
	u.Path = strings.TrimSuffix(u.Path, "/")
	r, err := remote.New(u, remote.Options{
		Transport:       fence{inner: t, hosts: append([]string{u.Host}, src.Hosts...)},
		Credentials:     func(context.Context, string) (remote.Credentials, error) { return who, nil },
		PlainHTTP:       true, // the operator's list of registries says http or https
		UserAgent:       "hallmark-scanner-adapter",
		AllowRealmHosts: src.Hosts,
	})
	if err != nil {
		return nil, refuse(CodeFetch, "%v", err)
	}
	return r, nil
}

// fence lets requests pass only to hosts that the operator named: a registry redirects whoever reads a blob, and would
// otherwise choose where in our network the scanner calls.
type fence struct {
	inner http.RoundTripper
	hosts []string
}

func (f fence) RoundTrip(r *http.Request) (*http.Response, error) {
	if !slices.Contains(f.hosts, r.URL.Host) {
		return nil, refuse(CodeFetch, "The registry leads to %s, where the scanner may not go. Add that host to hosts if you trust it.", r.URL.Host)
	}
	return f.inner.RoundTrip(r)
}

func credentials(authorization string) (remote.Credentials, error) {
	scheme, value, _ := strings.Cut(authorization, " ")
	switch {
	case authorization == "":
		return remote.Credentials{}, nil
	case strings.EqualFold(scheme, "Bearer") && value != "":
		return remote.Credentials{Token: value}, nil
	case strings.EqualFold(scheme, "Basic"):
		plain, err := base64.StdEncoding.DecodeString(value)
		user, password, ok := strings.Cut(string(plain), ":")
		if err == nil && ok {
			return remote.Credentials{Username: user, Password: password}, nil
		}
	}
	return remote.Credentials{}, refuse(CodeFetch, "registry.authorization is neither Basic nor Bearer.")
}

// Fetch brings an image into dir.
func Fetch(ctx context.Context, src Source, repository string, d digest.Digest, dir string, l Limits) (*Image, error) {
	r, err := Open(src)
	if err != nil {
		return nil, err
	}
	m, err := r.Manifest(ctx, repository, registry.Reference{Digest: d}, false)
	if err != nil {
		return nil, refuse(CodeFetch, "The manifest could not be read: %v", err)
	}
	if m.MediaType != spec.ImageOCI && m.MediaType != spec.ImageDocker {
		return nil, refuse(CodeUnsupported, "This is %s and no image. An index is scanned image by image.", m.MediaType)
	}
	var parsed ocispec.Manifest
	if err := json.Unmarshal(m.Payload, &parsed); err != nil {
		return nil, refuse(CodeHostile, "The manifest cannot be read: %v", err)
	}
	img := &Image{Name: r.Host() + "/" + repository + "@" + d.String(), Digest: d, MediaType: m.MediaType, Manifest: m.Payload, ConfigID: parsed.Config.Digest}
	if err := img.check(parsed, l); err != nil {
		return nil, err
	}
	if img.Config, err = small(ctx, r, repository, parsed.Config); err != nil {
		return nil, err
	}
	ids, err := diffIDs(img.Config, len(parsed.Layers))
	if err != nil {
		return nil, err
	}
	for i, desc := range parsed.Layers {
		layer := Layer{Descriptor: desc, DiffID: ids[i], Path: filepath.Join(dir, desc.Digest.Encoded())}
		if !slices.ContainsFunc(img.Layers, func(o Layer) bool { return o.Path == layer.Path }) {
			if err := save(ctx, r, repository, layer); err != nil {
				return nil, err
			}
		}
		img.Layers = append(img.Layers, layer)
	}
	return img, nil
}

// check looks at a manifest before anything that it names is fetched.
func (img *Image) check(m ocispec.Manifest, l Limits) error {
	if m.Config.MediaType != ocispec.MediaTypeImageConfig && m.Config.MediaType != "application/vnd.docker.container.image.v1+json" {
		return refuse(CodeUnsupported, "This is no image: its configuration is %q. Only images are scanned.", m.Config.MediaType)
	}
	if len(m.Layers) > l.Layers {
		return refuse(CodeLimit, "The image has %d layers; %d are the limit.", len(m.Layers), l.Layers)
	}
	total := int64(0)
	for _, desc := range m.Layers {
		if !isLayer(desc.MediaType) {
			return refuse(CodeUnsupported, "The layer %s is %q, which holds no files that could be scanned.", desc.Digest, desc.MediaType)
		}
		if total += desc.Size; desc.Size < 0 || total > l.Fetched {
			return refuse(CodeLimit, "The layers are more than %s. Raise limits.fetched if you trust the image.", size(l.Fetched))
		}
	}
	return nil
}

// isLayer reports whether a media type is that of a layer. Those that are "not to be distributed" are read from the
// registry like all others or not at all: the addresses in a manifest are never called.
func isLayer(t string) bool {
	switch t {
	case ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd,
		"application/vnd.oci.image.layer.nondistributable.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
		"application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.diff.tar.gzip",
		"application/vnd.docker.image.rootfs.foreign.diff.tar", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip":
		return true
	}
	return false
}

// diffIDs are the layers' digests in a configuration. One that names fewer layers than there are would hide the rest
// from the scanner.
func diffIDs(config []byte, layers int) ([]digest.Digest, error) {
	var c ocispec.Image
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, refuse(CodeHostile, "The image's configuration cannot be read: %v", err)
	}
	if len(c.RootFS.DiffIDs) != layers {
		return nil, refuse(CodeHostile, "The image has %d layers and its configuration names %d: what is in the others cannot be told.", layers, len(c.RootFS.DiffIDs))
	}
	for _, d := range c.RootFS.DiffIDs {
		if d.Validate() != nil {
			return nil, refuse(CodeHostile, "The image's configuration names a layer by what is no digest.")
		}
	}
	return c.RootFS.DiffIDs, nil
}

func small(ctx context.Context, r *remote.Registry, repository string, desc ocispec.Descriptor) ([]byte, error) {
	if desc.Size < 0 || desc.Size > maxConfig {
		return nil, refuse(CodeLimit, "The image's configuration has %d bytes; %s are the limit.", desc.Size, size(maxConfig))
	}
	var out []byte
	err := read(ctx, r, repository, desc, func(content io.Reader) (err error) {
		out, err = io.ReadAll(content)
		return err
	})
	return out, err
}

func save(ctx context.Context, r *remote.Registry, repository string, l Layer) error {
	return read(ctx, r, repository, l.Descriptor, func(content io.Reader) error {
		f, err := os.OpenFile(l.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		if e := f.Close(); err == nil {
			err = e
		}
		return err
	})
}

// read gives the content of a blob to take: as many bytes as its descriptor says, which are what its digest says.
func read(ctx context.Context, r *remote.Registry, repository string, desc ocispec.Descriptor, take func(io.Reader) error) error {
	b, err := r.Blob(ctx, repository, desc.Digest)
	if err != nil {
		return refuse(CodeFetch, "The blob %s could not be read: %v", desc.Digest, err)
	}
	defer b.Content.Close()
	if b.Size != desc.Size {
		return refuse(CodeHostile, "The blob %s has %d bytes and the manifest says %d.", desc.Digest, b.Size, desc.Size)
	}
	if err := take(b.Content); err != nil {
		return refuse(CodeFetch, "The blob %s could not be read: %v", desc.Digest, err)
	}
	return nil
}
