package trust

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	dssev1 "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"google.golang.org/protobuf/encoding/protojson"
)

// ReadStatement returns the statement in a bundle or DSSE envelope, the bytes of Evidence.Content. It verifies nothing:
// it is for asking what the predicate of evidence says that was verified before. Content is at most MaxArtifact long.
// The result refers to memory of its own, several times the length of content at its height.
func ReadStatement(content []byte) (st *Statement, err error) {
	defer func() {
		if r := recover(); r != nil {
			st, err = nil, fmt.Errorf("the parser gave up on it: %s", plain(fmt.Errorf("%v", r)))
		}
	}()
	if len(content) > MaxArtifact {
		return nil, fmt.Errorf("it has more than %d bytes", MaxArtifact)
	}
	env, err := envelopeOf(content)
	if err != nil {
		return nil, err
	}
	if env.GetPayloadType() != bundle.IntotoMediaType {
		return nil, fmt.Errorf("its payload has the type %s; only in-toto statements are read", quoted(env.GetPayloadType()))
	}
	return parseStatement(env.GetPayload())
}

func envelopeOf(content []byte) (*dssev1.Envelope, error) {
	if err := boundJSON(content, bundleDepth, bundleTokens); err != nil {
		return nil, err
	}
	isBundle := false
	err := members(content, func(name string, _ jsontext.Value) error {
		isBundle = isBundle || name == "mediaType"
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !isBundle {
		return parseEnvelope(content)
	}
	b := &bundlev1.Bundle{}
	if err := protojson.Unmarshal(content, b); err != nil {
		return nil, fmt.Errorf("it is no Sigstore bundle: %w", err)
	}
	if b.GetDsseEnvelope() == nil {
		return nil, errors.New("it has no DSSE envelope")
	}
	return b.GetDsseEnvelope(), nil
}
