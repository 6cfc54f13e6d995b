package trust

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/registry"
)

// Blobs opens a blob of the repository that the manifest lies in. An error with registry.CodeBlobUnknown says that it is
// not there; any other that it could not be read now.
type Blobs func(ctx context.Context, d digest.Digest) (io.ReadCloser, error)

// Item is one signature that a manifest brought, with what it says; nothing of it is verified. It must not be used by two
// goroutines at a time.
type Item struct {
	said    []core.Evidence // without a signer, one of each subject; at least one
	problem string          // not "": it cannot be verified
	entity  *entity
	message []byte // what the signature is over
	payload []byte // of a legacy signature; nil otherwise
}

// Evidence returns what the item says, unverified: no signer is set.
func (it *Item) Evidence() []core.Evidence { return it.said }

// Read lists the signatures in a manifest of an evidential shape, whose digest is carrier: those of all layers, the last
// layer first, at most MaxItems. What cannot be parsed becomes an item that says why. The error is one of opening or
// reading a blob; then nothing is known and Read is to be called again. Read may be called concurrently.
func Read(ctx context.Context, carrier digest.Digest, m *registry.ParsedManifest, open Blobs) ([]Item, error) {
	if !Classify(m).Evidential() {
		return nil, nil
	}
	var items []Item
	for i := len(m.Layers) - 1; i >= 0; i-- {
		base := core.Evidence{Carrier: string(carrier), Content: string(m.Layers[i].Digest), Size: m.Layers[i].Size}
		if len(items) >= MaxItems {
			base.Content, base.Size = "", 0
			return append(items[:MaxItems], unreadable(base, fmt.Errorf("the manifest brings more than %d signatures; the last ones were read", MaxItems))), nil
		}
		content, err := fetch(ctx, m.Layers[i], open)
		var lie *unreadableError
		switch {
		case errors.As(err, &lie):
			items = append(items, unreadable(base, err))
			continue
		case err != nil:
			return nil, fmt.Errorf("read %s, a layer of %s: %w", m.Layers[i].Digest, carrier, err)
		}
		items = append(items, readLayer(base, m.Layers[i], content)...)
	}
	return items, nil
}

// unreadableError says that a layer cannot be read, now or later.
type unreadableError struct{ why string }

func (e *unreadableError) Error() string { return e.why }

const wrongSize = "its blob has another size than the manifest says"

func fetch(ctx context.Context, layer ocispec.Descriptor, open Blobs) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := registry.ParseDigest(string(layer.Digest)); err != nil {
		return nil, &unreadableError{"the digest of its layer is none"}
	}
	r, err := open(ctx, layer.Digest)
	if registry.CodeOf(err) == registry.CodeBlobUnknown {
		return nil, &unreadableError{"the blob of its layer is not there"}
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content, err := io.ReadAll(io.LimitReader(r, layer.Size+1)) // Classify has bounded the size
	switch {
	case err != nil:
		return nil, err
	case int64(len(content)) > layer.Size:
		return nil, &unreadableError{wrongSize}
	case layer.Digest.Algorithm().FromBytes(content) != layer.Digest: // also if they end early, which may pass
		return nil, errors.New("the stored bytes do not have the digest that they are stored under")
	case int64(len(content)) < layer.Size:
		return nil, &unreadableError{wrongSize}
	}
	return content, nil
}

// readLayer never fails: whatever goes wrong in a parser makes the layer unreadable.
func readLayer(base core.Evidence, layer ocispec.Descriptor, content []byte) (items []Item) {
	defer func() {
		if r := recover(); r != nil {
			items = []Item{unreadable(base, fmt.Errorf("the parser gave up on it: %s", plain(fmt.Errorf("%v", r))))}
		}
	}()
	var err error
	switch layer.MediaType {
	case typeSimpleSigning:
		base.Format = core.FormatLegacySignature
		items, err = readPayload(base, layer, content)
	case typeEnvelope:
		base.Format = core.FormatLegacyAttestation
		items, err = readEnvelope(base, layer, content)
	default:
		base.Format = core.FormatBundle
		items, err = readBundle(base, content)
	}
	if err != nil {
		return []Item{unreadable(base, err)}
	}
	return items
}

// unreadable is an item that says nothing about any digest.
func unreadable(base core.Evidence, err error) Item {
	base.Kind, base.Problem = core.EvidenceUnreadable, plain(err)
	return Item{said: []core.Evidence{base}, problem: base.Problem}
}
