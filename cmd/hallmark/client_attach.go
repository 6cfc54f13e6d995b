package main

import (
	"bytes"
	"context"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core/trust"
	"github.com/hallmarkhub/hallmark/registry"
)

// attachBundle pushes a Sigstore bundle as a referrer of a manifest.
func attachBundle(ctx context.Context, reg registry.Registry, repository string, subject ocispec.Descriptor, content []byte, predicateType string) error {
	for _, b := range [][]byte{[]byte(trust.EmptyConfig), content} {
		if _, err := pushBytes(ctx, reg, repository, "", b); err != nil {
			return err
		}
	}
	payload, err := trust.Carrier(subject, content, predicateType, time.Now(), nil)
	if err != nil {
		return err
	}
	_, err = reg.PutManifest(ctx, repository, registry.ManifestPut{Digest: digest.FromBytes(payload), MediaType: ocispec.MediaTypeImageManifest, Payload: payload})
	return err
}

// pushBytes makes bytes a blob of a repository, unless they are one already.
func pushBytes(ctx context.Context, reg registry.Registry, repository, mediaType string, content []byte) (ocispec.Descriptor, error) {
	out := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
	_, err := reg.StatBlob(ctx, repository, out.Digest, true)
	if code := registry.CodeOf(err); code != registry.CodeBlobUnknown && code != registry.CodeNameUnknown {
		return out, err
	}
	u, err := reg.StartUpload(ctx, repository, digest.SHA256)
	if err != nil {
		return out, err
	}
	_, err = reg.FinishUpload(ctx, repository, u.ID, 0, bytes.NewReader(content), out.Digest)
	return out, err
}
