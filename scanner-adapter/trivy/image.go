package trivy

import (
	"bytes"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/scanner-adapter/image"
)

// scanned is an image as Trivy wants it.
type scanned struct{ img *image.Image }

func hash(d digest.Digest) v1.Hash {
	return v1.Hash{Algorithm: d.Algorithm().String(), Hex: d.Encoded()}
}

func (s *scanned) Name() string                        { return s.img.Name }
func (s *scanned) ID() (string, error)                 { return s.img.ConfigID.String(), nil }
func (s *scanned) RepoTags() []string                  { return nil }
func (s *scanned) RepoDigests() []string               { return []string{s.img.Name} }
func (s *scanned) MediaType() (types.MediaType, error) { return types.MediaType(s.img.MediaType), nil }
func (s *scanned) Size() (int64, error)                { return int64(len(s.img.Manifest)), nil }
func (s *scanned) ConfigName() (v1.Hash, error)        { return hash(s.img.ConfigID), nil }
func (s *scanned) RawConfigFile() ([]byte, error)      { return s.img.Config, nil }
func (s *scanned) RawManifest() ([]byte, error)        { return s.img.Manifest, nil }
func (s *scanned) Digest() (v1.Hash, error)            { return hash(s.img.Digest), nil }

func (s *scanned) ConfigFile() (*v1.ConfigFile, error) {
	return v1.ParseConfigFile(bytes.NewReader(s.img.Config))
}

func (s *scanned) Manifest() (*v1.Manifest, error) {
	return v1.ParseManifest(bytes.NewReader(s.img.Manifest))
}

func (s *scanned) Layers() ([]v1.Layer, error) {
	var all []v1.Layer
	for _, l := range s.img.Layers {
		all = append(all, &layer{l})
	}
	return all, nil
}

func (s *scanned) LayerByDigest(h v1.Hash) (v1.Layer, error) {
	return s.find(h, func(l image.Layer) digest.Digest { return l.Descriptor.Digest })
}

func (s *scanned) LayerByDiffID(h v1.Hash) (v1.Layer, error) {
	return s.find(h, func(l image.Layer) digest.Digest { return l.DiffID })
}

func (s *scanned) find(h v1.Hash, of func(image.Layer) digest.Digest) (v1.Layer, error) {
	for _, l := range s.img.Layers {
		if hash(of(l)) == h {
			return &layer{l}, nil
		}
	}
	return nil, fmt.Errorf("the image has no layer %s", h)
}

type layer struct{ l image.Layer }

func (l *layer) Digest() (v1.Hash, error) { return hash(l.l.Descriptor.Digest), nil }
func (l *layer) DiffID() (v1.Hash, error) { return hash(l.l.DiffID), nil }
func (l *layer) Size() (int64, error)     { return l.l.Descriptor.Size, nil }
func (l *layer) MediaType() (types.MediaType, error) {
	return types.MediaType(l.l.Descriptor.MediaType), nil
}
func (l *layer) Uncompressed() (io.ReadCloser, error) { return l.l.Uncompressed() }
func (l *layer) Compressed() (io.ReadCloser, error) {
	return nil, fmt.Errorf("the layer %s is read unpacked", l.l.Descriptor.Digest)
}
